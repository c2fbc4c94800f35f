use super::*;
use crate::job::{ClientAuth, Endpoints, Grant, GrantKind, OAuthClient};
use std::sync::atomic::{AtomicU32, Ordering};

fn grant() -> Grant {
    Grant {
        kind: GrantKind::DeviceCode {
            authorization_params: Vec::new(),
        },
        endpoints: Endpoints {
            token: Some("https://auth.example.com/realm/token".parse().unwrap()),
            ..Endpoints::default()
        },
        client: OAuthClient {
            id: Some("client".to_owned().into()),
            auth: ClientAuth::None,
        },
        scope: "read".into(),
        params: Vec::new(),
        allow_http: false,
    }
}

fn store(folder: &Path) -> FileStore {
    FileStore::at(folder.to_owned(), LoginId::of(&grant()))
}

fn tokens(name: &str) -> StoredTokens {
    StoredTokens {
        access_token: format!("access-{name}").into(),
        expires: Some(UNIX_EPOCH + Duration::from_millis(1_700_000_000_123)),
        refresh_token: Some(format!("refresh-{name}").into()),
        seed: Some("seed".into()),
    }
}

fn text(tokens: &StoredTokens) -> String {
    let refresh = tokens.refresh_token.as_ref().map(|t| t.expose_secret());
    let access = tokens.access_token.expose_secret();
    format!(
        "{access} {refresh:?} {:?} {:?}",
        tokens.expires, tokens.seed
    )
}

#[test]
fn what_was_saved_is_there_again_and_forgotten_when_told() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder.path().join("a/b"));
    assert!(store.look().unwrap().is_none());
    assert!(!folder.path().join("a").exists(), "a look makes nothing");
    let mut locked = store.lock().unwrap();
    assert!(locked.load().unwrap().is_none());
    locked.save(&tokens("1")).unwrap();
    locked.save(&tokens("2")).unwrap();
    assert_eq!(text(&locked.load().unwrap().unwrap()), text(&tokens("2")));
    let bare = StoredTokens {
        refresh_token: None,
        expires: None,
        seed: None,
        ..tokens("3")
    };
    locked.save(&bare).unwrap();
    assert_eq!(text(&store.look().unwrap().unwrap()), text(&bare));
    locked.forget().unwrap();
    locked.forget().unwrap();
    assert!(store.look().unwrap().is_none());
    let path = store.path();
    let name = path.file_name().unwrap().to_str().unwrap();
    assert!(name.starts_with("auth.example.com-"), "{name}");
}

#[cfg(unix)]
#[test]
fn only_the_user_may_look() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("logins");
    fs::create_dir(&place).unwrap();
    fs::set_permissions(&place, fs::Permissions::from_mode(0o755)).unwrap();
    let store = store(&place);
    // What a killed process left behind, as a link to elsewhere.
    let elsewhere = folder.path().join("elsewhere");
    fs::write(&elsewhere, "kept").unwrap();
    let temporary = store.path().with_extension("tmp");
    std::os::unix::fs::symlink(&elsewhere, &temporary).unwrap();
    store.lock().unwrap().save(&tokens("1")).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&place), 0o700);
    let mut files = 0;
    for entry in fs::read_dir(&place).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(mode(&path), 0o600, "{}", path.display());
        files += 1;
    }
    assert_eq!(files, 2, "the tokens and the lock");
    assert_eq!(fs::read_to_string(&elsewhere).unwrap(), "kept");
}

#[test]
fn a_damaged_file_is_told_and_can_be_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    let mut locked = store.lock().unwrap();
    locked.save(&tokens("secret")).unwrap();
    let whole = fs::read_to_string(store.path()).unwrap();
    let other = whole.replace("\"client\"", "\"another\"");
    let later = whole.replace("login 1", "login 2");
    let time = whole.replace("2023-", "20x3-");
    for text in [&whole[..whole.len() / 2], "", "[]", &other, &later, &time] {
        fs::write(store.path(), text).unwrap();
        let error = locked.load().unwrap_err();
        let told = format!("{error} {error:?}");
        assert!(told.contains("damaged") && told.contains("harvest login"));
        assert!(told.contains("auth.example.com-"), "{told}");
        assert!(!told.contains("access-") && !told.contains("refresh-"));
    }
    locked.save(&tokens("2")).unwrap();
    assert!(locked.load().unwrap().is_some());
}

#[test]
fn one_at_a_time_changes_a_login() {
    let folder = tempfile::tempdir().unwrap();
    let inside = AtomicU32::new(0);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                for _ in 0..10 {
                    let mut locked = store(folder.path()).lock().unwrap();
                    assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                    locked.save(&tokens("1")).unwrap();
                    inside.fetch_sub(1, Ordering::SeqCst);
                }
            });
        }
    });
}

#[test]
fn a_lock_that_is_never_let_go_ends_the_wait() {
    let folder = tempfile::tempdir().unwrap();
    let held = store(folder.path()).lock().unwrap();
    let hasty = FileStore {
        patience: Duration::from_millis(50),
        ..store(folder.path())
    };
    let error = hasty.lock().err().unwrap().to_string();
    assert!(error.contains("another process"), "{error}");
    drop(held);
    store(folder.path()).lock().unwrap();
}

#[test]
fn different_logins_have_different_files() {
    let change = |how: &dyn Fn(&mut Grant)| {
        let mut grant = grant();
        how(&mut grant);
        LoginId::of(&grant)
    };
    let url = |url: &str| Some(url.parse().unwrap());
    let seed = |seed: &str| GrantKind::RefreshToken {
        refresh_token: seed.to_owned().into(),
    };
    let all = [
        change(&|_| {}),
        change(&|g| g.endpoints.token = url("https://auth.example.com/realm2/token")),
        change(&|g| g.endpoints.token = url("http://[::1]:80/a/../..%2Fx")),
        change(&|g| g.client.id = Some("clientr".to_owned().into())),
        change(&|g| g.scope = "read write".into()),
        change(&|g| g.params = vec![("audience".into(), "a".to_owned().into())]),
        change(&|g| g.kind = seed("one")),
        change(&|g| g.kind = seed("other")),
    ];
    let folder = Path::new("/nowhere");
    let paths = all
        .iter()
        .map(|id| FileStore::at(folder.into(), id.clone()).path());
    let paths: std::collections::BTreeSet<_> = paths.collect();
    assert_eq!(paths.len(), all.len());
    assert!(paths.iter().all(|path| path.parent() == Some(folder)));
}
