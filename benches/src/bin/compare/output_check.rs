//! Nobody cheats: whether an output holds every ID of the list once, with its whole body.

use anyhow::{Context, Result, bail};
use harvest_bench::track::Template;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

/// Which of the first `count` numbers were seen: a bit each.
struct Seen {
    bits: Vec<u64>,
    count: u64,
    distinct: u64,
}

impl Seen {
    fn new(count: u64) -> Seen {
        Seen {
            bits: vec![0; count.div_ceil(64) as usize],
            count,
            distinct: 0,
        }
    }

    fn see(&mut self, number: u64) -> Result<()> {
        if number >= self.count {
            bail!("an ID that was not on the list (number {number})");
        }
        let (word, bit) = ((number / 64) as usize, 1_u64 << (number % 64));
        if self.bits[word] & bit != 0 {
            bail!("ID number {number} is there twice");
        }
        self.bits[word] |= bit;
        self.distinct += 1;
        Ok(())
    }

    fn all(&self) -> Result<()> {
        if self.distinct != self.count {
            bail!("{} of {} IDs are there", self.distinct, self.count);
        }
        Ok(())
    }
}

/// The output is one line for each of the first `count` IDs.
pub(crate) fn lines(path: &Path, count: u64, template: &Template) -> Result<()> {
    check_lines(path, count, template).with_context(|| format!("{}", path.display()))
}

fn check_lines(path: &Path, count: u64, template: &Template) -> Result<()> {
    let mut output = BufReader::with_capacity(1 << 18, File::open(path)?);
    let mut seen = Seen::new(count);
    let mut line = Vec::new();
    while output.read_until(b'\n', &mut line)? > 0 {
        let body = line.strip_suffix(b"\n").unwrap_or(&line);
        let number = template.number(body);
        seen.see(number.context("a line is not as the server sent it")?)?;
        line.clear();
    }
    seen.all()
}

/// The folder has a file for each of the first `count` IDs.
pub(crate) fn files(folder: &Path, count: u64, template: &Template) -> Result<()> {
    let mut seen = Seen::new(count);
    for file in std::fs::read_dir(folder).with_context(|| format!("{}", folder.display()))? {
        let path = file?.path();
        let number = template.number(&std::fs::read(&path)?);
        let number = number.with_context(|| format!("{}: not as it was sent", path.display()))?;
        seen.see(number)?;
    }
    seen.all()
}
