//! A PostgreSQL server that one test has to itself: to be promoted, stopped, or set up badly.

use std::{
    ffi::OsStr,
    fs,
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use gatepost::database::{migrate::migrate, url::DatabaseUrl};
use tempfile::TempDir;

use crate::databases::read_config;

const OWNER: &str = "gatepost_owner";
const API: &str = "gatepost_api";
const PASSWORD: &str = "pw";

/// A server on a TCP port of its own. It stops, and its data go, when this is dropped.
pub struct OwnServer {
    folder: TempDir,
    pub port: u16,
}

impl OwnServer {
    /// A new one, that takes anybody at their word.
    pub fn start() -> Self {
        let server = Self::prepare();
        server.start_at(server.port);
        server
    }

    /// A new one that is not started yet.
    pub fn prepare() -> Self {
        let server = Self::folder();
        run(as_server("initdb")
            .args(["--username=postgres", "--auth=trust", "--no-sync", "-D"])
            .arg(server.data()));
        server
    }

    /// A standby of this one, which streams under the name `standby`.
    pub fn standby(&self) -> Self {
        let standby = Self::folder();
        let from = format!(
            "host=127.0.0.1 port={} user=postgres application_name=standby",
            self.port
        );
        run(as_server("pg_basebackup")
            .args(["--write-recovery-conf", "--no-sync", "--checkpoint=fast"])
            .args(["--wal-method=stream", "-d", &from, "-D"])
            .arg(standby.data()));
        standby.start_at(standby.port);
        standby
    }

    fn folder() -> Self {
        let folder = tempfile::Builder::new()
            .prefix("gatepost-test-")
            .tempdir()
            .unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
        Self {
            folder,
            port: free_port(),
        }
    }

    /// Starts it again where it was.
    pub fn start_again(&self) {
        self.start_at(self.port);
    }

    fn start_at(&self, port: u16) {
        let options = format!(
            "-c listen_addresses=127.0.0.1 -c port={port} -c unix_socket_directories={} \
             -c fsync=off -c max_connections=60 -c wal_keep_size=64MB",
            self.path().display()
        );
        run(as_server("pg_ctl")
            .args(["start", "--wait", "-o", &options, "-l"])
            .arg(self.path().join("log"))
            .arg("-D")
            .arg(self.data()));
    }

    /// `smart`, `fast` or `immediate`.
    pub fn stop(&self, mode: &str) {
        run(as_server("pg_ctl")
            .args(["stop", "-m", mode, "-D"])
            .arg(self.data()));
    }

    /// Makes a primary of a standby.
    pub fn promote(&self) {
        run(as_server("pg_ctl")
            .args(["promote", "--wait", "-D"])
            .arg(self.data()));
    }

    /// Reads its settings again.
    pub fn reload(&self) {
        run(as_server("pg_ctl").args(["reload", "-D"]).arg(self.data()));
    }

    /// Runs SQL as the superuser, and returns what it says.
    pub fn sql(&self, database: &str, sql: &str) -> String {
        run(Command::new(path_of("psql"))
            .args(["--username=postgres", "--no-psqlrc", "-qAt"])
            .args(["-v", "ON_ERROR_STOP=1", "-d", database, "-c", sql, "-p"])
            .arg(self.port.to_string())
            .arg("-h")
            .arg(self.path()))
    }

    /// Waits until `sql` says `expected`.
    pub async fn until(&self, database: &str, sql: &str, expected: &str) {
        for _ in 0..400 {
            if self.sql(database, sql) == expected {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(25)).await;
        }
        panic!("{sql} says {:?}", self.sql(database, sql));
    }

    /// Makes the database `gatepost` with its two roles, and migrates it.
    pub async fn set_up(&self) {
        for sql in [
            format!("CREATE ROLE {OWNER} LOGIN PASSWORD '{PASSWORD}'"),
            format!("CREATE ROLE {API} LOGIN PASSWORD '{PASSWORD}'"),
            format!("CREATE DATABASE gatepost OWNER {OWNER}"),
        ] {
            self.sql("postgres", &sql);
        }
        let url = self.url(OWNER, "");
        let config = read_config(&[("DATABASE_URL", &url)]);
        let url = DatabaseUrl::parse(&url).unwrap();
        migrate(&config.database, &url, API).await.unwrap();
    }

    /// The API's URL, with `query` behind the `?`.
    pub fn api_url(&self, query: &str) -> String {
        self.url(API, query)
    }

    fn url(&self, role: &str, query: &str) -> String {
        url_at(role, &[self.port], query)
    }

    /// Writes a file that belongs to the server, with the rights that it asks of a key.
    pub fn write(&self, name: &str, text: &str) {
        let own = self.path().join(name);
        fs::write(&own, text).unwrap();
        fs::set_permissions(&own, fs::Permissions::from_mode(0o644)).unwrap();
        let inside = self.data().join(name);
        // The server's user writes it anew, so that it is the owner.
        let script = "umask 077; cat \"$1\" > \"$2\".new && mv \"$2\".new \"$2\"";
        run(as_server_raw("sh").args([
            OsStr::new("-c"),
            OsStr::new(script),
            OsStr::new("sh"),
            own.as_os_str(),
            inside.as_os_str(),
        ]));
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }
}

impl Drop for OwnServer {
    fn drop(&mut self) {
        let mut stop = as_server("pg_ctl");
        stop.args(["stop", "--mode=immediate", "-D"])
            .arg(self.data());
        // Some tests have stopped it themselves.
        stop.stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .ok();
        // Files of the server's user, in a folder of ours.
        let mut remove = as_server_raw("rm");
        remove.arg("-rf").arg(self.data()).status().ok();
    }
}

/// The URL of the API's database at one or several ports of this machine.
pub fn api_url_at(ports: &[u16], query: &str) -> String {
    url_at(API, ports, query)
}

fn url_at(role: &str, ports: &[u16], query: &str) -> String {
    let places: Vec<_> = ports
        .iter()
        .map(|port| format!("127.0.0.1:{port}"))
        .collect();
    let places = places.join(",");
    format!("postgres://{role}:{PASSWORD}@{places}/gatepost?{query}")
}

/// Free at this moment; the system does not give it to another soon.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    listener.local_addr().unwrap().port()
}

/// A program of the server, as a user under whom it consents to run.
pub fn as_server(name: &str) -> Command {
    as_server_raw(path_of(name))
}

/// The same for any program.
pub fn as_server_raw(path: impl AsRef<OsStr>) -> Command {
    let root = run(Command::new("id").arg("-u")) == "0";
    let mut command = if root {
        let mut command = Command::new("runuser");
        command.args(["-u", "postgres", "--"]).arg(path);
        command
    } else {
        Command::new(path)
    };
    command.current_dir("/");
    command
}

/// Where a program of the server is.
pub fn path_of(name: &str) -> PathBuf {
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

/// Runs to the end, and returns what was said.
pub fn run(command: &mut Command) -> String {
    // What a server that goes on running has open must not be our pipe.
    let output = command.stdin(Stdio::null()).output().unwrap();
    let faults = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {faults}");
    let told = String::from_utf8(output.stdout).unwrap();
    told.trim_end().to_owned()
}
