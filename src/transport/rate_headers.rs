//! What servers announce of their quotas, in the dialects in use.
//!
//! - `RateLimit` and `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers,
//!   Structured Fields of RFC 9651): `"default";r=50;t=30` and `"default";q=100;w=60`;
//!   and the dictionary of its drafts up to 07, `limit=100, remaining=50, reset=30`.
//! - `RateLimit-Limit`, `-Remaining`, `-Reset` (its drafts up to 06).
//! - `X-RateLimit-…` and `X-Rate-Limit-…`: nobody's standard. The reset is in
//!   seconds, a Unix time in seconds (GitHub) or milliseconds, an HTTP date, a
//!   time of RFC 3339, or a length like `6m0s` (OpenAI); `-Reset-After` is in seconds (Discord).
//!   A suffix may name one of several quotas: `-Minute` (Kong), `-Requests` (OpenAI).
//!
//! Owns the reading. What is not understood, or can't be, is as if it had not
//! been said. Must never decide what to do about it.

use super::server_time::{Clocks, LONGEST, number, seconds};
use crate::pace::Budget;
use reqwest::header::HeaderMap;
use sfv::{BareItem, Dictionary, Item, List, ListEntry, Parser};
use std::time::{Duration, SystemTime};

/// What the server announced, at the moment `now`; of several quotas, the
/// tightest. `None` when it announces nothing.
pub fn budget(headers: &HeaderMap, now: SystemTime) -> Option<Budget> {
    let mut named = headers.keys().filter(|name| part(name.as_str()).is_some());
    named.next()?;
    let clocks = Clocks::at(headers, now);
    let mut found = structured(headers);
    found.extend(separate(headers, &clocks));
    found
        .into_iter()
        .filter_map(believable)
        .reduce(Budget::tighter)
}

/// Nothing that contradicts itself.
fn believable(budget: Budget) -> Option<Budget> {
    if let (Some(left), Some(limit)) = (budget.left, budget.limit)
        && left > limit
        && limit > 0
    {
        return None;
    }
    let some = |length: Option<Duration>| length.filter(|l| !l.is_zero()).map(|l| l.min(LONGEST));
    let budget = Budget {
        reset: some(budget.reset),
        window: some(budget.window),
        ..budget
    };
    (budget.left.is_some() || budget.limit.is_some()).then_some(budget)
}

/// `RateLimit` and `RateLimit-Policy`.
fn structured(headers: &HeaderMap) -> Vec<Budget> {
    let text = |name: &str| -> Option<String> {
        let values: Vec<&str> = headers
            .get_all(name)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .collect();
        (!values.is_empty()).then(|| values.join(", "))
    };
    let list = |text: &str| Parser::new(text).parse::<List>().unwrap_or_default();
    let policies = list(&text("ratelimit-policy").unwrap_or_default());
    let Some(limits) = text("ratelimit") else {
        return policies.iter().filter_map(item).map(policy).collect();
    };
    let with_policy = |name: &BareItem, mut budget: Budget| {
        let mut same = policies.iter().filter_map(item);
        if let Some(known) = same.find(|policy| policy.bare_item == *name) {
            let known = policy(known);
            (budget.limit, budget.window) = (known.limit, known.window);
        }
        budget
    };
    let found: Vec<Budget> = list(&limits)
        .iter()
        .filter_map(item)
        .map(|limit| {
            let said = Budget {
                left: parameter(limit, "r"),
                reset: parameter(limit, "t").map(whole_seconds),
                ..Budget::default()
            };
            with_policy(&limit.bare_item, said)
        })
        .collect();
    if !found.is_empty() {
        return found;
    }
    let Ok(old) = Parser::new(&limits).parse::<Dictionary>() else {
        return Vec::new();
    };
    let value = |key: &str| match old.get(key) {
        Some(ListEntry::Item(item)) => whole(&item.bare_item),
        _ => None,
    };
    vec![Budget {
        limit: value("limit"),
        left: value("remaining"),
        reset: value("reset").map(whole_seconds),
        window: None,
    }]
}

fn item(entry: &ListEntry) -> Option<&Item> {
    match entry {
        ListEntry::Item(item) => Some(item),
        ListEntry::InnerList(_) => None,
    }
}

/// `"name";q=100;w=60`, or `100;w=60` of the older drafts.
fn policy(item: &Item) -> Budget {
    Budget {
        limit: parameter(item, "q").or(whole(&item.bare_item)),
        window: parameter(item, "w").map(whole_seconds),
        ..Budget::default()
    }
}

fn parameter(item: &Item, name: &str) -> Option<u64> {
    item.params.get(name).and_then(whole)
}

fn whole(value: &BareItem) -> Option<u64> {
    match value {
        BareItem::Integer(number) => u64::try_from(i64::from(*number)).ok(),
        _ => None,
    }
}

fn whole_seconds(number: u64) -> Duration {
    Duration::from_secs(number).min(LONGEST)
}

/// What one of several headers says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Structured,
    Limit,
    Left,
    Reset,
    ResetAfter,
}

/// Which part of which quota a header is about: its suffix tells them apart.
fn part(name: &str) -> Option<(Part, &str)> {
    let rest = ["x-ratelimit", "x-rate-limit", "ratelimit"]
        .iter()
        .find_map(|prefix| name.strip_prefix(prefix))?;
    if rest.is_empty() || rest == "-policy" {
        return (!name.starts_with('x')).then_some((Part::Structured, ""));
    }
    let (part, suffix) = [
        ("-limit", Part::Limit),
        ("-remaining", Part::Left),
        ("-reset-after", Part::ResetAfter),
        ("-reset", Part::Reset),
    ]
    .iter()
    .find_map(|(word, part)| Some((*part, rest.strip_prefix(word)?)))?;
    let known = ["", "-requests", "-second", "-minute", "-hour", "-day"];
    known.contains(&suffix).then_some((part, suffix))
}

/// The length of window that a suffix names.
fn window(suffix: &str) -> Option<Duration> {
    let seconds = match suffix {
        "-second" => 1,
        "-minute" => 60,
        "-hour" => 3_600,
        "-day" => 86_400,
        _ => return None,
    };
    Some(Duration::from_secs(seconds))
}

/// The headers that say one number each. Several quotas are told apart by their
/// suffixes, or stand in each header in the same order, with commas between.
fn separate(headers: &HeaderMap, clocks: &Clocks) -> Vec<Budget> {
    let mut found: Vec<(&str, Vec<Budget>)> = Vec::new();
    for (name, value) in headers {
        let (Some((part, suffix)), Ok(text)) = (part(name.as_str()), value.to_str()) else {
            continue;
        };
        if part == Part::Structured {
            continue;
        }
        let place = found.iter().position(|(known, _)| *known == suffix);
        let place = place.unwrap_or_else(|| {
            found.push((suffix, Vec::new()));
            found.len() - 1
        });
        let Some((_, budgets)) = found.get_mut(place) else {
            continue;
        };
        for (n, text) in elements(text, part).enumerate().take(8) {
            if budgets.len() <= n {
                budgets.push(Budget {
                    window: window(suffix),
                    ..Budget::default()
                });
            }
            if let Some(budget) = budgets.get_mut(n) {
                say(budget, part, text.trim(), clocks);
            }
        }
    }
    found.into_iter().flat_map(|(_, budgets)| budgets).collect()
}

/// The elements between commas; an HTTP date has a comma of its own.
fn elements(text: &str, part: Part) -> impl Iterator<Item = &str> {
    let whole = part == Part::Reset && httpdate::parse_http_date(text.trim()).is_ok();
    let most = if whole { 1 } else { usize::MAX };
    text.splitn(most, ',')
}

fn say(budget: &mut Budget, part: Part, text: &str, clocks: &Clocks) {
    match part {
        Part::Structured => {}
        Part::Limit => {
            // `100;w=60`, also in servers that speak of no draft.
            let mut parts = text.split(';').map(str::trim);
            budget.limit = parts.next().and_then(digits);
            let width = parts.find_map(|p| p.strip_prefix("w=").or(p.strip_prefix("window=")));
            if let Some(width) = width.and_then(number) {
                budget.window = Some(seconds(width));
            }
        }
        Part::Left => budget.left = digits(text),
        Part::Reset if budget.reset.is_none() => budget.reset = reset(text, clocks),
        Part::Reset => {}
        // The more exact of the two.
        Part::ResetAfter => budget.reset = number(text).map(seconds),
    }
}

fn digits(text: &str) -> Option<u64> {
    let plain = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    plain.then(|| text.parse().unwrap_or(u64::MAX))
}

fn reset(text: &str, clocks: &Clocks) -> Option<Duration> {
    if let Some(wait) = clocks.until_text(text) {
        return Some(wait);
    }
    if let Some(number) = number(text) {
        return Some(seconds(number));
    }
    if let Ok(moment) = humantime::parse_rfc3339_weak(text) {
        return Some(clocks.until(moment));
    }
    let length = humantime::parse_duration(text).ok()?;
    Some(length.min(LONGEST))
}

#[cfg(test)]
mod tests;
