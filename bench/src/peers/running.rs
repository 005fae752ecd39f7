//! A peer's process, and a plain client for what is not timed.

use std::{
    fs::File,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, bail, ensure};
use serde_json::Value;

use crate::machine::{self, Memory};

/// Between two looks whether it answers, which is what the time to start is exact to.
const LOOK: Duration = Duration::from_millis(1);
/// No start, no stop and no answer takes longer.
const PATIENCE: Duration = Duration::from_mins(1);

/// A request.
#[derive(Clone, Debug)]
pub struct Ask {
    pub path: String,
    /// Sent as a bearer token.
    pub token: Option<String>,
    /// JSON.
    pub body: String,
}

impl Ask {
    pub fn new(path: impl Into<String>, body: &Value) -> Self {
        Self {
            path: path.into(),
            token: None,
            body: body.to_string(),
        }
    }

    pub fn with_token(self, token: &str) -> Self {
        Self {
            token: Some(token.to_owned()),
            ..self
        }
    }

    /// Sends it by itself, and reads the JSON of the answer.
    ///
    /// # Errors
    ///
    /// The connection's, and any status but `200` and `201`.
    pub fn send(&self, address: &str) -> anyhow::Result<Value> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let token = self.token.as_ref().map_or_else(String::new, |token| {
            format!("Authorization: Bearer {token}\r\n")
        });
        // By HTTP/1.0 the answer comes in one piece and ends with the connection.
        let head = format!(
            "POST {} HTTP/1.0\r\nHost: localhost\r\n{token}Content-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n",
            self.path,
            self.body.len()
        );
        stream.write_all(&[head.as_bytes(), self.body.as_bytes()].concat())?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        let text = String::from_utf8(answer)?;
        let (head, body) = text.split_once("\r\n\r\n").context("no answer")?;
        let status = head.split(' ').nth(1).unwrap_or_default();
        ensure!(
            matches!(status, "200" | "201"),
            "{}: {status} {body}",
            self.path
        );
        Ok(serde_json::from_str(body)?)
    }
}

/// Where a peer is to listen, on loopback.
pub struct Ports {
    pub http: u16,
    /// For what else it serves.
    pub others: [u16; 2],
}

impl Ports {
    fn free() -> anyhow::Result<Self> {
        let held = [(); 3].map(|()| TcpListener::bind("127.0.0.1:0"));
        let [http, one, other] =
            held.map(|listener| Ok::<_, std::io::Error>(listener?.local_addr()?.port()));
        Ok(Self {
            http: http?,
            others: [one?, other?],
        })
    }
}

/// A running peer; killed when this is dropped.
pub struct Running {
    child: Child,
    /// Host and port.
    pub address: String,
    started: Instant,
    /// What it says.
    log: PathBuf,
}

impl Running {
    /// Starts what `command` makes, and does not wait for it.
    pub fn start(command: impl FnOnce(&Ports) -> Command) -> anyhow::Result<Self> {
        let ports = Ports::free()?;
        let name = format!("gatepost-bench-{}.log", std::process::id());
        let log = std::env::temp_dir().join(name);
        let file = File::create(&log)?;
        let mut command = command(&ports);
        let started = Instant::now();
        let child = command
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()
            .with_context(|| format!("cannot start {}", command.get_program().display()))?;
        Ok(Self {
            child,
            address: format!("127.0.0.1:{}", ports.http),
            started,
            log,
        })
    }

    /// Tries again and again until `right`; returns what that is, and how long it is since the start.
    pub fn wait<T>(
        &mut self,
        mut right: impl FnMut(&str) -> anyhow::Result<T>,
    ) -> anyhow::Result<(T, Duration)> {
        let mut why = None;
        while self.started.elapsed() < PATIENCE {
            match right(&self.address) {
                Ok(found) => return Ok((found, self.started.elapsed())),
                Err(error) => why = Some(error),
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("it ended: {status}: {}", self.said());
            }
            thread::sleep(LOOK);
        }
        let why = why.map_or_else(String::new, |error| format!("{error:#}"));
        bail!("not in {PATIENCE:?}: {why}: {}", self.said())
    }

    /// The end of what it has said.
    fn said(&self) -> String {
        let text = std::fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<_> = text.lines().collect();
        lines[lines.len().saturating_sub(10)..].join("\n")
    }

    pub fn memory(&self) -> anyhow::Result<Memory> {
        machine::memory(self.child.id())
    }

    /// Time on a core that it has had.
    pub fn cpu(&self) -> anyhow::Result<Duration> {
        machine::cpu(self.child.id())
    }

    /// Stops it as an operator would.
    pub fn stop(mut self) -> anyhow::Result<()> {
        // The standard library can only kill.
        let told = Command::new("kill")
            .arg(self.child.id().to_string())
            .status()?;
        ensure!(
            told.success(),
            "it had ended by itself: {said}",
            said = self.said()
        );
        let asked = Instant::now();
        while asked.elapsed() < PATIENCE {
            if self.child.try_wait()?.is_some() {
                return Ok(());
            }
            thread::sleep(LOOK);
        }
        bail!("it did not stop in {PATIENCE:?}")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Only of use after an error; has no effect on a process that has ended.
        self.child.kill().ok();
        self.child.wait().ok();
        std::fs::remove_file(&self.log).ok();
    }
}
