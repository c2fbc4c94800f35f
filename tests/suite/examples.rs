//! Every job in `jobs/` does what it is there to show, against the embedded API.

use crate::support::{Place, harvest, told};
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The job files, `tracks.toml` first: others read what it wrote.
fn jobs() -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(root().join("jobs"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".toml"))
        .collect();
    names.sort_by_key(|name| (name != "tracks.toml", name.clone()));
    names
}

/// A copy of `jobs/` and of what git tracks in `data/`.
fn copy() -> Place {
    let place = Place::new();
    for folder in ["jobs", "data"] {
        fs::create_dir(place.path(folder)).unwrap();
        for entry in fs::read_dir(root().join(folder)).unwrap() {
            let from = entry.unwrap().path();
            let name = from.file_name().unwrap().to_str().unwrap().to_owned();
            let is_list = ["_ids.", "_names."].iter().any(|end| name.contains(end));
            if folder == "jobs" || is_list {
                fs::copy(&from, place.path(&format!("{folder}/{name}"))).unwrap();
            }
        }
    }
    place
}

fn output_of(place: &Place, job: &str) -> PathBuf {
    let text = place.read(&format!("jobs/{job}"));
    let line = text.lines().find(|line| line.starts_with("path = "));
    let path = line.and_then(|line| line.split('"').nth(1)).unwrap();
    place.path("jobs").join(path)
}

#[test]
fn every_job_runs_against_the_embedded_api() {
    let place = copy();
    let jobs = jobs();
    assert!(jobs.len() >= 4, "{jobs:?}");
    for job in &jobs {
        let run = || {
            harvest()
                .current_dir(place.path("."))
                .arg(format!("jobs/{job}"))
                .args(["--sandbox", "--rate", "unlimited", "--limit", "60"])
                .output()
                .unwrap()
        };
        let first = run();
        assert!(
            matches!(first.status.code(), Some(0 | 3)),
            "{job}: {}",
            told(&first)
        );
        let output = fs::read(output_of(&place, job)).unwrap();
        let lines = output.iter().filter(|&&byte| byte == b'\n').count();
        assert!(lines >= 2, "{job}: {lines} lines; {}", told(&first));
    }
}

#[test]
fn a_batch_has_the_records_of_single_fetches() {
    let place = copy();
    let mut records = Vec::new();
    for job in ["tracks.toml", "tracks_batch.toml"] {
        let output = harvest()
            .current_dir(place.path("."))
            .arg(format!("jobs/{job}"))
            .args(["--sandbox", "--rate", "unlimited"])
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", told(&output));
        let text = fs::read_to_string(output_of(&place, job)).unwrap();
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort();
        records.push(lines);
    }
    assert!(!records[0].is_empty());
    assert_eq!(records[0], records[1]);
}
