//! Ctrl-C and SIGTERM: the first asks the run to stop, the second stops at once.
//! And SIGXFSZ, which would kill the run where a file may not grow any more:
//! once somebody listens, the write fails instead, and the run says so.

//!
//! On a thread of their own: a signal must be heard also while the run waits
//! for a disk or a terminal that does not answer.

use crate::report::Screen;
use crate::run::Stop;
use std::io;
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::Duration;
use tokio::sync::mpsc;

/// After the first signal, so long for the run to end: more than what is in
/// flight, the last commit, a new refresh token and an update's taking the old
/// output's place need on a slow disk.
const PATIENCE: Duration = Duration::from_secs(600);
/// So long for a word to reach the terminal.
const A_WORD: Duration = Duration::from_millis(200);

/// Listens until the process ends. The receiver brings the first signal.
pub(super) fn listen(screen: Screen) -> io::Result<mpsc::Receiver<Stop>> {
    let (tx, rx) = mpsc::channel(1);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let stops = {
        let _inside = runtime.enter();
        Stops::new()?
    };
    let hear = move || runtime.block_on(hear(stops, tx, screen));
    thread::Builder::new().name("signals".into()).spawn(hear)?;
    Ok(rx)
}

async fn hear(mut stops: Stops, tx: mpsc::Sender<Stop>, screen: Screen) {
    let first = stops.next().await;
    let name = first.name();
    let line =
        format!("{name}: finishing what is in flight (4 s at most); once more stops at once");
    say(&screen, move |screen| screen.line(&line));
    // Nobody listens when the run is over already.
    let _ = tx.send(first).await;
    let last = tokio::select! {
        second = stops.next() => {
            say(&screen, |screen| screen.bare());
            second
        }
        () = tokio::time::sleep(PATIENCE) => {
            say(&screen, |screen| {
                screen.bare();
                screen.line("the run did not end within ten minutes of the signal (does the disk answer?): stopping at once; what is committed is safe, and the same command goes on");
            });
            first
        }
    };
    let code = match last {
        Stop::Interrupt => super::Exit::Interrupted,
        Stop::Terminate => super::Exit::Terminated,
    };
    // What is committed is safe, and the rest is fetched again.
    std::process::exit(i32::from(code.code()));
}

/// Says something, and waits for it only so long: the terminal may be what is stuck.
fn say(screen: &Screen, what: impl FnOnce(&Screen) + Send + 'static) {
    let (said, heard) = sync_channel(1);
    let screen = screen.clone();
    let speaker = thread::Builder::new().spawn(move || {
        what(&screen);
        crate::report::flush();
        let _ = said.send(());
    });
    if speaker.is_ok() {
        let _ = heard.recv_timeout(A_WORD);
    }
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
