//! Disk faults, made from outside the built binary: "Exactly once" through full
//! disks, failing disks, slow disks, and files that are not what they should be.
//!
//! `HARVEST_DISK_FAULTS=nightly` makes many more injections;
//! `HARVEST_TEST_SEED` repeats an earlier run's choice of them.
#![cfg(unix)]
#![allow(
    missing_docs,
    unreachable_pub,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]

#[path = "../support/mod.rs"]
mod support;
#[path = "../support/tools.rs"]
mod tools;

mod bench;
mod beside;
mod corrupt;
mod full;
mod injected;
mod meanwhile;
mod places;
mod slow;
