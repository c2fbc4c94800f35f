//! Renewal with a refresh token: by a scripted server on loopback and a
//! scripted store.

use super::*;
use crate::auth::permits::ApiGate;
use crate::auth::source::Source;
use crate::auth::{MemoryStore, StoreError};
use crate::job::{ClientAuth, Endpoints, OAuthClient};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Mutex as Lock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::UNIX_EPOCH;

/// Answers each token request by script; remembers the refresh tokens that it was given.
struct Server {
    url: Url,
    given: Arc<Lock<Vec<String>>>,
}

impl Server {
    fn start(answer: impl Fn(usize) -> (u16, String) + Send + 'static) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/token", listener.local_addr().unwrap());
        let given: Arc<Lock<Vec<String>>> = Arc::default();
        let seen = Arc::clone(&given);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut request = Vec::new();
                let mut chunk = [0; 4096];
                let form = loop {
                    let n = stream.read(&mut chunk).unwrap();
                    request.extend_from_slice(&chunk[..n]);
                    let text = String::from_utf8_lossy(&request).into_owned();
                    if let Some((_, body)) = text.split_once("\r\n\r\n")
                        && body.contains("refresh_token=")
                    {
                        break body.to_owned();
                    }
                    assert!(n > 0, "{text}");
                };
                let number = {
                    let mut seen = seen.lock().unwrap();
                    let mut pairs = form_urlencoded::parse(form.as_bytes());
                    let token = pairs.find(|(name, _)| name == "refresh_token").unwrap();
                    seen.push(token.1.into_owned());
                    seen.len()
                };
                let (status, body) = answer(number);
                let head = format!(
                    "HTTP/1.1 {status} X\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                    body.len()
                );
                stream.write_all((head + &body).as_bytes()).unwrap();
            }
        });
        Server {
            url: url.parse().unwrap(),
            given,
        }
    }

    /// Token `aN` with refresh token `rN`, forever.
    fn rotating() -> Server {
        Server::start(|n| {
            let body = format!(
                "{{\"access_token\":\"a{n}\",\"refresh_token\":\"r{n}\",\"expires_in\":3600}}"
            );
            (200, body)
        })
    }

    fn given(&self) -> Vec<String> {
        self.given.lock().unwrap().clone()
    }
}

fn grant(url: &Url, kind: GrantKind) -> Grant {
    Grant {
        kind,
        endpoints: Endpoints {
            token: Some(url.clone()),
            ..Endpoints::default()
        },
        client: OAuthClient {
            id: Some("me".into()),
            auth: ClientAuth::None,
        },
        scope: "read".into(),
        params: Vec::new(),
        allow_http: false,
    }
}

fn configured(token: &str) -> GrantKind {
    GrantKind::RefreshToken {
        refresh_token: token.into(),
    }
}

fn person() -> GrantKind {
    GrantKind::DeviceCode {
        authorization_params: Vec::new(),
    }
}

fn source(server: &Server, kind: GrantKind, store: &Arc<dyn TokenStore>) -> Source {
    let client = crate::transport::client(1, &crate::transport::Proxies::default()).unwrap();
    Source::grant(
        grant(&server.url, kind),
        Arc::clone(store),
        Path::new("jobs/x.toml"),
        client,
        Duration::from_secs(20),
        ApiGate::default(),
    )
}

fn memory() -> Arc<dyn TokenStore> {
    Arc::new(MemoryStore::default())
}

fn kept(store: &Arc<dyn TokenStore>) -> Option<StoredTokens> {
    store.lock().unwrap().load().unwrap()
}

fn keep(store: &Arc<dyn TokenStore>, refresh: Option<&str>, access: &str, expires: SystemTime) {
    let tokens = StoredTokens {
        refresh_token: refresh.map(Into::into),
        access_token: access.into(),
        expires: Some(expires),
        seed: None,
    };
    store.lock().unwrap().save(&tokens).unwrap();
}

fn text(granted: &Granted) -> &str {
    granted.access_token.expose_secret()
}

#[tokio::test]
async fn a_rotated_refresh_token_is_kept_and_used_next() {
    let (server, store) = (Server::rotating(), memory());
    let first = source(&server, configured("r0"), &store);
    assert_eq!(text(&first.request().await.unwrap()), "a1");
    let now = kept(&store).unwrap();
    assert_eq!(now.refresh_token.unwrap().expose_secret(), "r1");
    assert_eq!(now.access_token.expose_secret(), "a1");
    let lives = now
        .expires
        .unwrap()
        .duration_since(SystemTime::now())
        .unwrap();
    assert!(lives > Duration::from_secs(3500), "{lives:?}");
    // Asked again, its time is over.
    assert_eq!(text(&first.request().await.unwrap()), "a2");
    assert_eq!(server.given(), ["r0", "r1"]);

    // Another run takes over what lives still, and goes on from there.
    let second = source(&server, configured("r0"), &store);
    let taken = second.request().await.unwrap();
    assert_eq!((text(&taken), taken.kept), ("a2", true));
    assert!(taken.life.unwrap() > Duration::from_secs(3500));
    assert_eq!(text(&second.request().await.unwrap()), "a3");
    assert_eq!(server.given(), ["r0", "r1", "r2"]);

    // The first one finds what the second one got.
    let found = first.request().await.unwrap();
    assert_eq!((text(&found), found.kept), ("a3", true));

    // Another refresh token in the job file makes all that worthless.
    let third = source(&server, configured("another"), &store);
    assert_eq!(text(&third.request().await.unwrap()), "a4");
    assert_eq!(server.given().last().unwrap(), "another");
}

#[tokio::test]
async fn without_a_new_refresh_token_the_old_one_stays() {
    let server = Server::start(|n| (200, format!("{{\"access_token\":\"a{n}\"}}")));
    let store = memory();
    let source = source(&server, configured("r0"), &store);
    for n in 1..=3 {
        assert_eq!(text(&source.request().await.unwrap()), format!("a{n}"));
    }
    assert_eq!(server.given(), ["r0"; 3]);
    let kept = kept(&store).unwrap();
    assert_eq!(kept.refresh_token.unwrap().expose_secret(), "r0");
    assert!(kept.expires.is_none());
}

#[tokio::test]
async fn a_person_is_asked_for_when_nothing_else_helps() {
    let refused = "{\"error\":\"invalid_grant\",\"error_description\":\"r0 is revoked\"}";
    let server = Server::start(move |_| (400, refused.to_owned()));
    let store = memory();
    let needs = |error: GrantError| match error {
        GrantError::NeedsPerson(text) => text,
        other => panic!("{other:?}"),
    };
    let nobody = needs(
        source(&server, person(), &store)
            .request()
            .await
            .unwrap_err(),
    );
    assert!(nobody.contains("nobody has logged in"), "{nobody}");
    assert!(nobody.contains("harvest login jobs/x.toml"), "{nobody}");

    keep(&store, None, "a", UNIX_EPOCH);
    let over = needs(
        source(&server, person(), &store)
            .request()
            .await
            .unwrap_err(),
    );
    assert!(over.contains("gave no refresh token"), "{over}");
    assert!(over.contains("harvest login jobs/x.toml"), "{over}");

    keep(&store, Some("r0-and-longer"), "a", UNIX_EPOCH);
    let gone = needs(
        source(&server, person(), &store)
            .request()
            .await
            .unwrap_err(),
    );
    assert!(gone.contains("not good any more (invalid_grant"), "{gone}");
    assert!(gone.contains("harvest login jobs/x.toml"), "{gone}");

    let configured = source(&server, configured("r0"), &store);
    let gone = needs(configured.request().await.unwrap_err());
    assert!(gone.contains("in the place of `refresh_token`"), "{gone}");
    assert!(!gone.contains("harvest login"), "{gone}");
}

/// A store whose disk is full for a while.
#[derive(Debug, Clone, Default)]
struct Full {
    inner: MemoryStore,
    refusals: Arc<AtomicUsize>,
}

impl TokenStore for Full {
    fn lock(&self) -> Result<Box<dyn LockedTokens>, StoreError> {
        Ok(Box::new(self.clone()))
    }
}

impl LockedTokens for Full {
    fn load(&self) -> Result<Option<StoredTokens>, StoreError> {
        self.inner.load()
    }

    fn save(&mut self, tokens: &StoredTokens) -> Result<(), StoreError> {
        let left = self.refusals.load(Ordering::SeqCst);
        if left > 0 {
            self.refusals.store(left - 1, Ordering::SeqCst);
            return Err(StoreError {
                path: "/state/x.json".into(),
                reason: "no space left".into(),
            });
        }
        self.inner.save(tokens)
    }

    fn forget(&mut self) -> Result<(), StoreError> {
        self.inner.forget()
    }
}

#[tokio::test]
async fn a_refresh_token_that_cannot_be_kept_is_held_until_it_can_be() {
    let server = Server::rotating();
    let full = Full::default();
    full.refusals.store(2, Ordering::SeqCst);
    let store: Arc<dyn TokenStore> = Arc::new(full);
    let source = source(&server, configured("r0"), &store);
    for _ in 0..2 {
        let error = source.request().await.unwrap_err();
        assert!(matches!(error, GrantError::Unavailable { .. }));
        assert!(
            error.to_string().contains("/state/x.json: no space left"),
            "{error}"
        );
        assert!(kept(&store).is_none());
    }
    // The access token is handed out only now, and the server was asked once.
    assert_eq!(text(&source.request().await.unwrap()), "a1");
    assert_eq!(server.given(), ["r0"]);
    let kept = kept(&store).unwrap();
    assert_eq!(kept.refresh_token.unwrap().expose_secret(), "r1");
}

#[tokio::test]
async fn what_is_held_at_the_end_is_tried_once_more() {
    for refusals in [1, 2] {
        let server = Server::rotating();
        let full = Full::default();
        full.refusals.store(refusals, Ordering::SeqCst);
        let store: Arc<dyn TokenStore> = Arc::new(full);
        let supply = source(&server, configured("r0"), &store).supply();
        assert!((supply.ask)().await.is_err());
        (supply.end)().await;
        let kept = kept(&store).and_then(|kept| kept.refresh_token);
        let kept = kept.map(|token| token.expose_secret().to_owned());
        assert_eq!(kept.as_deref(), (refusals == 1).then_some("r1"));
        (supply.end)().await;
        assert_eq!(server.given(), ["r0"]);
    }
}

#[test]
fn a_kept_token_is_worth_using_for_a_while_and_a_year_at_most() {
    let now = SystemTime::now();
    let left = |expires: Option<SystemTime>| {
        let tokens = StoredTokens {
            refresh_token: None,
            access_token: "a".into(),
            expires,
            seed: None,
        };
        life_left(&tokens, now)
    };
    assert_eq!(left(None), Some(None));
    let minute = Duration::from_secs(60);
    assert_eq!(left(Some(now + minute)), Some(Some(minute)));
    assert_eq!(left(Some(now + Duration::from_secs(5))), None);
    assert_eq!(left(Some(now - minute)), None);
    assert_eq!(left(Some(now + 2 * LONGEST)), None);
}
