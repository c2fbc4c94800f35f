//! What is committed, from one kill to the next.
//!
//! Owns the promise as the oracle checks it after every run: what `harvest
//! status` calls committed is there, whole and right, nothing of it twice, and
//! nothing of what was committed before has gone or changed.

use crate::list::is_missing;
use crate::oracle::{Form, Line, Records, Truth, failures};
use std::collections::{HashMap, HashSet};
use xxhash_rust::xxh3::xxh3_64;

pub struct Committed {
    form: Form,
    records: Records,
    output: Part,
    failures: Part,
    /// How often each ID has its fate.
    pub fates: HashMap<String, u32>,
    failed: HashSet<(String, u32)>,
}

/// The committed part of a file.
#[derive(Default)]
struct Part {
    lines: usize,
    end: usize,
    hash: u64,
}

impl Part {
    fn check(&self, bytes: &[u8], name: &str) -> Result<(), String> {
        let before = bytes.get(..self.end).map(xxh3_64);
        if self.end > 0 && before != Some(self.hash) {
            return Err(format!("the {name}: what was committed has changed"));
        }
        Ok(())
    }

    fn advance(&mut self, lines: &[Line], bytes: &[u8]) {
        self.lines += lines.len();
        self.end = lines.last().map_or(self.end, |line| line.end);
        self.hash = xxh3_64(&bytes[..self.end]);
    }
}

impl Committed {
    pub fn new(form: Form) -> Committed {
        Committed {
            form,
            records: Records::new(form),
            output: Part::default(),
            failures: Part::default(),
            fates: HashMap::new(),
            failed: HashSet::new(),
        }
    }

    /// Takes over what `status` says: so many records, so many failures.
    pub fn advance(
        &mut self,
        (records, failed): (usize, usize),
        (output, failures_file): (&[u8], &[u8]),
        wanted: &HashMap<String, u32>,
        truth: &dyn Truth,
    ) -> Result<(), String> {
        if records < self.output.lines || failed < self.failures.lines {
            return Err(format!(
                "{records} records and {failed} failures are committed, and there were {} and {}",
                self.output.lines, self.failures.lines
            ));
        }
        self.output.check(output, "output")?;
        self.failures.check(failures_file, "failures file")?;
        let news = records - self.output.lines;
        let lines = self.records.read(output, self.output.end, news, truth)?;
        for line in &lines {
            if is_missing(&line.id) {
                return Err(format!(
                    "{:?} has a record, and there is no such item",
                    line.id
                ));
            }
            self.fate(&line.id, wanted)?;
        }
        self.output.advance(&lines, output);
        let news = failed - self.failures.lines;
        let lines = failures(failures_file, self.failures.end, news, truth)?;
        for line in &lines {
            self.fate(&line.id, wanted)?;
            if !self.failed.insert((line.id.clone(), line.occurrence)) {
                return Err(format!("{:?} failed twice", line.id));
            }
        }
        self.failures.advance(&lines, failures_file);
        Ok(())
    }

    fn fate(&mut self, id: &str, wanted: &HashMap<String, u32>) -> Result<(), String> {
        let Some(&wanted) = wanted.get(id) else {
            return Err(format!("{id:?} was never asked for"));
        };
        let fates = self.fates.entry(id.to_owned()).or_default();
        *fates += 1;
        match *fates > wanted {
            true => Err(format!(
                "{id:?} has {fates} fates, and should have {wanted}"
            )),
            false => Ok(()),
        }
    }

    /// Whether nothing is left to do for an ID.
    pub fn has(&self, id: &str, wanted: &HashMap<String, u32>) -> bool {
        self.fates.get(id) == wanted.get(id)
    }

    pub fn count(&self) -> usize {
        self.output.lines + self.failures.lines
    }

    /// Where the committed parts end.
    pub fn ends(&self) -> (usize, usize) {
        (self.output.end, self.failures.end)
    }

    /// The end of a harvest: every ID has its fates, and the files have nothing else.
    pub fn complete(
        &self,
        (output, failures_file): (&[u8], &[u8]),
        wanted: &HashMap<String, u32>,
    ) -> Result<(), String> {
        for (id, wanted) in wanted {
            let fates = self.fates.get(id).copied().unwrap_or_default();
            if fates != *wanted {
                return Err(format!(
                    "{id:?} has {fates} fates, and should have {wanted}"
                ));
            }
        }
        // A header row alone may stand before the first record.
        let header_only = self.output.lines == 0 && matches!(self.form, Form::Delimited(..));
        if output.len() != self.output.end && !header_only {
            return Err(format!(
                "the output has {} bytes, its records {}",
                output.len(),
                self.output.end
            ));
        }
        if failures_file.len() != self.failures.end {
            return Err("the failures file has more than its failures".to_owned());
        }
        Ok(())
    }
}
