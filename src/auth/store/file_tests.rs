use super::*;
use std::sync::atomic::{AtomicU32, Ordering};

fn id(scope: &str) -> LoginId {
    LoginId {
        server: "https://auth.example.com/realm".into(),
        client_id: "client".to_owned().into(),
        scope: scope.into(),
        seed: None,
    }
}

fn saved(name: &str) -> Saved {
    let now = UNIX_EPOCH + Duration::from_millis(1_700_000_000_123);
    Saved {
        access_token: format!("access-{name}").into(),
        expires: Some(now + Duration::from_secs(3600)),
        refresh_token: Some(format!("refresh-{name}").into()),
        obtained: now,
    }
}

fn same(a: &Saved, b: &Saved) -> bool {
    let text = |t: &Option<SecretString>| t.as_ref().map(|t| t.expose_secret().to_owned());
    a.access_token.expose_secret() == b.access_token.expose_secret()
        && text(&a.refresh_token) == text(&b.refresh_token)
        && (a.expires, a.obtained) == (b.expires, b.obtained)
}

#[tokio::test]
async fn what_was_saved_is_there_again_and_forgotten_when_told() {
    let folder = tempfile::tempdir().unwrap();
    let store = FileStore::at(folder.path().join("a/b"));
    let (one, other) = (id("one"), id("other"));
    assert!(store.load(&one).unwrap().is_none());
    assert!(!folder.path().join("a").exists(), "a look makes nothing");
    let locked = store.lock(&one).await.unwrap();
    locked.save(&saved("1")).unwrap();
    locked.save(&saved("2")).unwrap();
    assert!(same(&store.load(&one).unwrap().unwrap(), &saved("2")));
    assert!(store.load(&other).unwrap().is_none());
    assert!(locked.forget().unwrap());
    assert!(!locked.forget().unwrap());
    assert!(store.load(&one).unwrap().is_none());
    let name = store.path(&one);
    let name = name.file_name().unwrap().to_str().unwrap();
    assert!(name.starts_with("auth.example.com-"), "{name}");
}

#[cfg(unix)]
#[tokio::test]
async fn only_the_user_may_look() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("logins");
    fs::create_dir(&place).unwrap();
    fs::set_permissions(&place, fs::Permissions::from_mode(0o755)).unwrap();
    let store = FileStore::at(place.clone());
    // What a killed process left behind, as a link to elsewhere.
    let elsewhere = folder.path().join("elsewhere");
    fs::write(&elsewhere, "kept").unwrap();
    let temporary = store.path(&id("")).with_extension("tmp");
    std::os::unix::fs::symlink(&elsewhere, &temporary).unwrap();
    let locked = store.lock(&id("")).await.unwrap();
    locked.save(&saved("1")).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&place), 0o700);
    for entry in fs::read_dir(&place).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(mode(&path), 0o600, "{}", path.display());
    }
    assert_eq!(fs::read_to_string(&elsewhere).unwrap(), "kept");
}

#[tokio::test]
async fn a_damaged_file_is_told_and_can_be_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let store = FileStore::at(folder.path().to_owned());
    let locked = store.lock(&id("")).await.unwrap();
    locked.save(&saved("secret")).unwrap();
    let path = store.path(&id(""));
    let whole = fs::read_to_string(&path).unwrap();
    let other = whole.replace("\"client\"", "\"another\"");
    let later = whole.replace("login 1", "login 2");
    for text in [&whole[..whole.len() / 2], "", "[]", &other, &later] {
        fs::write(&path, text).unwrap();
        let error = store.load(&id("")).unwrap_err();
        let told = format!("{error} {error:?}");
        assert!(matches!(error, StoreError::Damaged { .. }), "{told}");
        assert!(told.contains("damaged") && told.contains("harvest login"));
        assert!(!told.contains("access-") && !told.contains("refresh-"));
    }
    locked.save(&saved("2")).unwrap();
    assert!(store.load(&id("")).unwrap().is_some());
    assert!(!format!("{:?}", saved("x")).contains("access-x"));
}

#[tokio::test]
async fn one_at_a_time_changes_a_login() {
    let folder = tempfile::tempdir().unwrap();
    let store = FileStore::at(folder.path().to_owned());
    let inside = AtomicU32::new(0);
    let rounds = (0..6).map(|_| async {
        for _ in 0..5 {
            let locked = store.lock(&id("")).await.unwrap();
            assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
            locked.save(&saved("1")).unwrap();
            tokio::task::yield_now().await;
            inside.fetch_sub(1, Ordering::SeqCst);
        }
    });
    futures::future::join_all(rounds).await;
}

/// Which is what a killed process's lock is worth: the system drops it.
#[tokio::test(start_paused = true)]
async fn a_lock_that_is_never_let_go_ends_the_wait() {
    let folder = tempfile::tempdir().unwrap();
    let store = FileStore::at(folder.path().to_owned());
    let held = store.lock(&id("")).await.unwrap();
    let error = store.lock(&id("")).await.unwrap_err();
    assert!(matches!(error, StoreError::Busy { .. }), "{error}");
    drop(held);
    store.lock(&id("")).await.unwrap();
}

#[test]
fn different_logins_have_different_files() {
    let base = id("a");
    let mut server = base.clone();
    server.server = "https://auth.example.com/realm2".into();
    let mut client = base.clone();
    client.client_id = "clienta".to_owned().into();
    client.scope = String::new();
    let mut seed = base.clone();
    seed.seed = Some("x".to_owned().into());
    let mut strange = base.clone();
    strange.server = "http://[::1]:80/../x".into();
    let all = [base, server, client, seed, strange];
    let store = FileStore::at(PathBuf::from("/nowhere"));
    let names: std::collections::BTreeSet<_> = all.iter().map(|id| store.path(id)).collect();
    assert_eq!(names.len(), all.len());
    assert!(
        names
            .iter()
            .all(|n| n.parent() == Some(Path::new("/nowhere")))
    );
}
