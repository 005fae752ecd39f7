//! A real OPA server, for as long as a test holds it.
use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

pub struct Opa {
    process: Child,
    pub address: String,
}

impl Opa {
    /// Serves the policy of `opa/`, and the Rego files of `more` besides.
    pub async fn start(more: Option<&Path>) -> Self {
        // Someone else may take the port between our look and OPA's.
        for _ in 0..3 {
            if let Some(opa) = Self::try_start(more).await {
                return opa;
            }
        }
        panic!(
            "OPA does not start: try `{} run --server` by hand",
            program().display()
        );
    }

    async fn try_start(more: Option<&Path>) -> Option<Self> {
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let process = Command::new(program())
            .args([
                "run",
                "--server",
                "--log-level",
                "error",
                "--skip-version-check",
                "--addr",
            ])
            .arg(format!("127.0.0.1:{port}"))
            .arg(super::folder().join("policies"))
            .arg(super::folder().join("data"))
            .args(more)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let mut opa = Self {
            process,
            address: format!("http://127.0.0.1:{port}"),
        };
        let deadline = Instant::now() + super::PATIENT;
        while Instant::now() < deadline {
            if opa.process.try_wait().unwrap().is_some() {
                return None;
            }
            let health = reqwest::get(format!("{}/health", opa.address)).await;
            if health.is_ok_and(|answer| answer.status().is_success()) {
                return Some(opa);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        None
    }

    pub fn stop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

impl Drop for Opa {
    fn drop(&mut self) {
        // A test that stopped it has nothing left to stop.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "where the test's tools are is no setting of the program's"
)]
fn program() -> PathBuf {
    let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    if let Some(program) = variable("OPA_BIN") {
        return program.into();
    }
    let cache = variable("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| variable("HOME").map(|home| Path::new(&home).join(".cache")));
    let tools = cache.unwrap_or_default().join("gatepost/tools");
    fs::read_dir(&tools)
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            path.file_name()
                .is_some_and(|name| name.to_string_lossy().starts_with("opa-"))
        })
        .max()
        .unwrap_or_else(|| {
            panic!(
                "no OPA in {}: run scripts/setup, or set OPA_BIN",
                tools.display()
            )
        })
}
