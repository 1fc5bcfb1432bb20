//! A proxy on loopback that cuts a connection at a chosen byte, or keeps all of them open and passes nothing on,
//! as a network cable that is pulled.

#![expect(clippy::disallowed_methods, reason = "tests start tasks of their own")]

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Where the proxy leads.
#[derive(Clone, Debug)]
pub(crate) enum Upstream {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

/// Which bytes are counted.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Direction {
    ToServer,
    ToClient,
}

pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    budgets: Arc<Budgets>,
    task: JoinHandle<()>,
}

/// How many bytes may still pass; what would go beyond it is not passed on and ends the connection.
#[derive(Debug)]
struct Budgets {
    to_server: AtomicI64,
    to_client: AtomicI64,
    /// What is beyond them waits for the cable, which is pulled then, and no connection ends.
    holds: AtomicBool,
    is_pulled: watch::Sender<bool>,
}

impl Proxy {
    pub(crate) async fn start(upstream: Upstream) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let budgets = Arc::new(Budgets {
            to_server: AtomicI64::new(i64::MAX),
            to_client: AtomicI64::new(i64::MAX),
            holds: AtomicBool::new(false),
            is_pulled: watch::Sender::new(false),
        });
        let shared = Arc::clone(&budgets);
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (budgets, upstream) = (Arc::clone(&shared), upstream.clone());
                tokio::spawn(async move { serve(client, upstream, &budgets).await });
            }
        });
        Self { address, budgets, task }
    }

    /// From now on nothing comes through, not even that a side is gone; or everything again that waits.
    pub(crate) fn pull(&self, is_pulled: bool) {
        self.budgets.is_pulled.send_replace(is_pulled);
    }

    /// Lets `n_bytes` more pass in `direction`, then pulls the cable, once. What is beyond them comes through
    /// when it is back.
    pub(crate) fn pull_after(&self, direction: Direction, n_bytes: i64) {
        self.budgets.holds.store(true, Ordering::SeqCst);
        self.budgets.of(direction).store(n_bytes, Ordering::SeqCst);
    }

    pub(crate) async fn until_pulled(&self) {
        let mut cable = self.budgets.is_pulled.subscribe();
        let _pulled = cable.wait_for(|is_pulled| *is_pulled).await;
    }

    /// Lets `n_bytes` more pass in `direction`, then ends that connection, once.
    pub(crate) fn cut_after(&self, direction: Direction, n_bytes: i64) {
        self.budgets.holds.store(false, Ordering::SeqCst);
        self.budgets.of(direction).store(n_bytes, Ordering::SeqCst);
    }

    /// Whether the cut that was asked for has not come about; then it is called off.
    pub(crate) fn is_uncut(&self, direction: Direction) -> bool {
        let left = self.budgets.of(direction).swap(i64::MAX, Ordering::SeqCst);
        left < i64::MAX / 2
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Budgets {
    async fn wait_for_cable(&self) {
        // Its sender lives as long as this.
        let mut cable = self.is_pulled.subscribe();
        let _plugged = cable.wait_for(|is_pulled| !is_pulled).await;
    }

    fn of(&self, direction: Direction) -> &AtomicI64 {
        match direction {
            Direction::ToServer => &self.to_server,
            Direction::ToClient => &self.to_client,
        }
    }
}

async fn serve(client: TcpStream, upstream: Upstream, budgets: &Budgets) {
    budgets.wait_for_cable().await;
    // Both ends set it too. Without it each answer in two parts takes 40 ms.
    client.set_nodelay(true).unwrap();
    let (client_read, client_write) = client.into_split();
    match upstream {
        Upstream::Tcp(address) => {
            let Ok(server) = TcpStream::connect(address).await else { return };
            server.set_nodelay(true).unwrap();
            let (read, write) = server.into_split();
            both(client_read, client_write, read, write, budgets).await;
        }
        Upstream::Unix(path) => {
            let Ok(server) = UnixStream::connect(path).await else { return };
            let (read, write) = server.into_split();
            both(client_read, client_write, read, write, budgets).await;
        }
    }
}

/// The first direction that ends ends both: the streams are dropped together.
async fn both(
    client_read: impl AsyncRead + Unpin,
    client_write: impl AsyncWrite + Unpin,
    server_read: impl AsyncRead + Unpin,
    server_write: impl AsyncWrite + Unpin,
    budgets: &Budgets,
) {
    tokio::select! {
        () = pass(client_read, server_write, budgets, Direction::ToServer) => {}
        () = pass(server_read, client_write, budgets, Direction::ToClient) => {}
    }
}

async fn pass(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    budgets: &Budgets,
    direction: Direction,
) {
    let budget = budgets.of(direction);
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let n_read = from.read(&mut buffer).await.unwrap_or(0);
        budgets.wait_for_cable().await;
        if n_read == 0 {
            return;
        }
        let wanted = i64::try_from(n_read).unwrap();
        let is_limited = budget.load(Ordering::SeqCst) < i64::MAX / 2;
        let allowed = if is_limited { budget.fetch_sub(wanted, Ordering::SeqCst) } else { wanted };
        let n_bytes = usize::try_from(allowed.clamp(0, wanted)).unwrap();
        let is_passed = to.write_all(&buffer[..n_bytes]).await.is_ok() && to.flush().await.is_ok();
        if allowed < wanted {
            // Once: the next connection passes.
            budget.store(i64::MAX, Ordering::SeqCst);
            if !budgets.holds.load(Ordering::SeqCst) {
                return;
            }
            budgets.is_pulled.send_replace(true);
            budgets.wait_for_cable().await;
            let is_passed = to.write_all(&buffer[n_bytes..n_read]).await.is_ok();
            if !is_passed || to.flush().await.is_err() {
                return;
            }
            continue;
        }
        if !is_passed {
            return;
        }
    }
}
