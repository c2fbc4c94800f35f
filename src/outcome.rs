//! The fate of one item: the value that flows from fetch to write to report.
//!
//! Owns nothing and does nothing; every stage from fetch on agrees on these
//! types. Must never hold a credential: a message here ends in a file.

mod pages;

pub use pages::{Page, Pages, ResumePoint};

use bytes::Bytes;
use std::fmt;
use std::time::SystemTime;

/// What became of one item ("Every item has a fate").
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The item's ID, as listed.
    pub id: String,
    /// Which listing of a repeated ID this is: 0 unless `repeats = "each"`.
    pub occurrence: u32,
    /// The record, or why there is none.
    pub fate: Result<Record, Failure>,
    /// Of an item that came in pages: their lines, in the place of the record,
    /// which is one of the pages.
    pub pages: Option<Box<Pages>>,
}

/// A body that the API gave for an item; or, in an update, its word that the
/// one of before still holds.
#[derive(Debug, Clone)]
pub struct Record {
    /// HTTP status, 200 to 299; 304 when the body of before still holds.
    pub status: u16,
    /// When the body was complete.
    pub fetched_at: SystemTime,
    /// Valid JSON in UTF-8 without insignificant white space: one line, no newline at its end.
    /// Empty with a 304.
    pub body: Bytes,
    /// What to ask with the next time.
    pub validators: Validators,
}

impl Record {
    /// The body of before still holds, as of `at`.
    pub fn unchanged(at: SystemTime, validators: Validators) -> Record {
        Record {
            status: 304,
            fetched_at: at,
            body: Bytes::new(),
            validators,
        }
    }

    /// Whether there is no body, since the one of before still holds.
    pub fn is_unchanged(&self) -> bool {
        self.status == 304
    }
}

/// What a server calls one version of a body (RFC 9110 section 8.8), byte for
/// byte as it came: a weak ETag stays weak.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Validators {
    /// `ETag`.
    pub etag: Option<Box<[u8]>>,
    /// `Last-Modified`.
    pub last_modified: Option<Box<[u8]>>,
}

impl Validators {
    /// Whether nothing can be asked with them.
    pub fn is_empty(&self) -> bool {
        self.etag.is_none() && self.last_modified.is_none()
    }
}

/// Why an item has no record, for good.
#[derive(Debug, Clone)]
pub struct Failure {
    /// HTTP status of the last answer, when there was one.
    pub status: Option<u16>,
    /// The kind of failure, as the failures file names it.
    pub reason: Reason,
    /// One line for people: what happened, without URLs or credentials.
    pub message: String,
    /// Tries made.
    pub attempts: u32,
    /// When the last try ended.
    pub at: SystemTime,
    /// The item itself is there all the same: a later page of it failed, or it is
    /// the only one that the job has, a plain listing.
    pub is_there: bool,
}

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// The kinds of failure. Their names are a stable interface: people filter the failures file by them.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Reason { $($(#[$doc])* $name,)* }

        impl Reason {
            /// Every reason, in the order of this file.
            pub const ALL: &'static [Reason] = &[$(Reason::$name,)*];

            /// The name in the failures file.
            pub fn as_str(self) -> &'static str {
                match self { $(Reason::$name => $text,)* }
            }
        }
    };
}

reasons! {
    /// 404, or an error of that kind in a 2xx (`fail_when`).
    NotFound = "not_found",
    /// 410.
    Gone = "gone",
    /// 401 with a fresh token while other items got through.
    Unauthorized = "unauthorized",
    /// 403 while other items got through.
    Forbidden = "forbidden",
    /// Any other 4xx that is not tried again.
    ClientError = "client_error",
    /// 429, or an error of that kind in a 2xx (`retry_when`), also after every try.
    RateLimited = "rate_limited",
    /// 408 or 425, also after every try.
    ServerBusy = "server_busy",
    /// 5xx, also after every try.
    ServerError = "server_error",
    /// A 2xx without a body where one was due (204, 205).
    NoContent = "no_content",
    /// 304 or another status that carries no record.
    UnexpectedStatus = "unexpected_status",
    /// A redirect without an end, without a place, or to a place that may not be followed.
    Redirect = "redirect",
    /// A 2xx whose body says that it failed (`fail_when`).
    ApiError = "api_error",
    /// The body was not JSON.
    MalformedBody = "malformed_body",
    /// The body had no bytes.
    EmptyBody = "empty_body",
    /// The body ended before its announced length, or its compression was broken.
    CutBody = "cut_body",
    /// The body was longer than `max_body`.
    BodyTooLarge = "body_too_large",
    /// No connection could be made.
    Connect = "connect",
    /// The connection was lost while the answer was due.
    ConnectionLost = "connection_lost",
    /// The attempt took longer than `timeout`.
    Timeout = "timeout",
    /// The ID can't be put into the URL (a path segment of `..`, a header value with a newline).
    InvalidId = "invalid_id",
    /// The pages of the item never end: one came again.
    PageLoop = "page_loop",
    /// The item's next page can't be asked for: a link that is none, or that leads to another
    /// origin, or to plain http.
    NextPage = "next_page",
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
