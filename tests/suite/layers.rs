//! The layers that the documents promise: arrows point one way, and what is said
//! to be a state machine has nothing to act with.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The files of a folder under `src`, tests apart, by their module's path.
fn modules(folder: &str) -> BTreeMap<Vec<String>, String> {
    let mut found = BTreeMap::new();
    let mut folders = vec![root().join("src").join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if !path.ends_with("tests.rs") {
                let text = fs::read_to_string(&path).unwrap();
                let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
                found.insert(module_of(&path), text.to_owned());
            }
        }
    }
    found
}

fn module_of(path: &Path) -> Vec<String> {
    let path: PathBuf = path.strip_prefix(root().join("src")).unwrap().into();
    let path = path.with_extension("");
    let mut parts: Vec<String> = path
        .iter()
        .map(|part| part.to_str().unwrap().to_owned())
        .collect();
    if parts.last().is_some_and(|last| last == "mod") {
        parts.pop();
    }
    parts
}

/// Every path that `use` brings in, braces taken apart.
fn uses(text: &str) -> Vec<Vec<String>> {
    let mut paths = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find("use ") {
        let is_statement = rest[..at].ends_with(['\n', ' ']) || at == 0;
        rest = &rest[at + 4..];
        let end = rest.find(';').unwrap_or(rest.len());
        if is_statement && (rest.starts_with("super::") || rest.starts_with("crate::")) {
            let statement: String = rest[..end].split_whitespace().collect();
            take_apart(&[], &statement, &mut paths);
        }
    }
    paths
}

fn take_apart(before: &[String], text: &str, paths: &mut Vec<Vec<String>>) {
    let (head, group) = text.split_once('{').unwrap_or((text, ""));
    let mut path = before.to_vec();
    path.extend(
        head.split("::")
            .filter(|s| !s.is_empty())
            .map(str::to_owned),
    );
    if group.is_empty() {
        return paths.push(path);
    }
    let (mut depth, mut from) = (0, 0);
    let inside = &group[..group.rfind('}').unwrap_or(group.len())];
    for (at, c) in inside.char_indices().chain([(inside.len(), ',')]) {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                if from < at {
                    take_apart(&path, &inside[from..at], paths);
                }
                from = at + 1;
            }
            _ => {}
        }
    }
}

/// The files that each file imports.
fn arrows(modules: &BTreeMap<Vec<String>, String>) -> BTreeMap<Vec<String>, BTreeSet<Vec<String>>> {
    let target = |from: &[String], path: &[String]| {
        let mut place = match path.first().map(String::as_str) {
            Some("crate") => Vec::new(),
            // `super` of a file is its folder's module, of `mod.rs` the folder above.
            _ => from[..from.len() - 1].to_vec(),
        };
        for part in &path[1..] {
            if part == "super" {
                place.pop();
                continue;
            }
            place.push(part.clone());
            let deeper = modules.keys().any(|module| module.starts_with(&place));
            if !deeper {
                place.pop();
                break;
            }
        }
        place
    };
    let mut arrows = BTreeMap::new();
    for (from, text) in modules {
        let targets = uses(text)
            .iter()
            .map(|path| target(from, path))
            .collect::<BTreeSet<_>>();
        let inside = targets
            .into_iter()
            .filter(|to| to != from && modules.contains_key(to));
        arrows.insert(from.clone(), inside.collect());
    }
    arrows
}

/// A way from a file back to itself.
fn circle(arrows: &BTreeMap<Vec<String>, BTreeSet<Vec<String>>>) -> Option<Vec<Vec<String>>> {
    fn walk<'a>(
        at: &'a Vec<String>,
        arrows: &'a BTreeMap<Vec<String>, BTreeSet<Vec<String>>>,
        way: &mut Vec<&'a Vec<String>>,
        done: &mut BTreeSet<&'a Vec<String>>,
    ) -> Option<Vec<Vec<String>>> {
        if let Some(begin) = way.iter().position(|there| *there == at) {
            return Some(way[begin..].iter().map(|&there| there.clone()).collect());
        }
        if !done.insert(at) {
            return None;
        }
        way.push(at);
        let found = arrows[at].iter().find_map(|to| walk(to, arrows, way, done));
        way.pop();
        found
    }
    let mut done = BTreeSet::new();
    arrows
        .keys()
        .find_map(|from| walk(from, arrows, &mut Vec::new(), &mut done))
}

#[test]
fn no_files_of_a_run_import_each_other() {
    let arrows = arrows(&modules("run"));
    let engine = ["run".to_owned(), "engine".to_owned()];
    assert!(arrows[&engine[..]].len() > 8, "the imports were not read");
    assert_eq!(circle(&arrows), None);
}

#[test]
fn the_triage_has_no_clock_task_channel_or_io() {
    let modules = modules("run/triage");
    assert!(modules.len() > 10);
    for (module, text) in modules {
        for tool in [
            "tokio", "reqwest", "std::fs", "std::net", "std::io", "Instant", "::now()",
        ] {
            let found = text
                .lines()
                .find(|line| line.contains(tool) && !line.trim().starts_with("//"));
            assert_eq!(found, None, "{module:?} uses {tool}");
        }
    }
}

#[test]
fn a_circle_is_seen() {
    let text = |uses: &str| uses.to_owned();
    let of = |name: &str| vec!["run".to_owned(), name.to_owned()];
    let modules = BTreeMap::from([
        (vec!["run".to_owned()], text("mod a;\npub use a::A;\n")),
        (of("a"), text("use super::b::{B, deep::{C, D}};\n")),
        (
            of("b"),
            text("use crate::run::{\n    c::E,\n    missing,\n};\n"),
        ),
        (of("c"), text("use std::fmt;\nuse super::a::A;\n")),
    ]);
    assert_eq!(
        circle(&arrows(&modules)),
        Some(vec![of("a"), of("b"), of("c")])
    );
}
