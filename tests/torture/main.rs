//! The torture test: runs that are killed again and again, at random instants
//! and at every chosen one, and an oracle that shares no code with the product.
//!
//! `places.rs` has the chosen instants, `plan.rs` what a seed makes of them,
//! `harvest.rs` carries a plan out, `oracle.rs` judges the files. The faults of
//! the network are `proxy.rs`'s, those of the server `server.rs`'s.
//!
//! ```text
//! cargo test --test torture                                        100 kills, 5 harvests (CI)
//! HARVEST_TORTURE=nightly cargo test --test torture -- --nocapture   1,000 kills, 50 harvests
//! HARVEST_TORTURE=400 …                                            that many kills
//! HARVEST_TORTURE_SEED=17 …                                        one harvest again
//! ```
//! A seed makes the same plan, lists and faults each time; when exactly a kill
//! strikes is the machine's.
#![allow(
    unreachable_pub,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]

#[path = "../support/mod.rs"]
mod support;

mod canary;
mod committed;
mod cost;
mod folder;
mod harvest;
mod kill;
mod list;
mod oracle;
mod oracle_tests;
mod places;
mod plan;
mod proxy;
mod server;
mod summary;

use harvest::Harvest;
use plan::Plan;
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;
use summary::Summary;

/// SIGKILLs of one harvest.
const KILLS: usize = 20;
/// Harvests side by side: they wait more than they work.
const AT_ONCE: usize = 2;
/// Harvests after which every place has had its turn.
const ROUND: u64 = 5;

#[test]
fn every_id_exactly_once_whatever_was_killed_and_when() {
    support::watched();
    let began = Instant::now();
    let seeds: Vec<u64> = match std::env::var("HARVEST_TORTURE_SEED") {
        Ok(seed) => vec![seed.parse().expect("HARVEST_TORTURE_SEED is a number")],
        Err(_) => (0..harvests()).collect(),
    };
    let (next, told) = (
        AtomicUsize::new(0),
        Mutex::new((Summary::default(), Vec::new())),
    );
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(&seed) = seeds.get(next.fetch_add(1, Ordering::SeqCst)) {
                    let result = one(seed);
                    let (summary, problems) = &mut *told.lock().unwrap();
                    match result {
                        Ok(news) => summary.add(news),
                        Err(problem) => problems.push(problem),
                    }
                }
            });
        }
    });
    let (summary, problems) = told.into_inner().unwrap();
    println!("{summary}, in {:.0} s", began.elapsed().as_secs_f64());
    assert!(problems.is_empty(), "{}", problems.join("\n\n"));
    if seeds.len() as u64 >= ROUND {
        let never: Vec<_> = places::PLACES
            .iter()
            .map(|place| place.title())
            .filter(|title| !summary.places.contains_key(title))
            .collect();
        assert!(
            never.is_empty(),
            "no kill in {} harvests struck at: {never:?}",
            seeds.len()
        );
    }
}

fn one(seed: u64) -> Result<Summary, String> {
    let began = Instant::now();
    let plan = Plan::of(seed, KILLS);
    let what = plan.to_string();
    // A surprise in the driver is to name its seed, too.
    let tortured = catch_unwind(AssertUnwindSafe(|| Harvest::begin(plan).torture()));
    match tortured
        .unwrap_or_else(|_| Err(("the driver panicked, see above".to_owned(), "/".into())))
    {
        Ok(summary) => {
            println!(
                "seed {seed} ({what}), {:.0} s: {summary}",
                began.elapsed().as_secs_f64()
            );
            Ok(summary)
        }
        Err((problem, folder)) => {
            let problem = format!(
                "seed {seed} ({what}): {problem}\nRepeat it with HARVEST_TORTURE_SEED={seed}; its files are in {}",
                folder.display()
            );
            println!("{problem}");
            Err(problem)
        }
    }
}

/// A new place must not be forgotten here.
#[test]
fn the_places_are_the_program_s() {
    let ours: BTreeSet<_> = places::PLACES.iter().map(|place| place.name).collect();
    let theirs = ::harvest::fail_point::NAMES.iter().copied();
    // Those of a retry, of an update and of the tokens have their own tests: tests/suite/retry.rs,
    // tests/suite/update.rs, tests/suite/grants.rs.
    let own = |name: &&str| {
        ["retry: ", "update: ", "token: "]
            .iter()
            .any(|own| name.starts_with(own))
    };
    let theirs: BTreeSet<_> = theirs.filter(|name| !own(name)).collect();
    assert_eq!(ours, theirs);
}

fn harvests() -> u64 {
    let kills = match std::env::var("HARVEST_TORTURE") {
        Err(_) => 100,
        Ok(size) if size == "nightly" => 1_000,
        Ok(kills) => kills
            .parse()
            .expect("HARVEST_TORTURE is `nightly` or a number of kills"),
    };
    u64::div_ceil(kills, KILLS as u64)
}
