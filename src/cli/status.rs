//! `harvest status JOB`: where a run stands, from its checkpoint.

use super::args::StatusArgs;
use super::{Exit, show};
use crate::checkpoint::{Closing, inspect};
use crate::job::{LoadOptions, OutputTarget, Update, load};
use crate::report::{count, place};
use crate::write::{Ages, ages, under_way};
use std::fmt::Write;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

pub(super) fn status(args: &StatusArgs) -> Exit {
    // As with --sandbox, credentials don't matter: nothing is sent.
    let options = LoadOptions {
        sandbox: true,
        output: args.output.clone(),
        ..LoadOptions::default()
    };
    let job = match load(&args.job, &options) {
        Ok(job) => job,
        Err(error) => {
            show::job_error(&error);
            return Exit::Usage;
        }
    };
    let OutputTarget::File(output) = &job.output.target else {
        return show::out("this job writes to stdout: it keeps no checkpoint");
    };
    let state = match inspect(output) {
        Ok(Some(state)) => state,
        Ok(None) => {
            return show::out(&format!(
                "{}: not begun (no checkpoint)",
                place(output).display()
            ));
        }
        Err(error) => {
            show::err(error);
            return Exit::Error;
        }
    };
    let mut text = format!("{}\n", place(output).display());
    let mut line = |name: &str, value: String| {
        let _ = writeln!(text, "  {name:<10} {value}");
    };
    let is = match (&state.running, state.closing) {
        (Some(by), _) => format!("running ({by})"),
        (None, Closing::Finished) => "finished".into(),
        (None, Closing::Paused) => "stopped; run the job to go on".into(),
        (None, Closing::No) => "interrupted; run the job to go on".into(),
    };
    line("state", is);
    line("records", count(state.records));
    let whole: u64 = state.done.saturating_sub(state.failures.values().sum());
    if whole != state.records {
        line("items", format!("{} have their records", count(whole)));
    }
    if state.parts > 0 {
        let (parts, records) = (count(state.parts), count(state.part_records));
        line(
            "in part",
            format!("{parts} items, with {records} records so far"),
        );
    }
    let failed: u64 = state.failures.values().sum();
    if failed > 0 {
        let reasons: Vec<_> = state
            .failures
            .iter()
            .map(|(reason, n)| format!("{reason} {}", count(*n)))
            .collect();
        line(
            "failed",
            format!("{} ({})", count(failed), reasons.join(", ")),
        );
    }
    let aged = job.update.map(|update| ages(output, update.older_than));
    if let (Some(update), Some(Ok(Some(ages)))) = (&job.update, aged) {
        line("older", words_of_age(&ages, update));
    }
    if let Some(asked) = under_way(output) {
        let asked = count(asked);
        line(
            "update",
            format!("under way: {asked} items asked so far; --update goes on"),
        );
    }
    if let Some(at) = state.committed_at {
        line(
            "committed",
            humantime::format_rfc3339_seconds(at).to_string(),
        );
    }
    if let Some(note) = state.last_note {
        let learnt = note.learnt;
        if learnt.rate_milli > 0 {
            let speed = learnt.rate_milli as f64 / 1e3;
            line(
                "pace",
                format!("about {} found", crate::report::rate(speed)),
            );
        }
        let until =
            UNIX_EPOCH + Duration::from_millis(note.pause_until_ms.min(u64::from(u32::MAX) * 1000));
        if until > SystemTime::now() {
            line(
                "paused",
                format!(
                    "the server asked to be left alone until {}",
                    humantime::format_rfc3339_seconds(until)
                ),
            );
        }
    }
    show::out(&text)
}

/// `12 of 5,000 records are older than 7days`.
pub(super) fn words_of_age(ages: &Ages, update: &Update) -> String {
    format!(
        "{} of {} records are older than {}",
        count(ages.older),
        count(ages.records),
        humantime::format_duration(update.older_than)
    )
}
