//! A checkpoint that was torn, cut or changed, at every byte: refused, or gone
//! on from an earlier commit; never believed.
//!
//! Every position is tried in this process, by the same call that the binary
//! makes, and a sample of them with the binary itself, to the job's end.

use crate::bench::{Bench, FAST, assert_clean, assert_told, id, nightly, seed, wait_for};
use crate::support::assert_exit;
use crate::support::child::kill;
use harvest::checkpoint::{CheckpointError, ItemKey, inspect};
use harvest::job::{Job, LoadOptions, load};
use harvest::write::{OpenOptions, WriteError, open};
use std::collections::BTreeSet;
use std::fs;

/// So many items are listed when the checkpoint is complete.
const LISTED: usize = 60;

/// The output, the failures file and the checkpoint.
type Bytes = [Vec<u8>; 3];
const ENDINGS: [&str; 3] = ["", ".failed.ndjson", ".checkpoint"];

/// What several runs leave: limits, a kill in the midst, columns, failures.
struct Sample {
    bench: Bench,
    job: Job,
    bytes: Bytes,
}

impl Sample {
    fn new(output: &'static str, finished: bool) -> Sample {
        let bench = Bench::new(output, LISTED, "100/s");
        for _ in 0..2 {
            bench.limited(&["--limit", "9"]);
        }
        let run = bench.start(&[]);
        let path = bench.file("");
        let before = fs::metadata(&path).unwrap().len();
        wait_for("two commits", || {
            fs::metadata(&path).unwrap().len() > before + 200
        });
        kill(run);
        if finished {
            assert_exit(&bench.limited(&[]), 3);
        }
        let _ = fs::remove_file(bench.file(".lock"));
        let bytes = ENDINGS.map(|ending| fs::read(bench.file(ending)).unwrap());
        let options = LoadOptions {
            sandbox: true,
            ..LoadOptions::default()
        };
        let mut job = load(&bench.job, &options).unwrap();
        // Loaded so that nothing is sent; the records are the real API's.
        job.sandbox = false;
        Sample { bench, job, bytes }
    }

    fn restore(&self) {
        for (ending, bytes) in ENDINGS.iter().zip(&self.bytes) {
            fs::write(self.bench.file(ending), bytes).unwrap();
        }
    }

    /// Opens the output with this checkpoint: how many items are done, and how
    /// many commits there were, when it is not refused.
    fn try_open(&self, checkpoint: &[u8], what: &str) -> Option<(usize, usize)> {
        let path = self.bench.file(".checkpoint");
        fs::write(&path, checkpoint).unwrap();
        let looked = inspect(&self.bench.file(""));
        let opened = open(OpenOptions {
            output: self.bench.file(""),
            format: self.job.output.format,
            record: self.job.output.record,
            id_form: self.job.request.id_form(),
            columns: self.job.output.columns.clone(),
            shape: harvest::checkpoint::Shape::of(&self.job),
            fresh: false,
            retry: false,
        });
        match opened {
            Ok(opened) => {
                let done: BTreeSet<String> = (0..LISTED)
                    .map(id)
                    .filter(|id| opened.done.contains(ItemKey::of(id, 0)))
                    .collect();
                let (ids, twice) = self.written();
                assert!(!twice, "{what}: an item is there twice");
                assert_eq!(ids, done, "{what}: other items are done than are there");
                assert_eq!(done.len(), opened.done.len(), "{what}: others are done");
                assert_eq!(looked.unwrap().unwrap().done, done.len() as u64);
                let commits = opened.resumed.unwrap().notes.len();
                drop(opened.writer);
                self.restore();
                Some((done.len(), commits))
            }
            Err(WriteError::Checkpoint(
                CheckpointError::Damaged { .. }
                | CheckpointError::NotACheckpoint { .. }
                | CheckpointError::Version { .. }
                | CheckpointError::Mismatch { .. },
            )) => {
                for (ending, bytes) in ENDINGS.iter().zip(&self.bytes).take(2) {
                    let now = fs::read(self.bench.file(ending)).unwrap();
                    assert!(now == *bytes, "{what}: refused, but {ending:?} was changed");
                }
                assert!(fs::read(&path).unwrap() == checkpoint, "{what}: changed");
                None
            }
            Err(error) => panic!("{what}: {error}"),
        }
    }

    /// The items in both files; whether one is there twice.
    fn written(&self) -> (BTreeSet<String>, bool) {
        let mut all = self.bench.recorded();
        for failure in self.bench.failures() {
            all.push(failure["id"].as_str().unwrap().to_owned());
        }
        let ids: BTreeSet<String> = all.iter().cloned().collect();
        let twice = ids.len() != all.len();
        (ids, twice)
    }

    /// The binary on this checkpoint: exit 1 and nothing touched, or the job's end.
    fn run_binary(&self, checkpoint: &[u8], refused: bool) {
        fs::write(self.bench.file(".checkpoint"), checkpoint).unwrap();
        let run = self.bench.limited(FAST);
        assert_clean(&run);
        if refused {
            assert_told(&run, &self.bench.file(""));
        } else {
            assert_exit(&run, 3);
            self.bench.assert_each_once();
        }
        self.restore();
    }
}

/// Other values of a byte: a bit flipped, all of them, another one; at night each bit and more.
fn others(byte: u8, random: &mut fastrand::Rng) -> BTreeSet<u8> {
    let mut others: BTreeSet<u8> = match nightly() {
        true => (0..8)
            .map(|bit| byte ^ (1 << bit))
            .chain([!byte, 0, 0xff])
            .chain(std::iter::repeat_with(|| random.u8(..)).take(8))
            .collect(),
        false => [byte ^ (1 << random.u8(..8)), !byte, random.u8(..)].into(),
    };
    others.remove(&byte);
    others
}

fn every_byte(output: &'static str, finished: bool) {
    let mut random = fastrand::Rng::with_seed(seed());
    let sample = Sample::new(output, finished);
    let good = &sample.bytes[2];
    let whole = sample.try_open(good, "as it was").unwrap();
    let (mut refused, mut resumed) = (0, BTreeSet::new());
    let mut undone = 0;
    for at in 0..good.len() {
        for other in others(good[at], &mut random) {
            let mut changed = good.clone();
            changed[at] = other;
            let what = format!("byte {at}: {:#04x} -> {other:#04x}", good[at]);
            match sample.try_open(&changed, &what) {
                None => refused += 1,
                Some(resumes) => {
                    assert!(resumes.1 < whole.1, "{what}: not noticed");
                    resumed.insert(resumes);
                    undone += 1;
                }
            }
        }
    }
    println!(
        "{output}: {} bytes, {whole:?} items done and commits: {refused} changes refused, {undone} undone to {resumed:?}",
        good.len()
    );
    assert!(refused > 0 && undone > 0);
    for _ in 0..12 {
        let mut changed = good.clone();
        let at = match random.bool() {
            true => random.usize(..good.len()),
            false => random.usize(good.len() - 60..good.len()),
        };
        changed[at] ^= random.u8(1..);
        let resumes = sample.try_open(&changed, "sampled").is_some();
        sample.run_binary(&changed, !resumes);
    }
}

#[test]
fn every_changed_byte_of_a_killed_run_s_checkpoint_is_noticed() {
    every_byte("out.csv", false);
}

#[test]
fn every_changed_byte_of_a_finished_run_s_checkpoint_is_noticed() {
    every_byte("out.ndjson", true);
}

#[test]
fn a_checkpoint_that_is_cut_or_lengthened_anywhere_is_never_believed() {
    let mut random = fastrand::Rng::with_seed(seed());
    for (output, finished) in [("out.csv", false), ("out.ndjson", true)] {
        let sample = Sample::new(output, finished);
        let good = &sample.bytes[2];
        let (mut refused, mut resumed) = (0, BTreeSet::new());
        for cut in 0..good.len() {
            match sample.try_open(&good[..cut], &format!("cut to {cut}")) {
                None => refused += 1,
                Some(done) => {
                    resumed.insert(done);
                }
            }
        }
        println!(
            "{output}: {} cuts: {refused} refused, others go on from {resumed:?}",
            good.len()
        );
        let whole = sample.try_open(good, "as it was").unwrap();
        for extra in 1..200 {
            let noise = (0..extra).map(|_| random.u8(..));
            let longer: Vec<u8> = good.iter().copied().chain(noise).collect();
            assert_eq!(sample.try_open(&longer, "longer"), Some(whole));
        }
        // Half of it twice, and none of it.
        let twice = [&good[..], &good[16..]].concat();
        assert_eq!(sample.try_open(&twice, "twice"), Some(whole));
        assert_eq!(sample.try_open(b"", "empty"), None);
        for _ in 0..6 {
            let cut = random.usize(..good.len());
            let resumes = sample.try_open(&good[..cut], "sampled").is_some();
            sample.run_binary(&good[..cut], !resumes);
        }
    }
}
