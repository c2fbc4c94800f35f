//! Places where a test may stop the process, to kill it there.
//!
//! Owns the list of these places and what happens at the one that is armed:
//! the thread that comes by leaves a sign and goes no further, and whoever
//! armed it sends SIGKILL. Only the feature `fail-points` compiles anything of
//! it in, and only `cargo test` switches that on (see the dev-dependencies in
//! `Cargo.toml`): an ordinary build has neither the code nor the names.
//!
//! Must never decide anything in an ordinary build, and never let a run go on
//! behind an armed place.
//!
//! | variable | meaning |
//! | --- | --- |
//! | `HARVEST_FAIL_POINT` | the armed place's name |
//! | `HARVEST_FAIL_POINT_PASSES` | how often it is passed first (0) |
//! | `HARVEST_FAIL_POINT_SIGN` | the file that is made when it is reached |
//! | `HARVEST_FAIL_POINT_PERCENT` | at a write: how much of it is done (50) |
//! | `HARVEST_FAIL_POINT_ZEROS` | at a write: zeros take the place of the rest, as after a power loss |
//! | `HARVEST_DIES_WITH_PARENT` | the process is killed when the thread that started it ends |
//! | `HARVEST_LIMIT_…` | a limit of the program, lowered: see `limit` |

/// Every place, in the order of a run.
pub const NAMES: &[&str] = &[
    "lock: taken",
    "token: granted",
    "token: kept",
    "fresh: checkpoint renewed",
    "fresh: failures removed",
    "fresh: output emptied",
    "open: output created",
    "open: nothing changed yet",
    "cut: shortened",
    "open: output cut",
    "open: failures cut",
    "open: versions cut",
    "compaction: begun",
    "compaction: written",
    "draft: written",
    "draft: durable",
    "draft: renamed",
    "draft: in place",
    "checkpoint: torn end cut",
    "open: journal ready",
    "checkpoint: opened block written",
    "checkpoint: opened block durable",
    "failures: created",
    "failures: named",
    "commit: begun",
    "outputs: part written",
    "commit: output flushed",
    "commit: failures flushed",
    "commit: versions durable",
    "commit: output durable",
    "commit: failures durable",
    "checkpoint: part written",
    "checkpoint: block written",
    "checkpoint: closing block written",
    "checkpoint: block durable",
    "checkpoint: closing block durable",
    "retry: new failures written",
    "retry: new failures durable",
    "retry: block durable",
    "retry: new failures renamed",
    "retry: new failures in place",
    "retry: empty failures removed",
    "update: next output written",
    "update: next failures written",
    "update: next files durable",
    "update: committed",
    "update: output renamed",
    "update: failures renamed",
    "update: versions renamed",
    "update: in place",
    "lock: about to be removed",
];

/// One of [`NAMES`]: stops here when a test armed it. At a write, the second
/// argument does the part of it that is still done.
macro_rules! fail_point {
    ($name:literal) => {
        $crate::fail_point::fail_point!($name, |_| {})
    };
    ($name:literal, $part:expr) => {
        const { assert!($crate::fail_point::is_listed($name)) };
        #[cfg(feature = "fail-points")]
        $crate::fail_point::reach($name, $part);
    };
}
pub(crate) use fail_point;

/// Whether a place is in the list.
#[expect(
    clippy::indexing_slicing,
    reason = "runs at compile time, where nothing else can walk a slice"
)]
pub(crate) const fn is_listed(name: &str) -> bool {
    let mut at = 0;
    while at < NAMES.len() {
        if same(NAMES[at].as_bytes(), name.as_bytes()) {
            return true;
        }
        at += 1;
    }
    false
}

#[expect(
    clippy::indexing_slicing,
    reason = "runs at compile time, where nothing else can walk a slice"
)]
const fn same(a: &[u8], b: &[u8]) -> bool {
    let mut at = 0;
    while at < a.len() && at < b.len() && a[at] == b[at] {
        at += 1;
    }
    at == a.len() && at == b.len()
}

/// A limit of the program that a test may lower through `HARVEST_LIMIT_<name>`.
#[cfg(not(feature = "fail-points"))]
macro_rules! limit {
    ($name:literal, $ordinary:expr) => {
        $ordinary
    };
}
/// A limit of the program that a test may lower through `HARVEST_LIMIT_<name>`.
#[cfg(feature = "fail-points")]
macro_rules! limit {
    ($name:literal, $ordinary:expr) => {
        $crate::fail_point::number(concat!("HARVEST_LIMIT_", $name)).unwrap_or($ordinary)
    };
}
pub(crate) use limit;

/// Lets a test take its processes along when it fails.
pub(crate) fn die_with_parent() {
    #[cfg(all(feature = "fail-points", target_os = "linux"))]
    if std::env::var_os("HARVEST_DIES_WITH_PARENT").is_some() {
        let signal = Some(rustix::process::Signal::KILL);
        let _ = rustix::process::set_parent_process_death_signal(signal);
    }
}

#[cfg(feature = "fail-points")]
pub(crate) use armed::{number, reach, torn};

#[cfg(feature = "fail-points")]
mod armed {
    use std::env::{var, var_os};
    use std::path::PathBuf;
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    static ARMED: LazyLock<Option<Armed>> = LazyLock::new(Armed::read);

    struct Armed {
        name: String,
        passes: AtomicUsize,
        sign: PathBuf,
    }

    impl Armed {
        fn read() -> Option<Armed> {
            Some(Armed {
                name: var("HARVEST_FAIL_POINT").ok()?,
                passes: AtomicUsize::new(number("HARVEST_FAIL_POINT_PASSES").unwrap_or(0)),
                sign: var_os("HARVEST_FAIL_POINT_SIGN")?.into(),
            })
        }
    }

    /// A variable's number.
    pub(crate) fn number(name: &str) -> Option<usize> {
        var(name).ok()?.parse().ok()
    }

    /// Goes on, unless this place is the armed one and its passes are used up.
    pub(crate) fn reach(name: &str, part: impl FnOnce(usize)) {
        let Some(armed) = ARMED.as_ref().filter(|armed| armed.name == name) else {
            return;
        };
        let left = armed
            .passes
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1));
        if left.is_ok() {
            return;
        }
        part(number("HARVEST_FAIL_POINT_PERCENT").unwrap_or(50));
        // Made in one step: whoever sees it sees it whole.
        if std::fs::create_dir(&armed.sign).is_err() {
            std::process::abort();
        }
        // Nobody came to kill it: better gone than there for ever.
        std::thread::sleep(Duration::from_secs(600));
        std::process::abort();
    }

    /// What a power loss leaves of a write of these bytes.
    pub(crate) fn torn(bytes: &[u8], percent: usize) -> Vec<u8> {
        let mut left = bytes.to_vec();
        left.truncate(bytes.len() * percent / 100);
        if var_os("HARVEST_FAIL_POINT_ZEROS").is_some() {
            left.resize(bytes.len(), 0);
        }
        left
    }
}
