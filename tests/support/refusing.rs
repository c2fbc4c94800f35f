//! A server that is not there yet.
#![allow(dead_code, missing_docs, unreachable_pub, clippy::unwrap_used)]

use std::net::TcpListener;

/// A port that refuses until it listens, and its base URL.
pub fn refusing() -> (tokio::net::TcpSocket, String) {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let base = format!("http://{}", socket.local_addr().unwrap());
    (socket, base)
}

/// It listens from now on.
pub fn listen(socket: tokio::net::TcpSocket) -> TcpListener {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .unwrap();
    let listener = runtime.block_on(async { socket.listen(64).unwrap().into_std().unwrap() });
    listener.set_nonblocking(false).unwrap();
    listener
}
