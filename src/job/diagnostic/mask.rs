//! Hides what may be a secret in the text of a job file.
//!
//! A job file may hold literal credentials, so the source that a mistake is
//! drawn on shows only values that are known to be harmless ([`is_public`]);
//! every other value is replaced by `*`. The text keeps its length in bytes,
//! so that spans still fit. `${NAME}` references stay: they are no secrets.

use crate::job::interpolate::reference_length;
use std::ops::Range;
use toml::de::{DeTable, DeValue};

/// Values at these paths are no secrets.
fn is_public(path: &[&str]) -> bool {
    match path {
        ["auth", key] => matches!(
            *key,
            "type"
                | "issuer"
                | "token_url"
                | "authorization_url"
                | "device_authorization_url"
                | "redirect_port"
                | "client_auth"
                | "key_file"
                | "algorithm"
                | "lifetime"
                | "scope"
                | "login_url"
                | "token_path"
                | "token_header"
                | "token_cookie"
                | "expires"
                | "expires_in_path"
                | "send_as"
                | "in"
                | "name"
                | "allow_http"
        ),
        ["request", key] => matches!(
            *key,
            "url" | "method" | "fail_when" | "retry_when" | "timeout" | "max_body"
        ),
        ["ids", key] => matches!(*key, "list" | "file" | "column" | "field" | "repeats"),
        ["output", key] => matches!(*key, "path" | "record" | "order"),
        ["limits", key] => matches!(*key, "rate" | "concurrency" | "max_wait" | "quarantine"),
        ["retry", key] => matches!(*key, "attempts" | "backoff"),
        ["checkpoint", "every"] | ["output", "columns", _] | ["ids", "variables", _] => true,
        _ => false,
    }
}

/// The text of a job file with everything masked that may be a secret.
/// `root` is the parsed text; `None` when it could not be parsed.
pub(in crate::job) fn mask_source(source: &str, root: Option<&DeTable<'_>>) -> String {
    let mut secrets = Vec::new();
    match root {
        Some(root) => collect_table(&mut Vec::new(), root, source, &mut secrets),
        None => collect_lines(source, &mut secrets),
    }
    collect_users(source, &mut secrets);
    collect_queries(source, &mut secrets);
    let mut masked = source.to_owned();
    for span in secrets {
        if let Some(text) = masked.get(span.clone()) {
            let stars = stars(text);
            masked.replace_range(span, &stars);
        }
    }
    masked
}

/// One value, masked but for its `${…}` references and `{id}` holes.
pub(in crate::job) fn mask_all(text: &str) -> String {
    stars(text)
}

/// `*` for each byte; references, `{id}` and line ends stay.
fn stars(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let kept = match c {
            '\n' | '\r' => 1,
            '$' if rest.starts_with("$$") => 0,
            '$' => reference_length(rest).unwrap_or(0),
            '{' if rest.starts_with("{id}") => 4,
            _ => 0,
        };
        rest = match rest.split_at_checked(kept) {
            Some((kept, after)) if !kept.is_empty() => {
                out.push_str(kept);
                after
            }
            _ => {
                // `$$` goes as one: what follows an escape is no reference.
                let width = if rest.starts_with("$$") {
                    2
                } else {
                    c.len_utf8()
                };
                let (hidden, after) = rest.split_at_checked(width).unwrap_or((rest, ""));
                out.extend(std::iter::repeat_n('*', hidden.len()));
                after
            }
        };
    }
    out
}

fn collect_table<'t>(
    path: &mut Vec<&'t str>,
    table: &'t DeTable<'_>,
    source: &str,
    secrets: &mut Vec<Range<usize>>,
) {
    for (key, value) in table {
        path.push(key.get_ref());
        collect_value(path, value.get_ref(), value.span(), source, secrets);
        path.pop();
    }
}

fn collect_value<'t>(
    path: &mut Vec<&'t str>,
    value: &'t DeValue<'_>,
    span: Range<usize>,
    source: &str,
    secrets: &mut Vec<Range<usize>>,
) {
    match value {
        DeValue::Table(table) => collect_table(path, table, source, secrets),
        _ if is_public(path) => {}
        // A number at an unknown key outside [auth] is a misspelled setting.
        DeValue::Integer(_) | DeValue::Boolean(_)
            if path.first() != Some(&"auth") && path.len() < 3 => {}
        DeValue::Array(array) => {
            for element in array {
                collect_value(path, element.get_ref(), element.span(), source, secrets);
            }
        }
        _ => {
            let Some(text) = source.get(span.clone()) else {
                return;
            };
            let quotes = text.len() - text.trim_start_matches(['"', '\'']).len();
            let end = text.trim_end_matches(['"', '\'']).len().max(quotes);
            secrets.push(span.start + quotes..span.start + end);
            secrets.extend(comment_after(source, span.end));
        }
    }
}

/// The comment that follows a secret on its line: an old value may be kept there.
fn comment_after(source: &str, at: usize) -> Option<Range<usize>> {
    let line = source.get(at..)?.lines().next()?;
    let hash = line.find('#')?;
    Some(at + hash + 1..at + line.len())
}

/// Without a parsed table: line by line, showing only what is surely harmless.
fn collect_lines(source: &str, secrets: &mut Vec<Range<usize>>) {
    let mut section: Vec<&str> = Vec::new();
    let mut open: Option<&str> = None;
    let mut public = false;
    let mut start = 0;
    for line in source.split_inclusive('\n') {
        let text = line.trim_start();
        let indent = line.len() - text.len();
        let whole = start..start + line.len();
        let key_length = text
            .find(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '-')
            .unwrap_or(text.len());
        let (key, after) = text.split_at_checked(key_length).unwrap_or((text, ""));
        let after_key = start + indent + key_length..whole.end;
        let is_header = open.is_none() && is_table_header(text);
        if open.is_some() {
            secrets.extend((!public).then_some(whole));
        } else if is_header {
            let name = text.trim_matches(|c: char| "[]".contains(c) || c.is_whitespace());
            section = name.split('.').map(str::trim).collect();
            public = false;
        } else if key.is_empty() {
            public &= !text.contains('=');
            secrets.extend((!public).then_some(whole));
        } else {
            let path: Vec<&str> = section.iter().copied().chain([key]).collect();
            public = is_public(&path);
            let is_assignment = after.trim_start().starts_with('=');
            secrets.extend((!public).then_some(if is_assignment { after_key } else { whole }));
        }
        for quotes in ["\"\"\"", "'''"] {
            if !line.matches(quotes).count().is_multiple_of(2) {
                open = match open {
                    None => Some(quotes),
                    Some(opened) if opened == quotes => None,
                    still => still,
                };
            }
        }
        start += line.len();
    }
}

/// `[name]`, with nothing in it that a value would have.
fn is_table_header(text: &str) -> bool {
    text.starts_with('[') && !text.contains(['"', '\'', ',', '='])
}

/// In what may be meant for a URL: all from its beginning to the last `@` of the line.
/// It need not be one: `https//user:pass@host`, `user:pa/ss@host`.
fn collect_users(source: &str, secrets: &mut Vec<Range<usize>>) {
    let mut start = 0;
    for line in source.split_inclusive('\n') {
        let value = line.split_once('=').filter(|(key, _)| is_key(key));
        let value = value.map_or(line, |(_, value)| value);
        let value = value.trim_start_matches(|c: char| c.is_whitespace() || "\"'".contains(c));
        let value = value.trim_start_matches(is_slash);
        if let Some((users, _)) = value.rsplit_once('@')
            && users.contains(is_slash)
            && !["$.", "$["].iter().any(|path| users.starts_with(path))
        {
            let from = start + line.len() - value.len();
            secrets.push(from + scheme(users)..from + users.len());
        }
        start += line.len();
    }
}

/// What is before a `=` and is no part of a URL.
fn is_key(text: &str) -> bool {
    text.chars()
        .all(|c| c.is_alphanumeric() || c.is_whitespace() || "_-.\"'{,".contains(c))
}

fn is_slash(c: char) -> bool {
    matches!(c, ':' | '/' | '\\')
}

/// Bytes of a scheme or what looks like one, with what ends it: `https://`, `https//`, `htp:/`.
/// A word before a single `:` may be a user.
fn scheme(text: &str) -> usize {
    let word = text.len()
        - text
            .trim_start_matches(|c: char| c.is_ascii_alphabetic())
            .len();
    let (name, rest) = text.split_at_checked(word).unwrap_or((text, ""));
    let end = rest.len() - rest.trim_start_matches(is_slash).len();
    let known = ["http", "https"]
        .iter()
        .any(|known| name.eq_ignore_ascii_case(known));
    match end {
        0 => 0,
        1 if !known => 0,
        _ => word + end,
    }
}

/// In URLs: the values of the query.
fn collect_queries(source: &str, secrets: &mut Vec<Range<usize>>) {
    let ends_url = |c: char| c.is_whitespace() || c == '"' || c == '\'';
    let (mut rest, mut from) = (source, 0);
    while let Some((before, after)) = rest.split_once("://") {
        let start = from + before.len() + 3;
        let url = after.split(ends_url).next().unwrap_or(after);
        if let Some((path, query)) = url.split_once('?') {
            let mut at = start + path.len() + 1;
            for pair in query.split('&') {
                // A placeholder, known or not, is what a mistake may be about.
                if let Some((_, value)) = pair.split_once('=')
                    && !value.starts_with('{')
                {
                    secrets.push(at + pair.len() - value.len()..at + pair.len());
                }
                at += pair.len() + 1;
            }
        }
        from = start + url.len();
        rest = after.strip_prefix(url).unwrap_or_default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn masked(source: &str) -> String {
        let table = DeTable::parse(source).unwrap();
        mask_source(source, Some(table.get_ref()))
    }

    #[test]
    fn only_harmless_values_stay() {
        let source = r#"
[request]
url = "https://user:hunter2@h/{id}?key=hunter2&b={foo}"
query = { key = "hunter2" }
headers = { "X-Key" = "a ${REF} hunter2" } # hunter2
unknown = "hunter2"
[auth]
type = "bearer"
token = "hunter2" # was hunter2
password = 42424242
clientsecret = 'hunter2'
params = { a = """
hunter2
hunter2""" }
[limits]
conncurrency = 8
rate = "10/s"
[elsewhere]
list = ["hunter2", "${NAME}"]
"#;
        let masked = masked(source);
        assert_eq!(masked.len(), source.len());
        assert!(!masked.contains("hunter2"), "{masked}");
        assert!(!masked.contains("42424242"), "{masked}");
        for kept in [
            "type = \"bearer\"",
            "rate = \"10/s\"",
            "conncurrency = 8",
            "${REF}",
            "@h/{id}?key=",
            "b={foo}",
            "token = \"*******\"",
            "\"${NAME}\"",
        ] {
            assert!(masked.contains(kept), "{kept} in {masked}");
        }
    }

    #[test]
    fn what_stands_before_an_at_sign_goes_whether_it_is_a_url_or_not() {
        for (typed, shown) in [
            ("https://us:hun/ter2@h/{id}", "https://***********@h/{id}"),
            ("https://us:hun ter2@h/{id}", "https://***********@h/{id}"),
            ("https://us:hun'ter2@h", "https://***********@h"),
            ("https://us:h=u?n#ter2@h", "https://*************@h"),
            ("https://us:p@ss@h/@x", "https://**********@x"),
            ("https//us:hunter2@h", "https//**********@h"),
            ("HTTPS:us:hunter2@h", "HTTPS:**********@h"),
            ("htp:/us:hunter2@h", "htp:/**********@h"),
            ("us:hunter2@h", "**********@h"),
            ("//us:hunter2@h", "//**********@h"),
            ("https://us:${PASS}@h", "https://***${PASS}@h"),
            ("$.errors[?@.a == 'b:c']", "$.errors[?@.a == 'b:c']"),
            ("me@example.com", "me@example.com"),
        ] {
            for key in ["url", "\turl ", "request.url", "\"url\""] {
                let (source, kept) = (format!("{key}= \"{typed}\""), format!("{key}= \"{shown}\""));
                assert_eq!(mask_users(&source), kept);
            }
            assert_eq!(mask_users(&format!("  {typed}\n")), format!("  {shown}\n"));
        }
    }

    fn mask_users(source: &str) -> String {
        let (mut secrets, mut masked) = (Vec::new(), source.to_owned());
        collect_users(source, &mut secrets);
        for span in secrets {
            masked.replace_range(span.clone(), &stars(&source[span]));
        }
        masked
    }

    #[test]
    fn an_escaped_reference_is_a_literal() {
        assert_eq!(mask_all("$${hunter2}"), "***********");
        assert_eq!(mask_all("x${A}{id}é"), "*${A}{id}**");
    }

    #[test]
    fn a_text_that_does_not_parse_is_masked_line_by_line() {
        let source = "[auth]\ntype = \"bearer\ntoken = hunter2\nhunter2\n\"k\" = \"hunter2\"\n\
                      client_secret = \"\"\"\nhunter2\nurl = hunter2\n\"\"\"\n\
                      auth.token = \"hunter2\"\n# hunter2\n[request]\nurl = \"http://h/{id}\n\
                      headers = { a = \"hunter2\" }\n[request.headers]\nx = \"hunter2\"\n";
        let masked = mask_source(source, None);
        assert_eq!(masked.len(), source.len());
        assert!(!masked.contains("hunter2"), "{masked}");
        assert!(masked.contains("type = \"bearer"), "{masked}");
        assert!(masked.contains("url = \"http://h/{id}"), "{masked}");
    }

    proptest! {
        #[test]
        fn masking_keeps_every_place(source in "(\\PC|\n|\"|'|=|#|\\[|\\$\\{A\\}|://|@|\\?|é){0,80}") {
            let masked = mask_source(&source, None);
            prop_assert_eq!(masked.len(), source.len());
            if let Ok(table) = DeTable::parse(&source) {
                prop_assert_eq!(mask_source(&source, Some(table.get_ref())).len(), source.len());
            }
        }
    }
}
