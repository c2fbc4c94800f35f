//! `harvest JOB`: run a job, or resume it.

use super::args::{HarvestArgs, RunArgs};
use super::{Exit, STDOUT_IS_CLOSED, logging, open_files, show, signals};
use crate::checkpoint::{CheckpointError, OutputLock, inspect};
use crate::job::{Job, OutputTarget, load};
use crate::outcome::Reason;
use crate::report::{Commands, Reporter, Screen};
use crate::run::{Ended, RunError, RunOptions, Stop};
use crate::sandbox::{Sandbox, SandboxOptions};
use crate::transport::refuse_exposed;
use std::io::{self, BufRead, IsTerminal, Write};
use std::path::Path;
use std::sync::atomic::Ordering;
use tokio::sync::mpsc;

/// What is done with each job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Mode {
    /// Begin or resume it.
    Run { fresh: bool, update: bool },
    /// Try what failed again, for these reasons; none named is all.
    Retry { reasons: Vec<Reason> },
}

pub(super) fn run(args: &RunArgs) -> Exit {
    let ask = args.fresh && !args.yes;
    let mode = Mode::Run {
        fresh: args.fresh,
        update: args.update,
    };
    harvest_after(&args.harvest, &mode, |jobs| {
        let mut asked = jobs.iter().filter(|_| ask);
        asked.try_for_each(ask_to_start_over)
    })
}

/// Reads the jobs, then runs them one after another.
pub(super) fn harvest(args: &HarvestArgs, mode: &Mode) -> Exit {
    harvest_after(args, mode, |_| Ok(()))
}

fn harvest_after(
    args: &HarvestArgs,
    mode: &Mode,
    ask: impl FnOnce(&[Job]) -> Result<(), Exit>,
) -> Exit {
    let screen = Screen::default();
    logging::start(args.log_level, args.log_format, args.quiet, &screen);

    // Every job is read before the first one sends anything.
    let options = args.overrides.load_options();
    let loaded: Vec<_> = args.jobs.iter().map(|path| load(path, &options)).collect();
    let mut jobs = Vec::new();
    let mut wrong = false;
    for job in loaded {
        match job {
            Ok(job) => jobs.push(job),
            Err(error) => {
                show::job_error(&error);
                wrong = true;
            }
        }
    }
    for exposed in jobs.iter().map(refuse_exposed).filter_map(Result::err) {
        show::err(exposed);
        wrong = true;
    }
    if wrong {
        return Exit::Usage;
    }
    let to_stdout = |job: &Job| job.output.target == OutputTarget::Stdout;
    if STDOUT_IS_CLOSED.load(Ordering::Relaxed) && jobs.iter().any(to_stdout) {
        show::err(
            "stdout is closed, so the records would go nowhere, and nothing was sent\n  \
             help: open it, or name a file with --output",
        );
        return Exit::Error;
    }
    if let Err(exit) = ask(&jobs) {
        return exit;
    }
    // Before there is a second thread.
    if let Err(error) = open_files::make_room(&jobs, args.overrides.sandbox) {
        show::err(error);
        return Exit::Usage;
    }
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            show::err(format_args!(
                "the async runtime could not be started: {error}"
            ));
            return Exit::Error;
        }
    };
    let mut stops = match signals::listen(screen.clone()) {
        Ok(stops) => stops,
        Err(error) => {
            show::err(format_args!("signals can't be listened to: {error}"));
            return Exit::Error;
        }
    };
    let exit = runtime.block_on(run_all(args, mode, &jobs, &screen, &mut stops));
    // A blocked DNS look-up must not hold up the end.
    runtime.shutdown_background();
    exit
}

async fn run_all(
    args: &HarvestArgs,
    mode: &Mode,
    jobs: &[Job],
    screen: &Screen,
    stops: &mut mpsc::Receiver<Stop>,
) -> Exit {
    let sandbox = if args.overrides.sandbox {
        match Sandbox::start(SandboxOptions::default()) {
            Ok(sandbox) => Some(sandbox),
            Err(error) => {
                show::err(error);
                return Exit::Error;
            }
        }
    } else {
        None
    };
    let mut worst = Exit::Done;
    for job in jobs {
        let options = RunOptions {
            fresh: matches!(mode, Mode::Run { fresh: true, .. }),
            update: matches!(mode, Mode::Run { update: true, .. }),
            retry: match mode {
                Mode::Run { .. } => None,
                Mode::Retry { reasons } => Some(reasons.clone()),
            },
            limit: args.limit,
            base: sandbox.as_ref().map(Sandbox::base_url),
            commands: commands(args, mode, &job.path),
        };
        let mut reporter = Reporter::new(screen.clone(), args.progress.into(), args.quiet);
        let exit = match run_one(job, options, &mut reporter, stops).await {
            Ok(Ended {
                stopped: Some(stop),
                ..
            })
            | Err(RunError::Stopped(stop)) => {
                return match stop {
                    Stop::Interrupt => Exit::Interrupted,
                    Stop::Terminate => Exit::Terminated,
                };
            }
            Ok(ended) if ended.failed > 0 => Exit::Failures,
            Ok(_) => Exit::Done,
            Err(error) if error.is_pause() => {
                // The summary has said why; with --quiet nobody has.
                if args.quiet {
                    show::err(format_args!("paused: {error}"));
                }
                Exit::Paused
            }
            Err(error) => {
                screen.bare();
                show::err(error);
                Exit::Error
            }
        };
        worst = worse(worst, exit);
    }
    worst
}

async fn run_one(
    job: &Job,
    options: RunOptions,
    reporter: &mut Reporter,
    stops: &mut mpsc::Receiver<Stop>,
) -> Result<Ended, RunError> {
    let _lock = match &job.output.target {
        OutputTarget::Stdout => None,
        OutputTarget::File(path) => {
            Some(OutputLock::acquire(path).map_err(crate::write::WriteError::from)?)
        }
    };
    // A run is large, and moved about until it begins.
    Box::pin(crate::run::run(job, options, reporter, stops)).await
}

/// Of several jobs, the exit code that most needs someone's attention.
fn worse(a: Exit, b: Exit) -> Exit {
    let weight = |exit| match exit {
        Exit::Done => 0,
        Exit::Failures => 1,
        Exit::Paused => 2,
        _ => 3,
    };
    if weight(b) > weight(a) { b } else { a }
}

/// What to type to go on with this job.
fn commands(args: &HarvestArgs, mode: &Mode, job: &Path) -> Commands {
    let mut words = vec![quoted(&job.display().to_string())];
    if args.overrides.sandbox {
        words.push("--sandbox".into());
    }
    if let Some(output) = &args.overrides.output {
        words.push(format!("--output {}", quoted(output)));
    }
    for rate in &args.overrides.rate {
        words.push(format!("--rate {rate}"));
    }
    if let Some(concurrency) = args.overrides.concurrency {
        words.push(format!("--concurrency {concurrency}"));
    }
    let words = words.join(" ");
    let run = format!("harvest {words}");
    let mut retry = format!("harvest retry {words}");
    let again = match mode {
        Mode::Run { update: true, .. } => format!("{run} --update"),
        Mode::Run { .. } => run.clone(),
        Mode::Retry { reasons } => {
            for reason in reasons {
                retry.push_str(&format!(" --reason {reason}"));
            }
            retry.clone()
        }
    };
    Commands { again, run, retry }
}

pub(super) fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=".contains(c);
    if word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

fn ask_to_start_over(job: &Job) -> Result<(), Exit> {
    let OutputTarget::File(output) = &job.output.target else {
        return Ok(());
    };
    let done = match inspect(output) {
        Ok(None) if !output.exists() => return Ok(()),
        Ok(None) => None,
        Ok(Some(state)) if state.done == 0 => return Ok(()),
        Ok(Some(state)) => Some(state.done),
        // A damaged checkpoint is what --fresh is for; the question still stands.
        Err(CheckpointError::Damaged { .. }) => None,
        Err(error) => {
            show::err(error);
            return Err(Exit::Error);
        }
    };
    let what = match done {
        Some(done) => format!(
            "{} finished items in {}",
            crate::report::count(done),
            output.display()
        ),
        None => format!("{}", output.display()),
    };
    if !io::stdin().is_terminal() {
        show::err(format_args!(
            "--fresh would remove {what}; add --yes to do it"
        ));
        return Err(Exit::Usage);
    }
    crate::report::flush();
    let mut stderr = io::stderr().lock();
    let _ = write!(stderr, "--fresh removes {what}. Go on? [y/N] ");
    let _ = stderr.flush();
    let mut answer = String::new();
    let read = io::stdin().lock().read_line(&mut answer);
    if read.is_ok() && matches!(answer.trim(), "y" | "Y" | "yes") {
        return Ok(());
    }
    let _ = writeln!(stderr, "nothing was changed");
    Err(Exit::Usage)
}
