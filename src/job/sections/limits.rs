//! `[limits]`: how fast, and how patient.

use super::reader::{Field, Reader};
use super::{DEFAULT_QUARANTINE, DEFAULT_RATE};
use crate::job::diagnostic::Diagnostic;
use crate::job::units::LONGEST;
use crate::job::{Concurrency, Limits, LoadOptions, MOST_AUTO_CONCURRENCY, Pace, Quarantine};
use std::time::Duration;
use toml::de::{DeTable, DeValue};

const MOST: usize = 10_000;

pub(super) fn read(
    reader: &mut Reader,
    root: &DeTable<'_>,
    options: &LoadOptions,
) -> Option<Limits> {
    let section = reader.section(root, "limits");
    let rates = section.optional("rate", vec![Pace::Quota(DEFAULT_RATE)], |field| {
        read_rates(reader, field)
    });
    let concurrency = section.optional("concurrency", Concurrency::AtMost(8), |field| {
        read_concurrency(reader, field)
    });
    let range = Duration::ZERO..=LONGEST;
    let max_wait = section.optional("max_wait", Duration::from_secs(3600), |field| {
        reader.duration(field, range, "at most 366 days")
    });
    let quarantine = section.optional("quarantine", Some(DEFAULT_QUARANTINE), |field| {
        read_quarantine(reader, field)
    });
    if let Some(Concurrency::AtMost(number)) = options.concurrency
        && !(1..=MOST).contains(&number)
    {
        reader.push(Diagnostic::new(format!(
            "--concurrency must be from 1 to {MOST}"
        )));
    }
    let is_impossible = |pace: &Pace| match pace {
        Pace::Auto => false,
        Pace::Quota(rate) => rate.count == 0 || rate.window.is_zero(),
    };
    if options.rates.iter().flatten().any(is_impossible) {
        reader.push(Diagnostic::new("--rate must be over 0"));
    }
    let paces = options.rates.clone().or(rates)?;
    let quota = |pace: &Pace| match pace {
        Pace::Auto => None,
        Pace::Quota(rate) => Some(*rate),
    };
    let concurrency = options.concurrency.or(concurrency)?;
    Some(Limits {
        rates: paces.iter().filter_map(quota).collect(),
        rate_auto: paces.contains(&Pace::Auto),
        concurrency: match concurrency {
            Concurrency::Auto => MOST_AUTO_CONCURRENCY,
            Concurrency::AtMost(number) => number,
        },
        concurrency_auto: concurrency == Concurrency::Auto,
        max_wait: max_wait?,
        quarantine: quarantine?,
    })
}

/// Failures of items, or `"off"`.
fn read_quarantine(reader: &mut Reader, field: &Field<'_>) -> Option<Option<Quarantine>> {
    match field.value.get_ref() {
        DeValue::String(text) if text == "off" => Some(None),
        _ => reader.unit(field, str::parse).map(Some),
    }
}

/// A number in flight, or `"auto"`.
fn read_concurrency(reader: &mut Reader, field: &Field<'_>) -> Option<Concurrency> {
    match field.value.get_ref() {
        DeValue::String(text) if text == "auto" => Some(Concurrency::Auto),
        DeValue::Integer(_) => reader.integer(field, 1, MOST).map(Concurrency::AtMost),
        _ => {
            reader.wrong_type(field, "an integer or \"auto\"");
            None
        }
    }
}

/// One rate, several that hold together, or `"unlimited"` (none).
fn read_rates(reader: &mut Reader, field: &Field<'_>) -> Option<Vec<Pace>> {
    match field.value.get_ref() {
        DeValue::String(text) if text == "unlimited" => Some(Vec::new()),
        DeValue::String(_) => Some(vec![reader.unit(field, str::parse)?]),
        DeValue::Array(elements) if elements.is_empty() => {
            let help = "name a rate, or lift the limit with \"unlimited\"";
            reader.impossible(field, "`rate` names no rate", help);
            None
        }
        DeValue::Array(elements) => {
            let rates: Vec<Option<Pace>> = elements
                .iter()
                .map(|value| {
                    let element = Field {
                        name: "rate",
                        key: field.key.clone(),
                        value,
                    };
                    reader.unit(&element, str::parse)
                })
                .collect();
            rates.into_iter().collect()
        }
        _ => {
            reader.wrong_type(field, "a string such as \"10/s\", or an array of them");
            None
        }
    }
}
