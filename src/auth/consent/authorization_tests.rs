use super::*;
use crate::auth::consent::testing::{FakeServer, grant, server};
use crate::job::GrantKind;
use oauth2::url::form_urlencoded;
use std::collections::BTreeMap;
use std::sync::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// What the person's link asks for.
fn query(url: &Url) -> BTreeMap<String, String> {
    url.query_pairs().into_owned().collect()
}

/// Comes back to `redirect_uri` with these parameters; the page.
async fn come_back(redirect_uri: &str, params: &[(&str, &str)]) -> String {
    let url = Url::parse(redirect_uri).unwrap();
    let query = form_urlencoded::Serializer::new(String::new())
        .extend_pairs(params)
        .finish();
    let mut stream = TcpStream::connect(("127.0.0.1", url.port().unwrap()))
        .await
        .unwrap();
    let head = format!(
        "GET {}?{query} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        url.path()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut page = String::new();
    stream.read_to_string(&mut page).await.unwrap();
    page
}

/// A whole log-in: `person` gets the link and comes back.
async fn log_in<F: Future<Output = ()>>(
    ask: &FakeServer,
    server: &Server,
    person: impl FnOnce(Url) -> F,
) -> Result<StoredTokens, ConsentError> {
    let (tell, link) = tokio::sync::oneshot::channel();
    let tell = Mutex::new(Some(tell));
    let prompt = |prompt: &Prompt<'_>| {
        let Prompt::Visit { url } = prompt else {
            panic!("{prompt:?}")
        };
        let tell = tell.lock().unwrap().take().unwrap();
        tell.send((*url).clone()).unwrap();
    };
    let grant = grant(GrantKind::AuthorizationCode {
        redirect_port: None,
        authorization_params: Vec::new(),
    });
    let params = [("audience".to_owned(), "a b".to_owned().into())];
    let obtained = obtain(&grant, server, None, &params, ask, prompt);
    let person = async { person(link.await.unwrap()).await };
    tokio::join!(obtained, person).0
}

#[tokio::test]
async fn the_code_is_exchanged_with_the_verifier_of_the_challenge() {
    let ask = FakeServer::default();
    let granted = log_in(&ask, &server(), |link| async move {
        let query = query(&link);
        assert_eq!(query["response_type"], "code");
        assert_eq!(query["client_id"], "client-of-the-test");
        assert_eq!(query["scope"], "read write");
        assert_eq!(query["audience"], "a b");
        assert_eq!(query["code_challenge_method"], "S256");
        assert!(query["state"].len() >= 22, "{}", query["state"]);
        assert!(query["redirect_uri"].starts_with("http://127.0.0.1:"));
        // Somebody else's: an older tab, or a page that guesses the port.
        for strange in [
            &[("code", "evil")][..],
            &[("code", "evil"), ("state", "guessed")],
            &[("error", "access_denied")],
            &[("code", "evil"), ("state", &query["state"]), ("state", "x")],
        ] {
            let page = come_back(&query["redirect_uri"], strange).await;
            assert!(page.starts_with("HTTP/1.1 400 "), "{page}");
        }
        let answer = [
            ("code", "c0de/+"),
            ("state", query["state"].as_str()),
            ("iss", "https://auth.example.com"),
        ];
        let page = come_back(&query["redirect_uri"], &answer).await;
        assert!(page.starts_with("HTTP/1.1 200 "), "{page}");
        assert!(page.contains("You are logged in"), "{page}");
        assert!(!page.contains("c0de"), "{page}");
    })
    .await
    .unwrap();
    assert_eq!(granted.access_token.expose_secret(), "access-1");
    let forms = ask.forms();
    assert_eq!(forms.len(), 1, "one code, one request: {forms:?}");
    assert_eq!(forms[0]["code"], "c0de/+");
    assert!(forms[0]["redirect_uri"].ends_with("/callback"));
    assert!(forms[0]["code_verifier"].len() >= 43);
}

/// The message of a log-in that comes back with `answer`, `state` added.
async fn refused(server: &Server, answer: &[(&str, &str)]) -> String {
    let ask = FakeServer::default();
    let answer: Vec<_> = answer
        .iter()
        .map(|(n, v)| (n.to_string(), v.to_string()))
        .collect();
    let error = log_in(&ask, server, |link| async move {
        let query = query(&link);
        let mut params: Vec<_> = answer
            .iter()
            .map(|(n, v)| (n.as_str(), v.as_str()))
            .collect();
        params.push(("state", &query["state"]));
        let page = come_back(&query["redirect_uri"], &params).await;
        assert!(page.starts_with("HTTP/1.1 400 "), "{page}");
        assert!(page.contains("did not succeed"), "{page}");
    })
    .await
    .err()
    .unwrap();
    assert!(ask.forms().is_empty(), "nothing is exchanged");
    error.to_string()
}

#[tokio::test]
async fn an_answer_that_is_no_or_not_the_issuer_s_ends_it() {
    let iss = ("iss", "https://auth.example.com");
    let denied = [
        ("error", "access_denied"),
        ("error_description", "not you, client-of-the-test\u{7}"),
        iss,
    ];
    assert_eq!(
        refused(&server(), &denied).await,
        "the log-in was refused: access_denied: not you, [redacted]"
    );
    let said = refused(&server(), &[iss]).await;
    assert!(said.contains("without a code"), "{said}");
    // RFC 9207: another issuer's answer, and one that leaves it out though it never does.
    let mixed_up = [("code", "c"), ("iss", "https://evil.example.com")];
    let said = refused(&server(), &mixed_up).await;
    assert!(said.contains("not https://auth.example.com's"), "{said}");
    let said = refused(&server(), &[("code", "c")]).await;
    assert!(said.contains("not https://auth.example.com's"), "{said}");
}

#[tokio::test]
async fn a_server_that_promises_no_iss_need_not_send_it() {
    let quiet = Server {
        iss_promised: false,
        ..server()
    };
    let ask = FakeServer::default();
    let granted = log_in(&ask, &quiet, |link| async move {
        let query = query(&link);
        let answer = [("code", "c"), ("state", query["state"].as_str())];
        come_back(&query["redirect_uri"], &answer).await;
    });
    assert!(granted.await.is_ok());
}
