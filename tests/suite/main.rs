//! What harvest promises, shown on the built binary against real HTTP on
//! loopback. One program, so that its tests, which mostly wait, wait together.
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

#[path = "../support/browser.rs"]
mod browser;
#[path = "../support/oauth_server.rs"]
mod oauth_server;
#[path = "../support/paged.rs"]
mod paged;
#[path = "../support/python.rs"]
mod python;
#[path = "../support/raw.rs"]
mod raw;
#[path = "../support/refusing.rs"]
mod refusing;
#[path = "../support/mod.rs"]
mod support;
#[path = "../support/tools.rs"]
mod tools;

use support::child;

mod bad_items;
mod batches;
mod bodies;
mod certificates;
mod clock_faults;
mod command_line;
mod documents;
mod exactly_once;
mod examples;
mod fates;
#[cfg(unix)]
mod files_of_others;
mod grants;
mod layers;
mod login_browser;
mod memory;
mod network_faults;
mod oauth;
mod open_files;
mod pages;
mod pages_resumed;
mod pages_updated;
mod proxies;
mod quarantine;
mod real_data;
mod redirects;
mod retry;
mod secrets;
mod shutdown;
mod storms;
mod systemic;
mod token_faults;
mod tokens;
mod update;
mod variables;
