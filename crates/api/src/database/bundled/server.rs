//! One running `postgres` process.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom},
    os::unix::{fs::OpenOptionsExt, process::CommandExt},
    path::Path,
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use tokio::{
    sync::{oneshot, watch},
    time::{sleep, timeout},
};

use super::{
    account::{Account, run},
    error::{BundledError, Storing, tells_of_full_disk},
    programs::Programs,
};

/// After an unclean end PostgreSQL first reads its log again, which may take long.
const START_LIMIT: Duration = Duration::from_mins(2);
/// Stopping ends all connections and writes a checkpoint.
const STOP_LIMIT: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(10);
/// A server.log above this many bytes is put away as `server.log.1` at a start.
const LOG_LIMIT: u64 = 16 * 1024 * 1024;

/// A server that we have started.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) pid: u32,
    /// How it ended, once it has.
    ended: watch::Receiver<Option<String>>,
}

/// Why a start failed: a busy port is no reason to give up.
pub(super) enum StartError {
    PortBusy,
    Other(BundledError),
}

impl From<BundledError> for StartError {
    fn from(error: BundledError) -> Self {
        Self::Other(error)
    }
}

impl Server {
    /// Starts `postgres` and waits until it accepts connections.
    ///
    /// The kernel interrupts a tied server when the *thread* that started it ends, so that is a
    /// thread of its own, which does nothing but wait for the server: it ends with our process, however that ends.
    pub(super) async fn start(
        mut command: Command,
        data: &Path,
        log: &Path,
    ) -> Result<Self, StartError> {
        let pid_file = data.join("postmaster.pid");
        let before = fs::read_to_string(&pid_file).ok();
        let output = open_log(log)?;
        let log_start = output.metadata().storing("read", log)?.len();
        let errors = output.try_clone().storing("write", log)?;
        command
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            // Ctrl-C in a terminal reaches every process of the group; the order of stopping is ours to keep.
            .process_group(0);
        let server = Self::spawn(command).await?;

        let ready = async {
            loop {
                if let Some(how) = server.ended.borrow().clone() {
                    return Err(how);
                }
                let now = fs::read_to_string(&pid_file).ok();
                if now != before && now.is_some_and(|text| is_ready(&text)) {
                    return Ok(());
                }
                sleep(POLL).await;
            }
        };
        let reason = match timeout(START_LIMIT, ready).await {
            Ok(Ok(())) => return Ok(server),
            Ok(Err(how)) => how,
            Err(_) => format!("it was not ready after {} seconds", START_LIMIT.as_secs()),
        };
        let tail = read_from(log, log_start);
        if tail.contains("could not create any TCP/IP sockets")
            || tail.contains("Address already in use")
        {
            return Err(StartError::PortBusy);
        }
        if tells_of_full_disk(&tail) {
            let path = data.to_owned();
            return Err(BundledError::DiskFull { path }.into());
        }
        Err(StartError::Other(BundledError::NotStarted {
            reason,
            log: log.to_owned(),
            tail,
        }))
    }

    async fn spawn(mut command: Command) -> Result<Self, BundledError> {
        let (started, start) = oneshot::channel();
        let (ending, ended) = watch::channel(None);
        let failed = |output: String| BundledError::Program {
            program: "postgres".to_owned(),
            output,
        };
        thread::Builder::new()
            .name("postgres".to_owned())
            .spawn(move || match command.spawn() {
                Err(error) => {
                    let _ = started.send(Err(error));
                }
                Ok(mut child) => {
                    let _ = started.send(Ok(child.id()));
                    let how = match child.wait() {
                        Ok(status) => status.to_string(),
                        Err(error) => error.to_string(),
                    };
                    ending.send_replace(Some(how));
                }
            })
            .map_err(|error| failed(error.to_string()))?;
        match start.await {
            Ok(Ok(pid)) => Ok(Self { pid, ended }),
            Ok(Err(error)) => Err(failed(error.to_string())),
            Err(_) => Err(failed("its thread ended".to_owned())),
        }
    }

    /// Resolves when the process has ended, with how.
    pub(super) async fn ended(&self) -> String {
        let mut ended = self.ended.clone();
        let how = ended.wait_for(Option::is_some).await;
        how.ok()
            .and_then(|how| how.clone())
            .unwrap_or_else(|| "unknown".to_owned())
    }

    /// Ends connections, writes a checkpoint, and stops.
    pub(super) async fn stop(
        &self,
        account: &Account,
        programs: &Programs,
        data: &Path,
    ) -> Result<(), BundledError> {
        for mode in ["fast", "immediate"] {
            if self.ended.borrow().is_some() {
                return Ok(());
            }
            let mut command = pg_ctl_stop(account, programs, data, mode);
            command.arg("--no-wait");
            if let Err(error) = run(command, data).await {
                tracing::debug!("pg_ctl: {error}");
            }
            if timeout(STOP_LIMIT, self.ended()).await.is_ok() {
                return Ok(());
            }
        }
        Err(BundledError::NotStopped { pid: self.pid })
    }

    /// As [`Self::stop`] where nothing can be awaited.
    pub(super) fn stop_blocking(&self, account: &Account, programs: &Programs, data: &Path) {
        if self.ended.borrow().is_some() {
            return;
        }
        let mut command = pg_ctl_stop(account, programs, data, "fast");
        command.args(["--wait", "--timeout=10"]);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        if !command.status().is_ok_and(|status| status.success()) {
            tracing::warn!("PostgreSQL (process {}) was not stopped", self.pid);
        }
    }
}

fn pg_ctl_stop(account: &Account, programs: &Programs, data: &Path, mode: &str) -> Command {
    let mut command = account.command(&programs.path("pg_ctl"));
    command.arg("stop").arg("-D").arg(data);
    command.args(["--silent", "-m", mode]);
    command
}

/// Makes sure that nothing runs on `data`: a gatepost that was killed may have left its server behind.
pub(super) async fn clear(
    account: &Account,
    programs: &Programs,
    data: &Path,
) -> Result<(), BundledError> {
    let pid_file = data.join("postmaster.pid");
    let Ok(text) = fs::read_to_string(&pid_file) else {
        return Ok(());
    };
    let pid = text
        .lines()
        .next()
        .and_then(|line| line.parse::<u32>().ok());
    let Some(processes) = processes_in(data) else {
        return clear_by_pg_ctl(account, programs, data).await;
    };
    if let Some(pid) = pid.filter(|pid| processes.contains(pid)) {
        tracing::info!("stopping PostgreSQL (process {pid}), left by a gatepost that was killed");
        stop_left(account, programs, data).await?;
    }
    // Its children notice the end of their parent a little later.
    let gone = async {
        while lives_in(data).await {
            sleep(POLL).await;
        }
    };
    if timeout(STOP_LIMIT, gone).await.is_err() {
        return Err(BundledError::NotStopped {
            pid: pid.unwrap_or_default(),
        });
    }
    // After a reboot the number may be another program's, and PostgreSQL would then take that
    // for its predecessor. Nothing works in the folder, so the file says nothing any more.
    if pid.is_some_and(|pid| Path::new(&format!("/proc/{pid}")).exists()) {
        match fs::remove_file(&pid_file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            result => result.storing("remove", &pid_file)?,
        }
    }
    Ok(())
}

/// Where processes cannot be listed `pg_ctl` judges by the number in `postmaster.pid`.
async fn clear_by_pg_ctl(
    account: &Account,
    programs: &Programs,
    data: &Path,
) -> Result<(), BundledError> {
    let mut status = account.command(&programs.path("pg_ctl"));
    status.arg("status").arg("-D").arg(data);
    if run(status, data).await.is_ok() {
        stop_left(account, programs, data).await?;
    }
    Ok(())
}

async fn stop_left(
    account: &Account,
    programs: &Programs,
    data: &Path,
) -> Result<(), BundledError> {
    let mut command = pg_ctl_stop(account, programs, data, "fast");
    command.args(["--wait", "--timeout=20"]);
    match run(command, data).await {
        // It may have ended by itself since we looked.
        Err(error) if lives_in(data).await => Err(error),
        _ => Ok(()),
    }
}

/// Whether a process of a server works in `data`. Says no where processes cannot be listed.
pub(super) async fn lives_in(data: &Path) -> bool {
    let data = data.to_owned();
    let found = tokio::task::spawn_blocking(move || processes_in(&data)).await;
    found.is_ok_and(|processes| processes.is_some_and(|processes| !processes.is_empty()))
}

/// The processes whose working folder is `data`: all of a server's. None without `/proc`.
fn processes_in(data: &Path) -> Option<Vec<u32>> {
    let data = data.canonicalize().ok().unwrap_or_else(|| data.to_owned());
    let entries = fs::read_dir("/proc").ok()?;
    fs::read_link("/proc/self/cwd").ok()?;
    let works_here =
        |pid: &u32| fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|folder| folder == data);
    let numbers = entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    Some(numbers.filter(works_here).collect())
}

/// Line 8 of `postmaster.pid` is `ready` when connections are accepted (PostgreSQL 10 and later).
fn is_ready(pid_file: &str) -> bool {
    pid_file
        .lines()
        .nth(7)
        .is_some_and(|line| line.trim() == "ready")
}

fn open_log(path: &Path) -> Result<File, BundledError> {
    if fs::metadata(path).is_ok_and(|found| found.len() > LOG_LIMIT) {
        fs::rename(path, path.with_extension("log.1")).storing("move away", path)?;
    }
    OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(path)
        .storing("write", path)
}

/// What was written to the log since `start`, at most the last 4 KiB.
fn read_from(log: &Path, start: u64) -> String {
    let mut bytes = Vec::new();
    let read = File::open(log).and_then(|mut file| {
        let end = file.metadata()?.len();
        file.seek(SeekFrom::Start(start.max(end.saturating_sub(4096))))?;
        file.read_to_end(&mut bytes)
    });
    if let Err(error) = read {
        return format!("(unreadable: {error})");
    }
    String::from_utf8_lossy(&bytes).trim_end().to_owned()
}
