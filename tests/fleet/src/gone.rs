//! Owns an address whose machine is gone: not even a connection is refused there.

use std::net::{SocketAddr, TcpListener};

use tokio::net::{TcpSocket, TcpStream};

/// An address of the loopback interface where every attempt to connect waits for ever, as where a
/// machine has lost its power.
///
/// It is a listener that accepts nobody and whose queue is full: Linux then drops what asks for
/// more.
#[derive(Debug)]
pub struct Gone {
    address: SocketAddr,
    _listener: TcpListener,
    _queued: Vec<TcpStream>,
}

impl Gone {
    /// Takes a free port, and fills its queue.
    ///
    /// # Panics
    ///
    /// When the system does not let it.
    pub async fn new() -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
        let listener = socket.listen(1).unwrap().into_std().unwrap();
        let address = listener.local_addr().unwrap();
        let mut queued = Vec::new();
        let moment = std::time::Duration::from_millis(100);
        while let Ok(Ok(stream)) = tokio::time::timeout(moment, TcpStream::connect(address)).await {
            queued.push(stream);
        }
        Self { address, _listener: listener, _queued: queued }
    }

    /// Its host and port, as a URL has them.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }
}
