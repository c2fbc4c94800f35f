//! The fuzz targets' bodies as tests: on the committed corpus, and on some
//! thousand cases that are made of it.

use super::TARGETS;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use std::fs;
use std::path::Path;

/// Cases a target: enough to notice, few enough for a debug build.
const CASES: u32 = 8_000;

/// Every file of a target's corpus.
fn corpus(name: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/corpus")
        .join(name);
    let mut paths: Vec<_> = fs::read_dir(&folder)
        .unwrap_or_else(|e| panic!("{}: {e}", folder.display()))
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

/// One change: which, where, and with what.
type Edit = (u8, prop::sample::Index, u8, Vec<u8>);

fn edited(mut bytes: Vec<u8>, edits: &[Edit]) -> Vec<u8> {
    for (edit, at, byte, more) in edits {
        let at = at.index(bytes.len() + 1);
        match edit % 5 {
            0 => bytes.truncate(at),
            1 => bytes.insert(at, *byte),
            2 => drop(bytes.splice(at..at, more.iter().copied())),
            3 => {
                let end = (at + usize::from(*byte % 16)).min(bytes.len());
                bytes.drain(at..end);
            }
            _ => {
                if let Some(found) = bytes.get_mut(at) {
                    *found ^= *byte;
                }
            }
        }
    }
    bytes
}

fn check(name: &str, body: super::Body) {
    let corpus = corpus(name);
    assert!(!corpus.is_empty(), "{name} has no corpus");
    corpus.iter().for_each(|bytes| body(bytes));
    let edit = (
        any::<u8>(),
        any::<prop::sample::Index>(),
        any::<u8>(),
        prop::collection::vec(any::<u8>(), 0..8),
    );
    let cases = (
        prop::sample::select(corpus),
        prop::collection::vec(edit, 0..6),
    );
    let config = Config {
        cases: CASES,
        failure_persistence: None,
        ..Config::default()
    };
    // The same cases each time: looking for new ones is the fuzzer's.
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(config, rng);
    let result = runner.run(&cases, |(bytes, edits)| {
        body(&edited(bytes, &edits));
        Ok(())
    });
    if let Err(error) = result {
        panic!("{name}: {error}");
    }
    let noise = prop::collection::vec(any::<u8>(), 0..64);
    let result = runner.run(&noise, |bytes| {
        body(&bytes);
        Ok(())
    });
    if let Err(error) = result {
        panic!("{name}: {error}");
    }
}

macro_rules! targets {
    ($($name:ident)*) => {
        $(#[test]
        fn $name() {
            check(stringify!($name), super::$name);
        })*

        /// A new target must not be forgotten here, nor by the fuzzer.
        #[test]
        fn every_target_is_run() {
            let names = [$(stringify!($name)),*];
            assert_eq!(TARGETS.map(|(name, _)| name), names);
            let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/fuzz_targets");
            for name in names {
                assert!(fuzz.join(format!("{name}.rs")).exists(), "{name}");
            }
        }
    };
}

targets! {
    checkpoint columns dot_env id_file item_url job_file json_body json_query rate_headers redaction retry_after
    token_response
}
