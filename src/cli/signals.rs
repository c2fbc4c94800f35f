//! Ctrl-C and SIGTERM: the first asks the run to stop, the second stops at once.
//! And SIGXFSZ, which would kill the run where a file may not grow any more:
//! once somebody listens, the write fails instead, and the run says so.

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

/// A write beyond the file size limit (`ulimit -f`); the number is the same on
/// Linux, macOS and the BSDs, MIPS aside.
#[cfg(unix)]
const SIGXFSZ: i32 = if cfg!(any(target_arch = "mips", target_arch = "mips64")) {
    31
} else {
    25
};

#[cfg(unix)]
impl Stops {
    pub(super) fn new() -> io::Result<Stops> {
        use tokio::signal::unix::{SignalKind, signal};
        // Listened to for the rest of the process, also without the receiver.
        drop(signal(SignalKind::from_raw(SIGXFSZ))?);
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
