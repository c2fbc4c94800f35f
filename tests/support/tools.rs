//! Programs of the system that some tests need.
#![allow(
    dead_code,
    missing_docs,
    unreachable_pub,
    clippy::panic,
    clippy::print_stderr
)]

use super::support::watched;
use std::process::{Command, Stdio};
use std::sync::Mutex;

/// One installation at a time: apt locks its database.
static ONE: Mutex<()> = Mutex::new(());

/// Whether a program can be had: it is there, or Debian's package of it can be installed.
pub fn tool(program: &str, package: &str) -> bool {
    watched();
    let _one = ONE.lock();
    if is_there(program) {
        return true;
    }
    if installed(package) && is_there(program) {
        return true;
    }
    assert!(
        std::env::var_os("CI").is_none(),
        "CI must have {program} (Debian's package {package})"
    );
    eprintln!("skipped: no {program} here (Debian's package {package})");
    false
}

/// Installs a package of Debian's; false where that can't be done.
pub fn install(package: &str) -> bool {
    let _one = ONE.lock();
    installed(package)
}

fn installed(package: &str) -> bool {
    let install = ["install", "-y", "--no-install-recommends", package];
    is_root() && (apt(&install) || (apt(&["update"]) && apt(&install)))
}

fn is_there(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

fn is_root() -> bool {
    Command::new("id")
        .arg("-u")
        .output()
        .is_ok_and(|id| id.stdout == b"0\n")
}

fn apt(arguments: &[&str]) -> bool {
    // Another program that installs something is waited for.
    Command::new("apt-get")
        .args(["-o", "DPkg::Lock::Timeout=600"])
        // A test's tools need not survive a power loss, and dpkg syncs each file.
        .args(["-o", "Dpkg::Options::=--force-unsafe-io"])
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .env("DEBIAN_FRONTEND", "noninteractive")
        .status()
        .is_ok_and(|status| status.success())
}
