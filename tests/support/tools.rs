//! System tools that some tests need.
#![allow(dead_code, missing_docs, unreachable_pub)]

use std::process::{Command, Stdio};
use std::sync::Mutex;

/// One installation at a time: tests run side by side.
static INSTALLING: Mutex<()> = Mutex::new(());

/// Whether a program can be had: it is there, or Debian's package of it can be installed.
pub fn tool(program: &str, package: &str) -> bool {
    let _one = INSTALLING.lock().unwrap_or_else(|held| held.into_inner());
    if found(program) || (install(package) && found(program)) {
        return true;
    }
    assert!(
        std::env::var_os("CI").is_none(),
        "CI must have {program} (package {package})"
    );
    eprintln!("skipped: no {program} (package {package})");
    false
}

fn found(program: &str) -> bool {
    let places = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&places).any(|place| place.join(program).is_file())
}

fn install(package: &str) -> bool {
    let quiet = |program: &str, arguments: &[&str]| {
        Command::new(program)
            .args(arguments)
            .env("DEBIAN_FRONTEND", "noninteractive")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    };
    let root = Command::new("id")
        .arg("-u")
        .output()
        .is_ok_and(|id| id.stdout == b"0\n");
    let from_debian = ["install", "-y", "--no-install-recommends", package];
    root && (quiet("apt-get", &from_debian)
        || (quiet("apt-get", &["update"]) && quiet("apt-get", &from_debian)))
}
