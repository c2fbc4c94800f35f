//! Python with the packages that some tests need.
#![allow(
    dead_code,
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout
)]

use super::support::told;
use super::tools;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A Python that can import `module`: the system's, or one in a virtual environment
/// of this name with `packages`, made once, whoever comes first. `None`, and a
/// line that says so, where it can't be had; CI must have it.
pub fn python_with(module: &str, name: &str, packages: &[&str]) -> Option<PathBuf> {
    let has = |python: &Path| {
        let mut command = Command::new(python);
        command.args(["-c", &format!("import {module}")]);
        command.output().is_ok_and(|o| o.status.success())
    };
    let system = PathBuf::from("python3");
    if packages.iter().all(|package| !package.contains("==")) && has(&system) {
        return Some(system);
    }
    if !tools::tool("python3", "python3") {
        return None;
    }
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let folder = target.join(name);
    fs::create_dir_all(&folder).unwrap();
    let lock = File::create(target.join(format!("{name}.lock"))).unwrap();
    lock.lock().unwrap();
    let python = folder.join("bin/python");
    let stamp = folder.join(".packages");
    let wanted = packages.join("\n");
    if fs::read_to_string(&stamp).ok().as_ref() == Some(&wanted) && has(&python) {
        return Some(python);
    }
    let make = || {
        let mut command = Command::new(&system);
        command.args(["-m", "venv", "--clear"]).arg(&folder);
        command.output()
    };
    let made = |made: &std::io::Result<Output>| made.as_ref().is_ok_and(|o| o.status.success());
    let mut output = make();
    // Debian has it in a package of its own.
    if !made(&output) && tools::install("python3-venv") {
        output = make();
    }
    if made(&output) {
        let mut pip = Command::new(&python);
        pip.args(["-m", "pip", "install", "--quiet"]);
        output = pip
            .arg("--disable-pip-version-check")
            .args(packages)
            .output();
    }
    if made(&output) && has(&python) {
        fs::write(&stamp, wanted).unwrap();
        return Some(python);
    }
    let said = match output {
        Ok(output) => told(&output),
        Err(error) => error.to_string(),
    };
    assert!(
        std::env::var_os("CI").is_none(),
        "CI must be able to install {packages:?} into {}: {said}",
        folder.display()
    );
    println!("skipped: {packages:?} could not be installed: {said}");
    None
}
