//! A job's shape: what makes two runs' records the same kind of record ("Exactly once").

use super::Shape;
use crate::job::{Job, Matching, OutputFormat, RecordForm};
use xxhash_rust::xxh3::xxh3_128;

impl Shape {
    /// The shape of a job's records: method, URL, query, headers, body, what is
    /// taken for an error, record form, columns. Values are taken as the job file says them, before `${…}` is
    /// filled in, so credentials may change freely; the body, header values and
    /// those of the query, in the URL too, are kept as hashes, since someone may
    /// have typed a secret there.
    pub fn of(job: &Job) -> Shape {
        let request = &job.request;
        let mut fields = vec![
            (
                "source".to_owned(),
                if job.sandbox {
                    "the embedded API (--sandbox)".to_owned()
                } else {
                    request.url.origin()
                },
            ),
            (
                "request.method".to_owned(),
                request.method.as_str().to_owned(),
            ),
            ("request.url".to_owned(), without_values(request.url.raw())),
        ];
        for (name, value) in &request.query {
            fields.push((format!("request.query.{name}"), hashed(value.raw())));
        }
        for (name, value) in &request.headers {
            fields.push((
                format!("request.headers.{}", name.to_ascii_lowercase()),
                hashed(value.raw()),
            ));
        }
        if let Some(batch) = &request.batch {
            let key = match &batch.matching {
                Matching::Key(path) => path.to_string(),
                Matching::Position => "position".to_owned(),
            };
            fields.push(("request.batch.items".to_owned(), batch.items.to_string()));
            fields.push(("request.batch.key".to_owned(), key));
        }
        if let Some(body) = &request.body {
            let form = format!("{}\n{}", body.content_type(), body.raw());
            fields.push(("request.body".to_owned(), hashed(&form)));
        }
        let conditions = [
            ("request.fail_when", &request.fail_when),
            ("request.retry_when", &request.retry_when),
        ];
        for (name, path) in conditions {
            // Whether a failure is tried again changes no record, but for want of the other.
            if let Some(path) = path
                && (name == "request.fail_when" || request.fail_when.is_none())
            {
                fields.push((name.to_owned(), path.to_string()));
            }
        }
        if let Some(pages) = &request.pages {
            fields.push(("request.pages".to_owned(), pages.way.told()));
            fields.push(("request.pages.records".to_owned(), pages.records.told()));
            if let Some(most) = pages.max_pages {
                fields.push(("request.pages.max_pages".to_owned(), most.to_string()));
            }
        }
        fields.push((
            "output.format".to_owned(),
            match job.output.format {
                OutputFormat::Ndjson => "ndjson",
                OutputFormat::Delimited { delimiter: b'\t' } => "tsv",
                OutputFormat::Delimited { .. } => "csv",
            }
            .to_owned(),
        ));
        fields.push((
            "output.record".to_owned(),
            match job.output.record {
                RecordForm::Body => "body",
                RecordForm::Envelope => "envelope",
            }
            .to_owned(),
        ));
        let columns: Vec<_> = job
            .output
            .columns
            .iter()
            .map(|(name, path)| format!("{name} = {path}"))
            .collect();
        fields.push(("output.columns".to_owned(), columns.join(", ")));
        Shape { fields }
    }
}

fn hashed(text: &str) -> String {
    format!("#{:032x}", xxh3_128(text.as_bytes()))
}

/// The URL with a hash in place of each query value that has no `{` in it:
/// `?market=#…&id={id}`.
fn without_values(url: &str) -> String {
    // `{?a,b}` and `{&c}` hold names, and no values.
    let (url, expressions) = without_expressions(url);
    without_typed_values(&url) + &expressions
}

/// The URL without its expressions of a query, and these.
fn without_expressions(url: &str) -> (String, String) {
    let (mut rest, mut plain, mut expressions) = (url, String::new(), String::new());
    while let Some(at) = rest.find("{?").into_iter().chain(rest.find("{&")).min()
        && let Some((before, from)) = rest.split_at_checked(at)
        && let Some((expression, after)) = from.split_once('}')
    {
        plain.push_str(before);
        expressions.push_str(expression);
        expressions.push('}');
        rest = after;
    }
    plain.push_str(rest);
    (plain, expressions)
}

fn without_typed_values(url: &str) -> String {
    let Some((path, query)) = url.split_once('?') else {
        return url.to_owned();
    };
    let pairs: Vec<String> = query
        .split('&')
        .map(|pair| match pair.split_once('=') {
            Some((name, value)) if !value.contains('{') => format!("{name}={}", hashed(value)),
            Some(_) => pair.to_owned(),
            None if pair.contains('{') => pair.to_owned(),
            None => hashed(pair),
        })
        .collect();
    format!("{path}?{}", pairs.join("&"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_value_of_a_query_is_kept() {
        let kept = without_values("https://x/{id}?key=s3cret&ids={id}&s3cret&v=${VERSION}");
        assert!(!kept.contains("s3cret"), "{kept}");
        assert!(kept.starts_with("https://x/{id}?key=#"), "{kept}");
        assert!(
            kept.contains("&ids={id}&#") && kept.ends_with("&v=${VERSION}"),
            "{kept}"
        );
        assert_ne!(
            kept,
            without_values("https://x/{id}?key=other&ids={id}&s3cret&v=${VERSION}")
        );
        assert_eq!(without_values("https://x/{id}"), "https://x/{id}");
        let kept = without_values("https://x/{a}?key=s3cret{&b,c}");
        assert!(!kept.contains("s3cret"), "{kept}");
        assert!(kept.ends_with("{&b,c}"), "{kept}");
        assert_eq!(without_values("https://x{/a}{?b}"), "https://x{/a}{?b}");
    }
}
