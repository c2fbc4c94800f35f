//! `harvest login JOB`: a person consents, and the tokens are kept for runs.

use super::args::{LogFormat, LogLevel, LoginArgs};
use super::run::quoted;
use super::signals::Stops;
use super::{Exit, browser, logging, show};
use crate::auth::consent::{self, ConsentError, Prompt};
use crate::auth::{FileStore, LoginId, StoredTokens};
use crate::job::{Auth, Grant, Job, LoadOptions, load};
use crate::report::{Screen, span};
use crate::run::Stop;
use crate::transport::{self, Proxies};
use std::fmt::Write;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

pub(super) fn login(args: &LoginArgs) -> Exit {
    let job = match load(&args.job, &LoadOptions::default()) {
        Ok(job) => job,
        Err(error) => {
            show::job_error(&error);
            return Exit::Usage;
        }
    };
    let grant = match &job.auth {
        Auth::Grant(grant) if grant.needs_login() => grant,
        other => {
            let what = super::check::auth(other);
            let path = job.path.display();
            show::err(format_args!(
                "{path} needs no person to log in: its [auth] is {what}"
            ));
            return Exit::Usage;
        }
    };
    if let Err(error) = transport::refuse_exposed(&job) {
        show::err(error);
        return Exit::Usage;
    }
    let screen = Screen::default();
    logging::start(LogLevel::Warn, LogFormat::Text, false, &screen);
    // Before the person does anything: where should it go?
    let store = match FileStore::of_user(LoginId::of(grant)) {
        Ok(store) => store,
        Err(error) => {
            show::err(error);
            return Exit::Error;
        }
    };
    match super::on_a_runtime(obtain(args, &job, grant, &store)) {
        Ok(Ok(tokens)) => {
            show::note(&format!(
                "Logged in at {}; {}.\n  kept in  {}\n  to go on: harvest {}",
                consent::server_name(grant),
                life(&tokens),
                store.path().display(),
                quoted(&job.path.display().to_string()),
            ));
            Exit::Done
        }
        Ok(Err(Unfinished::Failed(error))) => {
            show::err(error);
            Exit::Error
        }
        Ok(Err(Unfinished::TimedOut)) => {
            show::err(format_args!(
                "nobody logged in within {}; --timeout waits longer",
                span(args.timeout)
            ));
            Exit::Error
        }
        Ok(Err(Unfinished::Stopped(stop))) => {
            show::note(&format!("{}: no log-in; nothing was changed", stop.name()));
            match stop {
                Stop::Interrupt => Exit::Interrupted,
                Stop::Terminate => Exit::Terminated,
            }
        }
        Err(exit) => exit,
    }
}

/// Why there are no tokens.
enum Unfinished {
    Failed(Box<dyn std::error::Error>),
    TimedOut,
    Stopped(Stop),
}

impl From<ConsentError> for Unfinished {
    fn from(error: ConsentError) -> Unfinished {
        Unfinished::Failed(error.into())
    }
}

async fn obtain(
    args: &LoginArgs,
    job: &Job,
    grant: &Grant,
    store: &FileStore,
) -> Result<StoredTokens, Unfinished> {
    let mut stops = Stops::new().map_err(|error| Unfinished::Failed(error.into()))?;
    let http = transport::client(1, &Proxies::of(job));
    let http = http.map_err(|error| Unfinished::Failed(error.into()))?;
    let timeout = job.request.timeout.min(Duration::from_secs(60));
    let prompt = |prompt: &Prompt<'_>| tell(prompt, args.no_browser);
    tokio::select! {
        tokens = consent::obtain(grant, Arc::new(store.clone()), &http, timeout, prompt) => Ok(tokens?),
        () = tokio::time::sleep(args.timeout) => Err(Unfinished::TimedOut),
        stop = stops.next() => Err(Unfinished::Stopped(stop)),
    }
}

fn tell(prompt: &Prompt<'_>, no_browser: bool) {
    let opens = !no_browser && browser::is_there();
    let mut text = String::new();
    let link = match prompt {
        Prompt::Visit { url } => {
            text.push_str(match opens {
                true => "Opening the browser. If none comes up, open this link:",
                false => "To log in, open this link in a browser on this machine:",
            });
            let _ = write!(
                text,
                "\n\n  {url}\n\nWaiting for the browser to come back (Ctrl-C gives up)."
            );
            url
        }
        Prompt::Enter {
            user_code,
            verification_uri,
            complete,
            expires_in,
        } => {
            let _ = write!(
                text,
                "To log in, open this link in any browser, on any device:\n\n  {verification_uri}\n\nand enter this code:\n\n  {user_code}\n"
            );
            if let Some(complete) = complete {
                let _ = write!(
                    text,
                    "\nThe code is in this link already:\n\n  {complete}\n"
                );
            }
            let _ = write!(
                text,
                "\nWaiting; the code is good for {} (Ctrl-C gives up).",
                span(*expires_in)
            );
            &complete.unwrap_or(verification_uri)
        }
    };
    show::note(&text);
    if opens {
        let link = link.to_string();
        // A browser in the terminal lasts as long as the person reads.
        tokio::task::spawn_blocking(move || {
            if !browser::open(&link) {
                show::note("No browser could be opened: open the link yourself.");
            }
        });
    }
}

/// How long a log-in lasts, in words.
pub(super) fn life(tokens: &StoredTokens) -> String {
    if tokens.refresh_token.is_some() {
        return "runs renew it by themselves".to_owned();
    }
    let without = "without a refresh token: the server gives one, perhaps, for another `scope` (offline_access)";
    match tokens
        .expires
        .map(|at| at.duration_since(SystemTime::now()))
    {
        Some(Ok(left)) => format!("good for {}, {without}", span(left)),
        Some(Err(_)) => format!("run out, {without}"),
        None => "used until it is refused, without a refresh token".to_owned(),
    }
}
