//! A database server of its own for each run of the tests, from the machine's programs.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use tempfile::TempDir;

/// A running server. It stops, and its data go, when this is dropped.
pub struct Cluster {
    folder: TempDir,
}

impl Cluster {
    /// Makes a new server, which only listens on a socket of its own.
    pub fn start() -> Self {
        let cluster = Self::prepare();
        let data = cluster.data();
        run(as_server("initdb")
            .args(["--username=postgres", "--auth=trust", "--no-sync", "-D"])
            .arg(&data));
        cluster.begin();
        cluster
    }

    /// Makes a standby that follows this server.
    pub fn standby(&self) -> Self {
        let standby = Self::prepare();
        run(as_server("pg_basebackup")
            .args(["--username=postgres", "--write-recovery-conf", "--no-sync"])
            .args(["--checkpoint=fast", "--wal-method=stream", "-h"])
            .arg(self.socket())
            .arg("-D")
            .arg(standby.data()));
        standby.begin();
        standby
    }

    /// The URL of a database, for a role.
    pub fn url(&self, role: &str, database: &str) -> String {
        let host = self.socket().to_str().unwrap().replace('/', "%2F");
        format!("postgres://{role}@{host}/{database}")
    }

    /// Runs SQL as the superuser, by the means of an operator: `psql`.
    pub fn psql(&self, database: &str, sql: &str) -> String {
        run(program("psql")
            .args([
                "--username=postgres",
                "--no-psqlrc",
                "-qAt",
                "-v",
                "ON_ERROR_STOP=1",
            ])
            .args(["-d", database, "-c", sql, "-h"])
            .arg(self.socket()))
    }

    /// The schema as SQL.
    pub fn dump(&self, database: &str) -> String {
        let dump = run(program("pg_dump")
            .args(["--username=postgres", "--schema-only", "-d", database, "-h"])
            .arg(self.socket()));
        // A word that newer servers draw by lot for each dump.
        let lines = dump.lines().filter(|line| !line.starts_with('\\'));
        lines.collect::<Vec<_>>().join("\n")
    }

    fn prepare() -> Self {
        let folder = tempfile::Builder::new()
            .prefix("gatepost-test-")
            .permissions(fs::Permissions::from_mode(0o777))
            .tempdir()
            .unwrap();
        // The creation mask may have taken what the server's user needs.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
        Self { folder }
    }

    fn begin(&self) {
        let options = format!(
            "-c listen_addresses= -c unix_socket_directories={} -c fsync=off -c max_connections=50",
            self.socket().display()
        );
        run(as_server("pg_ctl")
            .args(["start", "--wait", "-o", &options, "-l"])
            .arg(self.socket().join("log"))
            .arg("-D")
            .arg(self.data()));
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn socket(&self) -> &Path {
        self.folder.path()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let mut stop = as_server("pg_ctl");
        stop.args(["stop", "--mode=immediate", "-D"])
            .arg(self.data());
        let stopped = stop.stdout(Stdio::null()).status();
        if !std::thread::panicking() {
            assert!(stopped.unwrap().success(), "the server did not stop");
            // Files of the server's user, in a folder of ours.
            run(as_server("rm").arg("-r").arg(self.data()));
        }
    }
}

/// A program of the machine's server packages, the newest if there are several.
fn program(name: &str) -> Command {
    Command::new(path_of(name))
}

/// The same, as a user under whom a server consents to run.
fn as_server(name: &str) -> Command {
    let root = run(Command::new("id").arg("-u")) == "0";
    let mut command = if root {
        let mut command = Command::new("runuser");
        command.args(["-u", "postgres", "--"]).arg(path_of(name));
        command
    } else {
        program(name)
    };
    command.current_dir("/");
    command
}

fn path_of(name: &str) -> PathBuf {
    let folders = fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    let mut found: Vec<(u32, PathBuf)> = folders
        .flatten()
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path())))
        .map(|(version, folder)| (version, folder.join("bin").join(name)))
        .filter(|(_, path)| path.exists())
        .collect();
    found.sort();
    // Elsewhere they are on the search path.
    found.pop().map_or_else(|| name.into(), |(_, path)| path)
}

fn run(command: &mut Command) -> String {
    // The server that pg_ctl leaves running must not keep our pipe open: its output goes to a log.
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout)
        .unwrap()
        .trim_end()
        .to_owned()
}
