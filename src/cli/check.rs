//! `harvest check JOB`: the plan, with nothing sent and nothing written.

use super::args::CheckArgs;
use super::{Exit, show};
use crate::checkpoint::{CheckpointError, Claim, DoneSet, Files, Loading, scan};
use crate::ids::{self, IdsError};
use crate::job::{Auth, IdForm, IdSource, Job, OutputTarget, Repeats, UrlTemplate, load};
use crate::report::{count, place, span};
use std::fmt::Write;
use std::time::Duration;

#[derive(Debug, thiserror::Error)]
enum CheckError {
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    #[error(transparent)]
    Ids(#[from] IdsError),
}

pub(super) fn check(args: &CheckArgs) -> Exit {
    let job = match load(&args.job, &args.overrides.load_options()) {
        Ok(job) => job,
        Err(error) => {
            show::job_error(&error);
            return Exit::Usage;
        }
    };
    match plan(&job) {
        Ok(text) => show::out(&text),
        Err(error) => {
            show::err(&error);
            match error {
                CheckError::Ids(_) => Exit::Usage,
                CheckError::Checkpoint(_) => Exit::Error,
            }
        }
    }
}

#[derive(Debug, Default)]
struct Tally {
    items: u64,
    done: u64,
    repeats: u64,
}

fn plan(job: &Job) -> Result<String, CheckError> {
    let mut loading = Loading::default();
    let mut misfit = None;
    if let OutputTarget::File(output) = &job.output.target {
        let files = Files::of(output)?;
        if let Some(state) = scan(&files.checkpoint, |keys| loading.add(keys))? {
            misfit = state
                .shape
                .differences(&crate::run::shape(job))
                .first()
                .map(ToString::to_string);
        }
    }
    let stdin = job
        .ids
        .file
        .as_ref()
        .is_some_and(|f| f.source == IdSource::Stdin);
    let mut text = format!("{}: valid\n", job.path.display());
    let mut line = |name: &str, value: String| {
        let _ = writeln!(text, "  {name:<10} {value}");
    };
    line(
        "request",
        format!("{} {}", job.request.method.as_str(), job.request.url.raw()),
    );
    if job.request.id_form() == IdForm::Object {
        line("variables", job.request.variables.join(", "));
    }
    if let Some(batch) = &job.request.batch {
        let single = batch.single.as_ref().map(UrlTemplate::raw);
        let else_single = single.map_or(String::new(), |url| format!("; one by one: {url}"));
        let size = count(batch.size as u64);
        line(
            "batches",
            format!("up to {size} items a request{else_single}"),
        );
    }
    line("auth", auth(&job.auth).into());
    if stdin {
        line("items", "from stdin; counted when they come".into());
    } else {
        let tally = tally(job, &mut loading.done())?;
        let left = tally.items - tally.done;
        let mut items = count(tally.items);
        if tally.repeats > 0 {
            let _ = write!(items, " ({} repeats left out)", count(tally.repeats));
        }
        line("items", items);
        line("done", count(tally.done));
        line("left", count(left));
        line("time", time(job, left));
    }
    let rates: Vec<_> = job.limits.rates.iter().map(ToString::to_string).collect();
    line(
        "limits",
        format!(
            "{}, {} in flight at most",
            if rates.is_empty() {
                "no rate".into()
            } else {
                rates.join(" and ")
            },
            job.limits.concurrency
        ),
    );
    match &job.output.target {
        OutputTarget::Stdout => line(
            "output",
            "stdout (no checkpoint: a run starts from the beginning)".into(),
        ),
        OutputTarget::File(path) => line("output", place(path).display().to_string()),
    }
    if let Some(misfit) = misfit {
        line(
            "warning",
            format!(
                "the checkpoint does not fit this job: {misfit}; --fresh starts over, --output writes elsewhere"
            ),
        );
    }
    Ok(text)
}

fn tally(job: &Job, known: &mut DoneSet) -> Result<Tally, IdsError> {
    let each = job.ids.repeats == Repeats::Each;
    let mut tally = Tally::default();
    for item in ids::open(&job.ids)? {
        match known.claim(&item?.id, each) {
            Claim::New { .. } => tally.items += 1,
            Claim::Done { .. } => {
                tally.items += 1;
                tally.done += 1;
            }
            Claim::Repeat => tally.repeats += 1,
        }
    }
    Ok(tally)
}

fn time(job: &Job, left: u64) -> String {
    let batch = job.request.batch.as_ref().map_or(1, |batch| batch.size);
    let requests = left.div_ceil(batch as u64);
    let slowest = job
        .limits
        .rates
        .iter()
        .map(|rate| rate.window.as_secs_f64() * requests as f64 / f64::from(rate.count))
        .fold(0.0, f64::max);
    if job.limits.rates.is_empty() {
        return "as fast as the API answers".into();
    }
    let at_least = Duration::try_from_secs_f64(slowest).unwrap_or(Duration::MAX);
    format!("{} at this rate", span(at_least))
}

fn auth(auth: &Auth) -> &'static str {
    match auth {
        Auth::None => "none",
        Auth::ClientCredentials(_) => "OAuth2 client credentials",
        Auth::Bearer { .. } => "bearer token",
        Auth::Basic { .. } => "HTTP Basic",
        Auth::ApiKey { .. } => "API key",
    }
}
