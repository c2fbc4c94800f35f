//! "One token" under paused time, with a scripted token endpoint.

use super::*;
use crate::auth::source::Begin;
use futures::future::BoxFuture;
use reqwest::header::AUTHORIZATION;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

type Script = Arc<dyn Fn(usize) -> (Duration, Result<Granted, GrantError>) + Send + Sync>;

struct Endpoint {
    asked: Arc<Mutex<Vec<Instant>>>,
    at_once: Arc<AtomicUsize>,
}

fn endpoint(script: Script, max_wait: Duration) -> (Endpoint, TokenRefresher, SharedToken) {
    let asked: Arc<Mutex<Vec<Instant>>> = Arc::default();
    let under_way: Arc<AtomicUsize> = Arc::default();
    let at_once: Arc<AtomicUsize> = Arc::default();
    let endpoint = Endpoint {
        asked: Arc::clone(&asked),
        at_once: Arc::clone(&at_once),
    };
    let ask = move || -> BoxFuture<'static, Result<Granted, GrantError>> {
        let number = {
            let mut asked = asked.lock().unwrap();
            asked.push(Instant::now());
            asked.len()
        };
        let (script, under_way, at_once) = (script.clone(), under_way.clone(), at_once.clone());
        Box::pin(async move {
            at_once.fetch_max(
                under_way.fetch_add(1, Ordering::SeqCst) + 1,
                Ordering::SeqCst,
            );
            let (takes, answer) = script(number);
            tokio::time::sleep(takes).await;
            under_way.fetch_sub(1, Ordering::SeqCst);
            answer
        })
    };
    let token_use = TokenUse::Header {
        name: AUTHORIZATION,
        prefix: "Bearer ".into(),
    };
    let supply = Supply {
        ready: ready_after(Duration::ZERO),
        ask: Box::new(ask),
        token_use,
        precious: false,
        end: Box::new(|| Box::pin(async {})),
    };
    let (refresher, shared) = TokenRefresher::supplied(supply, max_wait);
    (endpoint, refresher, shared)
}

/// Leave to send comes so late each time.
fn ready_after(wait: Duration) -> Begin<bool> {
    Box::new(move || {
        Box::pin(async move {
            tokio::time::sleep(wait).await;
            Ok(true)
        })
    })
}

fn granted(number: usize, life: Option<u64>) -> Result<Granted, GrantError> {
    Ok(Granted {
        access_token: format!("token-{number}").into(),
        refresh_token: None,
        asked: Instant::now(),
        life: life.map(Duration::from_secs),
        kept: false,
    })
}

fn down() -> Result<Granted, GrantError> {
    Err(GrantError::Unavailable {
        message: "down".into(),
        after: None,
    })
}

const HOUR: Duration = Duration::from_secs(3600);

async fn token(shared: &mut SharedToken) -> Arc<Token> {
    loop {
        if let Some(token) = shared.current(Instant::now()) {
            return token;
        }
        shared.changed().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_is_renewed_ahead_of_its_expiry_once_per_life() {
    let script: Script = Arc::new(|n| (Duration::from_millis(50), granted(n, Some(2))));
    let (endpoint, refresher, mut shared) = endpoint(script, HOUR);
    let task = tokio::spawn(refresher.keep());
    token(&mut shared).await;
    let began = Instant::now();
    // Whenever somebody asks, there is a live token.
    while began.elapsed() < Duration::from_secs(60) {
        assert!(
            shared.current(Instant::now()).is_some(),
            "at {:?}",
            began.elapsed()
        );
        tokio::time::sleep(Duration::from_millis(7)).await;
    }
    let asked = endpoint.asked.lock().unwrap().len();
    assert!((30..=36).contains(&asked), "{asked} requests in 30 lives");
    assert_eq!(endpoint.at_once.load(Ordering::SeqCst), 1);
    task.abort();
}

#[tokio::test(start_paused = true)]
async fn a_refusal_drops_the_refused_token_once() {
    let script: Script = Arc::new(|n| (Duration::from_millis(300), granted(n, None)));
    let (endpoint, refresher, mut shared) = endpoint(script, HOUR);
    let task = tokio::spawn(refresher.keep());
    let first = token(&mut shared).await;
    for _ in 0..8 {
        shared.refuse(first.generation);
    }
    tokio::time::sleep(Duration::from_millis(10)).await;
    assert!(shared.current(Instant::now()).is_none());
    let second = token(&mut shared).await;
    assert_eq!(second.generation, 2);
    // Stragglers that were sent with the first token.
    shared.refuse(first.generation);
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(token(&mut shared).await.generation, 2);
    assert_eq!(endpoint.asked.lock().unwrap().len(), 2);
    assert_eq!(endpoint.at_once.load(Ordering::SeqCst), 1);
    task.abort();
}

#[tokio::test(start_paused = true)]
async fn the_old_token_stays_in_use_while_the_endpoint_is_down() {
    let script: Script = Arc::new(|n| {
        let answer = if (2..=4).contains(&n) {
            down()
        } else {
            granted(n, Some(600))
        };
        (Duration::from_millis(20), answer)
    });
    let (endpoint, refresher, mut shared) = endpoint(script, HOUR);
    let task = tokio::spawn(refresher.keep());
    token(&mut shared).await;
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(595) {
        assert!(shared.current(Instant::now()).is_some());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(endpoint.asked.lock().unwrap().len(), 5);
    assert!(shared.state().trouble.is_none());
    task.abort();
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_is_down_is_waited_out_up_to_max_wait() {
    let script: Script = Arc::new(|_| (Duration::from_millis(20), down()));
    let (_, refresher, shared) = endpoint(script, Duration::from_secs(120));
    let began = Instant::now();
    refresher.keep().await;
    let waited = began.elapsed();
    assert!(
        waited >= Duration::from_secs(120) && waited < Duration::from_secs(200),
        "{waited:?}"
    );
    assert!(matches!(
        shared.state().failed,
        Some(AuthError::Unavailable { .. })
    ));
}

#[tokio::test(start_paused = true)]
async fn bad_credentials_end_it_at_once() {
    let script: Script = Arc::new(|_| {
        let refused = GrantError::Refused {
            who: Authority::TOKEN_ENDPOINT,
            error: "invalid_client".into(),
            description: ": no".into(),
        };
        (Duration::ZERO, Err(refused))
    });
    let (endpoint, refresher, shared) = endpoint(script, HOUR);
    refresher.keep().await;
    assert_eq!(endpoint.asked.lock().unwrap().len(), 1);
    let failed = shared.state().failed.unwrap().to_string();
    assert!(failed.contains("invalid_client: no"), "{failed}");
}

fn odd() -> Result<Granted, GrantError> {
    Err(GrantError::odd(Authority::TOKEN_ENDPOINT, "404 Not Found"))
}

/// A gateway's page in the endpoint's place: bad at the start, waited out later.
#[tokio::test(start_paused = true)]
async fn an_odd_answer_stops_a_run_only_when_there_never_was_a_token() {
    let (_, refresher, shared) = endpoint(Arc::new(|_| (Duration::ZERO, odd())), HOUR);
    refresher.keep().await;
    assert!(matches!(shared.state().failed, Some(AuthError::Refused(_))));

    let script: Script = Arc::new(|n| match n {
        2..=5 => (Duration::from_millis(20), odd()),
        _ => (Duration::from_millis(20), granted(n, Some(600))),
    });
    let (endpoint, refresher, mut shared) = endpoint(script, HOUR);
    let task = tokio::spawn(refresher.keep());
    token(&mut shared).await;
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(900) {
        assert!(shared.current(Instant::now()).is_some());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(endpoint.asked.lock().unwrap().len(), 6);
    task.abort();
}

/// `max_wait` is for the time that somebody waits: with a token, nobody does.
#[tokio::test(start_paused = true)]
async fn the_old_token_is_used_to_its_end_before_the_run_gives_up() {
    let asks_for_a_day = GrantError::Unavailable {
        message: "busy".into(),
        after: Some(Duration::from_secs(86_400)),
    };
    for error in [down().err().unwrap(), asks_for_a_day] {
        let script: Script = Arc::new(move |n| match n {
            1 => (Duration::ZERO, granted(n, Some(600))),
            _ => (Duration::ZERO, Err(error.clone())),
        });
        let (_, refresher, mut shared) = endpoint(script, Duration::from_secs(5));
        let task = tokio::spawn(refresher.keep());
        token(&mut shared).await;
        let began = Instant::now();
        while shared.current(Instant::now()).is_some() {
            assert!(shared.state().failed.is_none());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert!(began.elapsed() >= Duration::from_secs(599));
        while shared.state().failed.is_none() {
            assert!(began.elapsed() < Duration::from_secs(720));
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        task.abort();
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_refused_during_an_outage_starts_the_wait_anew() {
    let script: Script = Arc::new(|n| match n {
        1 => (Duration::ZERO, granted(n, Some(600))),
        _ => (Duration::ZERO, down()),
    });
    let (_, refresher, mut shared) = endpoint(script, Duration::from_secs(10));
    let task = tokio::spawn(refresher.keep());
    let first = token(&mut shared).await;
    // It is renewed from 540 s on, in vain.
    tokio::time::sleep(Duration::from_secs(570)).await;
    shared.refuse(first.generation);
    let refused = Instant::now();
    while shared.state().failed.is_none() {
        assert!(refused.elapsed() < Duration::from_secs(120));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(refused.elapsed() > Duration::from_secs(9));
    task.abort();
}

/// A request that rotates a refresh token is not dropped when the run ends.
#[tokio::test(start_paused = true)]
async fn what_is_precious_is_waited_for_at_the_end() {
    for precious in [true, false] {
        let finished: Arc<AtomicUsize> = Arc::default();
        let ended: Arc<AtomicUsize> = Arc::default();
        let (count, end) = (Arc::clone(&finished), Arc::clone(&ended));
        let ask = move || -> BoxFuture<'static, Result<Granted, GrantError>> {
            let count = Arc::clone(&count);
            Box::pin(async move {
                tokio::time::sleep(Duration::from_secs(3)).await;
                count.fetch_add(1, Ordering::SeqCst);
                granted(1, None)
            })
        };
        let token_use = TokenUse::Cookie("s".into());
        let supply = Supply {
            ready: ready_after(Duration::ZERO),
            ask: Box::new(ask),
            token_use,
            precious,
            end: Box::new(move || {
                let ended = Arc::clone(&end);
                Box::pin(async move {
                    ended.fetch_add(1, Ordering::SeqCst);
                })
            }),
        };
        let (refresher, shared) = TokenRefresher::supplied(supply, HOUR);
        let began = Instant::now();
        let task = tokio::spawn(refresher.keep());
        tokio::time::sleep(Duration::from_secs(1)).await;
        shared.end();
        task.await.unwrap();
        let (took, finished) = (began.elapsed().as_secs(), finished.load(Ordering::SeqCst));
        let expected = if precious { (3, 1) } else { (1, 0) };
        assert_eq!((took, finished), expected, "precious: {precious}");
        assert_eq!(ended.load(Ordering::SeqCst), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_wait_for_leave_takes_nothing_from_a_token_s_life_and_is_no_outage() {
    let failed_once = Arc::new(AtomicUsize::new(0));
    let script: Script = Arc::new(move |number| {
        let answer = match failed_once.fetch_add(1, Ordering::SeqCst) {
            0..3 => down(),
            _ => granted(number, Some(30)),
        };
        (Duration::ZERO, answer)
    });
    let (endpoint, mut refresher, mut shared) = endpoint(script, HOUR);
    // A quota of one a few hours.
    refresher.supply.ready = ready_after(3 * HOUR);
    tokio::spawn(refresher.keep());
    let token = token(&mut shared).await;
    assert_eq!(endpoint.asked.lock().unwrap().len(), 4);
    assert!(token.is_live(Instant::now() + Duration::from_secs(29)));
    assert!(token.asked.elapsed() < Duration::from_secs(1));
    assert!(shared.state().failed.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_token_that_is_dead_on_arrival_is_trouble_and_not_asked_for_all_night() {
    // Its refresh token took so long to be written: for a while, or for good.
    for recovers in [true, false] {
        let script: Script = Arc::new(move |number| match recovers && number > 5 {
            true => (Duration::from_millis(100), granted(number, Some(2))),
            false => (Duration::from_secs(3), granted(number, Some(2))),
        });
        let (endpoint, refresher, mut shared) = endpoint(script, HOUR);
        let (began, task) = (Instant::now(), tokio::spawn(refresher.keep()));
        if recovers {
            token(&mut shared).await;
            assert_eq!(endpoint.asked.lock().unwrap().len(), 6);
        } else {
            task.await.unwrap();
            let failed = shared.state().failed.unwrap();
            assert!(matches!(failed, AuthError::Unavailable { .. }), "{failed}");
            let said = failed.to_string();
            assert!(said.contains("an access token lives 2.0s"), "{said}");
            let took = began.elapsed();
            assert!((HOUR..HOUR + HOUR / 20).contains(&took), "{took:?}");
            assert!(endpoint.asked.lock().unwrap().len() < 150);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn tokens_that_end_before_anything_s_turn_are_not_asked_for_for_ever() {
    // The quota lets something out every six minutes, or just before the end of a token.
    for leave in [360, 20].map(Duration::from_secs) {
        for (wanted, sent) in [(true, false), (true, true), (false, false)] {
            let script: Script = Arc::new(|n| (Duration::ZERO, granted(n, Some(5 * 60))));
            let (endpoint, mut refresher, mut shared) = endpoint(script, HOUR);
            refresher.supply.ready = ready_after(leave);
            let task = tokio::spawn(refresher.keep());
            token(&mut shared).await;
            let until = Instant::now() + 5 * HOUR;
            while Instant::now() < until && !task.is_finished() {
                if wanted && let Some(token) = shared.current(Instant::now()) {
                    match sent {
                        true => shared.sent(token.generation),
                        false => shared.wanted(),
                    }
                }
                tokio::time::sleep(Duration::from_secs(20)).await;
            }
            let asked = endpoint.asked.lock().unwrap().len();
            match shared.state().failed {
                Some(AuthError::NeverUsed { tokens, life }) => {
                    assert_eq!((tokens, life, asked), (3, Duration::from_secs(300), 4));
                    assert!(wanted && !sent);
                }
                other => assert!((!wanted || sent) && other.is_none(), "{other:?}"),
            }
            task.abort();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_to_log_in_ends_it_at_once_and_says_what_to_do() {
    let script: Script = Arc::new(|_| {
        let said = "nobody has logged in: run `harvest login x.toml`";
        (Duration::ZERO, Err(GrantError::NeedsPerson(said.into())))
    });
    let (endpoint, refresher, shared) = endpoint(script, HOUR);
    refresher.keep().await;
    assert_eq!(endpoint.asked.lock().unwrap().len(), 1);
    let failed = shared.state().failed.unwrap();
    assert!(
        failed.to_string().contains("harvest login x.toml"),
        "{failed}"
    );
    assert!(
        !failed.advice().contains("client_id"),
        "{}",
        failed.advice()
    );
}

#[tokio::test(start_paused = true)]
async fn a_token_that_was_kept_is_no_request() {
    let script: Script = Arc::new(|n| {
        let kept = Granted {
            kept: n == 1,
            ..granted(n, Some(100)).unwrap()
        };
        (Duration::from_millis(5), Ok(kept))
    });
    let (_, refresher, mut shared) = endpoint(script, HOUR);
    let task = tokio::spawn(refresher.keep());
    token(&mut shared).await;
    assert_eq!(shared.state().requests, 0);
    tokio::time::sleep(Duration::from_secs(95)).await;
    assert_eq!(shared.state().requests, 1);
    task.abort();
}

#[test]
fn a_token_goes_along_as_the_job_says() {
    let header = |token_use: &TokenUse, token: &str| {
        let (name, value) = header(token_use, token)?;
        assert!(value.is_sensitive());
        Some((name.to_string(), value.to_str().unwrap().to_owned()))
    };
    let own = TokenUse::Header {
        name: HeaderName::from_static("x-token"),
        prefix: "Token ".into(),
    };
    let pair = |name: &str, value: &str| Some((name.to_owned(), value.to_owned()));
    assert_eq!(header(&own, "t"), pair("x-token", "Token t"));
    assert_eq!(header(&own, "a\nb"), None);
    assert_eq!(header(&own, ""), None);
    let cookie = TokenUse::Cookie("sid".into());
    assert_eq!(header(&cookie, "t="), pair("cookie", "sid=t="));
    assert_eq!(header(&cookie, "t; admin=1"), None);
}
