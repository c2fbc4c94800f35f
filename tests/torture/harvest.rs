//! One harvest: its job, its server behind its proxy, and its runs.
//!
//! Owns the order of things: change the list, run, kill, ask `harvest status`,
//! have the oracle look, spoil what no commit covers, again; and at the end a
//! run to the end and the judgement of everything.

use crate::canary::Canary;
use crate::committed::Committed;
use crate::kill::{self, Ended, unix};
use crate::list::{Kind, List};
use crate::oracle::{Form, Truth};
use crate::plan::{Command, End, Plan, Step, Tail};
use crate::proxy::Proxy;
use crate::server::{Asked, Got, Reference, Server};
use crate::summary::Summary;
use crate::support::{harvest, told};
use fastrand::Rng;
use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::PathBuf;
use std::rc::Rc;
use std::thread::sleep;
use std::time::{Duration, SystemTime};
use tempfile::TempDir;

/// Items that are left before each run, so that none ends before its time.
const WORK: u64 = 1_000;
/// Runs until a plan that does not get to its kills is given up.
const RUNS: usize = 80;

pub struct Harvest {
    plan: Plan,
    folder: TempDir,
    server: Server,
    proxy: Proxy,
    canary: Canary,
    list: List,
    committed: Committed,
    truth: Known,
    /// Answers in all: bodies and 404s.
    answers: u64,
    /// A `--fresh` was killed half-way, so it has to be repeated.
    half_fresh: bool,
    summary: Summary,
    random: Rng,
}

/// What the server's log and an honest server say.
struct Known {
    reference: Reference,
    /// How each ID that got its body was asked for.
    paths: HashMap<String, String>,
    missing: HashSet<String>,
    began: f64,
}

impl Truth for Known {
    fn body(&self, id: &str) -> Result<Rc<[u8]>, String> {
        let path = self.paths.get(id).ok_or("the server never sent its body")?;
        Ok(self.reference.body(id, path).line)
    }

    fn missing(&self, id: &str) -> bool {
        self.missing.contains(id)
    }

    fn span(&self) -> (f64, f64) {
        (self.began, unix(SystemTime::now()))
    }
}

/// What `harvest status` says.
struct Status {
    state: String,
    /// Records and failures; `None` before the first commit's file is there.
    committed: Option<(usize, usize)>,
}

impl Harvest {
    pub fn begin(mut plan: Plan) -> Harvest {
        let folder = tempfile::tempdir().unwrap();
        let arguments = [
            format!("--latency={}us", plan.latency.as_micros()),
            format!("--fault-rate={}", plan.faults),
            format!("--token-lifetime={}ms", plan.token_life.as_millis()),
            format!("--seed={}", plan.seed),
        ];
        let server = Server::start(folder.path().join("requests.ndjson"), &arguments);
        let proxy = Proxy::start(server.address, plan.struck, plan.seed);
        let reference = Reference::start(folder.path());
        let list = List::new(plan.kind, plan.each, Rng::with_seed(plan.draw()));
        let random = Rng::with_seed(plan.draw());
        let harvest = Harvest {
            canary: Canary::start(folder.path()),
            committed: Committed::new(plan.form),
            truth: Known {
                reference,
                paths: HashMap::new(),
                missing: HashSet::new(),
                began: unix(SystemTime::now()),
            },
            server,
            proxy,
            list,
            answers: 0,
            half_fresh: false,
            summary: Summary::default(),
            random,
            plan,
            folder,
        };
        fs::write(harvest.path("job.toml"), harvest.job()).unwrap();
        harvest
    }

    /// All of it. What is found out of order comes with the folder, which stays.
    pub fn torture(mut self) -> Result<Summary, (String, PathBuf)> {
        match self.ordeal() {
            Ok(()) => Ok(self.summary),
            Err(problem) => Err((problem, self.folder.keep())),
        }
    }

    fn ordeal(&mut self) -> Result<(), String> {
        let mut runs = 0;
        while self.summary.kills < self.plan.kills as u64 || self.half_fresh {
            runs += 1;
            if runs > RUNS {
                return Err(format!("{} kills in {RUNS} runs", self.summary.kills));
            }
            let step = self.plan.next_step();
            self.run(&step).map_err(|problem| {
                let stderr = fs::read_to_string(self.path("stderr")).unwrap_or_default();
                let last: Vec<_> = stderr.lines().rev().take(8).collect();
                format!("run {runs}, {step:?}: {problem}\n{}", last.join("\n"))
            })?;
        }
        self.finish()
    }

    fn run(&mut self, step: &Step) -> Result<(), String> {
        self.change_list(step.shuffle);
        let command = match self.half_fresh {
            true => Command::Fresh,
            false => step.command,
        };
        self.canary.worst();
        let struck = self.proxy.struck();
        let server = &self.server;
        let (folder, log) = (self.folder.path(), || server.log_bytes());
        let ended = kill::run(folder, command, step.end, self.plan.buffer, &log)?;
        // The server may be reading a last request.
        sleep(Duration::from_millis(40));
        self.check_end(&ended, command)?;
        let news = self.news()?;
        self.count(step, &ended);

        if command != Command::Fresh
            && let Some(again) = news
                .iter()
                .find(|asked| self.committed.has(&asked.id, &self.list.wanted))
        {
            return Err(format!(
                "{:?} was committed, and is fetched again",
                again.id
            ));
        }
        let status = self.status()?;
        if command == Command::Fresh {
            self.forget_if_fresh(&status, &news)?;
        }
        let before = self.committed.fates.clone();
        self.advance(&status)?;
        self.weigh(&ended, &news, &before, struck);
        if matches!(ended, Ended::Killed { .. }) {
            self.spoil(step.tail);
        }
        Ok(())
    }

    /// Enough to do, in another order now and then.
    fn change_list(&mut self, shuffle: bool) {
        let left = self.list.fates() - self.committed.count() as u64;
        if left < WORK {
            self.list
                .append(usize::try_from(WORK - left).unwrap() + 100);
        }
        if shuffle {
            self.list.shuffle();
        }
        fs::write(self.path("ids.txt"), self.list.text()).unwrap();
    }

    fn check_end(&self, ended: &Ended, command: Command) -> Result<(), String> {
        match ended {
            Ended::Killed { .. } | Ended::Exited { code: 0 | 3, .. } => Ok(()),
            Ended::Exited {
                code: 143,
                term: true,
            } => Ok(()),
            Ended::Exited { code, .. } => Err(format!("{command:?} ended with exit code {code}")),
        }
    }

    /// What the server's log has got since the last time.
    fn news(&mut self) -> Result<Vec<Asked>, String> {
        let (news, _) = self.server.news();
        for asked in &news {
            if !self.list.wanted.contains_key(&asked.id) {
                return Err(format!(
                    "the server was asked for {:?}, which is in no list",
                    asked.id
                ));
            }
            match asked.got {
                Got::Body(hash) => {
                    let body = self.truth.reference.body(&asked.id, &asked.path);
                    assert_eq!(
                        body.hash, hash,
                        "the server is not the same: {}",
                        asked.path
                    );
                    self.truth
                        .paths
                        .insert(asked.id.clone(), asked.path.clone());
                }
                Got::Missing => {
                    self.truth.missing.insert(asked.id.clone());
                }
                Got::Fault => continue,
            }
            self.answers += 1;
        }
        Ok(news)
    }

    fn count(&mut self, step: &Step, ended: &Ended) {
        let place = match (ended, step.end) {
            (Ended::Exited { term: true, .. }, _) => return self.summary.terms += 1,
            (Ended::Exited { .. }, _) => return self.summary.ends += 1,
            (
                Ended::Killed {
                    place: Some(place), ..
                },
                _,
            ) => place.clone(),
            (_, End::AfterStart(_)) => "at random, soon after the start".to_owned(),
            (_, End::Term(..)) => "at random, after SIGTERM".to_owned(),
            _ => "at random, while it fetches".to_owned(),
        };
        self.summary.kills += 1;
        *self.summary.places.entry(place).or_default() += 1;
    }

    /// After `--fresh`: what was committed is gone, unless it was killed before that.
    fn forget_if_fresh(&mut self, status: &Status, news: &[Asked]) -> Result<(), String> {
        if matches!(status.committed, Some(counts) if counts != (0, 0)) && news.is_empty() {
            return Ok(());
        }
        self.summary.fresh += self.committed.count() as u64;
        self.committed = Committed::new(self.plan.form);
        let (output, failures) = self.files();
        self.half_fresh = status.committed.is_none() && output.len() + failures.len() > 0;
        if !self.half_fresh {
            return Ok(());
        }
        // A plain run must not take what is left for its own.
        let plain = harvest().arg(self.path("job.toml")).output().unwrap();
        let refused = plain.status.code() == Some(1)
            && String::from_utf8_lossy(&plain.stderr).contains("--fresh")
            && self.files() == (output, failures);
        match refused {
            true => Ok(()),
            false => Err(format!("half of --fresh is not refused: {}", told(&plain))),
        }
    }

    fn advance(&mut self, status: &Status) -> Result<(), String> {
        let Some(counts) = status.committed else {
            return match self.committed.count() {
                0 => Ok(()),
                _ => Err("the checkpoint is gone".to_owned()),
            };
        };
        let (output, failures) = self.files();
        let files = (&output[..], &failures[..]);
        self.committed
            .advance(counts, files, &self.list.wanted, &self.truth)
    }

    /// What the kill cost, and what it may have cost.
    fn weigh(&mut self, ended: &Ended, news: &[Asked], before: &HashMap<String, u32>, struck: u64) {
        let answers: Vec<_> = news
            .iter()
            .filter(|asked| asked.got != Got::Fault)
            .collect();
        let mut open: HashMap<&str, i64> = HashMap::new();
        for asked in &answers {
            *open.entry(&asked.id).or_default() += 1;
        }
        let fates = |of: &HashMap<String, u32>, id: &str| {
            i64::from(of.get(id).copied().unwrap_or_default())
        };
        let lost: i64 = open
            .iter()
            .map(|(id, n)| (n - (fates(&self.committed.fates, id) - fates(before, id))).max(0))
            .sum();
        self.summary.lost += u64::try_from(lost).unwrap();
        self.summary.allowed += self.proxy.struck() - struck;
        let Ended::Killed { at, .. } = ended else {
            return;
        };
        let every = self.plan.every.as_secs_f64();
        let since = |span: f64| {
            let answers = answers.iter().filter(|asked| asked.at > at - span).count();
            (answers + self.plan.concurrency) as u64
        };
        let slow = self.canary.worst().as_secs_f64();
        self.summary.interval += since(every);
        self.summary.allowed += since(2.0 * every + 2.0 * slow + 0.1);
    }

    /// A power loss leaves anything of the bytes after the last commit.
    fn spoil(&mut self, tail: Tail) {
        let (output_end, failures_end) = self.committed.ends();
        // Whether a header row alone is committed can't be seen from here.
        let blind = output_end == 0 && matches!(self.plan.form, Form::Delimited(..));
        if !blind {
            self.spoil_file(self.output(), output_end, tail);
        }
        self.spoil_file(self.failures(), failures_end, tail);
    }

    fn spoil_file(&mut self, path: PathBuf, end: usize, tail: Tail) {
        let Ok(mut bytes) = fs::read(&path) else {
            return;
        };
        if tail == Tail::Leave || bytes.len() <= end {
            return;
        }
        let from = self.random.usize(end..bytes.len());
        match tail {
            Tail::Leave => {}
            Tail::Cut => bytes.truncate(from),
            Tail::Zeros => bytes[from..].fill(0),
            Tail::Garbage => self.random.fill(&mut bytes[from..]),
        }
        fs::write(&path, bytes).unwrap();
        self.summary.tails += 1;
    }

    /// A run to the end, the judgement, and a run that has nothing to do.
    fn finish(&mut self) -> Result<(), String> {
        self.list.complete();
        fs::write(self.path("ids.txt"), self.list.text()).unwrap();
        let code = self.last_run()?;
        let status = self.status()?;
        if status.state != "finished" {
            return Err(format!("the last run's state is {}", status.state));
        }
        self.advance(&status)?;
        let (output, failures) = self.files();
        self.committed
            .complete((&output, &failures), &self.list.wanted)?;
        let failed = !failures.is_empty();
        if code != if failed { 3 } else { 0 } {
            return Err(format!(
                "the last run's exit code is {code}, with failures: {failed}"
            ));
        }
        let again = self.last_run()?;
        if (again, self.files()) != (code, (output, failures)) {
            return Err(format!(
                "run again when finished: exit code {again}, or other files"
            ));
        }
        self.litter()?;

        let summary = &mut self.summary;
        summary.harvests = 1;
        summary.ids = self.list.fates();
        summary.struck = self.proxy.struck();
        summary.again = self.answers - self.committed.count() as u64;
        if summary.again > summary.lost + summary.fresh + summary.struck {
            return Err(format!("{summary}: more fetched again than the kills cost"));
        }
        if summary.lost > summary.allowed {
            return Err(format!(
                "{summary}: the kills cost more than the interval allows"
            ));
        }
        Ok(())
    }

    /// To the end; checks that nothing is sent for what is committed.
    fn last_run(&mut self) -> Result<i32, String> {
        let log = || 0;
        let ended = kill::run(
            self.folder.path(),
            Command::Run,
            End::Itself,
            self.plan.buffer,
            &log,
        )?;
        let Ended::Exited { code, .. } = ended else {
            return Err("the last run was killed".to_owned());
        };
        let news = self.news()?;
        match news
            .iter()
            .find(|asked| self.committed.has(&asked.id, &self.list.wanted))
        {
            Some(again) => Err(format!(
                "{:?} was committed, and is fetched again",
                again.id
            )),
            None => Ok(code),
        }
    }

    /// A finished harvest leaves its three files and nothing else.
    fn litter(&self) -> Result<(), String> {
        let name = self.output_name();
        let wanted = ["", ".checkpoint", ".failed.ndjson"].map(|ending| format!("{name}{ending}"));
        for entry in fs::read_dir(self.folder.path()).unwrap() {
            let file = entry.unwrap().file_name().into_string().unwrap();
            if file.starts_with(name) && !wanted.contains(&file) {
                return Err(format!("{file} is left over"));
            }
        }
        Ok(())
    }

    fn status(&self) -> Result<Status, String> {
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

    fn files(&self) -> (Vec<u8>, Vec<u8>) {
        let read = |path: PathBuf| fs::read(path).unwrap_or_default();
        (read(self.output()), read(self.failures()))
    }

    fn output(&self) -> PathBuf {
        self.path(self.output_name())
    }

    fn failures(&self) -> PathBuf {
        self.path(&format!("{}.failed.ndjson", self.output_name()))
    }

    fn output_name(&self) -> &'static str {
        match self.plan.form {
            Form::Body | Form::Envelope => "out.ndjson",
            Form::Delimited(b',', _) => "out.csv",
            Form::Delimited(..) => "out.tsv",
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn job(&self) -> String {
        let plan = &self.plan;
        let base = format!("http://{}", self.proxy.address);
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
        let rate = plan
            .rate
            .map_or("unlimited".to_owned(), |rate| format!("{rate}/s"));
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
        format!(
            "[ids]\nfile = \"ids.txt\"\nrepeats = \"{}\"\n[request]\nurl = \"{url}\"\n{auth}\
             [limits]\nrate = \"{rate}\"\nconcurrency = {}\n\
             [retry]\nattempts = 30\nbackoff = \"20ms..200ms\"\n\
             [output]\npath = \"{}\"\nrecord = \"{record}\"\n{columns}\
             [checkpoint]\nevery = \"{}ms\"\n",
            if plan.each { "each" } else { "once" },
            plan.concurrency,
            self.output_name(),
            plan.every.as_millis(),
        )
    }
}
