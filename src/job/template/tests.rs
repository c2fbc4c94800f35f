//! An ID ends up where its hole is and nowhere else.

use super::*;
use crate::job::interpolate::{Piece, Text};
use percent_encoding::percent_decode_str;
use proptest::prelude::*;
use reqwest::Url;
use std::collections::BTreeMap;

fn text(pieces: Vec<Piece>) -> Text {
    Text {
        raw: pieces
            .iter()
            .map(|piece| match piece {
                Piece::Typed(typed) => typed.as_str(),
                _ => "${SECRET}",
            })
            .collect(),
        pieces,
    }
}

fn typed(value: &str) -> Text {
    text(vec![Piece::Typed(value.to_owned())])
}

fn url(value: &str) -> UrlTemplate {
    UrlTemplate::new(&typed(value)).unwrap()
}

fn value(value: &str) -> Template {
    Template::new(&typed(value)).unwrap()
}

#[test]
fn braces() {
    assert_eq!(value("a {id} {{id}} }").expand_value("7"), "a 7 {id} }");
    assert_eq!(value("{id}{id}").expand_value("{id}"), "{id}{id}");
    let hole = |raw: &str| Template::new(&typed(raw)).err().unwrap();
    for raw in ["", " id ", "a-b", "3", "a b", "a..b", "a.1", "é", "a,"] {
        let wanted = HoleError::Unknown(raw.to_owned());
        assert_eq!(hole(&format!("{{{raw}}}")), wanted);
    }
    for raw in ["+a", "a,b", "?a", "#a", "a*"] {
        let wanted = HoleError::Operator(raw.to_owned());
        assert_eq!(hole(&format!("{{{raw}}}")), wanted);
    }
    assert_eq!(hole("{"), HoleError::Unclosed);
}

#[test]
fn what_was_filled_in_is_no_template_and_is_never_shown() {
    let filled = text(vec![
        Piece::Typed("Bearer ".to_owned()),
        Piece::Filled("{id}hunter2".to_owned()),
    ]);
    let template = Template::new(&filled).unwrap();
    assert_eq!(template.expand_value("7"), "Bearer {id}hunter2");
    assert!(template.is_secret());
    assert_eq!(template.raw(), "Bearer ${SECRET}");
    assert_eq!(format!("{template:?}"), r#"Template("*******${SECRET}")"#);
}

#[test]
fn an_id_becomes_one_segment() {
    let template = url("https://api.example.com/v1/tracks/{id}");
    let built = |id: &str| template.build(id, &[]).map(|url| url.to_string());
    let expect = |tail: &str| Ok(format!("https://api.example.com/v1/tracks/{tail}"));
    assert_eq!(built("abc"), expect("abc"));
    assert_eq!(built("a/b?c#d"), expect("a%2Fb%3Fc%23d"));
    assert_eq!(built("../x"), expect("..%2Fx"));
    assert_eq!(built("%2e%2e"), expect("%252e%252e"));
    assert_eq!(built("é~-._"), expect("%C3%A9~-._"));
    assert_eq!(built("..."), expect("..."));
    assert_eq!(built("."), Err(TemplateError::DotSegment));
    assert_eq!(built(".."), Err(TemplateError::DotSegment));
    assert_eq!(built(""), Err(TemplateError::EmptyId));
    assert_eq!(built(&"x".repeat(70_000)), Err(TemplateError::TooLong));
    assert_eq!(built(&"é".repeat(30_000)), Err(TemplateError::TooLong));
}

#[test]
fn text_that_looks_like_a_mark_stays() {
    for text in ["x00", "x00x", "0x000x", "`00", "x", "0"] {
        let raw = format!("http://h/{text}{{id}}{text}/{{id}}?{text}={{id}}{text}");
        let built = url(&raw).build("7", &[]).unwrap();
        let kept = text.replace('`', "%60");
        let expected = format!("http://h/{kept}7{kept}/7?{text}=7{text}");
        assert_eq!(built.as_str(), expected);
    }
}

#[test]
fn a_dot_beside_the_hole_is_watched_too() {
    for raw in [
        "http://h/a/.{id}",
        "http://h/a/%2e{id}/b",
        "http://h/a/{id}%2E",
    ] {
        assert_eq!(
            url(raw).build(".", &[]),
            Err(TemplateError::DotSegment),
            "{raw}"
        );
        assert!(url(raw).build("x", &[]).is_ok(), "{raw}");
    }
    assert!(url("http://h/a?x={id}").build("..", &[]).is_ok());
}

#[test]
fn query_is_appended_and_encoded() {
    let pairs = [
        ("m n".to_owned(), value("U&S")),
        ("i".to_owned(), value("<{id}>")),
    ];
    let built = |raw| url(raw).build("a b", &pairs).unwrap().to_string();
    let tail = "m%20n=U%26S&i=%3Ca%20b%3E";
    assert_eq!(built("http://h/{id}"), format!("http://h/a%20b?{tail}"));
    assert_eq!(built("http://h/{id}?"), format!("http://h/a%20b?{tail}"));
    let odd = built("http://h/?q={id}&y=?");
    assert_eq!(odd, format!("http://h/?q=a%20b&y=?&{tail}"));
    assert_eq!(
        built("http://h?q={id}"),
        format!("http://h/?q=a%20b&{tail}")
    );
}

#[test]
fn the_ids_of_a_batch_keep_to_themselves() {
    let template = url("https://h/x?ids={ids}&y=1");
    assert!(template.has_ids() && !template.has_id());
    let built = |ids: &[&str], separator: &str| {
        let filling = Filling::several(ids, separator);
        template.fill(&filling, &[("z".to_owned(), value("{ids}"))])
    };
    let expect = |query: &str| Ok(Url::parse(&format!("https://h/x?{query}")).unwrap());
    assert_eq!(
        built(&["a", "b,c"], ","),
        expect("ids=a,b%2Cc&y=1&z=a,b%2Cc")
    );
    assert_eq!(built(&["a", "b"], "|"), expect("ids=a%7Cb&y=1&z=a%7Cb"));
    assert_eq!(built(&["a&b"], "&ids="), expect("ids=a%26b&y=1&z=a%26b"));
    assert_eq!(
        built(&["a", "b"], "&ids="),
        expect("ids=a&ids=b&y=1&z=a&ids=b")
    );
    assert_eq!(built(&["a", ""], ","), Err(TemplateError::EmptyId));
    assert_eq!(
        Filling::several(&["a", "b"], " ").values().get("ids"),
        "a b"
    );
}

#[test]
fn a_base_takes_the_origins_place() {
    let template = url("HTTPS://API.example.com:443/x/{id}?a=1");
    assert_eq!(template.origin(), "https://api.example.com");
    assert_eq!(template.host(), "api.example.com");
    let there = template.at("http://127.0.0.1:4000/").unwrap();
    let built = there.build("7", &[]).unwrap();
    assert_eq!(built.as_str(), "http://127.0.0.1:4000/x/7?a=1");
    assert_eq!(url("http://h:8080/{id}").origin(), "http://h:8080");
}

#[test]
fn impossible_urls() {
    let mistake = |raw| UrlTemplate::new(&typed(raw)).err();
    for raw in [
        "https://{id}.example.com/",
        "https://h:{id}/",
        "{id}://h/",
        "https://{id}",
    ] {
        assert_eq!(mistake(raw), Some(UrlMistake::IdInOrigin), "{raw}");
    }
    assert_eq!(mistake("https://h/#{id}"), Some(UrlMistake::Fragment));
    assert_eq!(mistake("https://h/{id}/../x"), Some(UrlMistake::IdFolded));
    assert_eq!(mistake("ftp://h/{id}"), Some(UrlMistake::Scheme));
    assert_eq!(mistake("https://u:p@h/{id}"), Some(UrlMistake::Credentials));
    assert_eq!(mistake("https://h/ {id}"), Some(UrlMistake::Characters));
    assert_eq!(mistake("https:\\\\h\\{id}"), Some(UrlMistake::Characters));
    for raw in [
        "",
        "h/{id}",
        "https://",
        "https:///",
        "https://h:x/{id}",
        "https://[/{id}",
    ] {
        assert!(mistake(raw).is_some(), "{raw}");
    }
    assert_eq!(mistake("https://h/%{id}"), Some(UrlMistake::CutEscape));
    assert_eq!(mistake("https://h/%4{id}"), Some(UrlMistake::CutEscape));
    assert_eq!(url("https://h/x").names().next(), None);
}

#[test]
fn a_filled_host_is_no_secret_but_a_filled_key_is() {
    let with = |pieces| UrlTemplate::new(&text(pieces)).unwrap();
    let typed = |text: &str| Piece::Typed(text.to_owned());
    let filled = |text: &str| Piece::Filled(text.to_owned());
    let host = with(vec![typed("https://"), filled("h"), typed("/{id}")]);
    assert!(!host.is_secret());
    let key = with(vec![typed("https://h/{id}?key="), filled("hunter2")]);
    assert!(key.is_secret());
    assert!(key.is_secret_part("hunter2") && !key.is_secret_part("2"));
    assert!(!format!("{key:?}").contains("hunter2"));
}

#[test]
fn what_was_filled_in_is_known_wherever_it_comes_to_stand() {
    let typed = |text: &str| Piece::Typed(text.to_owned());
    let filled = |text: &str| Piece::Filled(text.to_owned());
    let pieces = vec![
        typed("https://h/v1/{id}{?a,b}&x=ab"),
        filled("cdefghij&key=hunter%202&y"),
        typed("=1&page=2&lang="),
        filled("en"),
        typed("&z="),
        filled("dGhpcw=="),
    ];
    let template = UrlTemplate::new(&text(pieces)).unwrap();
    let secrets = [
        "abcdefghij",
        "hunter%202",
        "hunter 2",
        "y",
        "en",
        "dGhpcw==",
    ];
    for secret in secrets {
        assert!(template.is_secret_part(secret), "{secret}");
    }
    // A short one is a part of many words.
    for plain in ["v1", "7", "length", "men", "page", "2", "open"] {
        assert!(!template.is_secret_part(plain), "{plain}");
    }
    let filled: Vec<_> = template.filled().collect();
    let pieces = ["cdefghij", "key", "hunter 2", "y", "en", "dGhpcw=="];
    assert_eq!(filled, pieces);
    assert!(!format!("{template:?}").contains("hunter"));
}

fn several(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    let pairs = pairs.iter();
    pairs
        .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
        .collect()
}

#[test]
fn each_variable_has_its_holes() {
    let values = several(&[("owner", "a/b"), ("repo", "c d"), ("n", "7")]);
    let values = Values::Several(&values);
    let pairs = [("q".to_owned(), value("{n}:{repo}"))];
    let built = url("https://h/repos/{owner}/{repo}?n={n}").build(values, &pairs);
    assert_eq!(
        built.unwrap().as_str(),
        "https://h/repos/a%2Fb/c%20d?n=7&q=7%3Ac%20d"
    );
    assert_eq!(value("{repo}-{n}").expand_value(values), "c d-7");
    let template = url("https://h/{owner}{?repo,n}");
    assert_eq!(template.names().collect::<Vec<_>>(), ["owner", "repo", "n"]);
    let missing = several(&[("owner", "a"), ("repo", "")]);
    let built = template.build(Values::Several(&missing), &[]);
    assert_eq!(built, Err(TemplateError::EmptyId));
}

/// The variables of RFC 6570 section 3.2, and what its tables say of them.
#[test]
fn expressions_are_those_of_the_rfc() {
    let values = several(&[
        ("var", "value"),
        ("hello", "Hello World!"),
        ("half", "50%"),
        ("base", "http://example.com/home/"),
        ("path", "/foo/bar"),
        ("x", "1024"),
        ("y", "768"),
        ("who", "fred"),
    ]);
    let tail = |raw: &str| {
        let built = url(&format!("http://h/{raw}")).build(Values::Several(&values), &[]);
        let built = built.unwrap_or_else(|error| panic!("{raw}: {error}"));
        built.as_str().strip_prefix("http://h/").unwrap().to_owned()
    };
    for (raw, wanted) in [
        ("{var}", "value"),
        ("{hello}", "Hello%20World%21"),
        ("{half}", "50%25"),
        ("map?{x,y}", "map?1024,768"),
        ("{x,hello,y}", "1024,Hello%20World%21,768"),
        ("O{+x}O", "O1024O"),
        ("{+hello}", "Hello%20World!"),
        ("{+half}", "50%25"),
        ("a{+path}/here", "a/foo/bar/here"),
        ("here?ref={+path}", "here?ref=/foo/bar"),
        ("{+x,hello,y}", "1024,Hello%20World!,768"),
        ("{base}index", "http%3A%2F%2Fexample.com%2Fhome%2Findex"),
        ("X{.who,who}", "X.fred.fred"),
        ("X{.var,x}", "X.value.1024"),
        ("a{/who}", "a/fred"),
        ("a{/half,who}", "a/50%25/fred"),
        ("a{/var,x}/here", "a/value/1024/here"),
        ("a{;who}", "a;who=fred"),
        ("a{;half}", "a;half=50%25"),
        ("a{;x,y}", "a;x=1024;y=768"),
        ("a{?who}", "a?who=fred"),
        ("a{?x,y}", "a?x=1024&y=768"),
        ("a?fixed=yes{&x}", "a?fixed=yes&x=1024"),
        ("a?{&x,y}", "a?&x=1024&y=768"),
        ("a{?x}{&who,x}", "a?x=1024&who=fred&x=1024"),
    ] {
        assert_eq!(tail(raw), wanted, "{raw}");
    }
    let root = url("http://h{/var}{?x}").build(Values::Several(&values), &[]);
    assert_eq!(root.unwrap().as_str(), "http://h/value?x=1024");
}

#[test]
fn reserved_values_stay_within_the_url() {
    let built = |raw: &str, id: &str| {
        let pairs = [("k".to_owned(), value("{id}"))];
        url(raw).build(id, &pairs).map(|url| url.to_string())
    };
    let ok = |text: &str| Ok(text.to_owned());
    assert_eq!(
        built("http://h/{+id}", "a/b%2Fc%"),
        ok("http://h/a/b%2Fc%25?k=a%2Fb%252Fc%25")
    );
    assert_eq!(
        built("http://h/{+id}", "s?q=1"),
        ok("http://h/s?q=1&k=s%3Fq%3D1")
    );
    assert_eq!(
        built("http://h/{+id}?a=1", "s?q=1"),
        ok("http://h/s?q=1&a=1&k=s%3Fq%3D1")
    );
    assert_eq!(built("http://h/{+id}", "a#b"), ok("http://h/a%23b?k=a%23b"));
    assert_eq!(
        built("http://h/{+id}", "//evil.example/"),
        ok("http://h///evil.example/?k=%2F%2Fevil.example%2F")
    );
    assert_eq!(
        built("http://h/a/{+id}", "../b"),
        Err(TemplateError::DotSegment)
    );
    assert_eq!(
        built("http://h/a/{+id}", "b/./c"),
        Err(TemplateError::DotSegment)
    );
}

#[test]
fn impossible_expressions() {
    let hole = |raw: &str| match UrlTemplate::new(&typed(&format!("http://h/{raw}"))) {
        Err(UrlMistake::Hole(error)) => error,
        other => panic!("{raw}: {other:?}"),
    };
    let text = |inner: &str| inner.to_owned();
    assert_eq!(hole("{a:3}"), HoleError::Modifier(text("a:3")));
    assert_eq!(hole("{/a*}"), HoleError::Modifier(text("/a*")));
    assert_eq!(hole("{#a}"), HoleError::Fragment(text("#a")));
    assert_eq!(hole("?b=1{?a}"), HoleError::QueryAgain(text("?a")));
    assert_eq!(hole("{&a}"), HoleError::NoQueryYet(text("&a")));
    for inner in ["", "+", "a b", "!a", "=a", "|a", "a,,b", "a%41", "é"] {
        assert_eq!(
            hole(&format!("{{{inner}}}")),
            HoleError::Unknown(text(inner))
        );
    }
    assert_eq!(
        UrlTemplate::new(&typed("http://h{+a}")).err(),
        Some(UrlMistake::IdInOrigin)
    );
    assert_eq!(
        UrlTemplate::new(&typed("http://h{;a}/x")).err(),
        Some(UrlMistake::IdInOrigin)
    );
}

proptest! {
    #[test]
    fn any_id_is_one_segment_or_refused(id in "\\PC*|[./%2eE\\\\?#]{0,6}|.*") {
        let template = url("https://h.example/v1/{id}/full");
        if let Ok(url) = template.build(&id, &[]) {
            let segments: Vec<_> = url.path_segments().unwrap().collect();
            prop_assert_eq!(segments.len(), 3);
            let decoded = percent_decode_str(segments[1]).decode_utf8().unwrap();
            prop_assert_eq!(decoded, id);
            prop_assert_eq!(url.host_str(), Some("h.example"));
            prop_assert_eq!(url.query(), None);
            prop_assert_eq!(url.fragment(), None);
        } else {
            prop_assert!(matches!(id.as_str(), "" | "." | ".."));
        }
    }

    #[test]
    fn any_id_is_one_query_value(id in ".+", fixed in ".*") {
        let fixed_template = Template::new(&text(vec![Piece::Filled(fixed.clone())])).unwrap();
        let pairs = [("k".to_owned(), fixed_template)];
        let url = url("https://h/s?q={id}").build(&id, &pairs).unwrap();
        let query: Vec<_> = url.query_pairs().collect();
        prop_assert_eq!(&query, &[("q".into(), id.into()), ("k".into(), fixed.into())]);
    }

    #[test]
    fn no_text_makes_a_template_panic(raw in ".*|https?://[a-z{}id./?#%@:\\\\]*", id in ".*") {
        if let Ok(template) = UrlTemplate::new(&typed(&raw)) {
            let _ = template.build(&id, &[]);
        }
        if let Ok(template) = Template::new(&typed(&raw)) {
            let _ = template.expand_value(&id);
        }
    }

    #[test]
    fn any_reserved_value_stays_at_home(id in "\\PC+|[./%2e?#&=\\\\:@]{1,8}") {
        let template = url("https://h.example/v1/{+id}/full?a={+id}");
        if let Ok(url) = template.build(&id, &[]) {
            prop_assert_eq!(url.origin().ascii_serialization(), template.origin());
            prop_assert!(url.fragment().is_none() && url.username().is_empty());
            prop_assert!(url.path().starts_with("/v1/"));
        }
    }

    /// Whatever two items are called, they ask for two URLs.
    #[test]
    fn two_combinations_are_two_urls(a in "[a-z/,&%]{1,4}", b in "[a-z/,&%]{1,4}", c in "[a-z/,&%]{1,4}", d in "[a-z/,&%]{1,4}") {
        for raw in ["http://h/{x}/{y}", "http://h/{x,y}", "http://h/q{?x,y}"] {
            let build = |x: &str, y: &str| {
                let values = several(&[("x", x), ("y", y)]);
                url(raw).build(Values::Several(&values), &[]).unwrap()
            };
            prop_assert_eq!((&a, &b) == (&c, &d), build(&a, &b) == build(&c, &d));
        }
    }
}
