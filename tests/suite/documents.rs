//! What the documents say of the code is so.

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            found.push(path);
        }
    }
}

/// Whether a test of this name stands in the test target or its module, or in the module of the library.
fn exists(place: &str, name: &str) -> bool {
    let mut files = Vec::new();
    for folder in [format!("tests/{place}"), format!("src/{place}")] {
        if root().join(&folder).is_dir() {
            rust_files(&root().join(folder), &mut files);
        }
    }
    for target in ["suite", "paced"] {
        files.push(root().join(format!("tests/{target}/{place}.rs")));
    }
    let function = format!("fn {name}(");
    files
        .iter()
        .filter_map(|path| fs::read_to_string(path).ok())
        .any(|text| text.contains(&function))
}

/// Each fault in the tables has a test, and the test is there.
#[test]
fn every_test_that_the_reliability_tables_name_exists() {
    let text = fs::read_to_string(root().join("docs/reliability.md")).unwrap();
    let mut named = 0;
    let begin = text.find("## Faults that were tried").unwrap();
    let end = text.find("### Foreign bytes").unwrap();
    let rows = text[begin..end].lines().filter(|line| {
        line.starts_with("| ") && !line.starts_with("| fault") && !line.starts_with("| ---")
    });
    for row in rows {
        let tests = row.split(" | ").last().unwrap();
        let mut of_row = 0;
        for test in tests.split('`').filter(|word| word.contains("::")) {
            let (place, name) = test.split_once("::").unwrap();
            assert!(exists(place, name), "no test {test}, for: {row}");
            of_row += 1;
        }
        assert!(of_row > 0, "no test for: {row}");
        named += of_row;
    }
    assert!(named > 60, "{named} tests are named");
}
