//! How late this machine is right now: the server's log says when a request
//! was read, and on a busy machine that is a while after it was sent.
#![allow(dead_code, missing_docs, unreachable_pub)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const NAP: Duration = Duration::from_millis(2);
/// So much is within the product's own allowance.
const USUAL: Duration = Duration::from_millis(8);

/// A thread that naps, and remembers its longest oversleep.
pub struct Late {
    worst_us: Arc<AtomicU64>,
    ended: Arc<AtomicBool>,
}

impl Late {
    pub fn start() -> Late {
        let late = Late {
            worst_us: Arc::default(),
            ended: Arc::default(),
        };
        let (worst, ended) = (Arc::clone(&late.worst_us), Arc::clone(&late.ended));
        thread::spawn(move || {
            while !ended.load(Ordering::SeqCst) {
                let began = Instant::now();
                thread::sleep(NAP);
                let over = began.elapsed().saturating_sub(NAP).as_micros();
                worst.fetch_max(u64::try_from(over).unwrap_or(u64::MAX), Ordering::SeqCst);
            }
        });
        late
    }

    /// By how much a window may look fuller than it was, in seconds: nothing on a quiet machine.
    pub fn seconds(&self) -> f64 {
        let worst = Duration::from_micros(self.worst_us.load(Ordering::SeqCst));
        if worst <= USUAL {
            return 0.0;
        }
        2.0 * worst.as_secs_f64()
    }
}

impl Drop for Late {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
    }
}
