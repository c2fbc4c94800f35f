//! What a kill costs: answers that have to be asked for again.
//!
//! Owns the two numbers of the promise that a crash costs an interval of the
//! checkpoint at most: what was lost, counted without a clock, and what was at
//! risk, which is what came within a span before the kill or was in flight.

use crate::server::{Asked, Got};
use std::collections::HashMap;
use std::time::Duration;

/// Answers of a run that are in no commit. Fates of each ID before and after it.
pub fn lost(news: &[Asked], before: &HashMap<String, u32>, after: &HashMap<String, u32>) -> u64 {
    let mut answers: HashMap<&str, u32> = HashMap::new();
    for asked in news.iter().filter(|asked| asked.got != Got::Fault) {
        *answers.entry(&asked.id).or_default() += 1;
    }
    let fates = |of: &HashMap<String, u32>, id: &str| of.get(id).copied().unwrap_or_default();
    answers
        .iter()
        .map(|(id, &n)| u64::from(n.saturating_sub(fates(after, id) - fates(before, id))))
        .sum()
}

/// Answers that came within the span before `at` (Unix seconds) or later, and those in flight.
pub fn at_risk(news: &[Asked], at: f64, span: Duration, in_flight: usize) -> u64 {
    let from = at - span.as_secs_f64();
    let answers = news.iter().filter(|asked| asked.got != Got::Fault);
    (answers.filter(|asked| asked.at > from).count() + in_flight) as u64
}
