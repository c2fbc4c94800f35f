//! One harvest: its job, its server behind its proxy, and its runs.
//!
//! Owns the order of things: change the list, run, kill, ask `harvest status`,
//! have the oracle look, spoil what no commit covers, again; and at the end a
//! run to the end and the judgement of everything.

use crate::canary::Canary;
use crate::committed::Committed;
use crate::cost;
use crate::folder::{Folder, Status};
use crate::kill::{self, Ended, unix};
use crate::list::List;
use crate::oracle::{Form, Truth};
use crate::plan::{Command, End, Plan, Step, Tail};
use crate::proxy::Proxy;
use crate::server::{Asked, Got, Reference, Server};
use crate::summary::Summary;
use crate::support::most_in_window;
use fastrand::Rng;
use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::PathBuf;
use std::rc::Rc;
use std::thread::sleep;
use std::time::{Duration, SystemTime};

/// Items that are left before each run, so that none ends before its time.
const WORK: u64 = 1_000;
/// Runs until a plan that does not get to its kills is given up.
const RUNS: usize = 80;

pub struct Harvest {
    plan: Plan,
    folder: Folder,
    server: Server,
    proxy: Proxy,
    canary: Canary,
    list: List,
    committed: Committed,
    truth: Known,
    /// Answers in all: bodies and 404s.
    answers: u64,
    /// When each request came, since the quota was last lifted.
    times: Vec<f64>,
    /// The longest delay that the canary met.
    slowest: Duration,
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

impl Harvest {
    pub fn begin(mut plan: Plan) -> Harvest {
        let folder = Folder::new(plan.form);
        let arguments = [
            format!("--latency={}us", plan.latency.as_micros()),
            format!("--fault-rate={}", plan.faults),
            format!("--token-lifetime={}ms", plan.token_life.as_millis()),
            format!("--seed={}", plan.seed),
        ];
        let server = Server::start(folder.path("requests.ndjson"), &arguments);
        let proxy = Proxy::start(server.address, plan.struck, plan.seed);
        let reference = Reference::start(folder.root());
        let list = List::new(plan.kind, plan.each, Rng::with_seed(plan.draw()));
        let random = Rng::with_seed(plan.draw());
        let harvest = Harvest {
            canary: Canary::start(folder.root()),
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
            times: Vec::new(),
            slowest: Duration::ZERO,
            summary: Summary::default(),
            random,
            plan,
            folder,
        };
        harvest
            .folder
            .write_job(&harvest.plan, harvest.proxy.address);
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
        while self.summary.kills < self.plan.kills as u64 || self.plan.is_due() {
            runs += 1;
            if runs > RUNS {
                return Err(format!("{} kills in {RUNS} runs", self.summary.kills));
            }
            let step = self.plan.next_step();
            self.run(&step).map_err(|problem| {
                let stderr = fs::read_to_string(self.folder.path("stderr")).unwrap_or_default();
                let last: Vec<_> = stderr.lines().rev().take(8).collect();
                format!("run {runs}, {step:?}: {problem}\n{}", last.join("\n"))
            })?;
        }
        self.finish()
    }

    fn run(&mut self, step: &Step) -> Result<(), String> {
        self.change_list(step.shuffle);
        let command = step.command;
        self.canary.worst();
        let struck = self.proxy.struck();
        let server = &self.server;
        let (folder, log) = (self.folder.root(), || server.log_bytes());
        let ended = kill::run(folder, command, step.end, self.plan.buffer, &log)?;
        let slow = self.canary.worst();
        self.slowest = self.slowest.max(slow);
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
        let status = self.folder.status()?;
        if command == Command::Fresh {
            self.forget_if_fresh(&status, &news);
        }
        let before = self.committed.fates.clone();
        self.advance(&status)?;
        self.weigh(&ended, &news, &before, slow);
        self.summary.allowed += self.proxy.struck() - struck;
        if step.end.lifts_the_quota() {
            self.times.clear();
        } else {
            self.check_quotas()?;
        }
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
        fs::write(self.folder.path("ids.txt"), self.list.text()).unwrap();
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
        let (news, times) = self.server.news();
        self.times.extend(times);
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
        match ended {
            Ended::Exited { term, .. } => {
                self.plan.missed(step);
                match term {
                    true => self.summary.terms += 1,
                    false => self.summary.ends += 1,
                }
            }
            Ended::Killed { place, .. } => {
                let place = place
                    .clone()
                    .unwrap_or_else(|| step.end.moment().to_owned());
                self.summary.kills += 1;
                *self.summary.places.entry(place).or_default() += 1;
            }
        }
    }

    /// After `--fresh`: what was committed is gone, unless it was killed before that.
    fn forget_if_fresh(&mut self, status: &Status, news: &[Asked]) {
        if matches!(status.committed, Some((0, 0))) || !news.is_empty() {
            self.summary.fresh += self.committed.count() as u64;
            self.committed = Committed::new(self.plan.form);
        }
    }

    fn advance(&mut self, status: &Status) -> Result<(), String> {
        let Some(counts) = status.committed else {
            return match self.committed.count() {
                0 => Ok(()),
                _ => Err("the checkpoint is gone".to_owned()),
            };
        };
        let (output, failures) = self.folder.files();
        let files = (&output[..], &failures[..]);
        self.committed
            .advance(counts, files, &self.list.wanted, &self.truth)
    }

    /// What the kill cost, and what it may have cost.
    fn weigh(
        &mut self,
        ended: &Ended,
        news: &[Asked],
        before: &HashMap<String, u32>,
        slow: Duration,
    ) {
        let summary = &mut self.summary;
        summary.lost += cost::lost(news, before, &self.committed.fates);
        if let Ended::Killed { at, .. } = *ended {
            let allowed = 2 * self.plan.every + 2 * slow + Duration::from_millis(100);
            summary.interval += cost::at_risk(news, at, self.plan.every, self.plan.concurrency);
            summary.allowed += cost::at_risk(news, at, allowed, self.plan.concurrency);
        }
    }

    /// "Never over the quota", across all kills: no window has more requests than its quota
    /// says. They are seen when they arrive, not when they start, so the window
    /// is shorter by what they may be late here and now.
    fn check_quotas(&mut self) -> Result<(), String> {
        let late = 0.1 + 2.0 * self.slowest.as_secs_f64();
        for &(most, span) in &self.plan.quotas {
            let window = f64::from(span) - late;
            if window < 0.3 {
                continue;
            }
            let found = most_in_window(&mut self.times, window);
            let share = found as f64 / f64::from(most);
            self.summary.fullest = self.summary.fullest.max(share);
            if share > 1.0 {
                return Err(format!(
                    "{found} requests within {window:.2} s, and {most}/{span}s are allowed"
                ));
            }
        }
        Ok(())
    }

    /// A power loss leaves anything of the bytes after the last commit.
    fn spoil(&mut self, tail: Tail) {
        let (output_end, failures_end) = self.committed.ends();
        // Whether a header row alone is committed can't be seen from here.
        let mut spoiled = false;
        let blind = output_end == 0 && matches!(self.plan.form, Form::Delimited(..));
        if !blind {
            spoiled |= Folder::spoil(&self.folder.output(), output_end, tail, &mut self.random);
        }
        spoiled |= Folder::spoil(
            &self.folder.failures(),
            failures_end,
            tail,
            &mut self.random,
        );
        self.summary.tails += u64::from(spoiled);
    }

    /// A run to the end, the judgement, and a run that has nothing to do.
    fn finish(&mut self) -> Result<(), String> {
        self.list.complete();
        fs::write(self.folder.path("ids.txt"), self.list.text()).unwrap();
        let code = self.last_run()?;
        let status = self.folder.status()?;
        if status.state != "finished" {
            return Err(format!("the last run's state is {}", status.state));
        }
        self.advance(&status)?;
        let (output, failures) = self.folder.files();
        self.committed
            .complete((&output, &failures), &self.list.wanted)?;
        let failed = !failures.is_empty();
        if code != if failed { 3 } else { 0 } {
            return Err(format!(
                "the last run's exit code is {code}, with failures: {failed}"
            ));
        }
        let again = self.last_run()?;
        if (again, self.folder.files()) != (code, (output, failures)) {
            return Err(format!(
                "run again when finished: exit code {again}, or other files"
            ));
        }
        self.folder.litter()?;

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
            self.folder.root(),
            Command::Run,
            End::Itself,
            self.plan.buffer,
            &log,
        )?;
        let Ended::Exited { code, .. } = ended else {
            return Err("the last run was killed".to_owned());
        };
        let news = self.news()?;
        self.slowest = self.slowest.max(self.canary.worst());
        self.check_quotas()?;
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
}
