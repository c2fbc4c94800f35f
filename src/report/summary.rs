//! The first and the last words of a run.

use super::event::{End, Plan, Summary, UpdateNews};
use super::words::{bytes, count, place, rate, span};
use crate::pace::Found;
use std::fmt::Write;

pub(super) fn opening(plan: &Plan) -> String {
    let mut text = format!("harvest {}", plan.job.display());
    if let Some(output) = &plan.output {
        let _ = write!(text, " → {}", place(output).display());
    }
    let speed = match (plan.auto, plan.allowed) {
        (false, None) => "unlimited".into(),
        (false, Some(allowed)) => rate(allowed),
        (true, None) => "auto rate".into(),
        (true, Some(allowed)) => format!("auto rate up to {}", rate(allowed)),
    };
    let auto = if plan.concurrency_auto { "auto, " } else { "" };
    let _ = write!(
        text,
        " · {speed}, {auto}{} in flight at most",
        plan.concurrency
    );
    if let Some(address) = &plan.sandbox {
        let _ = write!(text, " · embedded API at {address}");
    }
    if let Some(proxy) = &plan.proxy {
        let _ = write!(text, " · through the proxy {proxy}");
    }
    if let Some(update) = &plan.update {
        let _ = match update.older_than {
            None => write!(text, "\nupdating: all {} records", count(update.records)),
            Some(age) => write!(
                text,
                "\nupdating: {} of {} records are older than {}",
                count(update.older),
                count(update.records),
                humantime::format_duration(age)
            ),
        };
    }
    if plan.done_before > 0 {
        let _ = match plan.retry {
            Some(failed) => write!(text, "\ntrying again what failed: {} items", count(failed)),
            None => write!(
                text,
                "\nresuming: {} items are done",
                count(plan.done_before)
            ),
        };
        if plan.dropped_bytes > 0 {
            let _ = write!(
                text,
                "; {} after the last checkpoint dropped, to be fetched again",
                bytes(plan.dropped_bytes)
            );
        }
    }
    text
}

pub(super) fn closing(s: &Summary) -> String {
    let failed: u64 = s.failed.values().map(|f| f.0).sum();
    let mut text = String::new();
    let head = match &s.end {
        End::Finished if s.failed_in_all == 0 && s.pages > 0 => {
            "finished: every item has its records".to_owned()
        }
        End::Finished if s.failed_in_all == 0 => "finished: every item has its record".to_owned(),
        End::Finished => "finished: some items failed".to_owned(),
        End::NothingToDo => {
            "nothing left to do: every item has its fate; nothing was sent".to_owned()
        }
        End::Retried if s.failed_in_all == 0 => "every failed item has its record now".to_owned(),
        End::Retried => "tried the failed items again: some still fail".to_owned(),
        End::NothingToRetry => {
            "nothing to retry: no such item has failed; nothing was sent".to_owned()
        }
        End::Updated if s.failed_in_all == 0 && s.update.is_some_and(|u| u.kept == 0) => {
            match s.pages {
                0 => "updated: every item has its record".to_owned(),
                _ => "updated: every item has its records".to_owned(),
            }
        }
        End::Updated => "updated: some items failed".to_owned(),
        End::UpToDate => "nothing to update: no record is old enough; nothing was sent".to_owned(),
        End::Limit => "stopped at --limit".to_owned(),
        End::Paused(why) => format!("paused: {why}"),
        End::Stopped(signal) => format!("stopped by {signal}; what was done is kept"),
        End::Error if s.output.is_none() => "could not go on".to_owned(),
        End::Error => "could not go on; what was committed is safe".to_owned(),
    };
    let _ = writeln!(text, "{head}");
    let here = s.items + failed;
    if here > 0 || s.starts > 0 {
        let _ = write!(text, "  this run   {} records", count(s.records));
        if s.pages > 0 {
            let (items, pages) = (count(s.items), count(s.pages));
            let _ = write!(text, " of {items} items ({pages} pages)");
        }
        if s.unchanged > 0 {
            let _ = write!(text, ", {} unchanged", count(s.unchanged));
        }
        if failed > 0 {
            let _ = write!(text, ", {} failed", count(failed));
        }
        let _ = write!(text, " in {}", span(s.elapsed));
        let _ = writeln!(text, ", {} received", bytes(s.bytes));
        // Between n starts lie n − 1 intervals.
        let achieved = s.starts.saturating_sub(1) as f64 / s.elapsed.as_secs_f64().max(1e-3);
        let _ = write!(
            text,
            "  requests   {} at {}",
            count(s.starts),
            rate(achieved)
        );
        if let Some(allowed) = s.allowed {
            let _ = write!(text, " of {} allowed", rate(allowed));
        }
        if s.retries > 0 {
            let _ = write!(text, "; {} retries", count(s.retries));
        }
        if s.token_requests > 0 {
            let _ = write!(text, "; {} for tokens", count(s.token_requests));
        }
        let _ = writeln!(text);
        if let Some(found) = found(&s.found, s.starts) {
            let _ = writeln!(text, "  pace       {found}");
        }
    }
    if s.repeats > 0 {
        let _ = writeln!(
            text,
            "  repeats    {} listed again, fetched once",
            count(s.repeats)
        );
    }
    if s.left_in_part > 0 {
        let which = match s.left_in_part {
            1 => "item is",
            _ => "items are",
        };
        let _ = writeln!(
            text,
            "  in part    {} {which} in the output in part and not in the list any more",
            count(s.left_in_part)
        );
    }
    if let Some(update) = &s.update {
        let _ = writeln!(text, "  update     {}", news(update));
    }
    if let Some(output) = &s.output {
        let _ = writeln!(
            text,
            "  output     {} ({} records)",
            place(output).display(),
            count(s.records_in_all)
        );
    }
    if s.failed_in_all > 0
        && let Some(path) = &s.failures
    {
        let _ = writeln!(
            text,
            "  failures   {} ({})",
            place(path).display(),
            count(s.failed_in_all)
        );
    }
    if s.failed_in_all > 0 || s.update.is_some_and(|update| update.kept > 0) {
        for (reason, (number, message)) in &s.failed {
            let _ = writeln!(
                text,
                "             {:>6} {reason}: {message}",
                count(*number)
            );
        }
    }
    if !s.unexpected_fields.is_empty() {
        let total = s.unexpected_fields.len();
        let names: Vec<_> = s
            .unexpected_fields
            .iter()
            .take(8)
            .map(|(name, n)| format!("{name} ({})", count(*n)))
            .collect();
        let more = if total > 8 {
            format!(" and {} more", total - 8)
        } else {
            String::new()
        };
        let _ = writeln!(
            text,
            "  not in the columns: {}{more}; name the columns in [output.columns] to have them",
            names.join(", ")
        );
    }
    for line in next_steps(s) {
        let _ = writeln!(text, "  {line}");
    }
    text.trim_end().to_owned()
}

/// What an update has done.
fn news(update: &UpdateNews) -> String {
    let mut text = format!(
        "{} changed, {} unchanged",
        count(update.changed),
        count(update.unchanged)
    );
    for (number, words) in [
        (update.added, "new"),
        (update.gone, "gone from the API, and from the output"),
        (update.kept, "not answered: their records stay as they were"),
    ] {
        if number > 0 {
            let _ = write!(text, ", {} {words}", count(number));
        }
    }
    text
}

/// What was found of the server's limits, when anything was.
fn found(found: &Found, starts: u64) -> Option<String> {
    let mut parts = Vec::new();
    if let Some(speed) = found.rate {
        parts.push(match found.limit_seen {
            true => format!("the server bears about {}", rate(speed)),
            false => format!("no limit met up to {}", rate(speed)),
        });
    }
    if let Some(number) = found.concurrency {
        parts.push(format!("{number} in flight"));
    }
    if let Some((limit, window)) = found.announced {
        parts.push(match window {
            Some(window) => format!("announced: {} in {}", count(limit), span(window)),
            None => format!("announced: {}", count(limit)),
        });
    }
    if found.refused > 0 {
        let share = 100.0 * found.refused as f64 / starts.max(found.refused) as f64;
        let number = count(found.refused);
        parts.push(format!("{number} refused as too many ({share:.1} %)"));
    }
    (!parts.is_empty()).then(|| parts.join("; "))
}

/// What to type next, and what for.
fn next_steps(s: &Summary) -> Vec<String> {
    match &s.end {
        End::Stopped(_) | End::Paused(_) | End::Limit | End::Error => {
            // Stdout keeps no checkpoint.
            let next = match s.output {
                Some(_) => "to go on",
                None => "to begin again",
            };
            vec![format!("{next}: {}", s.commands.again)]
        }
        End::Finished
        | End::NothingToDo
        | End::Retried
        | End::NothingToRetry
        | End::Updated
        | End::UpToDate => {
            let mut steps = Vec::new();
            if !s.at_end {
                let run = &s.commands.run;
                steps.push(format!("to go on with the list: {run}"));
            }
            if s.failed_in_all > 0 && s.failures.is_some() && s.end != End::NothingToRetry {
                let retry = &s.commands.retry;
                steps.push(format!("to try what failed again: {retry}"));
            }
            steps
        }
    }
}
