//! The triage under random answers, in the hands of a small engine: every item
//! gets one fate, nothing is held for ever, and a stop has its reason.

use super::{Decision, Facts, StopReason, Triage};
use crate::fetch::{Answer, Next, PageAnswer, Refused, Share, Trouble, Verdict};
use crate::job::{Job, LoadOptions, load};
use crate::outcome::{Reason, Record, Validators};
use crate::pace::Signal;
use crate::run::item::{Item, Request};
use crate::run::page_progress::PageMemory;
use crate::run::queue::alone;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::time::{Duration, UNIX_EPOCH};

/// How a job asks.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Form {
    Single,
    Batch { single: bool },
    Pages,
}

fn job(form: Form, attempts: u32, quarantine: &str, auth: bool) -> Job {
    let request = match form {
        Form::Single => "url = \"http://127.0.0.1:1/{id}\"\n",
        Form::Batch { single: false } => {
            "url = \"http://127.0.0.1:1/?ids={ids}\"\n[request.batch]\nsize = 5\nitems = \"$\"\nkey = \"$.id\"\n"
        }
        Form::Batch { single: true } => {
            "url = \"http://127.0.0.1:1/?ids={ids}\"\n[request.batch]\nsize = 5\nitems = \"$\"\nkey = \"$.id\"\nsingle = \"http://127.0.0.1:1/{id}\"\n"
        }
        Form::Pages => {
            "url = \"http://127.0.0.1:1/{id}\"\n[request.pages]\nnext = \"$.next\"\nitems = \"$.items\"\n"
        }
    };
    let auth = match auth {
        true => "[auth]\ntype = \"bearer\"\ntoken = \"a-token\"\n",
        false => "",
    };
    let text = format!(
        "[ids]\nlist = [\"x\"]\n[request]\n{request}{auth}[limits]\nquarantine = \"{quarantine}\"\n\
         [retry]\nattempts = {attempts}\n[output]\npath = \"out.ndjson\"\n"
    );
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("job.toml");
    std::fs::write(&path, text).unwrap();
    load(&path, &LoadOptions::default()).unwrap()
}

fn record(body: &'static str) -> Record {
    Record {
        status: 200,
        fetched_at: UNIX_EPOCH,
        body: body.into(),
        validators: Validators::default(),
    }
}

fn trouble(status: u16, reason: Reason) -> Trouble {
    Trouble {
        status: (status > 0).then_some(status),
        reason,
        message: format!("HTTP {status}"),
    }
}

/// A page of two elements, the last one or with another after it.
fn page(number: u64, last: bool) -> Verdict {
    Verdict::Page(Box::new(PageAnswer {
        record: record("{\"items\":[1,2]}"),
        elements: Some(vec![10..11, 12..13]),
        array: Some(9..14),
        here: number,
        content: number,
        next: (!last).then(|| Next::Cursor(format!("{}", number + 1))),
    }))
}

/// A server that answers at random until it is well.
struct Server {
    random: fastrand::Rng,
    /// Answers that are still random.
    left: u32,
    /// Then it refuses everything, instead of being well.
    refuses_at_last: bool,
    generation: u64,
    /// Tells one page from another.
    pages: u64,
    /// Statuses that it gave, 0 for none.
    gave: BTreeMap<u16, u32>,
    untrusted: bool,
}

impl Server {
    fn answer(&mut self, request: &Request, form: Form) -> (Signal, Verdict) {
        self.pages += 1;
        let several = request.batch;
        if self.left == 0 {
            return match self.refuses_at_last {
                true => self.trouble(2, several),
                false => (Signal::Fine, self.good(request, form)),
            };
        }
        self.left -= 1;
        match self.random.u32(0..20) {
            0..6 => (Signal::Fine, self.good(request, form)),
            kind => self.trouble(kind - 6, several),
        }
    }

    fn good(&mut self, request: &Request, form: Form) -> Verdict {
        if request.batch {
            let share = |random: &mut fastrand::Rng| match random.u32(0..12) {
                0 => Share::Absent(trouble(200, Reason::NotFound)),
                1 if request.items.len() > 1 => Share::Unclear,
                2 if request.items.len() == 1 => Share::Failed(trouble(200, Reason::MalformedBody)),
                3 => Share::Record(record("{\"error\":\"x\"}")),
                _ => Share::Record(record("{}")),
            };
            let shares = request.items.iter().map(|_| share(&mut self.random));
            return Verdict::Shares(shares.collect());
        }
        match form {
            Form::Pages => page(self.pages, self.random.bool()),
            _ if self.left > 0 && self.random.u32(0..8) == 0 => {
                Verdict::Record(record("{\"error\":\"x\"}"))
            }
            _ => Verdict::Record(record("{}")),
        }
    }

    fn trouble(&mut self, kind: u32, batch: bool) -> (Signal, Verdict) {
        let wait = Duration::from_secs(1);
        let (signal, verdict, status) = match kind {
            0 => (
                Signal::Fine,
                Verdict::Failed(trouble(404, Reason::NotFound)),
                404,
            ),
            1 => (
                Signal::Fine,
                Verdict::Failed(trouble(400, Reason::ClientError)),
                400,
            ),
            2 => (
                Signal::Neutral,
                Verdict::Forbidden(trouble(403, Reason::Forbidden)),
                403,
            ),
            3 => {
                let trouble = trouble(401, Reason::Unauthorized);
                (Signal::Neutral, Verdict::Unauthorized(None, trouble), 401)
            }
            4 | 5 => {
                self.generation += u64::from(self.random.bool());
                let refused = Refused {
                    generation: self.generation + 1,
                    expired: self.random.u32(0..4) == 0,
                    age: Duration::from_millis(self.random.u64(0..600)),
                };
                let trouble = trouble(401, Reason::Unauthorized);
                (
                    Signal::Neutral,
                    Verdict::Unauthorized(Some(refused), trouble),
                    401,
                )
            }
            6 => (
                Signal::Neutral,
                Verdict::Again(trouble(500, Reason::ServerError)),
                500,
            ),
            7 => (
                Signal::Trouble,
                Verdict::Again(trouble(503, Reason::ServerError)),
                503,
            ),
            8 => (
                Signal::RetryAfter(wait),
                Verdict::Again(trouble(429, Reason::RateLimited)),
                429,
            ),
            9 => (
                Signal::Overloaded,
                Verdict::Again(trouble(429, Reason::RateLimited)),
                429,
            ),
            10 => (
                Signal::Unreachable,
                Verdict::Again(trouble(0, Reason::Connect)),
                0,
            ),
            11 => (
                Signal::Neutral,
                Verdict::Again(trouble(200, Reason::MalformedBody)),
                200,
            ),
            12 if self.random.u32(0..4) == 0 => {
                self.untrusted = true;
                (
                    Signal::Unreachable,
                    Verdict::Untrusted(trouble(0, Reason::Connect)),
                    0,
                )
            }
            _ if batch => (
                Signal::Fine,
                Verdict::Failed(trouble(413, Reason::ClientError)),
                413,
            ),
            _ => (
                Signal::NotSent,
                Verdict::Failed(trouble(0, Reason::InvalidId)),
                0,
            ),
        };
        *self.gave.entry(status).or_default() += 1;
        (signal, verdict)
    }
}

/// What an engine does with decisions, and nothing else.
struct Sim {
    triage: Triage,
    server: Server,
    form: Form,
    queue: Vec<Item>,
    in_flight: Vec<Request>,
    outage: bool,
    /// The server was down for so many answers in a row.
    down: u32,
    begun: u64,
    stop: Option<StopReason>,
    /// Written fates, by item.
    fates: BTreeMap<String, u32>,
}

impl Sim {
    fn facts(&self) -> Facts {
        Facts {
            at: UNIX_EPOCH,
            outage: self.outage,
            nothing_fresh: self.begun > 60,
            begun: self.begun,
            stopping: self.stop.is_some(),
        }
    }

    fn begin(&mut self) -> bool {
        if self.stop.is_some() || self.triage.awaits_probe() {
            return false;
        }
        let last_ones = self.outage && self.facts().nothing_fresh && !self.queue.is_empty();
        let probe = self.triage.wants_probe(last_ones);
        let mut request = if probe && let Some(item) = self.triage.probe() {
            Request {
                probe: true,
                ..alone(item, self.triage.batches(), |_| true)
            }
        } else if self.queue.is_empty() {
            return false;
        } else {
            let batches = self.triage.batches();
            let at = self.server.random.usize(0..self.queue.len());
            let mut request = alone(self.queue.swap_remove(at), batches, |_| true);
            let most = request.items[0].most.min(batches.size().unwrap_or(1));
            while request.batch && request.items.len() < most {
                let len = request.items.len();
                let fits = |item: &Item| item.most > len && !item.single;
                match self.queue.iter().position(fits) {
                    Some(at) => request.items.push(self.queue.swap_remove(at)),
                    None => break,
                }
            }
            request
        };
        self.begun += 1;
        request.number = self.begun;
        self.in_flight.push(request);
        true
    }

    fn land(&mut self) {
        let at = self.server.random.usize(0..self.in_flight.len());
        let request = self.in_flight.swap_remove(at);
        let (signal, verdict) = self.server.answer(&request, self.form);
        // The pacer's part, roughly: several troubles are an outage, a success ends it.
        match signal {
            Signal::Fine => (self.down, self.outage) = (0, false),
            Signal::Trouble | Signal::Unreachable => {
                self.down += 1;
                self.outage |= self.down > 4;
            }
            _ => {}
        }
        let answer = Answer {
            signal,
            verdict,
            bytes: 0,
        };
        let decisions = self.triage.settle(request, answer, self.facts());
        self.act(decisions);
    }

    fn act(&mut self, decisions: Vec<Decision>) {
        for decision in decisions {
            match decision {
                Decision::Write(outcome) => {
                    let part = outcome.pages.as_ref().is_some_and(|p| p.trail.is_some());
                    if !part {
                        *self.fates.entry(outcome.id).or_default() += 1;
                    }
                }
                Decision::AskAgain(items, _) => self.queue.extend(items),
                Decision::NextPage(item) | Decision::StartOver(item) => self.queue.push(item),
                Decision::DropToken(_) => {}
                Decision::ServerDown => self.outage = true,
                Decision::Stop(reason) => drop(self.stop.get_or_insert(reason)),
            }
        }
    }

    /// Runs to its end; false when that takes too long.
    fn run(&mut self, concurrency: usize) -> bool {
        for _ in 0..20_000 {
            while self.in_flight.len() < concurrency && self.begin() {}
            if !self.in_flight.is_empty() {
                self.land();
            } else if self.stop.is_some() || !self.triage.asks_at_the_end() {
                break;
            }
        }
        self.in_flight.is_empty() && (self.stop.is_some() || self.queue.is_empty())
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 1_500,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn every_item_gets_one_fate_and_a_stop_has_its_reason(
        seed in any::<u64>(),
        left in 0u32..250,
        refuses_at_last in prop::bool::weighted(0.2),
        (form, auth) in (prop_oneof![
            Just(Form::Single),
            Just(Form::Batch { single: false }),
            Just(Form::Batch { single: true }),
            Just(Form::Pages),
        ], any::<bool>()),
        attempts in 1u32..5,
        quarantine in prop_oneof![Just("off"), Just("3/4"), Just("10/10"), Just("95/100")],
        concurrency in 1usize..9,
        records_before in any::<bool>(),
        items in 1u32..40,
    ) {
        let job = job(form, attempts, quarantine, auth);
        let mut sim = Sim {
            triage: Triage::new(&job, records_before, PageMemory::default(), seed),
            server: Server {
                random: fastrand::Rng::with_seed(seed),
                left,
                refuses_at_last,
                generation: 0,
                pages: 0,
                gave: BTreeMap::new(),
                untrusted: false,
            },
            form,
            queue: (0..items).map(|n| Item::new(format!("i{n}"), 0)).collect(),
            in_flight: Vec::new(),
            outage: false,
            down: 0,
            begun: 0,
            stop: None,
            fates: BTreeMap::new(),
        };
        prop_assert!(sim.run(concurrency), "it never ends");
        if sim.stop.is_none() {
            prop_assert!(!sim.triage.holds_items(), "an item is held for ever");
            let decisions = sim.triage.end(sim.facts());
            sim.act(decisions);
        }
        prop_assert!(sim.fates.values().all(|&times| times == 1), "an item has two fates");
        let gave = |statuses: &[u16]| -> u32 {
            statuses.iter().filter_map(|status| sim.server.gave.get(status)).sum()
        };
        match &sim.stop {
            None => {
                prop_assert_eq!(sim.fates.len(), items as usize);
                prop_assert_eq!(sim.triage.remembered(), 0);
            }
            Some(StopReason::Refused(why, _)) => {
                prop_assert!(!why.is_empty() && gave(&[401, 403]) > 0);
            }
            Some(StopReason::Quarantine { failures, items, seen }) => {
                prop_assert!(failures <= items && seen.contains("HTTP"), "{seen}");
            }
            Some(StopReason::Certificate(host, _)) => {
                prop_assert!(sim.server.untrusted && host == "127.0.0.1");
            }
        }
    }
}

/// The server is down: with one try for each item, none may be spent on finding that out.
#[test]
fn the_item_that_shows_an_outage_has_not_failed() {
    let job = job(Form::Single, 1, "3/3", false);
    let mut triage = Triage::new(&job, false, PageMemory::default(), 7);
    let mut again = 0;
    for n in 0..3 {
        let answer = Answer {
            signal: Signal::Neutral,
            verdict: Verdict::Again(trouble(500, Reason::ServerError)),
            bytes: 0,
        };
        let request = Request {
            number: n,
            ..alone(Item::new(n.to_string(), 0), triage.batches(), |_| true)
        };
        let facts = Facts {
            at: UNIX_EPOCH,
            outage: false,
            nothing_fresh: false,
            begun: n,
            stopping: false,
        };
        for decision in triage.settle(request, answer, facts) {
            match decision {
                Decision::AskAgain(items, _) => again += items.len(),
                Decision::StartOver(_) => again += 1,
                Decision::ServerDown => {}
                other => panic!("{other:?}"),
            }
        }
    }
    assert_eq!(again, 3);
}
