//! The folder of a measurement: lists, job files, outputs. It is gone afterwards.

use anyhow::{Context, Result};
use harvest_bench::ids;
use std::path::{Path, PathBuf};

/// A folder that is removed at the end.
pub(crate) struct Workspace {
    folder: tempfile::TempDir,
}

/// What a job file of harvest's says.
pub(crate) struct Job<'a> {
    pub(crate) base: &'a str,
    pub(crate) ids: &'a Path,
    pub(crate) output: &'a Path,
    pub(crate) rate: &'a str,
    pub(crate) concurrency: usize,
    pub(crate) commit_every: &'a str,
}

impl Workspace {
    pub(crate) fn new(parent: &Path) -> Result<Workspace> {
        std::fs::create_dir_all(parent).with_context(|| format!("{}", parent.display()))?;
        Ok(Workspace {
            folder: tempfile::Builder::new().prefix("run-").tempdir_in(parent)?,
        })
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The list of the first `count` IDs; made once.
    pub(crate) fn list(&self, count: u64) -> Result<PathBuf> {
        let path = self.path().join(format!("ids-{count}.txt"));
        if !path.exists() {
            ids::write_list(&path, count).with_context(|| format!("{}", path.display()))?;
        }
        Ok(path)
    }

    /// A new, empty folder for one run.
    pub(crate) fn fresh(&self, name: &str) -> Result<PathBuf> {
        let path = self.path().join(name);
        if path.exists() {
            std::fs::remove_dir_all(&path)?;
        }
        std::fs::create_dir_all(&path)?;
        Ok(path)
    }
}

/// Writes the job file `name` into `folder`.
pub(crate) fn write_job(folder: &Path, name: &str, job: &Job<'_>) -> Result<PathBuf> {
    let Job {
        base,
        rate,
        concurrency,
        commit_every,
        ..
    } = job;
    let text = format!(
        "[ids]\nfile = {ids:?}\n\n[request]\nurl = \"{base}/v1/tracks/{{id}}\"\n\n\
         [auth]\ntype = \"client_credentials\"\ntoken_url = \"{base}/api/token\"\n\
         client_id = \"bench\"\nclient_secret = \"bench-secret\"\n\n\
         [limits]\nrate = \"{rate}\"\nconcurrency = {concurrency}\n\n\
         [output]\npath = {output:?}\n\n[checkpoint]\nevery = \"{commit_every}\"\n",
        ids = job.ids.display().to_string(),
        output = job.output.display().to_string(),
    );
    let path = folder.join(name);
    std::fs::write(&path, text)?;
    Ok(path)
}
