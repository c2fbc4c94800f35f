//! Paces and quotas, by the clock: a program of its own, so that no other test
//! takes its time away.
#![allow(
    missing_docs,
    unreachable_pub,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::unwrap_used
)]

#[path = "../support/late.rs"]
mod late;
#[path = "../support/raw.rs"]
mod raw;
#[path = "../support/mod.rs"]
mod support;

use support::child;

mod auto_pace;
mod quotas;
