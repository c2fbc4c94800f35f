//! How slow this machine is right now.
//!
//! Owns a thread that does what a commit does, a write and an fdatasync, and
//! keeps the longest time that it took, waking up included. So a bound on time
//! can be strict on a quiet machine and hold on a busy one.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const PAUSE: Duration = Duration::from_millis(25);

pub struct Canary {
    /// Microseconds; when the step under way began, in microseconds since `origin`.
    worst: Arc<AtomicU64>,
    began: Arc<AtomicU64>,
    origin: Instant,
    ended: Arc<AtomicBool>,
}

impl Canary {
    pub fn start(folder: &Path) -> Canary {
        let canary = Canary {
            worst: Arc::default(),
            began: Arc::default(),
            origin: Instant::now(),
            ended: Arc::default(),
        };
        let mut file = File::create(folder.join("canary")).unwrap();
        let (worst, began, ended) = (
            Arc::clone(&canary.worst),
            Arc::clone(&canary.began),
            Arc::clone(&canary.ended),
        );
        let origin = canary.origin;
        thread::spawn(move || {
            while !ended.load(Ordering::SeqCst) {
                let start = Instant::now();
                began.store(micros(start - origin), Ordering::SeqCst);
                thread::sleep(PAUSE);
                file.write_all(b".").unwrap();
                file.sync_data().unwrap();
                worst.fetch_max(
                    micros(start.elapsed().saturating_sub(PAUSE)),
                    Ordering::SeqCst,
                );
            }
        });
        canary
    }

    /// The longest delay since the last question.
    pub fn worst(&self) -> Duration {
        let now = micros(self.origin.elapsed());
        let under_way = now.saturating_sub(self.began.load(Ordering::SeqCst) + micros(PAUSE));
        Duration::from_micros(self.worst.swap(0, Ordering::SeqCst).max(under_way))
    }
}

impl Drop for Canary {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
    }
}

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}
