//! `harvest check JOB`: the plan, with nothing sent and nothing written.

use super::args::CheckArgs;
use super::run::quoted;
use super::status::words_of_age;
use super::{Exit, show};
use crate::auth::{FileStore, LoginId};
use crate::checkpoint::{CheckpointError, Claim, DoneSet, Files, Loading, Shape, scan};
use crate::ids::{self, IdsError};
use crate::job::{
    Auth, GrantKind, IdForm, IdSource, Job, Limits, Matching, OutputTarget, PageRecords, PageWay,
    Pages, Repeats, UrlTemplate, load,
};
use crate::json::{needs_tree, shown};
use crate::report::{count, place, span};
use crate::transport::refuse_exposed;
use crate::write::{WriteError, ages};
use serde_json_path::JsonPath;
use std::fmt::Write;
use std::time::Duration;

#[derive(Debug, thiserror::Error)]
enum CheckError {
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    #[error(transparent)]
    Ids(#[from] IdsError),
    #[error(transparent)]
    Versions(#[from] WriteError),
}

pub(super) fn check(args: &CheckArgs) -> Exit {
    let job = match load(&args.job, &args.overrides.load_options()) {
        Ok(job) => job,
        Err(error) => {
            show::job_error(&error);
            return Exit::Usage;
        }
    };
    if let Err(error) = refuse_exposed(&job) {
        show::err(error);
        return Exit::Usage;
    }
    match plan(&job) {
        Ok(text) => show::out(&text),
        Err(error) => {
            show::err(&error);
            match error {
                CheckError::Ids(_) => Exit::Usage,
                CheckError::Checkpoint(_) | CheckError::Versions(_) => Exit::Error,
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
                .differences(&Shape::of(job))
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
    if let Some(pages) = &job.request.pages {
        line("pages", pages_of(pages));
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
    if let Some(state) = login_state(job) {
        line("login", state);
    }
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
        if let Some(update) = &job.update
            && let OutputTarget::File(output) = &job.output.target
            && let Some(ages) = ages(output, update.older_than)?
        {
            line("older", words_of_age(&ages, update));
        }
        line("left", count(left));
        let mut time = time(job, left);
        if job.request.pages.is_some() && !job.limits.rates.is_empty() {
            time.push_str(", for one page each");
        }
        line("time", time);
    }
    line("limits", limits(&job.limits));
    match &job.output.target {
        OutputTarget::Stdout => line(
            "output",
            "stdout (no checkpoint: a run starts from the beginning)".into(),
        ),
        OutputTarget::File(path) => line("output", place(path).display().to_string()),
    }
    let on_trees = on_trees(job);
    if !on_trees.is_empty() {
        line(
            "warning",
            format!(
                "{}: such a path needs a tree of each body, and an item whose body is too large \
                 for that (a few hundred thousand values) fails; names, indices and `*` need none",
                on_trees.join(", ")
            ),
        );
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

/// The keys whose paths go by a tree of the body, and their paths.
fn on_trees(job: &Job) -> Vec<String> {
    let mut paths: Vec<(&str, &JsonPath)> = Vec::new();
    let request = &job.request;
    paths.extend(request.fail_when.iter().map(|path| ("fail_when", path)));
    paths.extend(request.retry_when.iter().map(|path| ("retry_when", path)));
    if let Some(batch) = &request.batch {
        paths.push(("[request.batch] items", &batch.items));
        if let Matching::Key(path) = &batch.matching {
            paths.push(("[request.batch] key", path));
        }
    }
    if let Some(pages) = &request.pages {
        match &pages.way {
            PageWay::Next(path) => paths.push(("[request.pages] next", path)),
            PageWay::Cursor { at, .. } => paths.push(("[request.pages] cursor", at)),
            PageWay::Offset { total, .. } | PageWay::Page { total, .. } => {
                paths.extend(total.iter().map(|path| ("[request.pages] total", path)));
            }
            PageWay::Link => {}
        }
        match &pages.records {
            PageRecords::Items(path) => paths.push(("[request.pages] items", path)),
            PageRecords::Merge(path) => paths.push(("[request.pages] merge", path)),
            PageRecords::Bodies => {}
        }
    }
    let columns = job.output.columns.iter();
    paths.extend(columns.map(|(name, path)| (name.as_str(), path)));
    paths.retain(|(_, path)| needs_tree(path));
    let told = paths
        .iter()
        .map(|(key, path)| format!("{key} = {}", shown(path)));
    told.collect()
}

fn limits(limits: &Limits) -> String {
    let rates: Vec<_> = limits.rates.iter().map(ToString::to_string).collect();
    let rates = match (limits.rate_auto, rates.is_empty()) {
        (false, true) => "no rate".into(),
        (false, false) => rates.join(" and "),
        (true, true) => "auto: as fast as the API bears".into(),
        (true, false) => format!("auto, up to {}", rates.join(" and ")),
    };
    let auto = if limits.concurrency_auto {
        "auto, "
    } else {
        ""
    };
    format!("{rates}, {auto}{} in flight at most", limits.concurrency)
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
        return match job.limits.rate_auto {
            true => "as fast as the API bears".into(),
            false => "as fast as the API answers".into(),
        };
    }
    let at_least = Duration::try_from_secs_f64(slowest).unwrap_or(Duration::MAX);
    match job.limits.rate_auto {
        true => format!("{} at least", span(at_least)),
        false => format!("{} at this rate", span(at_least)),
    }
}

fn pages_of(pages: &Pages) -> String {
    let records = match &pages.records {
        PageRecords::Bodies => "each page is a record".to_owned(),
        PageRecords::Items(path) => format!("each element of {path} is a record"),
        PageRecords::Merge(path) => format!("{path} of all pages in one record"),
    };
    let most = pages
        .max_pages
        .map(|most| format!(", {} at most", count(most)));
    format!(
        "{}; {records}{}",
        pages.way.told(),
        most.unwrap_or_default()
    )
}

/// Whether the tokens that a person has to get once are there.
fn login_state(job: &Job) -> Option<String> {
    let Auth::Grant(grant) = &job.auth else {
        return None;
    };
    let is_kept = matches!(grant.kind, GrantKind::RefreshToken { .. });
    if job.sandbox || !(grant.needs_login() || is_kept) {
        return None;
    }
    let kept = FileStore::of_user(LoginId::of(grant)).and_then(|store| store.look());
    match kept {
        Ok(Some(_)) if is_kept => Some("a newer refresh token than the job file's is kept".into()),
        Ok(Some(tokens)) => Some(format!("logged in; {}", super::login::life(&tokens))),
        Ok(None) if is_kept => None,
        Ok(None) => Some(format!(
            "not logged in: run `harvest login {}`",
            quoted(&job.path.display().to_string())
        )),
        Err(error) => Some(error.to_string()),
    }
}

pub(super) fn auth(auth: &Auth) -> &'static str {
    match auth {
        Auth::None => "none",
        Auth::Grant(grant) => match grant.kind {
            GrantKind::ClientCredentials => "OAuth2 client credentials",
            GrantKind::RefreshToken { .. } => "OAuth2 refresh token",
            GrantKind::AuthorizationCode { .. } => "OAuth2 authorization code, by `harvest login`",
            GrantKind::DeviceCode { .. } => "OAuth2 device code, by `harvest login`",
            GrantKind::JwtBearer(_) => "OAuth2 JWT bearer assertion",
        },
        Auth::Login(_) => "the API's own log-in",
        Auth::Bearer { .. } => "bearer token",
        Auth::Basic { .. } => "HTTP Basic",
        Auth::ApiKey { .. } => "API key",
    }
}
