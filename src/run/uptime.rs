//! The boot's clock: nobody sets it, and it runs on while the machine sleeps.
//!
//! Owns how it is read: Linux tells it in two small files. Elsewhere there is
//! none, and the wall clock has to do. Must never fail a run.

use crate::pace::Uptime;
use std::fs;
use xxhash_rust::xxh3::xxh3_64;

/// The moment now; `None` when this system does not tell.
pub(super) fn read() -> Option<Uptime> {
    let boot = fs::read("/proc/sys/kernel/random/boot_id").ok()?;
    parse(&boot, &fs::read_to_string("/proc/uptime").ok()?)
}

/// `proc_uptime(5)`: seconds with a fraction, and another number.
fn parse(boot: &[u8], uptime: &str) -> Option<Uptime> {
    let seconds: f64 = uptime.split_whitespace().next()?.parse().ok()?;
    if boot.is_empty() || !seconds.is_finite() || seconds < 0.0 {
        return None;
    }
    Some(Uptime {
        boot: xxh3_64(boot),
        ms: (seconds * 1000.0) as u64,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_spelling_is_read_and_nonsense_is_not() {
        let read = parse(b"id\n", "350735.47 234388.90\n").unwrap();
        assert_eq!(read.ms, 350_735_470);
        assert_ne!(read.boot, parse(b"other\n", "1.0").unwrap().boot);
        for bad in ["", "x 1", "NaN 1", "-1 1", "inf"] {
            assert_eq!(parse(b"id", bad), None, "{bad}");
        }
        assert_eq!(parse(b"", "1.0 2.0"), None);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn it_runs() {
        let first = read().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(60));
        let second = read().unwrap();
        assert_eq!(first.boot, second.boot);
        assert!((40..5_000).contains(&(second.ms - first.ms)));
    }
}
