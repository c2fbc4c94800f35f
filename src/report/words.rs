//! Numbers and times as people read them.

use std::path::{Component, Path, PathBuf};
use std::time::{Duration, SystemTime};

/// `1234567` as `1,234,567`.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A duration in its two largest units: `1h 3m`, `12s`, `0.4s`.
pub fn span(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (d, h, m, s) = (
        seconds / 86_400,
        seconds / 3600 % 24,
        seconds / 60 % 60,
        seconds % 60,
    );
    match (d, h, m) {
        (0, 0, 0) if seconds < 10 => format!("{:.1}s", duration.as_secs_f64()),
        (0, 0, 0) => format!("{s}s"),
        (0, 0, _) => format!("{m}m {s}s"),
        (0, _, _) => format!("{h}h {m}m"),
        _ => format!("{d}d {h}h"),
    }
}

/// A moment, with how far off it is: `2026-11-24T02:14:00Z (in 3m 20s)`.
pub(crate) fn moment(at: SystemTime) -> String {
    let left = at.duration_since(SystemTime::now()).unwrap_or_default();
    let until = humantime::format_rfc3339_seconds(at);
    format!("{until} (in {})", span(left))
}

/// A rate: `9.8/s`, or `0.116/s` for slow ones.
pub fn rate(per_second: f64) -> String {
    if per_second >= 100.0 {
        format!("{per_second:.0}/s")
    } else if per_second >= 1.0 {
        format!("{per_second:.1}/s")
    } else {
        format!("{per_second:.3}/s")
    }
}

/// A path as people would type it: `data/x` for `jobs/../data/x`, where that is the same place.
pub fn place(path: &Path) -> PathBuf {
    let mut short = PathBuf::new();
    for part in path.components() {
        let after_name = matches!(short.components().next_back(), Some(Component::Normal(_)));
        match part {
            Component::ParentDir if after_name => {
                short.pop();
            }
            Component::CurDir => {}
            part => short.push(part),
        }
    }
    // Behind a symbolic link, `a/..` is not where `a` stands.
    let folder = |path: &Path| match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new(".").canonicalize().ok(),
        Some(parent) => parent.canonicalize().ok(),
        None => None,
    };
    match (folder(&short), folder(path)) {
        (Some(a), Some(b)) if a == b => short,
        _ => path.to_owned(),
    }
}

/// Bytes: `3.1 MB`.
pub(crate) fn bytes(number: u64) -> String {
    let mut value = number as f64;
    for unit in ["B", "kB", "MB", "GB"] {
        if value < 1000.0 {
            return if unit == "B" {
                format!("{number} B")
            } else {
                format!("{value:.1} {unit}")
            };
        }
        value /= 1000.0;
    }
    format!("{value:.1} TB")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_shortened_only_when_it_stays_the_same_place() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("a/b")).unwrap();
        assert_eq!(
            place(&dir.path().join("a/../x.csv")),
            dir.path().join("x.csv")
        );
        assert_eq!(
            place(&dir.path().join("a/./b/../x")),
            dir.path().join("a/x")
        );
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink(dir.path().join("a/b"), dir.path().join("link")).unwrap();
            let through = dir.path().join("link/../x");
            assert_eq!(place(&through), through);
        }
    }

    #[test]
    fn numbers_read_well() {
        assert_eq!(count(0), "0");
        assert_eq!(count(999), "999");
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(span(Duration::from_millis(400)), "0.4s");
        assert_eq!(span(Duration::from_secs(75)), "1m 15s");
        assert_eq!(span(Duration::from_secs(3_780)), "1h 3m");
        assert_eq!(span(Duration::from_secs(90_000)), "1d 1h");
        assert_eq!(bytes(999), "999 B");
        assert_eq!(bytes(3_100_000), "3.1 MB");
        assert_eq!(rate(0.1157), "0.116/s");
    }
}
