use super::*;
use proptest::prelude::*;
use reqwest::header::{HeaderName, HeaderValue};

/// Tue, 24 Nov 2026 10:00:00 GMT.
const NOW: u64 = 1_795_514_400;

fn read(lines: &[(&str, &str)]) -> Option<Budget> {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        headers.append(name, HeaderValue::from_str(value).unwrap());
    }
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(NOW);
    budget(&headers, now)
}

fn said(left: u64, reset: u64, limit: Option<u64>, window: Option<u64>) -> Option<Budget> {
    Some(Budget {
        left: Some(left),
        reset: Some(Duration::from_secs(reset)),
        limit,
        window: window.map(Duration::from_secs),
    })
}

#[test]
fn the_ietf_draft_is_read_with_its_policy() {
    let limit = ("RateLimit", "\"default\";r=50;t=30");
    assert_eq!(read(&[limit]), said(50, 30, None, None));
    let policy = (
        "RateLimit-Policy",
        "\"burst\";q=10;w=1, \"default\";q=100;w=60",
    );
    assert_eq!(read(&[limit, policy]), said(50, 30, Some(100), Some(60)));
    // Two limits, in one line or two: the tighter one.
    let two = ("RateLimit", "\"default\";r=50;t=30, \"burst\";r=0;t=1");
    assert_eq!(read(&[two, policy]), said(0, 1, Some(10), Some(1)));
    let day = ("RateLimit", "\"day\";r=3;t=7000");
    assert_eq!(read(&[limit, day]), said(3, 7_000, None, None));
    assert_eq!(
        read(&[("RateLimit", "default;r=5;t=9")]),
        said(5, 9, None, None)
    );
    // A policy alone says what the quota is.
    let alone = read(&[("RateLimit-Policy", "\"a\";q=100;w=60")]).unwrap();
    assert_eq!((alone.limit, alone.left), (Some(100), None));
}

#[test]
fn the_older_drafts_are_read() {
    let dictionary = ("RateLimit", "limit=100, remaining=50, reset=30");
    assert_eq!(read(&[dictionary]), said(50, 30, Some(100), None));
    let three = [
        ("RateLimit-Limit", "100;w=60"),
        ("RateLimit-Remaining", "50"),
        ("RateLimit-Reset", "30"),
    ];
    assert_eq!(read(&three), said(50, 30, Some(100), Some(60)));
}

#[test]
fn every_spelling_of_a_reset_is_read() {
    for (reset, wait) in [
        ("30", 30),
        ("30.0", 30),
        ("1795514430", 30),
        ("1795514430000", 30),
        ("1795514430.0", 30),
        ("Tue, 24 Nov 2026 10:00:30 GMT", 30),
        ("2026-11-24T10:00:30Z", 30),
        ("6m0s", 360),
        ("1s", 1),
    ] {
        for prefix in [
            "X-RateLimit-",
            "X-Rate-Limit-",
            "RateLimit-",
            "x-ratelimit-",
        ] {
            let name = |part: &str| format!("{prefix}{part}");
            let (limit, left, at) = (name("Limit"), name("Remaining"), name("Reset"));
            let lines = [(&*limit, "60"), (&*left, "7"), (&*at, reset)];
            assert_eq!(
                read(&lines),
                said(7, wait, Some(60), None),
                "{prefix} {reset}"
            );
        }
    }
    let discord = [
        ("X-RateLimit-Remaining", "0"),
        ("X-RateLimit-Reset", "1795514430"),
        ("X-RateLimit-Reset-After", "2"),
    ];
    assert_eq!(read(&discord), said(0, 2, None, None));
}

#[test]
fn a_moment_is_read_by_the_servers_own_clock() {
    let lines = |date| {
        [
            ("Date", date),
            ("X-RateLimit-Remaining", "0"),
            ("X-RateLimit-Reset", "1795514460"),
        ]
    };
    // A minute behind, then right, then an hour ahead: long over, by that clock.
    assert_eq!(
        read(&lines("Tue, 24 Nov 2026 09:59:00 GMT")),
        said(0, 120, None, None)
    );
    assert_eq!(
        read(&lines("Tue, 24 Nov 2026 10:00:00 GMT")),
        said(0, 60, None, None)
    );
    let over = read(&lines("Tue, 24 Nov 2026 11:00:00 GMT")).unwrap();
    assert_eq!(over.reset, None);
    // A clock at 1970, or no date at all: by ours.
    for date in ["Thu, 01 Jan 1970 00:00:00 GMT", "today"] {
        assert_eq!(read(&lines(date)), said(0, 60, None, None), "{date}");
    }
}

#[test]
fn several_quotas_are_told_apart() {
    let kong = [
        ("X-RateLimit-Limit-Minute", "100"),
        ("X-RateLimit-Remaining-Minute", "7"),
        ("X-RateLimit-Limit-Day", "5000"),
        ("X-RateLimit-Remaining-Day", "4000"),
    ];
    let found = read(&kong).unwrap();
    assert_eq!(
        (found.left, found.window),
        (Some(7), Some(Duration::from_secs(60)))
    );
    let openai = [
        ("x-ratelimit-limit-requests", "60"),
        ("x-ratelimit-remaining-requests", "59"),
        ("x-ratelimit-reset-requests", "1s"),
        ("x-ratelimit-remaining-tokens", "0"),
        ("x-ratelimit-reset-tokens", "6m0s"),
    ];
    assert_eq!(read(&openai), said(59, 1, Some(60), None));
    let commas = [
        ("X-RateLimit-Limit", "10, 1000"),
        ("X-RateLimit-Remaining", "9, 0"),
        ("X-RateLimit-Reset", "1, 300"),
    ];
    assert_eq!(read(&commas), said(0, 300, Some(1_000), None));
}

#[test]
fn nonsense_says_nothing() {
    for lines in [
        &[("X-RateLimit-Remaining", "-1")][..],
        &[("X-RateLimit-Remaining", "lots")],
        &[("X-RateLimit-Remaining", "")],
        &[("RateLimit", "\"default\";r=-5;t=30")],
        &[("RateLimit", "\"default;r=5;t=30")],
        &[("RateLimit", "(1 2);r=5")],
        &[("X-RateLimit-Limit", "10"), ("X-RateLimit-Remaining", "11")],
        &[("X-RateLimit-Scope", "user"), ("RateLimit-Foo", "1")],
        &[("Content-Type", "application/json"), ("X-Request-Id", "1")],
    ] {
        assert_eq!(read(lines), None, "{lines:?}");
    }
    for reset in [
        "-5",
        "soon",
        "0",
        "NaN",
        "inf",
        "",
        "1795514399",
        "Tue, 24 Nov 2026 09:00:00 GMT",
    ] {
        let lines = [("X-RateLimit-Remaining", "0"), ("X-RateLimit-Reset", reset)];
        assert_eq!(read(&lines).unwrap().reset, None, "{reset}");
    }
    let huge = [
        ("X-RateLimit-Remaining", "0"),
        ("X-RateLimit-Reset", "99999999999999999999999"),
    ];
    assert_eq!(read(&huge).unwrap().reset, Some(LONGEST));
}

proptest! {
    #[test]
    fn any_headers_are_read_without_a_panic(
        name in prop::sample::select(vec!["ratelimit", "ratelimit-policy", "ratelimit-limit", "x-ratelimit-reset",
            "x-ratelimit-remaining", "x-rate-limit-limit-minute", "x-ratelimit-reset-after"]),
        value in "[ -~]{0,40}",
        now in 0_u64..4_000_000_000,
    ) {
        let text = format!("{now}\n{name}: {value}\nx-ratelimit-remaining: 0");
        super::super::fuzz::rate_headers(text.as_bytes());
    }
}
