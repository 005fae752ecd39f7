//! The program that is measured, in a process of its own. Its settings are those of this process.

use std::{
    net::TcpListener,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, bail, ensure};

use crate::{
    http::{Connection, request},
    machine::{self, Memory},
};

/// Between two looks whether it is ready, which is what the time to start is exact to.
const LOOK: Duration = Duration::from_millis(1);
/// No start and no stop takes longer.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running instance; killed when this is dropped.
pub struct Server {
    child: Child,
    /// Host and port.
    pub address: String,
    /// From the start of the process to the first `200` of `/api/health/ready`.
    pub ready_after: Duration,
}

impl Server {
    /// Starts it and waits until it is ready. What it logs is thrown away: run
    /// `gatepost-bench once` to see why it does not start.
    pub fn start(program: &Path, log_level: &str) -> anyhow::Result<Self> {
        Self::launch(program, log_level, Stdio::null)
    }

    /// The same, and what it says can be read.
    pub fn start_aloud(program: &Path) -> anyhow::Result<Self> {
        Self::launch(program, "info", Stdio::inherit)
    }

    fn launch(program: &Path, log_level: &str, out: fn() -> Stdio) -> anyhow::Result<Self> {
        let [port, metrics_port] = free_ports()?;
        let address = format!("127.0.0.1:{port}");
        let started = Instant::now();
        let child = Command::new(program)
            .arg("serve")
            .env("APP_HOST", "127.0.0.1")
            .env("APP_PORT", port.to_string())
            .env("METRICS_PORT", metrics_port.to_string())
            .env("LOG_LEVEL", log_level)
            .env("LOG_FORMAT", "json")
            .stdin(Stdio::null())
            .stdout(out())
            .stderr(out())
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        let mut server = Self {
            child,
            address,
            ready_after: Duration::ZERO,
        };
        server.wait_until_ready(started)?;
        Ok(server)
    }

    fn wait_until_ready(&mut self, started: Instant) -> anyhow::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let question = request("GET", "/api/health/ready", None, "");
        while started.elapsed() < PATIENCE {
            let answer = runtime
                .block_on(async { Connection::open(&self.address).await?.send(&question).await });
            if answer.is_ok_and(|answer| answer.status == 200) {
                self.ready_after = started.elapsed();
                return Ok(());
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("the program ended before it was ready: {status}");
            }
            thread::sleep(LOOK);
        }
        bail!("the program was not ready within {PATIENCE:?}")
    }

    /// Its memory.
    ///
    /// # Errors
    ///
    /// If it has ended.
    pub fn memory(&mut self) -> anyhow::Result<Memory> {
        if let Some(status) = self.child.try_wait()? {
            bail!("the program ended by itself: {status}");
        }
        machine::memory(self.child.id())
    }

    /// Time on a core that it has had.
    pub fn cpu(&self) -> anyhow::Result<Duration> {
        machine::cpu(self.child.id())
    }

    /// Stops it as an operator would.
    ///
    /// # Errors
    ///
    /// If it does not end, or not well.
    pub fn stop(mut self) -> anyhow::Result<()> {
        // The standard library can only kill.
        let told = Command::new("kill")
            .arg("-INT")
            .arg(self.child.id().to_string())
            .status()?;
        ensure!(told.success(), "the program had ended by itself");
        let started = Instant::now();
        while started.elapsed() < PATIENCE {
            if let Some(status) = self.child.try_wait()? {
                ensure!(status.success(), "the program ended with {status}");
                return Ok(());
            }
            thread::sleep(LOOK);
        }
        bail!("the program did not stop within {PATIENCE:?}")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Only of use after an error; has no effect on a process that has ended.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Two ports that are free now.
fn free_ports() -> anyhow::Result<[u16; 2]> {
    let held = [
        TcpListener::bind("127.0.0.1:0")?,
        TcpListener::bind("127.0.0.1:0")?,
    ];
    Ok([held[0].local_addr()?.port(), held[1].local_addr()?.port()])
}
