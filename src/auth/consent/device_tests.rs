use super::*;
use crate::auth::consent::testing::{FakeServer, grant, server};
use crate::auth::grant::Authority;
use crate::job::GrantKind;

fn pending(slow_down: bool) -> GrantError {
    GrantError::Pending { slow_down }
}

fn refused(error: &str) -> GrantError {
    GrantError::Refused {
        who: Authority::TOKEN_ENDPOINT,
        error: error.into(),
        description: String::new(),
    }
}

/// Logs in at a server that refuses so often before it grants; when each try was made, in seconds.
async fn log_in(refusals: Vec<GrantError>) -> (Result<StoredTokens, ConsentError>, Vec<u64>) {
    let ask = FakeServer::refusing(refusals);
    let grant = grant(GrantKind::DeviceCode {
        authorization_params: Vec::new(),
    });
    let began = Instant::now();
    let prompt = |prompt: &Prompt<'_>| {
        let Prompt::Enter {
            user_code,
            complete,
            expires_in,
            ..
        } = prompt
        else {
            panic!("{prompt:?}")
        };
        assert_eq!(*user_code, "WDJB-MJHT");
        assert!(complete.is_some());
        assert_eq!(expires_in.as_secs(), 300);
    };
    let params = [("audience".to_owned(), "a".to_owned().into())];
    let granted = obtain(&grant, &server(), &params, &ask, prompt).await;
    let forms = ask.forms();
    assert_eq!(forms[0]["scope"], "read write");
    assert_eq!(forms[0]["audience"], "a");
    for form in &forms[1..] {
        assert_eq!(form["device_code"], "device-code");
    }
    let asked = ask.asked();
    let at = asked.iter().map(|at| (*at - began).as_secs()).collect();
    (granted, at)
}

#[tokio::test(start_paused = true)]
async fn it_asks_at_the_server_s_pace() {
    let (granted, at) = log_in(vec![
        pending(false),
        pending(true),
        pending(false),
        pending(true),
    ])
    .await;
    assert!(granted.is_ok());
    // Every 5 s; slow_down adds 5 s for good.
    assert_eq!(at, [5, 10, 20, 30, 45]);
}

#[tokio::test(start_paused = true)]
async fn an_outage_is_sat_out_ever_more_slowly() {
    let down = |after| GrantError::Unavailable {
        message: "down".into(),
        after,
    };
    let (granted, at) = log_in(vec![
        down(None),
        down(None),
        down(Some(Duration::from_secs(30))),
        // Longer than we would wait of ourselves, and sooner than the code's pace.
        down(Some(Duration::from_secs(120))),
        down(Some(Duration::from_secs(1))),
        pending(false),
    ])
    .await;
    assert!(granted.is_ok());
    assert_eq!(at, [5, 15, 35, 65, 185, 190, 195]);
}

#[test]
fn a_browser_is_sent_to_web_pages_only() {
    let page = |text| web_page(text).map(|url| url.to_string());
    assert_eq!(page("https://a.test/x"), Some("https://a.test/x".into()));
    assert_eq!(
        page("http://localhost/x"),
        Some("http://localhost/x".into())
    );
    for other in ["file:///etc/passwd", "javascript:alert(1)", "calc:", "/x"] {
        assert_eq!(page(other), None, "{other}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_code_that_nobody_enters_expires() {
    let (granted, at) = log_in((0..100).map(|_| pending(false)).collect()).await;
    assert!(matches!(granted.err().unwrap(), ConsentError::Expired));
    assert_eq!(at.len(), 59, "not asked when the code is no good any more");
    let (granted, at) = log_in(vec![pending(false), refused("expired_token")]).await;
    assert!(matches!(granted.err().unwrap(), ConsentError::Expired));
    assert_eq!(at, [5, 10]);
}

#[tokio::test(start_paused = true)]
async fn a_no_is_told() {
    let (granted, _) = log_in(vec![refused("access_denied")]).await;
    let said = granted.err().unwrap().to_string();
    assert_eq!(said, "the log-in was refused: access_denied");
    let (granted, at) = log_in(vec![refused("invalid_grant")]).await;
    assert!(granted.err().unwrap().to_string().contains("invalid_grant"));
    assert_eq!(at, [5]);
}
