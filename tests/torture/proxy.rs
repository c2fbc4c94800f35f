//! A TCP proxy on loopback that spoils connections.
//!
//! Owns what happens to a connection, drawn from the seed and the connection's
//! number: it is passed on, or cut, reset, closed on one side only, slowed
//! down or chopped up after so many bytes of the answers. Must never change a
//! byte that it passes on.

use fastrand::Rng;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

/// Of a half-closed connection, how long the rest stays.
const HALF: Duration = Duration::from_millis(300);

pub struct Proxy {
    pub address: SocketAddr,
    struck: Arc<AtomicU64>,
    _stop: oneshot::Sender<()>,
}

#[derive(Debug, Clone, Copy)]
enum Fate {
    Pass,
    /// Reset when it comes.
    Refuse,
    /// After so many bytes of the answers: RST.
    Reset(usize),
    /// FIN to both.
    Cut(usize),
    /// FIN to the client; what it sends is still taken.
    HalfClose(usize),
    /// In small pieces, with waits.
    Chop,
}

impl Proxy {
    /// Spoils about this share of the connections.
    pub fn start(server: SocketAddr, share: f64, seed: u64) -> Proxy {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let struck = Arc::new(AtomicU64::new(0));
        let (stop, mut stopped) = oneshot::channel();
        let count = Arc::clone(&struck);
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let listener = TcpListener::from_std(listener).unwrap();
                let mut number = 0;
                loop {
                    tokio::select! {
                        accepted = listener.accept() => {
                            let Ok((client, _)) = accepted else { continue };
                            let mut random = Rng::with_seed(seed ^ (number << 20));
                            number += 1;
                            let fate = draw(&mut random, share);
                            tokio::spawn(carry(client, server, fate, random, Arc::clone(&count)));
                        }
                        _ = &mut stopped => return,
                    }
                }
            });
        });
        Proxy {
            address,
            struck,
            _stop: stop,
        }
    }

    /// Connections that were broken off; each spoiled one answer at most.
    pub fn struck(&self) -> u64 {
        self.struck.load(Ordering::SeqCst)
    }
}

fn draw(random: &mut Rng, share: f64) -> Fate {
    if random.f64() >= share {
        return Fate::Pass;
    }
    let bytes = random.usize(0..40_000);
    match random.u32(0..5) {
        0 => Fate::Refuse,
        1 => Fate::Reset(bytes),
        2 => Fate::Cut(bytes),
        3 => Fate::HalfClose(bytes),
        _ => Fate::Chop,
    }
}

async fn carry(
    client: TcpStream,
    server: SocketAddr,
    fate: Fate,
    mut random: Rng,
    struck: Arc<AtomicU64>,
) {
    let strike = || struck.fetch_add(1, Ordering::SeqCst);
    if let Fate::Refuse = fate {
        strike();
        let _ = client.set_zero_linger();
        return;
    }
    let Ok(server) = TcpStream::connect(server).await else {
        return;
    };
    let _ = client.set_nodelay(true);
    let _ = server.set_nodelay(true);
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    // When the client hangs up, so does the server's side.
    let up = tokio::spawn(async move {
        let _ = copy(&mut from_client, &mut to_server).await;
        let _ = to_server.shutdown().await;
        from_client
    });
    let mut left = match fate {
        Fate::Reset(bytes) | Fate::Cut(bytes) | Fate::HalfClose(bytes) => bytes,
        _ => usize::MAX,
    };
    let mut buffer = vec![0; 16 << 10];
    loop {
        let most = match fate {
            Fate::Chop => random.usize(1..400),
            _ => buffer.len(),
        };
        let read = match from_server.read(&mut buffer[..most]).await {
            Ok(read) if read > 0 => read,
            _ => break,
        };
        if let (Fate::Chop, true) = (fate, random.u32(0..10) == 0) {
            sleep(Duration::from_millis(random.u64(1..15))).await;
        }
        let passed = read.min(left);
        if to_client.write_all(&buffer[..passed]).await.is_err() {
            break;
        }
        left -= passed;
        if left == 0 {
            strike();
            match fate {
                Fate::Reset(_) => {
                    up.abort();
                    // The aborted task drops its half; this one carries the option.
                    let _ = to_client.as_ref().set_zero_linger();
                    return;
                }
                Fate::HalfClose(_) => {
                    let _ = to_client.shutdown().await;
                    let _ = timeout(HALF, up).await;
                }
                _ => up.abort(),
            }
            return;
        }
    }
    up.abort();
}
