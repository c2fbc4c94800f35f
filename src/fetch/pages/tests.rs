//! Each way from page to page, and what may not be followed.

use super::*;
use crate::auth::Presented;
use crate::job::{Environment, Job, LoadOptions, load};
use bytes::Bytes;
use proptest::prelude::*;
use std::time::UNIX_EPOCH;

const URL: &str = "https://api.test/v1/items/{id}?fields=all";

fn job(url: &str, request: &str, pages: &str) -> Job {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("job.toml");
    let text = format!(
        "[ids]\nlist=[\"a\"]\n[request]\nurl=\"{url}\"\n{request}\n[request.pages]\n{pages}\n[output]\npath=\"o.ndjson\"\n"
    );
    std::fs::write(&path, text).unwrap();
    let options = LoadOptions {
        environment: Environment::of([
            ("KEY", "s3cr3t-key/1"),
            ("PART", "0123456789abcdef0123"),
            ("START", "0"),
        ]),
        ..LoadOptions::default()
    };
    load(&path, &options).unwrap_or_else(|error| panic!("{error}"))
}

/// One item of a job, and what was presented for it.
struct Bench {
    pages: Pages,
    home: Url,
    slots: Slots,
    secrets: Vec<Vec<u8>>,
    place: PageCursor,
    trusted: bool,
}

impl Bench {
    fn of(job: &Job, presented: &Presented, secrets: &[&str]) -> Bench {
        let home = job.request.url.build("a", &job.request.query).unwrap();
        Bench {
            pages: Pages::new(job.request.pages.as_ref().unwrap()),
            slots: Slots::new(&home, &job.request.url, &job.request.query, presented),
            home,
            secrets: secrets.iter().map(|s| s.as_bytes().to_vec()).collect(),
            place: PageCursor::default(),
            trusted: true,
        }
    }

    fn new(pages: &str) -> Bench {
        Bench::of(&job(URL, "", pages), &Presented::None, &[])
    }

    fn url(&self) -> (String, bool) {
        let (url, trusted) = self
            .pages
            .url(&self.home, &self.place, &self.slots)
            .unwrap();
        (url.into(), trusted)
    }

    /// A page is there.
    fn answered(&self, body: &str, link: &str) -> Answer {
        let (url, _) = self.url();
        let asked = PageRequest {
            place: &self.place,
            home: &self.home,
            url: &Url::parse(&url).unwrap(),
            trusted: self.trusted,
            slots: &self.slots,
            secrets: &self.secrets,
        };
        let answer = Answer {
            signal: Signal::Fine,
            verdict: Verdict::Record(Record {
                status: 200,
                fetched_at: UNIX_EPOCH,
                body: Bytes::from(body.to_owned()),
                validators: crate::outcome::Validators::default(),
            }),
            bytes: 0,
        };
        self.pages
            .judge(answer, &asked, &[link.as_bytes().to_vec()])
    }

    /// Goes on; gives the elements, and what is asked for then.
    fn go(&mut self, body: &str, link: &str) -> (Vec<String>, Option<String>) {
        let page = match self.answered(body, link).verdict {
            Verdict::Page(page) => page,
            other => panic!("{other:?}"),
        };
        let elements = page.elements.clone().unwrap_or_default();
        let text = |range: Range<usize>| body[range].to_owned();
        self.place.pages += 1;
        self.place.elements += elements.len() as u64;
        self.place.next = page.next.clone();
        let next = page.next.is_some().then(|| self.url().0);
        (elements.into_iter().map(text).collect(), next)
    }

    fn refused(&self, body: &str) -> String {
        match self.answered(body, "").verdict {
            Verdict::Failed(trouble) => {
                assert_eq!(trouble.reason, Reason::NextPage);
                trouble.message
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_url_in_the_body_is_followed_to_its_end() {
    let mut bench = Bench::new("next = \"$.next\"\nitems = \"$.items\"");
    assert_eq!(
        bench.url(),
        ("https://api.test/v1/items/a?fields=all".into(), true)
    );
    let (elements, next) = bench.go(r#"{"items":[1.0,{"b":[]}],"next":"?page=2"}"#, "");
    assert_eq!(elements, ["1.0", "{\"b\":[]}"]);
    assert_eq!(next.unwrap(), "https://api.test/v1/items/a?page=2");
    let (_, next) = bench.go(r#"{"items":[],"next":"https:\/\/api.test\/p?a=%2F#x"}"#, "");
    assert_eq!(next.unwrap(), "https://api.test/p?a=%2F");
    for end in [
        r#"{"items":null,"next":null}"#,
        r#"{"items":[]}"#,
        r#"{"items":[],"next":""}"#,
        r#"{"items":[],"next":false}"#,
    ] {
        assert_eq!(bench.go(end, ""), (vec![], None), "{end}");
    }
}

#[test]
fn the_link_header_is_followed() {
    let mut bench = Bench::new("next = \"link\"\nitems = \"$\"");
    let (elements, next) = bench.go("[1,2]", r#"</p?page=2>; rel="next""#);
    assert_eq!(
        (elements.len(), next.unwrap()),
        (2, "https://api.test/p?page=2".into())
    );
    assert_eq!(bench.go("[]", r#"</p>; rel="prev""#).1, None);
    assert!(
        matches!(bench.answered("[]", "<oops").verdict, Verdict::Failed(t) if t.reason == Reason::NextPage)
    );
}

#[test]
fn a_cursor_goes_into_its_parameter() {
    let mut bench = Bench::new("cursor = \"$.c.after\"\nparam = \"after\"");
    let (_, next) = bench.go(r#"{"c":{"after":"x/+ é"}}"#, "");
    assert_eq!(
        next.unwrap(),
        "https://api.test/v1/items/a?fields=all&after=x%2F%2B%20%C3%A9"
    );
    assert_eq!(
        bench.go(r#"{"c":{"after":17}}"#, "").1.unwrap(),
        "https://api.test/v1/items/a?fields=all&after=17"
    );
    assert!(bench.refused(r#"{"c":{"after":[1]}}"#).contains("no text"));
    let place = PageCursor {
        next: Some(Next::Cursor("x".repeat(66_000))),
        ..PageCursor::default()
    };
    let long = bench.pages.url(&bench.home, &place, &bench.slots);
    assert!(long.unwrap_err().contains("longer"));
    assert_eq!(bench.go(r#"{"c":{"after":null}}"#, "").1, None);
}

#[test]
fn an_offset_counts_what_came() {
    let pages =
        "offset = \"from\"\nlimit = \"n\"\npage_size = 3\ntotal = \"$.total\"\nitems = \"$.i\"";
    let mut bench = Bench::new(pages);
    let url = |from: u64| format!("https://api.test/v1/items/a?fields=all&from={from}&n=3");
    assert_eq!(bench.url().0, url(0));
    // The server gives two where three were asked for.
    assert_eq!(bench.go(r#"{"i":[1,2],"total":5}"#, "").1.unwrap(), url(2));
    assert_eq!(
        bench.go(r#"{"i":[3,4],"total":"5"}"#, "").1.unwrap(),
        url(4)
    );
    assert_eq!(bench.go(r#"{"i":[5],"total":5}"#, "").1, None);
    // Without a total, until a page is empty.
    let mut bench = Bench::new(pages);
    assert_eq!(bench.go(r#"{"i":[1]}"#, "").1.unwrap(), url(1));
    assert_eq!(bench.go(r#"{"i":[],"total":9}"#, "").1, None);
}

#[test]
fn a_page_s_number_counts_from_the_first() {
    let mut bench = Bench::of(
        &job(
            "https://api.test/{id}?page=7",
            "",
            "page = \"page\"\nfirst = 0\nitems = \"$.i[*]\"\nmax_pages = 3",
        ),
        &Presented::None,
        &[],
    );
    let url = |page: u64| format!("https://api.test/a?page={page}");
    assert_eq!(bench.url().0, url(0));
    assert_eq!(bench.go(r#"{"i":[1]}"#, "").1.unwrap(), url(1));
    assert_eq!(bench.go(r#"{"i":[1]}"#, "").1.unwrap(), url(2));
    // No more than max_pages.
    assert_eq!(bench.go(r#"{"i":[1]}"#, "").1, None);
    bench.place.pages = 0;
    assert_eq!(bench.go("{}", "").1, None);
}

#[test]
fn a_page_without_its_array_is_none() {
    let mut bench = Bench::new("next = \"$.next\"\nitems = \"$.items\"");
    let said = |answer: Answer| match answer.verdict {
        Verdict::Failed(t) | Verdict::Again(t) => (t.reason, t.message, answer.signal),
        other => panic!("{other:?}"),
    };
    let (reason, message, signal) = said(bench.answered(r#"{"error":"busy"}"#, ""));
    assert_eq!((reason, signal), (Reason::MalformedBody, Signal::Fine));
    assert!(message.contains("nothing at `$.items`"), "{message}");
    assert!(
        said(bench.answered(r#"{"items":{}}"#, ""))
            .1
            .contains("no array")
    );
    // After good ones it is asked for again.
    bench.go(r#"{"items":[1],"next":"/2"}"#, "");
    let answer = bench.answered(r#"{"error":"busy"}"#, "");
    assert!(matches!(answer.verdict, Verdict::Again(_)) && answer.signal == Signal::Neutral);
}

#[test]
fn another_origin_is_asked_only_if_the_job_says_so_and_gets_nothing() {
    let pages = "next = \"$.next\"";
    let bench = Bench::new(pages);
    for other in [
        "https://evil.test/",
        "//evil.test/a",
        "https://api.test:444/",
    ] {
        let message = bench.refused(&format!(r#"{{"next":"{other}"}}"#));
        assert!(message.contains("another origin"), "{other}: {message}");
    }
    let mut bench = Bench::new(&format!("{pages}\nother_origins = true"));
    bench.secrets = vec![b"s3cr3t-key/1".to_vec()];
    bench.go(r#"{"next":"https://other.test/2"}"#, "");
    assert_eq!(bench.url(), ("https://other.test/2".into(), false));
    let message = bench.refused(r#"{"next":"https://other.test/?k=s3cr3t-key%2F1"}"#);
    assert!(message.contains("would carry a credential"), "{message}");
    // Once away from home, nothing brings the credentials back.
    bench.trusted = false;
    bench.go(r#"{"next":"https://api.test/3"}"#, "");
    assert_eq!(bench.url(), ("https://api.test/3".into(), false));
}

#[test]
fn links_that_no_job_allows() {
    let bench = Bench::new("next = \"$.next\"\nother_origins = true");
    for (link, word) in [
        ("http://api.test/2", "plain http"),
        ("http://other.test/2", "plain http"),
        ("ftp://api.test/2", "neither"),
        ("https://user:pw@api.test/2", "user or password"),
        ("https://", "no URL"),
        (&format!("/{}", "x".repeat(66_000)), "longer"),
    ] {
        let message = bench.refused(&format!(r#"{{"next":"{link}"}}"#));
        assert!(message.contains(word), "{link}: {message}");
    }
}

#[test]
fn an_api_key_is_left_out_of_what_is_kept() {
    let key = || Presented::Query("api_key".into(), "s3cr3t-key/1".to_owned().into());
    let mut bench = Bench::of(
        &job(URL, "", "next = \"$.next\""),
        &key(),
        &["s3cr3t-key/1"],
    );
    for said in ["s3cr3t-key%2F1", "REDACTED"] {
        bench.go(&format!(r#"{{"next":"/2?a=1&api_key={said}&b=2"}}"#), "");
        // Whoever sends adds it.
        assert_eq!(bench.url().0, "https://api.test/2?a=1&b=2");
    }
    // In a place where nobody can tell what it is.
    let message = bench.refused(r#"{"next":"/2?state=xs3cr3t-key%2F1"}"#);
    assert!(message.contains("credential"), "{message}");
}

#[test]
fn filled_in_values_are_marks_in_what_is_kept() {
    let job = job(
        "https://api.test/${PART}/items/{id}",
        "query = { key = \"${KEY}\", lang = \"en\" }",
        "next = \"$.next\"",
    );
    let secrets = ["s3cr3t-key/1", "0123456789abcdef0123"];
    let mut bench = Bench::of(&job, &Presented::None, &secrets);
    let link = "https://api.test/0123456789abcdef0123/items/b?page=2&key=s3cr3t-key%2F1&lang=en";
    bench.go(&format!(r#"{{"next":"{link}"}}"#), "");
    let kept = bench.place.next.clone().unwrap().kept();
    assert_eq!(
        kept,
        "url:https://api.test/<p1>/items/b?page=2&key=<v0>&lang=en"
    );
    assert_eq!(bench.url().0, link);
    // With other credentials, the same resume point leads on.
    bench.place.next = Next::from_kept(&kept);
    assert_eq!(bench.url().0, link);
    bench.place.next = Next::from_kept("url:https://api.test/<p9>");
    assert!(
        bench
            .pages
            .url(&bench.home, &bench.place, &bench.slots)
            .is_err()
    );
}

#[test]
fn a_filled_in_value_that_a_link_changes_is_the_link_s_own() {
    let job = job(
        "https://api.test/items?since=${PART}&id={id}",
        "",
        "next = \"$.next\"",
    );
    let mut bench = Bench::of(&job, &Presented::None, &["0123456789abcdef0123"]);
    bench.go(r#"{"next":"/items?since=2025-02-01&id=b"}"#, "");
    assert_eq!(
        bench.url().0,
        "https://api.test/items?since=2025-02-01&id=b"
    );
}

#[test]
fn a_link_that_leads_away_gets_no_filled_in_value() {
    let job = job(
        "https://api.test/items/{id}?key=${KEY}",
        "",
        "next = \"$.next\"\nother_origins = true",
    );
    let mut bench = Bench::of(&job, &Presented::None, &["s3cr3t-key/1"]);
    bench.go(r#"{"next":"https://other.test/?key=REDACTED"}"#, "");
    let (url, home) = bench.url();
    assert_eq!(url, "https://other.test/?key=REDACTED");
    assert!(!home);
    bench.place.next = Next::from_kept("away:https://other.test/?key=<v0>");
    assert!(
        bench
            .pages
            .url(&bench.home, &bench.place, &bench.slots)
            .is_err()
    );
}

#[test]
fn beside_a_filled_in_value_a_link_changes_what_was_typed() {
    let job = job(
        "https://api.test/items?key=${KEY}&page=1&from=${START}&q=x${KEY}&id={id}",
        "",
        "next = \"$.next\"",
    );
    let mut bench = Bench::of(&job, &Presented::None, &["s3cr3t-key/1"]);
    for said in ["s3cr3t-key/1", "s3cr3t-key%2F1", "***", "REDACTED"] {
        let link = format!("/items?id=b&page=2&from=9&q={said}&key={said}&z=1");
        bench.go(&format!(r#"{{"next":"{link}"}}"#), "");
        assert_eq!(
            bench.place.next.clone().unwrap().kept(),
            "url:https://api.test/items?id=b&page=2&from=9&q=<v3>&key=<v0>&z=1"
        );
        assert_eq!(
            bench.url().0,
            "https://api.test/items?id=b&page=2&from=9&q=xs3cr3t-key/1&key=s3cr3t-key/1&z=1"
        );
    }
}

#[test]
fn places_are_kept_and_read_again() {
    for next in [
        Next::Url {
            text: "https://x/?a=:".into(),
            away: false,
        },
        Next::Url {
            text: "https://x/".into(),
            away: true,
        },
        Next::Cursor("a:b\n".into()),
        Next::Number(u64::MAX),
    ] {
        assert_eq!(Next::from_kept(&next.kept()), Some(next));
    }
    for odd in ["", "url", "other:x", "number:x"] {
        assert_eq!(Next::from_kept(odd), None, "{odd}");
    }
}

proptest! {
    /// Whatever link a server gives, no secret is kept, and what is kept leads where the link led.
    #[test]
    fn no_secret_is_ever_kept(
        path in prop::collection::vec("(items|0123456789abcdef0123|[a-z0-9._~%-]{0,6})", 0..4),
        query in prop::collection::vec(("(key|lang|page|[a-z]{0,3})", "(s3cr3t-key%2F1|s3cr3t-key/1|en|[a-z0-9+%]{0,6})"), 0..4),
        in_url in any::<bool>(),
    ) {
        let (url, request) = match in_url {
            true => ("https://api.test/${PART}/items/{id}?lang=en&key=${KEY}", ""),
            false => ("https://api.test/${PART}/items/{id}", "query = { key = \"${KEY}\" }"),
        };
        let job = job(url, request, "next = \"$.next\"");
        let secrets = ["s3cr3t-key/1", "0123456789abcdef0123"];
        let mut bench = Bench::of(&job, &Presented::None, &secrets);
        let query: Vec<String> = query.iter().map(|(n, v)| format!("{n}={v}")).collect();
        let link = format!("https://api.test/{}?{}", path.join("/"), query.join("&"));
        let body = serde_json::json!({"next": link}).to_string();
        if let Verdict::Page(page) = bench.answered(&body, "").verdict {
            let kept = page.next.clone().unwrap().kept();
            for secret in ["s3cr3t-key", "0123456789abcdef0123"] {
                prop_assert!(!kept.contains(secret), "{}", kept);
            }
            bench.place.next = page.next;
            let (url, _) = bench.url();
            let (url, link) = (Url::parse(&url).unwrap(), Url::parse(&link).unwrap());
            prop_assert_eq!(url.path(), link.path());
            let names = |url: &Url| -> Vec<String> {
                url.query_pairs().map(|(name, _)| name.into_owned()).collect()
            };
            prop_assert_eq!(names(&url), names(&link));
            // What was typed is the server's to change.
            let plain = |url: &Url| -> Vec<String> {
                let pairs = url.query_pairs().filter(|(name, _)| name != "key");
                pairs.map(|(_, value)| value.into_owned()).collect()
            };
            prop_assert_eq!(plain(&url), plain(&link));
        }
    }
}
