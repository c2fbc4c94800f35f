//! What the job file says, as validated values.
//!
//! Owns the job format: [`load`] reads the TOML file, the environment and the
//! `.env` beside it, and returns a [`Job`] or every mistake at once as
//! [`JobError`]. A `Job` that exists is valid. Must never send anything, open
//! an output, or print; must never keep a secret outside a [`secrecy::SecretString`].

mod auth;
mod credentials;
mod decode;
mod diagnostic;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzz;
mod interpolate;
mod pages;
mod sections;
mod signing_key;
mod starter;
mod template;
mod units;
mod variables;

pub(crate) use crate::json::json_path;
pub(crate) use auth::in_clear;
pub use auth::{
    ApiKeyPlace, Assertion, Auth, ClientAuth, Endpoints, Grant, GrantKind, Issuer, Login,
    LoginBody, LoginLife, LoginToken, OAuthClient, TokenUse,
};
pub use decode::{LoadOptions, load};
pub(crate) use diagnostic::nearest;
pub use diagnostic::{Diagnostic, JobError};
pub use interpolate::Environment;
pub(crate) use pages::selects_elements;
pub use pages::{PageRecords, PageWay, Pages};
pub use signing_key::{Algorithm, SigningError, SigningKey};
pub use starter::{SCHEMA, Starter, starter};
pub use template::{Body, Filling, Template, TemplateError, UrlTemplate};
pub use units::{Concurrency, Pace, Quarantine, Rate, UnitError, parse_duration, parse_size};
pub use variables::{IdForm, Values, object_id, object_values};

use serde_json_path::JsonPath;
use std::path::PathBuf;
use std::time::Duration;

/// The ID of the only item of a job without `{id}`: a plain listing.
pub const LISTING: &str = "listing";

/// One harvest, as the job file describes it. Made only by [`load`].
#[derive(Debug, Clone)]
pub struct Job {
    /// The job file, as it was named.
    pub path: PathBuf,
    /// Which items to fetch.
    pub ids: Ids,
    /// How one item is asked for.
    pub request: Request,
    /// Whose credentials go along.
    pub auth: Auth,
    /// How fast, and how patient.
    pub limits: Limits,
    /// How often one item is tried.
    pub retry: Retry,
    /// Where records go, and in which form.
    pub output: Output,
    /// How often work is made durable.
    pub checkpoint: Checkpoint,
    /// How old a record may get; `None`: it is kept until someone asks for an update.
    pub update: Option<Update>,
    /// Every request goes to the embedded API instead of the named hosts.
    pub sandbox: bool,
}

/// `[ids]`: the list. The inline IDs come before the file's.
#[derive(Debug, Clone)]
pub struct Ids {
    /// `list`: IDs written in the job file; [`LISTING`] alone for a job without variables.
    pub list: Vec<String>,
    /// `file`: IDs read from a file or from stdin.
    pub file: Option<IdFile>,
    /// `repeats`: what an ID that is listed twice means.
    pub repeats: Repeats,
}

/// `[ids] file`, with how it is read.
#[derive(Debug, Clone)]
pub struct IdFile {
    /// Where the bytes come from.
    pub source: IdSource,
    /// How they are split into IDs.
    pub format: IdFormat,
}

/// Where an ID file is read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IdSource {
    /// `file = "-"`.
    Stdin,
    /// A path, already resolved against the job file's folder.
    Path(PathBuf),
}

/// How the bytes of an ID file become IDs.
#[derive(Debug, Clone, PartialEq)]
pub enum IdFormat {
    /// One ID a line; `#` starts a comment line.
    Lines,
    /// A header row and a named column; without a name, the file must have one column.
    Delimited {
        /// `b','` or `b'\t'`.
        delimiter: u8,
        /// `column`.
        column: Option<String>,
    },
    /// One JSON value a line; the ID is at this JSONPath.
    Ndjson {
        /// `field`.
        field: JsonPath,
    },
    /// A header row, and a column for each of several variables.
    Rows {
        /// `b','` or `b'\t'`.
        delimiter: u8,
        /// Variable and column, by the variable's name.
        columns: Vec<(String, String)>,
    },
    /// One JSON value a line, with a JSONPath for each of several variables.
    Objects {
        /// Variable and path, by the variable's name.
        fields: Vec<(String, JsonPath)>,
    },
}

/// `[ids] repeats`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Repeats {
    /// An ID that is listed twice is fetched once.
    #[default]
    Once,
    /// Each listing is an item of its own.
    Each,
}

/// `[request]`: one item's request.
#[derive(Debug, Clone)]
pub struct Request {
    /// `url`, with `{id}` or other variables.
    pub url: UrlTemplate,
    /// `method`.
    pub method: Method,
    /// `query`: name and value, in the file's order.
    pub query: Vec<(String, Template)>,
    /// `headers`: name and value, in the file's order; names are valid header names.
    pub headers: Vec<(String, Template)>,
    /// `body` or `form`: what a POST sends.
    pub body: Option<Body>,
    /// The names of all holes, sorted, each once. Empty: a plain listing.
    pub variables: Vec<String>,
    /// `fail_when`: a 2xx answer in which it finds something is a failure.
    pub fail_when: Option<JsonPath>,
    /// `retry_when`: such a failure is worth another try.
    pub retry_when: Option<JsonPath>,
    /// `timeout`: for one attempt, body included.
    pub timeout: Duration,
    /// `max_body`: bytes of one decoded body at most.
    pub max_body: u64,
    /// `pages`: an item's answer comes in pages.
    pub pages: Option<Pages>,
    /// `[request.batch]`: one request asks for several items.
    pub batch: Option<Batch>,
}

/// `[request.batch]`: one request asks for up to `size` items, whose IDs take
/// the place of `{ids}`.
#[derive(Debug, Clone)]
pub struct Batch {
    /// `size`: items of one request at most, at least 1.
    pub size: usize,
    /// `separator`: what stands between two IDs.
    pub separator: String,
    /// `items`: where the answer has its elements: an array, or several nodes.
    pub items: JsonPath,
    /// `key` or `match`: which element is whose.
    pub matching: Matching,
    /// `single`: how one item is asked for when the batch endpoint is gone.
    pub single: Option<UrlTemplate>,
}

/// Which element of a batch's answer is whose.
#[derive(Debug, Clone, PartialEq)]
pub enum Matching {
    /// `key`: the ID is at this JSONPath in the element. An element with a key that
    /// nobody asked for (Spotify relinks tracks) belongs to the item at its place,
    /// when all others are in theirs.
    Key(JsonPath),
    /// `match = "position"`: the elements are in the order of the IDs, `null` where there is none.
    Position,
}

impl Request {
    /// What an item's ID is made of.
    pub fn id_form(&self) -> IdForm {
        match self.variables.len() {
            0 | 1 => IdForm::Text,
            _ => IdForm::Object,
        }
    }
}

/// `[request] method`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// `GET`.
    Get,
    /// `POST`, with or without a body.
    Post,
}

impl Method {
    /// The method's name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Method::Get => "GET",
            Method::Post => "POST",
        }
    }
}

/// Requests in flight at most where the number finds itself.
pub const MOST_AUTO_CONCURRENCY: usize = 256;

/// `[limits]`: how fast, and how patient.
#[derive(Debug, Clone)]
pub struct Limits {
    /// `rate`: quotas that hold together; empty means unlimited, or "auto" alone.
    pub rates: Vec<Rate>,
    /// `rate` has "auto": below the quotas, the pace finds itself.
    pub rate_auto: bool,
    /// `concurrency`: requests in flight at most, 1 to 10,000.
    pub concurrency: usize,
    /// `concurrency = "auto"`: below [`MOST_AUTO_CONCURRENCY`], the number finds itself.
    pub concurrency_auto: bool,
    /// `max_wait`: the longest Retry-After or outage to sit out.
    pub max_wait: Duration,
    /// `quarantine`: so many failures of the same kind stop the run; `None` is "off".
    pub quarantine: Option<Quarantine>,
}

/// `[retry]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    /// `attempts`: tries of one item before it counts as failed, at least 1.
    pub attempts: u32,
    /// `backoff`: the first step's ceiling.
    pub backoff_first: Duration,
    /// `backoff`: the last step's ceiling.
    pub backoff_last: Duration,
}

/// `[output]`: where records go, and in which form.
#[derive(Debug, Clone)]
pub struct Output {
    /// `path`.
    pub target: OutputTarget,
    /// From the path's ending.
    pub format: OutputFormat,
    /// `record`.
    pub record: RecordForm,
    /// `[output.columns]`: name and path into the body, in the file's order; empty: from the first record.
    pub columns: Vec<(String, JsonPath)>,
}

/// `[output] path`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OutputTarget {
    /// `"-"`: no checkpoint, no resume.
    Stdout,
    /// A file, already resolved against the job file's folder.
    File(PathBuf),
}

/// The form of the output file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputFormat {
    /// One JSON value a line.
    Ndjson,
    /// RFC 4180 rows; `b','` for CSV, `b'\t'` for TSV.
    Delimited {
        /// Between two fields.
        delimiter: u8,
    },
}

/// `[output] record`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RecordForm {
    /// The API's JSON as it came, one compact line.
    #[default]
    Body,
    /// `{"id","status","fetched_at","body"}`.
    Envelope,
}

/// `[checkpoint]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checkpoint {
    /// `every`: the most work that a crash can cost.
    pub every: Duration,
}

/// `[update]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Update {
    /// `older_than`: only records of this age are asked for again.
    pub older_than: Duration,
}
