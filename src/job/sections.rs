//! One file a section of the job file: TOML values in, the typed value out.
//!
//! Each section tells [`Reader`] every mistake it sees and goes on, so that a
//! person learns them all at once; `None` means that a mistake was told.

mod auth;
mod batch;
mod body;
mod credentials;
mod ids;
mod limits;
mod output;
mod pages;
mod reader;
mod request;
mod update;
mod values;
mod variables;

use self::reader::Reader;
use super::diagnostic::Diagnostic;
use super::interpolate::Filler;
use super::units::{Quarantine, Rate};
use super::{Checkpoint, Job, LoadOptions, Retry};
use std::path::Path;
use std::time::Duration;
use toml::de::DeTable;

/// Every section, with every key it may hold.
const SECTIONS: [(&str, &[&str]); 8] = [
    (
        "ids",
        &["list", "file", "column", "field", "variables", "repeats"],
    ),
    (
        "request",
        &[
            "url",
            "method",
            "query",
            "headers",
            "body",
            "form",
            "fail_when",
            "retry_when",
            "timeout",
            "max_body",
            "batch",
            "pages",
        ],
    ),
    (
        "auth",
        &[
            "type",
            "issuer",
            "token_url",
            "authorization_url",
            "device_authorization_url",
            "client_id",
            "client_secret",
            "client_auth",
            "key",
            "key_id",
            "key_file",
            "algorithm",
            "claims",
            "lifetime",
            "scope",
            "params",
            "authorization_params",
            "redirect_port",
            "refresh_token",
            "login_url",
            "form",
            "json",
            "token_path",
            "token_header",
            "token_cookie",
            "expires",
            "expires_in_path",
            "send_as",
            "prefix",
            "token",
            "username",
            "password",
            "in",
            "name",
            "value",
            "allow_http",
        ],
    ),
    ("limits", &["rate", "concurrency", "max_wait", "quarantine"]),
    ("retry", &["attempts", "backoff"]),
    ("output", &["path", "record", "order", "columns"]),
    ("checkpoint", &["every"]),
    ("update", &["older_than"]),
];

/// The job that the parsed file describes, or every mistake in it.
pub(super) fn read(
    path: &Path,
    root: &DeTable<'_>,
    options: &LoadOptions,
) -> Result<Job, Vec<Diagnostic>> {
    let folder = path.parent().unwrap_or(Path::new("")).to_owned();
    let filler = Filler::new(options.environment.clone(), folder.clone());
    let mut reader = Reader::new(filler, folder, options.sandbox);
    reader.check_sections(root);

    let request = request::read(&mut reader, root);
    let variables = request.as_ref().map(|part| &part.value.variables[..]);
    let ids = ids::read(&mut reader, root, variables);
    let auth = auth::read(&mut reader, root);
    let limits = limits::read(&mut reader, root, options);
    let retry = read_retry(&mut reader, root);
    let output = output::read(&mut reader, root, options.output.as_deref());
    let checkpoint = read_checkpoint(&mut reader, root);
    let update = update::read(&mut reader, root, output.as_ref(), options.output.is_some());
    if let (Some(request), Some(auth)) = (&request, &auth) {
        credentials::check(&mut reader, request, auth);
    }

    let mistakes = reader.into_mistakes();
    match (
        ids, request, auth, limits, retry, output, checkpoint, update,
    ) {
        (
            Some(ids),
            Some(request),
            Some(auth),
            Some(limits),
            Some(retry),
            Some(output),
            Some(checkpoint),
            Some(update),
        ) if mistakes.is_empty() => Ok(Job {
            path: path.to_owned(),
            ids,
            request: request.value,
            auth: auth.value,
            limits,
            retry,
            output,
            checkpoint,
            update,
            sandbox: options.sandbox,
        }),
        _ => Err(mistakes),
    }
}

/// `[retry]`.
fn read_retry(reader: &mut Reader, root: &DeTable<'_>) -> Option<Retry> {
    let section = reader.section(root, "retry");
    let attempts = section.optional("attempts", 6, |field| {
        reader.integer(field, 1, u32::MAX as usize)
    });
    let default = (Duration::from_millis(500), Duration::from_secs(60));
    let backoff = section.optional("backoff", default, |field| reader.span_of_time(field));
    let (backoff_first, backoff_last) = backoff?;
    Some(Retry {
        attempts: u32::try_from(attempts?).ok()?,
        backoff_first,
        backoff_last,
    })
}

/// `[checkpoint]`.
fn read_checkpoint(reader: &mut Reader, root: &DeTable<'_>) -> Option<Checkpoint> {
    let section = reader.section(root, "checkpoint");
    let range = Duration::from_millis(100)..=Duration::from_secs(3600);
    let every = section.optional("every", Duration::from_secs(1), |field| {
        reader.duration(field, range, "from `100ms` to `1h`")
    })?;
    Some(Checkpoint { every })
}

/// Nearly all of a hundred items: more than a bad stretch of a list has.
const DEFAULT_QUARANTINE: Quarantine = Quarantine {
    failures: 95,
    items: 100,
};

/// The rate of a job that names none.
const DEFAULT_RATE: Rate = Rate {
    count: 10,
    window: Duration::from_secs(1),
};

/// What the ending of a file's name says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    Lines,
    Delimited(u8),
    Ndjson,
    /// Planned, but not in this version.
    NotYet(&'static str),
    Unknown,
}

impl Ending {
    fn of(path: &str) -> Ending {
        let name = path.rsplit(['/', '\\']).next().unwrap_or_default();
        let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending);
        match ending.to_ascii_lowercase().as_str() {
            "txt" => Ending::Lines,
            "csv" => Ending::Delimited(b','),
            "tsv" => Ending::Delimited(b'\t'),
            "ndjson" | "jsonl" => Ending::Ndjson,
            "gz" => Ending::NotYet(".gz"),
            "zst" => Ending::NotYet(".zst"),
            "parquet" => Ending::NotYet(".parquet"),
            _ => Ending::Unknown,
        }
    }
}

#[cfg(test)]
mod tests;
