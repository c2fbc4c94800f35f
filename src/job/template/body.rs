//! The body of a request: JSON, a form, or a text, with `{name}` holes.
//!
//! Keeps the promise that a value ends up where its hole is and nowhere else: it
//! is escaped as the form of the body wants it. Braces that hold no name stay
//! as they are, for bodies are full of them.

use super::{Filling, Form, IDS, Part, graphql, is_name, names, push_text};
use crate::job::interpolate::{Piece, Text};
use std::fmt;
use std::ops::Range;

/// How a body's form writes a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::job) enum Escape {
    /// As it is.
    None,
    /// Inside a JSON string.
    Json,
    /// As a word of a form (`application/x-www-form-urlencoded`).
    Form,
}

impl Escape {
    fn push(self, text: &str, out: &mut String) {
        match self {
            Escape::None => out.push_str(text),
            Escape::Json => out.push_str(&graphql::in_string(text)),
            Escape::Form => out.extend(form_urlencoded::byte_serialize(text.as_bytes())),
        }
    }
}

/// A request's body, with `{name}` holes.
#[derive(Clone)]
pub struct Body {
    raw: String,
    parts: Vec<Part>,
    escape: Escape,
    content_type: &'static str,
    /// What `${…}` brought.
    secrets: Vec<String>,
}

impl Body {
    /// The body as the job file says it, `${…}` not filled in: it may hold a secret that was typed.
    pub fn raw(&self) -> &str {
        &self.raw
    }

    /// The media type, for a job whose headers name none.
    pub fn content_type(&self) -> &'static str {
        self.content_type
    }

    /// What came from the environment or a file.
    pub fn secrets(&self) -> impl Iterator<Item = &str> {
        self.secrets.iter().map(String::as_str)
    }

    /// Holds a value from the environment or a file.
    pub fn is_secret(&self) -> bool {
        !self.secrets.is_empty()
    }

    /// The names of its holes, as often as they are there.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        names(&self.parts)
    }

    /// Whether it has the hole of a batch's IDs.
    pub fn has_ids(&self) -> bool {
        self.names().any(|name| name == IDS)
    }

    /// The body for one request.
    pub fn expand(&self, filling: &Filling<'_>) -> String {
        let values = filling.values();
        let mut body = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => body.push_str(text),
                Part::Hole(hole) => {
                    let value = values.get(&hole.name);
                    match hole.form {
                        Form::Plain | Form::Reserved => self.escape.push(value, &mut body),
                        Form::GraphqlString => {
                            self.escape.push(&graphql::in_string(value), &mut body);
                        }
                        Form::JsonList => {
                            body.push_str(&serde_json::Value::from(filling.ids()).to_string());
                        }
                        Form::GraphqlValue => {
                            self.escape.push(&graphql::as_value(value), &mut body);
                        }
                    }
                }
            }
        }
        body
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.names().collect();
        f.debug_struct("Body")
            .field("content_type", &self.content_type)
            .field("holes", &names)
            .finish_non_exhaustive()
    }
}

/// Puts a body together: syntax as it is, texts as they were typed.
#[derive(Default)]
pub(in crate::job) struct BodyBuilder {
    raw: String,
    parts: Vec<Part>,
    run: String,
    secrets: Vec<String>,
}

impl BodyBuilder {
    /// Appends what the body's form is made of.
    pub(in crate::job) fn syntax(&mut self, text: &str) {
        self.raw.push_str(text);
        self.run.push_str(text);
    }

    /// Appends the array of a batch's IDs.
    pub(in crate::job) fn list_of_ids(&mut self) {
        self.raw.push_str("{ids}");
        push_text(&mut self.parts, &mut self.run);
        self.parts.push(Part::hole(IDS, Form::JsonList));
    }

    /// Appends a text in which `{name}` is a hole.
    pub(in crate::job) fn text(&mut self, text: &Text, escape: Escape) {
        escape.push(&text.raw, &mut self.raw);
        self.secrets.extend(text.filled().map(str::to_owned));
        let (value, typed) = layout(text);
        let places = graphql::is_document(&value).then(|| graphql::value_places(&value));
        let mut written = 0;
        for (brace, _) in value.match_indices('{') {
            let Some(rest) = value.get(brace..).filter(|_| brace >= written) else {
                continue;
            };
            let within = |length: usize| {
                let end = brace + length;
                typed.iter().any(|t| t.start <= brace && end <= t.end)
            };
            let escaped = rest.strip_prefix("{{").and_then(name_before_brace);
            if let Some(name) = escaped
                && rest
                    .get(2 + name.len()..)
                    .is_some_and(|r| r.starts_with("}}"))
                && within(name.len() + 4)
            {
                // `{{name}}` is a literal `{name}`.
                let before = value.get(written..brace + 1).unwrap_or_default();
                escape.push(before, &mut self.run);
                escape.push(name, &mut self.run);
                escape.push("}", &mut self.run);
                written = brace + name.len() + 4;
                continue;
            }
            let Some(name) = rest.strip_prefix('{').and_then(name_before_brace) else {
                continue;
            };
            let form = match &places {
                None => Some(Form::Plain),
                Some(places) => places
                    .iter()
                    .find(|(at, _)| *at == brace)
                    .map(|(_, form)| *form),
            };
            let Some(form) = form.filter(|_| within(name.len() + 2)) else {
                continue;
            };
            let before = value.get(written..brace).unwrap_or_default();
            escape.push(before, &mut self.run);
            push_text(&mut self.parts, &mut self.run);
            self.parts.push(Part::hole(name, form));
            written = brace + name.len() + 2;
        }
        escape.push(value.get(written..).unwrap_or_default(), &mut self.run);
    }

    /// Ends it. `escape` is what texts were appended with.
    pub(in crate::job) fn finish(mut self, escape: Escape, content_type: &'static str) -> Body {
        push_text(&mut self.parts, &mut self.run);
        Body {
            raw: self.raw,
            parts: self.parts,
            escape,
            content_type,
            secrets: self.secrets,
        }
    }
}

/// The whole value, and which ranges of it were typed.
fn layout(text: &Text) -> (String, Vec<Range<usize>>) {
    let mut value = String::new();
    let mut typed = Vec::new();
    for piece in &text.pieces {
        let start = value.len();
        value.push_str(piece.text());
        if matches!(piece, Piece::Typed(_)) {
            typed.push(start..value.len());
        }
    }
    (value, typed)
}

/// The name that the text begins with, when a `}` follows it.
fn name_before_brace(text: &str) -> Option<&str> {
    let (name, _) = text.split_once('}')?;
    is_name(name).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::Values;
    use std::collections::BTreeMap;

    fn typed(raw: &str) -> Text {
        Text {
            raw: raw.to_owned(),
            pieces: vec![Piece::Typed(raw.to_owned())],
        }
    }

    fn body(text: &Text, escape: Escape) -> Body {
        let mut builder = BodyBuilder::default();
        builder.text(text, escape);
        builder.finish(escape, "text/plain")
    }

    fn expanded(raw: &str, escape: Escape, value: &str) -> String {
        body(&typed(raw), escape).expand(&Filling::one(value))
    }

    #[test]
    fn only_a_name_in_braces_is_a_hole() {
        let plain = |raw: &str| expanded(raw, Escape::None, "7");
        assert_eq!(plain("{id}-{id}"), "7-7");
        assert_eq!(
            plain("a{3} {} { id } {\"a\":{\"b\":1}} {id"),
            "a{3} {} { id } {\"a\":{\"b\":1}} {id"
        );
        assert_eq!(plain("{{id}} {{{id}}} {{ x }}"), "{id} {{id}} {{ x }}");
        assert_eq!(plain("{a-b} {{id} {id}}"), "{a-b} {7 7}");
    }

    #[test]
    fn values_are_escaped_as_the_body_wants_it() {
        let odd = "a\"b\\ &=é\n";
        assert_eq!(
            expanded("<{id}>\"", Escape::Json, odd),
            "<a\\\"b\\\\ &=é\\n>\\\""
        );
        assert_eq!(
            expanded("{id} &", Escape::Form, odd),
            "a%22b%5C+%26%3D%C3%A9%0A+%26"
        );
        assert_eq!(expanded("{id}", Escape::None, odd), odd);
    }

    #[test]
    fn a_graphql_document_keeps_its_selections() {
        let document = "query { user(login: \"{login}\", n: {n}) {id} r: x {name} }";
        let body = body(&typed(document), Escape::Json);
        assert_eq!(body.names().collect::<Vec<_>>(), ["login", "n"]);
        let values = BTreeMap::from([
            ("login".to_owned(), "a\"b".to_owned()),
            ("n".to_owned(), "3".to_owned()),
        ]);
        let sent: String = serde_json::from_str(&format!(
            "\"{}\"",
            body.expand(&Filling::of(Values::Several(&values)))
        ))
        .unwrap();
        assert_eq!(
            sent,
            "query { user(login: \"a\\\"b\", n: 3) {id} r: x {name} }"
        );
    }

    #[test]
    fn what_was_filled_in_is_no_template_and_is_never_shown() {
        let text = Text {
            raw: "k={x}${SECRET}".to_owned(),
            pieces: vec![
                Piece::Typed("k={id}{".to_owned()),
                Piece::Filled("hunter2{id}".to_owned()),
                Piece::Typed("}".to_owned()),
            ],
        };
        let body = body(&text, Escape::None);
        assert_eq!(body.expand(&Filling::one("7")), "k=7{hunter2{id}}");
        assert!(body.is_secret());
        assert_eq!(body.secrets().collect::<Vec<_>>(), ["hunter2{id}"]);
        assert!(!format!("{body:?}").contains("hunter2"));
        assert_eq!(body.raw(), "k={x}${SECRET}");
    }

    #[test]
    fn the_ids_of_a_batch_are_a_list_or_a_text() {
        let mut builder = BodyBuilder::default();
        builder.syntax("{\"ids\":");
        builder.list_of_ids();
        builder.syntax(",\"q\":\"");
        builder.text(&typed("<{ids}>"), Escape::Json);
        builder.syntax("\"}");
        let body = builder.finish(Escape::Json, "application/json");
        assert!(body.has_ids());
        let several = Filling::several(&["a\"", "b"], ",");
        assert_eq!(
            body.expand(&several),
            r#"{"ids":["a\"","b"],"q":"<a\",b>"}"#
        );
        let one = Filling::one("a,b");
        assert_eq!(body.expand(&one), r#"{"ids":["a,b"],"q":"<a,b>"}"#);
        assert_eq!(body.raw(), r#"{"ids":{ids},"q":"<{ids}>"}"#);
    }
}
