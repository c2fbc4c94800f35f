//! The Link header (RFC 8288): which link leads to the next page.
//!
//! Owns which of the links counts; `nom_rfc8288` has the grammar. A header that
//! can't be read is an error and not the last page: nothing is lost silently.

use nom_language::error::VerboseError;
use nom_rfc8288::complete::{LinkData, link_lenient};
use reqwest::Url;

/// The target of the first link with the relation `next` (a relation's name is
/// compared without case, RFC 8288 section 3.3) whose context is this page
/// (section 3.2). `None`: it is the last page. Errs in words for people.
pub(super) fn next(fields: &[Vec<u8>], page: &Url) -> Result<Option<String>, String> {
    for field in fields {
        let unreadable = || {
            "the Link header can't be read, so nobody knows whether there are more pages (RFC 8288)"
                .to_owned()
        };
        let text = std::str::from_utf8(field).map_err(|_| unreadable())?;
        let text = text.trim_matches(['\t', ' ', ',']);
        if text.is_empty() {
            continue;
        }
        let links = link_lenient::<VerboseError<&str>>(text).map_err(|_| unreadable())?;
        let found = links.iter().flatten().find(|link| is_next(link, page));
        if let Some(link) = found {
            return Ok(Some(link.url.trim().to_owned()));
        }
    }
    Ok(None)
}

fn is_next(link: &LinkData<'_>, page: &Url) -> bool {
    // Of several, only the first counts (RFC 8288 sections 3.2 and 3.3).
    let param = |name: &str| {
        let found = link
            .params
            .iter()
            .find(|param| param.key.eq_ignore_ascii_case(name));
        found.and_then(|param| param.val.as_deref())
    };
    let rel = param("rel").unwrap_or_default();
    let is_next = rel
        .split_ascii_whitespace()
        .any(|relation| relation.eq_ignore_ascii_case("next"));
    let about_this_page = param("anchor").is_none_or(|anchor| {
        page.join(anchor).is_ok_and(|mut context| {
            context.set_fragment(None);
            context == *page
        })
    });
    is_next && about_this_page
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ask(header: &str) -> Result<Option<String>, String> {
        let page = Url::parse("https://x/items?page=1").unwrap();
        next(&[header.as_bytes().to_vec()], &page)
    }

    #[test]
    fn the_next_page_is_found_wherever_it_stands() {
        for (header, target) in [
            (
                r#"<https://x/?page=2>; rel="next""#,
                Some("https://x/?page=2"),
            ),
            (
                r#"<https://x/?page=2>; rel="next", <https://x/?page=9>; rel="last""#,
                Some("https://x/?page=2"),
            ),
            (
                r#"<https://x/?page=9>; rel="last" , <https://x/?a=1,2;3>;rel=next"#,
                Some("https://x/?a=1,2;3"),
            ),
            (
                r#"<?page=2>; rel="prefetch NEXT"; title="a, <b>; rel=\"last\"""#,
                Some("?page=2"),
            ),
            (r#"</2>; REL=Next; title*=UTF-8''%e2%82%ac"#, Some("/2")),
            (r#", </2>; rel=next,"#, Some("/2")),
            (r#"</2>; rel="next"; rel="last""#, Some("/2")),
            (r#"</2>; rel="last"; rel="next""#, None),
            (r#"</2>; rel="nexT-archive""#, None),
            (r#"</2>; title="next""#, None),
            (r#"</2>; rel="next"; anchor="/other""#, None),
            (r##"</2>; rel="next"; anchor="#part""##, Some("/2")),
            (r#"</2>"#, None),
            ("", None),
        ] {
            assert_eq!(ask(header).unwrap().as_deref(), target, "{header}");
        }
    }

    #[test]
    fn several_fields_are_one_list() {
        let page = Url::parse("https://x/").unwrap();
        let fields = [&b"</1>; rel=prev"[..], b"</3>; rel=next"].map(<[u8]>::to_vec);
        assert_eq!(next(&fields, &page).unwrap().as_deref(), Some("/3"));
        assert_eq!(next(&[], &page).unwrap(), None);
    }

    #[test]
    fn what_can_t_be_read_is_no_last_page() {
        for header in [
            "</2; rel=next",
            "/2; rel=next",
            "</2>; rel=\"next",
            "</2> rel=next",
        ] {
            assert!(ask(header).is_err(), "{header}");
        }
        let page = Url::parse("https://x/").unwrap();
        assert!(next(&[vec![b'<', 0xff, b'>']], &page).is_err());
    }

    proptest! {
        /// However it is spelled, what was put in is found.
        #[test]
        fn what_is_written_is_found(
            target in "[a-z0-9/?=&,;.%'\"-]{0,20}",
            before in prop::collection::vec(("[a-z/,;]{0,8}", "(prev|first|last)"), 0..3),
            title in proptest::option::of("[ -~]{0,10}"),
            quoted: bool,
        ) {
            let mut header = String::new();
            for (other, rel) in before {
                header.push_str(&format!("<{other}>; rel=\"{rel}\" ,"));
            }
            let title = title.map_or(String::new(), |title| {
                format!("; title=\"{}\"", title.replace('\\', "\\\\").replace('"', "\\\""))
            });
            let rel = if quoted { "\"next\"" } else { "next" };
            header.push_str(&format!("<{target}>{title}; rel={rel}"));
            prop_assert_eq!(ask(&header).unwrap(), Some(target));
        }

        #[test]
        fn no_bytes_panic(field in prop::collection::vec(any::<u8>(), 0..80)) {
            let page = Url::parse("https://x/").unwrap();
            let _ = next(&[field], &page);
        }

        #[test]
        fn no_text_of_the_grammar_s_characters_panics(field in "[<>;,=\" a-z\\\\*'/]{0,40}") {
            let _ = ask(&field);
        }
    }
}
