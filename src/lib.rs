//! `harvest`: a list of IDs in, one clean NDJSON or CSV file out, each ID in
//! it exactly once, whatever the night brings.
//!
//! # The tour
//! A **job** names **items** (IDs); a **pacer** says when the next request may
//! go; a **fetcher** turns each item into an **outcome** (a record, or a
//! failure with its reason) with a token that all share; a **writer** appends
//! outcomes and commits **checkpoints**; a **reporter** watches events and
//! shows people.
//!
//! | module | owns | knows |
//! | --- | --- | --- |
//! | [`cli`] | what a person types, exit codes, how errors are shown | all below |
//! | [`run`] | the wiring of the stages, shutdown | all below but `sandbox` |
//! | [`report`] | events → bar, lines, summary | `outcome`, `pace` |
//! | [`write`](mod@write) | outcomes → bytes, opening and recovery of the output | `checkpoint`, `outcome`, `job`, `json` |
//! | [`checkpoint`] | the done set, the journal, the lock | `pace` (its notes), `outcome` (its trails), `job` |
//! | [`fetch`] | one item → one attempt's verdict | `json`, `auth`, `pace`, `transport`, `outcome` |
//! | [`ids`] | the stream of items | `job` |
//! | [`auth`] | credentials, the shared token, a person's log-in | `pace`, `transport`, `job` |
//! | [`transport`] | the HTTP client, proxies, `Retry-After`, rate headers | `outcome`, `pace` (its budget), `job` |
//! | [`pace`] | quotas, permits, pauses, the in-flight limit, the pace that finds itself | `job` |
//! | [`outcome`] | the value that flows: record or failure | nobody |
//! | [`job`] | the job file as validated values | `json` |
//! | [`sandbox`] | the embedded API | nobody |
//! | [`json`] | JSON text, judged and queried as it came | nobody |
//! | [`fail_point`] | places where tests kill the process; nothing in an ordinary build | nobody |
//!
//! Arrows point downwards only. Data flows by value through bounded channels:
//! job → ids → pace → fetch → write → checkpoint → report.

#![forbid(unsafe_code)]
// No foreign byte may reach a panic. Tests panic when they fail, so these are
// for the library alone; `unwrap` and its like: Cargo.toml.
#![cfg_attr(
    not(test),
    warn(
        clippy::indexing_slicing,
        clippy::string_slice,
        clippy::unreachable,
        clippy::unimplemented,
        clippy::get_unwrap
    )
)]

pub mod auth;
pub mod checkpoint;
pub mod cli;
pub mod fail_point;
pub mod fetch;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
pub mod ids;
pub mod job;
pub mod json;
pub mod outcome;
pub mod pace;
pub mod report;
pub mod run;
pub mod sandbox;
pub mod transport;
pub mod write;
