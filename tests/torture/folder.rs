//! The files of one harvest.
//!
//! Owns their names, the job file, and what is done to them from outside: the
//! question to `harvest status`, the tails that a power loss leaves, and the
//! look for litter at the end.

use crate::list::Kind;
use crate::oracle::Form;
use crate::plan::{Plan, Tail, quota_texts};
use crate::support::{harvest, scratch, told};
use fastrand::Rng;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

pub struct Folder {
    folder: TempDir,
    form: Form,
}

/// What `harvest status` says.
pub struct Status {
    pub state: String,
    /// Records and failures; `None` before the first commit's file is there.
    pub committed: Option<(usize, usize)>,
}

impl Folder {
    pub fn new(form: Form) -> Folder {
        Folder {
            folder: scratch(),
            form,
        }
    }

    /// Leaves it where it is, for people.
    pub fn keep(self) -> PathBuf {
        self.folder.keep()
    }

    pub fn root(&self) -> &Path {
        self.folder.path()
    }

    /// The output and the failures file.
    pub fn files(&self) -> (Vec<u8>, Vec<u8>) {
        let read = |path: PathBuf| fs::read(path).unwrap_or_default();
        (read(self.output()), read(self.failures()))
    }

    pub fn output(&self) -> PathBuf {
        self.path(self.output_name())
    }

    pub fn failures(&self) -> PathBuf {
        self.path(&format!("{}.failed.ndjson", self.output_name()))
    }

    fn output_name(&self) -> &'static str {
        match self.form {
            Form::Body | Form::Envelope => "out.ndjson",
            Form::Delimited(b',', _) => "out.csv",
            Form::Delimited(..) => "out.tsv",
        }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn status(&self) -> Result<Status, String> {
        let output = harvest()
            .arg("status")
            .arg(self.path("job.toml"))
            .output()
            .unwrap();
        if output.status.code() != Some(0) {
            return Err(format!("status: {}", told(&output)));
        }
        let text = String::from_utf8(output.stdout).unwrap();
        if text.contains("not begun") {
            return Ok(Status {
                state: "not begun".to_owned(),
                committed: None,
            });
        }
        let value = |name: &str| {
            let mut lines = text.lines().map(str::trim);
            lines.find_map(|line| Some(line.strip_prefix(name)?.trim().to_owned()))
        };
        let count = |name: &str| -> usize {
            let digits = value(name).unwrap_or_else(|| "0".to_owned());
            let first = digits.split(' ').next().unwrap().replace(',', "");
            first.parse().unwrap_or_else(|_| panic!("{name} in {text}"))
        };
        let state = value("state").ok_or("status has no state")?;
        if state.starts_with("running") {
            return Err(format!("killed, and status says {state}"));
        }
        Ok(Status {
            state,
            committed: Some((count("records"), count("failed"))),
        })
    }

    /// What a power loss makes of a file's bytes after `end`; whether there were any.
    pub fn spoil(path: &Path, end: usize, tail: Tail, random: &mut Rng) -> bool {
        let Ok(mut bytes) = fs::read(path) else {
            return false;
        };
        if tail == Tail::Leave || bytes.len() <= end {
            return false;
        }
        let from = random.usize(end..bytes.len());
        match tail {
            Tail::Leave => {}
            Tail::Cut => bytes.truncate(from),
            Tail::Zeros => bytes[from..].fill(0),
            Tail::Garbage => random.fill(&mut bytes[from..]),
        }
        fs::write(path, bytes).unwrap();
        true
    }

    /// A finished harvest leaves its four files and nothing else.
    pub fn litter(&self) -> Result<(), String> {
        let name = self.output_name();
        let wanted = ["", ".checkpoint", ".failed.ndjson", ".versions"]
            .map(|ending| format!("{name}{ending}"));
        for entry in fs::read_dir(self.folder.path()).unwrap() {
            let file = entry.unwrap().file_name().into_string().unwrap();
            if file.starts_with(name) && !wanted.contains(&file) {
                return Err(format!("{file} is left over"));
            }
        }
        Ok(())
    }

    /// Writes the job: everything goes through the proxy.
    pub fn write_job(&self, plan: &Plan, proxy: SocketAddr) {
        let base = format!("http://{proxy}");
        let (url, auth) = match plan.kind {
            Kind::Things => (format!("{base}/things/{{id}}"), String::new()),
            Kind::Tracks => (
                format!("{base}/v1/tracks/{{id}}"),
                format!(
                    "[auth]\ntype = \"client_credentials\"\ntoken_url = \"{base}/api/token\"\n\
                     client_id = \"torture\"\nclient_secret = \"rack-and-screw\"\n"
                ),
            ),
        };
        let rate = match &plan.quotas[..] {
            [] => "\"unlimited\"".to_owned(),
            quotas => format!("{:?}", quota_texts(quotas)),
        };
        let (record, mut columns) = match plan.form {
            Form::Envelope => ("envelope", String::new()),
            _ => ("body", String::new()),
        };
        if let Form::Delimited(_, named @ [_, ..]) = plan.form {
            columns.push_str("[output.columns]\n");
            for (name, path) in named {
                let path = path.replace("[]", "[*]");
                columns.push_str(&format!("{name} = \"$.{path}\"\n"));
            }
        }
        let job = format!(
            "[ids]\nfile = \"ids.txt\"\nrepeats = \"{}\"\n[request]\nurl = \"{url}\"\n{auth}\
             [limits]\nrate = {rate}\nconcurrency = {}\n\
             [retry]\nattempts = 30\nbackoff = \"20ms..200ms\"\n\
             [output]\npath = \"{}\"\nrecord = \"{record}\"\n{columns}\
             [checkpoint]\nevery = \"{}ms\"\n",
            if plan.each { "each" } else { "once" },
            plan.concurrency,
            self.output_name(),
            plan.every.as_millis(),
        );
        fs::write(self.path("job.toml"), job).unwrap();
    }
}
