//! The shared token's refresher, a task of its own, and what the engine asks of it.

use crate::auth::{AuthError, Credentials, Presented, SharedToken, TokenRefresher};
use crate::run::error::RunError;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// At the end, so long for a new refresh token that is on its way: if it is
/// lost, a person has to get another.
const GRACE: Duration = Duration::from_secs(10);

/// The engine's end of the stage.
pub(in crate::run) struct TokenStage {
    credentials: Credentials,
    watch: Option<SharedToken>,
    /// Until the first request wants a token.
    refresher: Option<TokenRefresher>,
    keeping: Option<JoinHandle<()>>,
    /// A request waits for a token.
    waiting: bool,
}

impl TokenStage {
    pub(in crate::run) fn new(
        credentials: Credentials,
        refresher: Option<TokenRefresher>,
    ) -> TokenStage {
        TokenStage {
            watch: credentials.shared_token().cloned(),
            credentials,
            refresher,
            keeping: None,
            waiting: false,
        }
    }

    /// What a request may present now; `None`: there is no live token, and the
    /// stage is asked for one.
    pub(in crate::run) fn present(&mut self, now: Instant) -> Option<Presented> {
        if let Some(refresher) = self.refresher.take() {
            self.keeping = Some(tokio::spawn(refresher.keep()));
        }
        let presented = self.credentials.present(now);
        self.waiting = presented.is_none();
        presented
    }

    /// Waits for news of the token, if a request waits for that.
    pub(in crate::run) async fn changed(&mut self) {
        match &mut self.watch {
            Some(token) if self.waiting => token.changed().await,
            _ => std::future::pending().await,
        }
    }

    /// A request goes out with this.
    pub(in crate::run) fn sent(&self, presented: &Presented) {
        self.credentials.sent(presented);
    }

    /// A request waits for its turn.
    pub(in crate::run) fn wanted(&self) {
        self.credentials.wanted();
    }

    /// The server refused the token of this generation.
    pub(in crate::run) fn refuse(&self, generation: u64) {
        if let Some(token) = &self.watch {
            token.refuse(generation);
        }
    }

    /// Why there won't be a token; `None` when there may be.
    pub(in crate::run) fn failure(&self, max_wait: Duration) -> Option<RunError> {
        let failed = self.watch.as_ref()?.state().failed?;
        Some(match &failed {
            AuthError::Refused(_) | AuthError::NeverUsed { .. } => RunError::Auth(failed),
            AuthError::Unavailable { .. } | AuthError::RetryAfter { .. } => {
                RunError::Paused(format!(
                    "{failed}, longer than max_wait ({}); run the same command again later",
                    humantime::format_duration(max_wait)
                ))
            }
        })
    }

    /// Token requests so far.
    pub(in crate::run) fn requests(&self) -> u64 {
        self.watch.as_ref().map_or(0, |t| t.state().requests)
    }

    /// What is left of the token's life, and the token endpoint's trouble.
    pub(in crate::run) fn view(&self, now: Instant) -> (Option<Duration>, Option<String>) {
        let Some(state) = self.watch.as_ref().map(SharedToken::state) else {
            return (None, None);
        };
        match &state.token {
            Some(token) => {
                let life = token.expires.map(|at| at.saturating_duration_since(now));
                (life, None)
            }
            None => (None, state.trouble.map(|trouble| trouble.message)),
        }
    }

    /// Ends the stage: at once, unless a new refresh token is on its way. Its
    /// requests get no permits any more.
    pub(in crate::run) async fn end(&mut self) {
        let Some(mut keeping) = self.keeping.take() else {
            return;
        };
        if let Some(token) = &self.watch {
            token.end();
        }
        if tokio::time::timeout(GRACE, &mut keeping).await.is_err() {
            tracing::error!(
                "a renewal of the token did not end in time: a new refresh token that it may have brought is lost"
            );
            keeping.abort();
        }
    }
}
