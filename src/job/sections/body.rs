//! `[request] body` and `form`: what a POST sends.

use super::reader::{Field, Reader, Section, StandIn};
use crate::job::diagnostic::Diagnostic;
use crate::job::interpolate::Text;
use crate::job::template::{BodyBuilder, Escape};
use crate::job::{Body, Filling, Method};
use toml::de::DeValue;

const JSON: &str = "application/json";
const FORM: &str = "application/x-www-form-urlencoded";
const TEXT: &str = "text/plain; charset=utf-8";

/// The body; `None` when a mistake was told.
pub(super) fn read(
    reader: &mut Reader,
    section: &Section<'_>,
    method: Option<Method>,
) -> Option<Option<Body>> {
    let (body, form) = (section.get("body"), section.get("form"));
    let field = match (body, form) {
        (None, None) => return Some(None),
        (Some(_), Some(form)) => {
            let mistake = Diagnostic::new("`body` and `form` are both there").at(form.key.clone());
            reader.push(mistake.help("a request has one body: leave one of them out"));
            return None;
        }
        (Some(field), None) | (None, Some(field)) => field,
    };
    if method == Some(Method::Get) {
        let message = format!("`{}` is for a POST, and this is a GET", field.name);
        let mistake = Diagnostic::new(message).at(field.key.clone());
        reader.push(mistake.help("add `method = \"POST\"`"));
    }
    let body = match (form.is_some(), field.value.get_ref()) {
        (true, _) => read_form(reader, field),
        (false, DeValue::String(_)) => read_text(reader, field),
        (false, DeValue::Table(_) | DeValue::Array(_)) => {
            let mut builder = BodyBuilder::default();
            json(reader, field, &mut builder).map(|()| builder.finish(Escape::Json, JSON))
        }
        _ => {
            reader.wrong_type(field, "a table or an array (sent as JSON) or a string");
            None
        }
    };
    body.map(Some)
}

/// Pairs, in the file's order.
fn read_form(reader: &mut Reader, field: &Field<'_>) -> Option<Body> {
    let mut builder = BodyBuilder::default();
    let mut good = true;
    for (index, pair) in reader.table(field)?.iter().enumerate() {
        let name: String = form_urlencoded::byte_serialize(pair.name.as_bytes()).collect();
        let separator = if index > 0 { "&" } else { "" };
        builder.syntax(&format!("{separator}{name}="));
        good &= text(reader, pair, &mut builder, Escape::Form).is_some();
    }
    good.then(|| builder.finish(Escape::Form, FORM))
}

/// A text, sent as it is; one that is JSON is sent as such, and values are escaped for it.
fn read_text(reader: &mut Reader, field: &Field<'_>) -> Option<Body> {
    let mut builder = BodyBuilder::default();
    text(reader, field, &mut builder, Escape::None)?;
    let body = builder.finish(Escape::Json, JSON);
    let value = serde_json::from_str::<serde_json::Value>(&body.expand(&Filling::one("0")));
    if value.is_ok_and(|value| value.is_object() || value.is_array()) {
        return Some(body);
    }
    let mut builder = BodyBuilder::default();
    text(reader, field, &mut builder, Escape::None)?;
    Some(builder.finish(Escape::None, TEXT))
}

/// A TOML value as JSON, in the file's order.
fn json(reader: &mut Reader, field: &Field<'_>, builder: &mut BodyBuilder) -> Option<()> {
    match field.value.get_ref() {
        DeValue::String(text) if text == "{ids}" => builder.list_of_ids(),
        DeValue::String(_) => {
            builder.syntax("\"");
            text(reader, field, builder, Escape::Json)?;
            builder.syntax("\"");
        }
        DeValue::Integer(integer) => {
            let number = i128::from_str_radix(integer.as_str(), integer.radix());
            if number.is_err() {
                reader.impossible(field, "this number is too long", "write it in quotes");
            }
            builder.syntax(&number.ok()?.to_string());
        }
        DeValue::Float(float) => {
            let text = float.as_str().replace('_', "");
            let text = text.trim_start_matches('+');
            if !text.parse::<f64>().is_ok_and(f64::is_finite) {
                let message = format!("`{}` is a number that JSON does not have", field.name);
                reader.impossible(field, &message, "write it in quotes");
                return None;
            }
            builder.syntax(text);
        }
        DeValue::Boolean(value) => builder.syntax(&value.to_string()),
        DeValue::Datetime(value) => builder.syntax(&format!("\"{value}\"")),
        DeValue::Array(elements) => {
            builder.syntax("[");
            let mut good = true;
            for (index, value) in elements.iter().enumerate() {
                builder.syntax(if index > 0 { "," } else { "" });
                let element = Field {
                    name: field.name,
                    key: field.key.clone(),
                    value,
                };
                good &= json(reader, &element, builder).is_some();
            }
            builder.syntax("]");
            return good.then_some(());
        }
        DeValue::Table(_) => {
            builder.syntax("{");
            let mut good = true;
            for (index, pair) in reader.table(field)?.iter().enumerate() {
                let separator = if index > 0 { "," } else { "" };
                let name = serde_json::Value::from(pair.name);
                builder.syntax(&format!("{separator}{name}:"));
                good &= json(reader, pair, builder).is_some();
            }
            builder.syntax("}");
            return good.then_some(());
        }
    }
    Some(())
}

/// A string in a body.
fn text(
    reader: &mut Reader,
    field: &Field<'_>,
    builder: &mut BodyBuilder,
    escape: Escape,
) -> Option<()> {
    let text = reader.text(field, StandIn::InSandbox)?;
    if let Some(name) = spaced_hole(&text).filter(|_| field.name != "query") {
        let message = format!("`{}` is no placeholder: there are spaces in it", field.name);
        let help = format!("write `{{{name}}}`");
        reader.impossible(field, &message, &help);
        return None;
    }
    builder.text(&text, escape);
    Some(())
}

/// `{ id }` and nothing else: meant to be a hole. (In GraphQL it is a selection.)
fn spaced_hole(text: &Text) -> Option<&str> {
    let inner = text.raw.strip_prefix('{')?.strip_suffix('}')?;
    let name = inner.trim();
    let is_word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    (name.len() < inner.len() && !name.is_empty() && name.bytes().all(is_word)).then_some(name)
}
