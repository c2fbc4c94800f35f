//! What nearly every test begins with: a folder, a server, a job that asks it,
//! a list of IDs, and runs of that job.
//!
//! A test says of its job, in the job's own words, what matters to it. All that
//! can change between two runs lies in the folder: the job file and the list.

use super::{Api, Place, assert_exit, child, harvest};
use serde_json::Value;
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Output};

/// What a job may ask. A test's own server keeps beside it what it needs of it.
pub trait Server {
    fn base(&self) -> String;
}

impl<S: Server + ?Sized> Server for &S {
    fn base(&self) -> String {
        (**self).base()
    }
}

/// An address, whoever is there.
impl Server for str {
    fn base(&self) -> String {
        self.to_owned()
    }
}

pub struct Bench<S> {
    pub place: Place,
    pub server: S,
    pub job: PathBuf,
    /// What [`Bench::ids`] was given.
    pub ids: Vec<String>,
    pub output: &'static str,
    /// Of every run.
    pub env: Vec<(&'static str, String)>,
}

impl Bench<Api> {
    /// A job of tracks for `harvest sandbox`, which is started with these arguments.
    pub fn sandbox(arguments: &[&str]) -> Bench<Api> {
        let api = Api::start(arguments);
        let auth = api.auth();
        Bench::of(api, "/v1/tracks/{id}").with("auth", &auth)
    }
}

impl<S: Server> Bench<S> {
    /// A job that asks this server for `path`, `/items/{id}` say.
    pub fn of(server: S, path: &str) -> Bench<S> {
        let place = Place::new();
        let text = format!(
            "[ids]\nfile = \"ids.txt\"\n[request]\nurl = \"{}{path}\"\n[output]\npath = \"out.ndjson\"\n",
            server.base()
        );
        Bench {
            job: place.write("job.toml", &text),
            place,
            server,
            ids: Vec::new(),
            output: "out.ndjson",
            env: Vec::new(),
        }
    }
}

impl<S> Bench<S> {
    /// Lines more in this section of the job.
    pub fn with(self, section: &str, lines: &str) -> Bench<S> {
        let (head, text) = (format!("[{section}]\n"), self.place.read("job.toml"));
        let text = match text.contains(&head) {
            true => text.replace(&head, &format!("{head}{lines}\n")),
            false => format!("{text}{head}{lines}\n"),
        };
        self.place.write("job.toml", &text);
        self
    }

    /// Another output than `out.ndjson`.
    pub fn output(mut self, name: &'static str) -> Bench<S> {
        self.edit(self.output, name);
        self.output = name;
        self
    }

    pub fn ids<I: Into<String>>(mut self, ids: impl IntoIterator<Item = I>) -> Bench<S> {
        self.ids = ids.into_iter().map(Into::into).collect();
        self.list(&self.ids);
        self
    }

    pub fn env(mut self, name: &'static str, value: &str) -> Bench<S> {
        self.env.push((name, value.to_owned()));
        self
    }

    /// Another list for the next run; `ids` stay what they were.
    pub fn list(&self, ids: impl IntoIterator<Item = impl AsRef<str>>) {
        let lines = ids.into_iter().map(|id| format!("{}\n", id.as_ref()));
        self.place.write("ids.txt", &lines.collect::<String>());
    }

    /// Another job for the next run: what stands there must be there.
    #[track_caller]
    pub fn edit(&self, from: &str, to: &str) {
        let text = self.place.read("job.toml");
        assert!(text.contains(from), "no {from:?} in\n{text}");
        self.place.write("job.toml", &text.replace(from, to));
    }

    /// `harvest` with these arguments on the job: `&["retry", "--limit", "2"]`.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = harvest();
        command.args(arguments).arg(&self.job);
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Runs it to its end, which must be with this code.
    #[track_caller]
    pub fn run(&self, arguments: &[&str], code: i32) -> Output {
        let output = self.command(arguments).output().unwrap();
        assert_exit(&output, code);
        output
    }

    /// A run under way.
    pub fn start(&self, arguments: &[&str]) -> Child {
        child::piped(self.command(arguments))
    }

    /// Killed at this fail point, passed so often before. False when it never came by.
    pub fn killed_at(&self, arguments: &[&str], name: &str, passes: u32) -> bool {
        let sign = self.place.path("sign");
        child::killed_at(self.command(arguments), name, passes, &sign)
    }

    pub fn lines(&self) -> Vec<String> {
        self.place.lines(self.output)
    }

    pub fn records(&self) -> Vec<Value> {
        self.place.json_lines(self.output)
    }

    pub fn failures(&self) -> Vec<Value> {
        let name = format!("{}.failed.ndjson", self.output);
        self.place.json_lines(&name)
    }

    /// How many lines the output has, and how many the failures file.
    pub fn counts(&self) -> (usize, usize) {
        (self.lines().len(), self.failures().len())
    }

    /// Every one of `ids` exactly once, as a record or as a failure.
    #[track_caller]
    pub fn assert_exactly_once(&self) {
        self.place.assert_exactly_once(self.output, &self.ids);
    }

    /// Every one of `ids` has its record, and none has failed.
    #[track_caller]
    pub fn assert_all_recorded(&self) {
        assert_eq!(self.failures(), Vec::<Value>::new());
        self.assert_exactly_once();
    }

    /// No file beside the output but those that a finished run leaves.
    #[track_caller]
    pub fn assert_no_litter(&self) {
        for entry in fs::read_dir(self.place.path(".")).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            let ending = name.strip_prefix(self.output);
            let known = ["", ".checkpoint", ".failed.ndjson", ".versions"];
            let left = ending.is_some_and(|ending| !known.contains(&ending));
            assert!(!left, "{name} is left over");
        }
    }
}
