//! RFC 6570 expressions, levels 1 to 3: what stands between the braces of a URL.
//!
//! The grammar and the expansion are `iri-string`'s. Every variable of an item
//! has a value, so the text around the values of an expression never changes:
//! it is found once, when the job is read. Must never take level 4 (`{a:3}`,
//! `{a*}`), whose text depends on the value.

use super::{Form, HoleError, Part, is_name};
use iri_string::spec::UriSpec;
use iri_string::template::UriTemplateStr;
use iri_string::template::simple_context::SimpleContext;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// Unreserved, so never encoded, and in no variable's name.
const MARK: &str = "~~";

/// The parts that an expression stands for: `?a,b` is `?a=`, a, `&b=`, b.
/// `in_query`: the URL has a `?` before it.
pub(super) fn read(inner: &str, in_query: bool) -> Result<Vec<Part>, HoleError> {
    let unknown = || HoleError::Unknown(inner.to_owned());
    if inner.contains([':', '*']) {
        return Err(HoleError::Modifier(inner.to_owned()));
    }
    let text = format!("{{{inner}}}");
    let template = UriTemplateStr::new(&text).map_err(|_| unknown())?;
    let names: Vec<&str> = template.variables().map(|name| name.as_str()).collect();
    if names.is_empty() || !names.iter().all(|name| is_name(name)) {
        return Err(unknown());
    }
    let form = match inner.chars().next() {
        Some('#') => return Err(HoleError::Fragment(inner.to_owned())),
        Some('?') if in_query => return Err(HoleError::QueryAgain(inner.to_owned())),
        Some('&') if !in_query => return Err(HoleError::NoQueryYet(inner.to_owned())),
        Some('+') => Form::Reserved,
        _ => Form::Plain,
    };
    let mut context = SimpleContext::new();
    for name in &names {
        context.insert(*name, MARK);
    }
    let expanded = template.expand::<UriSpec, _>(&context);
    let expanded = expanded.map_err(|_| unknown())?.to_string();
    let mut parts = Vec::new();
    let mut texts = expanded.split(MARK);
    for name in names {
        if let Some(text) = texts.next().filter(|text| !text.is_empty()) {
            parts.push(Part::Text(text.to_owned()));
        }
        parts.push(Part::hole(name, form));
    }
    Ok(parts)
}

/// What `{+name}` leaves as it is: unreserved and reserved characters (RFC 3986
/// section 2), but for `#`, after which nothing is sent.
const KEPT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b':')
    .remove(b'/')
    .remove(b'?')
    .remove(b'[')
    .remove(b']')
    .remove(b'@')
    .remove(b'!')
    .remove(b'$')
    .remove(b'&')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')')
    .remove(b'*')
    .remove(b'+')
    .remove(b',')
    .remove(b';')
    .remove(b'=');

/// Appends a value as `{+name}` writes it: reserved characters and
/// percent-escapes stay (RFC 6570 section 3.2.3). By hand, since iri-string
/// 0.7.14 panics over a character of several bytes here.
pub(super) fn push_reserved(value: &str, out: &mut String) {
    let mut runs = value.split('%');
    out.extend(
        runs.next()
            .map(|run| utf8_percent_encode(run, KEPT))
            .into_iter()
            .flatten(),
    );
    for run in runs {
        let escape = run.as_bytes().get(..2);
        let is_escape = escape.is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit));
        out.push_str(if is_escape { "%" } else { "%25" });
        out.extend(utf8_percent_encode(run, KEPT));
    }
}
