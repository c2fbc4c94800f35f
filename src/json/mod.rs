//! JSON text, judged and queried as it came (RFC 8259, RFC 9535).
//!
//! What is found in a body are slices of it, byte for byte as the server sent
//! them: no number is rounded, no member sorted, no escape resolved until
//! someone asks for a string's text ([`string`]). Everything but
//! [`compact_json`] takes JSON in the compact form that it makes: without white
//! space between the tokens. Anything else gives an error or an odd slice,
//! never a panic. Must never build a tree where a pass over the text will do,
//! and never recurse as deep as a body says.
//!
//! Of several members with one name the last counts, as everywhere in
//! serde_json.

mod compact;
mod cost;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzz;
mod parts;
mod pass;
mod path;
mod paths;
mod query;
mod scan;
mod search;
mod words;

pub use compact::{JsonError, compact_json};
pub use parts::{elements, is_null, members, string, text};
pub(crate) use path::json_path;
pub use path::shown;
pub use query::{Queries, Query, QueryError, needs_tree};
