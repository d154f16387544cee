//! A TCP proxy that breaks connections on purpose, wherever a test wants it to.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

/// What becomes of what passes through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums, reason = "tests choose one")]
pub enum Mode {
    /// Everything passes.
    Pass,
    /// New connections are closed at once, and open ones when the next byte comes:
    /// what was asked for does not reach the server.
    Drop,
    /// Nothing passes, and nobody is told. What has come waits for another mode.
    Hold,
    /// Each piece, either way, comes so much later.
    Delay(Duration),
    /// The next request passes, the server answers it, and the connection is cut
    /// before the answer: it was done, and nobody knows.
    CutAfterRequest,
    /// The next request passes, its answer too, and the connection is cut then.
    CutAfterReply,
}

/// A proxy in front of one server, up until it is dropped.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    mode: watch::Sender<Mode>,
    /// How often the open connections were forgotten.
    forgotten: watch::Sender<u32>,
    accepting: JoinHandle<()>,
}

/// How long an answer is waited for before it is cut off.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

impl Proxy {
    /// Listens on a free loopback port and connects each connection to the server,
    /// which need not be up yet.
    ///
    /// # Errors
    ///
    /// There is no free port.
    pub async fn start(server: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (mode, watched) = watch::channel(Mode::Pass);
        let (forgotten, of_old) = watch::channel(0);
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (mode, of_old) = (watched.clone(), of_old.clone());
                tokio::spawn(async move {
                    // That connections break is what this is for.
                    let _ = carry(client, server, mode, of_old).await;
                });
            }
        });
        Ok(Self { address, mode, forgotten, accepting })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on this becomes of it, on open connections as well.
    pub fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }

    /// Nothing passes any more on the connections that are open now, and nobody is told, as
    /// when a firewall between the two has lost its table. New ones are not touched.
    pub fn forget_open(&self) {
        self.forgotten.send_modify(|times| *times += 1);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
        // Connections that are held must not wait for ever.
        self.set(Mode::Drop);
    }
}

async fn carry(
    mut client: TcpStream,
    server: SocketAddr,
    mut mode: watch::Receiver<Mode>,
    forgotten: watch::Receiver<u32>,
) -> io::Result<()> {
    let known = *forgotten.borrow();
    if *mode.borrow() == Mode::Drop {
        return Ok(());
    }
    let mut server = TcpStream::connect(server).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (mut request, mut answer) = (vec![0; 64 * 1024], vec![0; 64 * 1024]);
    loop {
        // Which way, and how many bytes.
        let (is_request, length) = tokio::select! {
            length = client.read(&mut request) => (true, length?),
            length = server.read(&mut answer) => (false, length?),
        };
        if length == 0 {
            return Ok(());
        }
        if *forgotten.borrow() != known {
            // Until the proxy is no more.
            let _ = mode.wait_for(|mode| *mode == Mode::Drop).await;
            return Ok(());
        }
        let Ok(now) = mode.wait_for(|mode| *mode != Mode::Hold).await.map(|mode| *mode) else {
            return Ok(());
        };
        match (now, is_request) {
            (Mode::Drop, _) => return Ok(()),
            (Mode::CutAfterRequest, true) => {
                server.write_all(&request[..length]).await?;
                let _ = timeout(ANSWER_WITHIN, server.read(&mut answer)).await;
                return Ok(());
            }
            // The answer to a request that had passed before.
            (Mode::CutAfterRequest, false) => return Ok(()),
            (Mode::CutAfterReply, false) => return client.write_all(&answer[..length]).await,
            (Mode::Delay(time), _) => sleep(time).await,
            (Mode::Pass | Mode::Hold | Mode::CutAfterReply, _) => {}
        }
        if is_request {
            server.write_all(&request[..length]).await?;
        } else {
            client.write_all(&answer[..length]).await?;
        }
    }
}
