//! Stands between the program and its database, and breaks the connection in all ways that networks know.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicUsize, Ordering},
    },
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, tcp},
    sync::Notify,
    task::JoinHandle,
};

/// What happens to bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Mode {
    /// They get through.
    Pass,
    /// They are read and lost; connections are accepted, and nothing answers.
    BlackHole,
    /// Nobody reads them any more, and the connection stays.
    HalfOpen,
    /// Connections are torn down, and so are new ones.
    Reset,
    /// They get through, until a COMMIT was sent on: then the connection is gone.
    CutAfterCommit,
}

const MODES: [Mode; 5] = [
    Mode::Pass,
    Mode::BlackHole,
    Mode::HalfOpen,
    Mode::Reset,
    Mode::CutAfterCommit,
];

struct State {
    mode: AtomicU8,
    changed: Notify,
    cuts: AtomicUsize,
    opened: AtomicUsize,
}

impl State {
    fn mode(&self) -> Mode {
        MODES[usize::from(self.mode.load(Ordering::SeqCst))]
    }
}

/// Ends with its last connection when dropped.
pub struct Proxy {
    pub port: u16,
    state: Arc<State>,
    accepting: JoinHandle<()>,
}

impl Proxy {
    /// Leads to a port of this machine.
    pub async fn to(port: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let own = listener.local_addr().unwrap().port();
        let state = Arc::new(State {
            mode: AtomicU8::new(0),
            changed: Notify::new(),
            cuts: AtomicUsize::new(0),
            opened: AtomicUsize::new(0),
        });
        let shared = Arc::clone(&state);
        let accepting = tokio::spawn(async move {
            let upstream = SocketAddr::from(([127, 0, 0, 1], port));
            while let Ok((client, _)) = listener.accept().await {
                shared.opened.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(serve(client, upstream, Arc::clone(&shared)));
            }
        });
        Self {
            port: own,
            state,
            accepting,
        }
    }

    pub fn set(&self, mode: Mode) {
        let number = MODES.iter().position(|known| *known == mode).unwrap();
        self.state
            .mode
            .store(u8::try_from(number).unwrap(), Ordering::SeqCst);
        self.state.changed.notify_waiters();
    }

    /// How many commits were cut off from their answers.
    pub fn cuts(&self) -> usize {
        self.state.cuts.load(Ordering::SeqCst)
    }

    /// How many connections were ever made.
    pub fn opened(&self) -> usize {
        self.state.opened.load(Ordering::SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
        self.set(Mode::Reset);
    }
}

async fn serve(client: TcpStream, upstream: SocketAddr, state: Arc<State>) {
    if state.mode() == Mode::Reset {
        return;
    }
    let Ok(server) = TcpStream::connect(upstream).await else {
        return;
    };
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    // Either end takes the other with it.
    tokio::select! {
        _ = forward(from_client, to_server, &state, true) => {}
        _ = forward(from_server, to_client, &state, false) => {}
    }
}

async fn forward(
    mut from: tcp::OwnedReadHalf,
    mut to: tcp::OwnedWriteHalf,
    state: &State,
    is_from_client: bool,
) -> io::Result<()> {
    let mut bytes = [0; 16 * 1024];
    loop {
        let changed = state.changed.notified();
        match state.mode() {
            Mode::Reset => return Ok(()),
            Mode::HalfOpen => {
                changed.await;
                continue;
            }
            Mode::Pass | Mode::BlackHole | Mode::CutAfterCommit => {}
        }
        let count = tokio::select! {
            count = from.read(&mut bytes) => count?,
            () = changed => continue,
        };
        if count == 0 {
            return Ok(());
        }
        let read = &bytes[..count];
        match state.mode() {
            Mode::BlackHole => {}
            Mode::Reset => return Ok(()),
            mode => {
                to.write_all(read).await?;
                let is_commit = is_from_client && read.windows(6).any(|part| part == b"COMMIT");
                if mode == Mode::CutAfterCommit && is_commit {
                    to.flush().await?;
                    state.cuts.fetch_add(1, Ordering::SeqCst);
                    // What it has received it does; that nobody listens it notices afterwards.
                    return Ok(());
                }
            }
        }
    }
}
