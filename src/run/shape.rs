//! What makes two runs' records the same kind of record (promise 1).

use crate::checkpoint::Shape;
use crate::job::{Job, OutputFormat, RecordForm};
use xxhash_rust::xxh3::xxh3_128;

/// The shape of a job's records: method, URL, query, headers, record form,
/// columns. Values are taken as the job file says them, before `${…}` is
/// filled in, so credentials may change freely; query and header values are
/// kept as hashes, since someone may have typed a secret there.
pub fn shape(job: &Job) -> Shape {
    let request = &job.request;
    let hashed = |text: &str| format!("#{:032x}", xxh3_128(text.as_bytes()));
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
        ("request.url".to_owned(), request.url.raw().to_owned()),
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
