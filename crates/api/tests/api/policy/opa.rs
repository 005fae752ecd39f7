//! A real OPA server, for as long as a test holds it.
use std::{
    ffi::OsString,
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;

pub struct Opa {
    process: Child,
    pub address: String,
    /// What it was started with besides its address.
    arguments: Vec<OsString>,
    /// Its configuration, for as long as it runs.
    _folder: Option<TempDir>,
}

impl Opa {
    /// Serves the policy of `opa/`, and the Rego files of `more` besides.
    pub async fn start(more: Option<&Path>) -> Self {
        let mut arguments = vec![
            super::folder().join("policies").into(),
            super::folder().join("data").into(),
        ];
        arguments.extend(more.map(Into::into));
        Self::with(arguments, None).await
    }

    /// Serves what its configuration tells it to fetch.
    pub async fn configured(configuration: &Value) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.json");
        fs::write(&path, configuration.to_string()).unwrap();
        Self::with(vec!["--config-file".into(), path.into()], Some(folder)).await
    }

    async fn with(arguments: Vec<OsString>, folder: Option<TempDir>) -> Self {
        // Someone else may take the port between our look and OPA's.
        for _ in 0..3 {
            let port = TcpListener::bind("127.0.0.1:0")
                .unwrap()
                .local_addr()
                .unwrap()
                .port();
            let address = format!("127.0.0.1:{port}");
            if let Some(process) = run(&address, &arguments).await {
                return Self {
                    process,
                    address: format!("http://{address}"),
                    arguments,
                    _folder: folder,
                };
            }
        }
        panic!(
            "OPA does not start: try `{} run --server` by hand",
            program().display()
        );
    }

    /// Runs once more where it was.
    pub async fn again(&mut self) {
        let address = self.address.trim_start_matches("http://");
        self.process = run(address, &self.arguments).await.unwrap();
    }

    pub fn stop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

/// OPA at this address, once it answers.
async fn run(address: &str, arguments: &[OsString]) -> Option<Child> {
    let fixed = [
        "run",
        "--server",
        "--log-level",
        "error",
        "--skip-version-check",
        "--addr",
        address,
    ];
    let mut process = Command::new(program())
        .args(fixed)
        .args(arguments)
        .env("NO_PROXY", "127.0.0.1")
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + super::PATIENT;
    while Instant::now() < deadline {
        if process.try_wait().unwrap().is_some() {
            return None;
        }
        let health = reqwest::get(format!("http://{address}/health")).await;
        if health.is_ok_and(|answer| answer.status().is_success()) {
            return Some(process);
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Some(process)
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
pub fn program() -> PathBuf {
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
