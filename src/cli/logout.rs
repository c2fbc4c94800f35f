//! `harvest logout JOB`: forgets a log-in, and revokes it where the server can.

use super::args::LogoutArgs;
use super::{Exit, show};
use crate::auth::consent::{Revoked, revoke};
use crate::auth::{FileStore, GrantError, LoginId, StoreError, StoredTokens, TokenStore};
use crate::job::{Auth, Grant, Job, LoadOptions, load};
use crate::transport::{self, Proxies};
use std::time::Duration;

pub(super) fn logout(args: &LogoutArgs) -> Exit {
    let job = match load(&args.job, &LoadOptions::default()) {
        Ok(job) => job,
        Err(error) => {
            show::job_error(&error);
            return Exit::Usage;
        }
    };
    let Auth::Grant(grant) = &job.auth else {
        let what = super::check::auth(&job.auth);
        let path = job.path.display();
        show::err(format_args!(
            "{path} has no log-in to forget: its [auth] is {what}"
        ));
        return Exit::Usage;
    };
    let store = match FileStore::of_user(LoginId::of(grant)) {
        Ok(store) => store,
        Err(error) => {
            show::err(error);
            return Exit::Error;
        }
    };
    let tokens = match forget(&store) {
        Ok(Forgotten::Nothing) => {
            show::note("No log-in is kept for this job.");
            return Exit::Done;
        }
        Ok(Forgotten::Damaged) => None,
        Ok(Forgotten::Tokens(tokens)) => Some(tokens),
        Err(error) => {
            show::err(error);
            return Exit::Error;
        }
    };
    show::note(&format!("Forgotten: {}", store.path().display()));
    let Some(tokens) = tokens else {
        show::note("Not revoked at the server: the file was damaged.");
        return Exit::Done;
    };
    let timeout = job.request.timeout.min(Duration::from_secs(30));
    match super::on_a_runtime(end(&job, grant, &tokens, timeout)) {
        Ok(Ok(Revoked::Done)) => show::note("Revoked at the server."),
        Ok(Ok(Revoked::NoEndpoint)) => show::note(
            "Not revoked at the server, which names no way to do that (`issuer` in [auth] finds it where there is one): its own pages may.",
        ),
        Ok(Err(error)) => {
            show::err(format_args!(
                "forgotten here, but not revoked at the server: {error}"
            ));
            return Exit::Error;
        }
        Err(exit) => return exit,
    }
    Exit::Done
}

enum Forgotten {
    Nothing,
    Damaged,
    Tokens(StoredTokens),
}

fn forget(store: &FileStore) -> Result<Forgotten, StoreError> {
    // Only a look: nothing is made for a job that never was logged in.
    if matches!(store.look(), Ok(None)) {
        return Ok(Forgotten::Nothing);
    }
    let mut locked = store.lock()?;
    let tokens = locked.load();
    locked.forget()?;
    Ok(match tokens {
        Ok(Some(tokens)) => Forgotten::Tokens(tokens),
        Ok(None) => Forgotten::Nothing,
        Err(_) => Forgotten::Damaged,
    })
}

async fn end(
    job: &Job,
    grant: &Grant,
    tokens: &StoredTokens,
    timeout: Duration,
) -> Result<Revoked, GrantError> {
    let http = transport::client(1, &Proxies::of(job));
    let http = http.map_err(|error| GrantError::Unavailable {
        message: error.to_string(),
        after: None,
    })?;
    revoke(grant, tokens, &http, timeout).await
}
