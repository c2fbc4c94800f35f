//! What a seed makes of a harvest.
//!
//! Owns every choice: the job, the faults, and the steps: how the list changes,
//! what is run, and how it ends. Each harvest has a fifth of the places of
//! `places.rs`, each after what it needs, and random instants besides.

use crate::list::Kind;
use crate::oracle::Form;
use crate::places::{PLACES, Place, When};
use fastrand::Rng;
use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

/// Columns of a CSV of tracks: name, path as the oracle reads it.
pub const TRACK_COLUMNS: &[(&str, &str)] = &[
    ("id", "id"),
    ("name", "name"),
    ("album", "album.name"),
    ("artists", "artists[].name"),
    ("duration_ms", "duration_ms"),
];
/// Columns of a CSV of things.
pub const THING_COLUMNS: &[(&str, &str)] = &[("name", "name"), ("id", "id"), ("path", "path")];

pub struct Plan {
    pub seed: u64,
    pub kills: usize,
    pub kind: Kind,
    pub form: Form,
    pub each: bool,
    pub concurrency: usize,
    pub every: Duration,
    /// Quotas: requests in so many seconds. None: as fast as it goes, which the
    /// server's latency bounds. The shortest is spread, so only a longer one shows
    /// whether what was sent before a kill counts.
    pub quotas: Vec<(u32, u32)>,
    pub latency: Duration,
    /// Of the answers, the server's faults.
    pub faults: f64,
    /// Of the connections, the proxy's.
    pub struck: f64,
    pub token_life: Duration,
    /// Bytes that the program buffers before it writes them: few make tails that no commit covers.
    pub buffer: usize,
    random: Rng,
    steps: VecDeque<Step>,
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let form = match self.form {
            Form::Body => "bodies",
            Form::Envelope => "envelopes",
            Form::Delimited(b',', []) => "csv of what comes",
            Form::Delimited(b',', _) => "csv",
            Form::Delimited(..) => "tsv",
        };
        let rate = match &self.quotas[..] {
            [] => "no quota".to_owned(),
            quotas => quota_texts(quotas).join(" and "),
        };
        write!(
            f,
            "{:?}, {form}{}, {} at once, {rate}, commits every {:?}, {:.1} % faults, {:.0} % bad connections",
            self.kind,
            if self.each { ", repeats" } else { "" },
            self.concurrency,
            self.every,
            self.faults * 100.0,
            self.struck * 100.0
        )
    }
}

/// One run.
#[derive(Debug, Clone)]
pub struct Step {
    pub shuffle: bool,
    pub command: Command,
    pub end: End,
    pub tail: Tail,
}

/// What is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    Run,
    /// With a checkpoint that counts as long.
    Compact,
    /// `--fresh --yes`.
    Fresh,
    /// `--limit`.
    Limit(u32),
}

/// How a run ends.
#[derive(Debug, Clone, Copy)]
pub enum End {
    /// By itself.
    Itself,
    /// SIGKILL so long after its start.
    AfterStart(Duration),
    /// SIGKILL so long after its first request.
    AfterRequest(Duration),
    /// SIGKILL at a place. `term`: SIGTERM comes first.
    At {
        place: Place,
        passes: u32,
        percent: u32,
        zeros: bool,
        term: bool,
    },
    /// SIGTERM so long after its first request, and SIGKILL so long after that.
    Term(Duration, Option<Duration>),
}

impl End {
    /// A quota's lease is committed first, and that opens the journal again, too:
    /// these places need a run without a quota.
    pub fn lifts_the_quota(&self) -> bool {
        matches!(self, End::At { place, .. } if place.when == When::AfterClosing)
    }

    /// What the summary calls a kill at no place.
    pub fn moment(&self) -> &'static str {
        match self {
            End::AfterStart(_) => "at random, soon after the start",
            End::Term(..) => "at random, after SIGTERM",
            _ => "at random, while it fetches",
        }
    }
}

/// What a power loss makes of the bytes that no commit covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tail {
    Leave,
    Cut,
    Zeros,
    Garbage,
}

impl Plan {
    pub fn of(seed: u64, kills: usize) -> Plan {
        let mut random = Rng::with_seed(seed);
        let kind = if random.u32(0..3) == 0 {
            Kind::Tracks
        } else {
            Kind::Things
        };
        let columns = match kind {
            Kind::Tracks => TRACK_COLUMNS,
            Kind::Things => THING_COLUMNS,
        };
        // Five forms, so that each fifth of the places meets each form in 25 harvests.
        let form = match (seed + seed / 5) % 5 {
            0 => Form::Body,
            1 => Form::Envelope,
            2 => Form::Delimited(b',', columns),
            3 => Form::Delimited(b',', &[]),
            _ => Form::Delimited(b'\t', columns),
        };
        let mut plan = Plan {
            seed,
            kills,
            kind,
            form,
            each: random.u32(0..4) == 0,
            concurrency: random.usize(1..=16),
            every: Duration::from_millis(random.u64(100..=300)),
            quotas: Vec::new(),
            latency: Duration::ZERO,
            faults: if random.bool() {
                random.f64() * 0.06
            } else {
                0.0
            },
            struck: if random.bool() {
                random.f64() * 0.5
            } else {
                0.0
            },
            token_life: Duration::from_millis(random.u64(400..4_000)),
            buffer: if random.bool() {
                random.usize(1..3_000)
            } else {
                256 << 10
            },
            random,
            steps: VecDeque::new(),
        };
        // At most about 600 answers a second.
        plan.latency = Duration::from_micros(plan.concurrency as u64 * 1_600);
        if plan.random.u32(0..3) == 0 {
            let rate = plan.random.u32(250..=500);
            plan.quotas = vec![(rate, 1), (rate * 3 / 2, 3)];
        }
        plan.schedule();
        plan
    }

    /// The places of this harvest, each after what it needs.
    fn schedule(&mut self) {
        let mine = PLACES.iter().enumerate();
        let mine = mine.filter(|(n, _)| *n as u64 % crate::ROUND == self.seed % crate::ROUND);
        let (first, mut later): (Vec<_>, Vec<_>) = mine
            .map(|(_, place)| *place)
            .partition(|place| matches!(place.when, When::First | When::FirstFailure));
        self.random.shuffle(&mut later);
        for place in first.into_iter().chain(later) {
            let steps = self.fragment(place);
            self.steps.extend(steps);
        }
    }

    fn fragment(&mut self, place: Place) -> Vec<Step> {
        let passes = match (place.name, place.when) {
            // Two writes are the preface and the header; the rest are blocks.
            ("checkpoint: part written", When::First) => self.random.u32(0..2),
            ("checkpoint: part written", When::Compaction) => self.random.u32(0..4),
            (_, When::Work) => self.random.u32(0..4),
            _ => 0,
        };
        let end = self.at(place, passes);
        let mut last = self.step(end);
        let before = match place.when {
            When::First | When::FirstFailure => {
                last.shuffle = false;
                None
            }
            When::Work | When::Later => None,
            When::AfterTail => {
                let flushed = Place {
                    name: "commit: failures flushed",
                    when: When::Work,
                };
                let passes = self.random.u32(1..3);
                Some(self.at(flushed, passes))
            }
            When::AfterTornBlock => {
                let part = Place {
                    name: "checkpoint: part written",
                    when: When::Work,
                };
                let passes = self.random.u32(2..4);
                Some(self.at(part, passes))
            }
            When::AfterClosing => {
                let after = Duration::from_millis(self.random.u64(50..300));
                Some(End::Term(after, None))
            }
            When::Closing => {
                if self.random.bool() {
                    last.command = Command::Limit(self.random.u32(20..60));
                } else if let End::At { term, .. } = &mut last.end {
                    *term = true;
                }
                None
            }
            When::Compaction => {
                last.command = Command::Compact;
                let begun = Place {
                    name: "commit: begun",
                    when: When::Work,
                };
                Some(self.at(begun, 3))
            }
            When::Fresh => {
                last.command = Command::Fresh;
                None
            }
        };
        let before = before.map(|end| {
            let mut step = self.step(end);
            if place.when == When::AfterTail {
                step.tail = Tail::Leave; // there has to be something to cut off
            }
            step
        });
        before.into_iter().chain([last]).collect()
    }

    /// Whether places of this harvest still wait for their turn.
    pub fn is_due(&self) -> bool {
        !self.steps.is_empty()
    }

    /// A run did not come to its place: once more, as long as it can.
    pub fn missed(&mut self, step: &Step) {
        if let End::At { place, .. } = step.end
            && !matches!(place.when, When::First | When::FirstFailure)
        {
            let steps = self.fragment(place);
            self.steps.extend(steps);
        }
    }

    /// The next run.
    pub fn next_step(&mut self) -> Step {
        if let Some(step) = self.steps.pop_front() {
            return step;
        }
        let random = &mut self.random;
        let mut some = |most: u64| Duration::from_micros(random.u64(0..most * 1_000));
        let end = match some(100).as_millis() {
            0..15 => End::AfterStart(some(250)),
            15..65 => End::AfterRequest(some(700)),
            65..75 => End::Term(some(300), Some(some(30))),
            75..80 => End::Term(some(300), None),
            80..84 => End::Itself,
            _ => {
                let place = *self.random.choice(PLACES).unwrap();
                let passes = self.random.u32(0..5);
                match place.when {
                    When::Work | When::Later => self.at(place, passes),
                    _ => End::AfterRequest(Duration::from_millis(self.random.u64(0..700))),
                }
            }
        };
        let mut step = self.step(end);
        if matches!(end, End::Itself) {
            step.command = Command::Limit(self.random.u32(1..200));
        } else if self.random.u32(0..8) == 0 {
            step.command = Command::Compact;
        }
        step
    }

    fn step(&mut self, end: End) -> Step {
        let tails = [
            Tail::Leave,
            Tail::Leave,
            Tail::Cut,
            Tail::Zeros,
            Tail::Garbage,
        ];
        Step {
            shuffle: self.random.u32(0..4) == 0,
            command: Command::Run,
            end,
            tail: *self.random.choice(&tails).unwrap(),
        }
    }

    fn at(&mut self, place: Place, passes: u32) -> End {
        End::At {
            place,
            passes,
            percent: self.random.u32(1..100),
            zeros: self.random.bool(),
            term: false,
        }
    }

    /// A number for whoever needs one.
    pub fn draw(&mut self) -> u64 {
        self.random.u64(..)
    }
}

/// Quotas as a job says them.
pub fn quota_texts(quotas: &[(u32, u32)]) -> Vec<String> {
    quotas
        .iter()
        .map(|(most, span)| format!("{most}/{span}s"))
        .collect()
}
