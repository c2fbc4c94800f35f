//! Ctrl-C and SIGTERM: the first asks the run to stop, the second stops at once.

use crate::report::Screen;
use crate::run::Stop;
use std::io;
use tokio::sync::mpsc;

/// Listens until the process ends. The receiver brings the first signal.
pub(super) fn listen(screen: Screen) -> io::Result<mpsc::Receiver<Stop>> {
    let (tx, rx) = mpsc::channel(1);
    let mut stops = Stops::new()?;
    tokio::spawn(async move {
        let first = stops.next().await;
        screen.line(&format!(
            "{}: finishing what is in flight (4 s at most); once more stops at once",
            first.name()
        ));
        // Nobody listens when the run is over already.
        let _ = tx.send(first).await;
        let second = stops.next().await;
        screen.bare();
        let code = match second {
            Stop::Interrupt => super::Exit::Interrupted,
            Stop::Terminate => super::Exit::Terminated,
        };
        // What is committed is safe, and the rest is fetched again.
        std::process::exit(i32::from(code.code()));
    });
    Ok(rx)
}

/// Both signals as one stream.
pub(super) struct Stops {
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Stops {
    pub(super) fn new() -> io::Result<Stops> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Stops {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    pub(super) async fn next(&mut self) -> Stop {
        tokio::select! {
            _ = self.interrupt.recv() => Stop::Interrupt,
            _ = self.terminate.recv() => Stop::Terminate,
        }
    }
}

#[cfg(not(unix))]
impl Stops {
    pub(super) fn new() -> io::Result<Stops> {
        Ok(Stops {})
    }

    pub(super) async fn next(&mut self) -> Stop {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
        Stop::Interrupt
    }
}
