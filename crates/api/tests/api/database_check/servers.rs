//! Real servers, started from the machine's PostgreSQL programs, one process each.
//!
//! They end with this program, however it ends: the kernel tells them so.

use std::{
    fs,
    net::TcpListener,
    os::unix::fs::{PermissionsExt as _, chown},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};

pub const SUPERUSER_PASSWORD: &str = "super-pass";
/// The password of all roles.
pub const PASSWORD: &str = "s3cr3t-walnut";

static NUMBER: AtomicU32 = AtomicU32::new(0);

/// A folder of this program's own, below which all servers live. What programs left that are
/// gone is taken away.
fn root() -> PathBuf {
    let parent = std::env::temp_dir();
    let prefix = "gatepost-check-";
    for entry in fs::read_dir(&parent).unwrap().flatten() {
        let name = entry.file_name().into_string().unwrap_or_default();
        if let Some(process) = name.strip_prefix(prefix)
            && !Path::new("/proc").join(process).exists()
        {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
    let root = parent.join(format!("{prefix}{}", std::process::id()));
    fs::create_dir_all(&root).unwrap();
    give_away(&root);
    root
}

/// A new folder that belongs to whoever runs the servers.
pub fn folder(name: &str) -> PathBuf {
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let folder = root().join(format!("{name}{number}"));
    fs::create_dir_all(&folder).unwrap();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).unwrap();
    give_away(&folder);
    folder
}

fn account() -> Option<(u32, u32)> {
    let id = |option| {
        let output = Command::new("id")
            .args([option, "postgres"])
            .output()
            .unwrap();
        String::from_utf8(output.stdout)
            .unwrap()
            .trim()
            .parse()
            .unwrap()
    };
    is_root().then(|| (id("-u"), id("-g")))
}

pub fn is_root() -> bool {
    let output = Command::new("id").arg("-u").output().unwrap();
    output.stdout == b"0\n"
}

/// Makes a file or folder the servers' own.
pub fn give_away(path: &Path) {
    if let Some((user, group)) = account() {
        chown(path, Some(user), Some(group)).unwrap();
    }
}

/// The folder of the newest PostgreSQL programs.
fn programs() -> PathBuf {
    let mut found: Vec<_> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path().join("bin"))
        .filter(|folder| folder.join("postgres").exists())
        .collect();
    found.sort();
    found.pop().unwrap_or_else(|| {
        let output = Command::new("pg_config").arg("--bindir").output();
        let output = output.expect("PostgreSQL is installed by scripts/setup");
        String::from_utf8(output.stdout).unwrap().trim().into()
    })
}

/// A program that runs as the servers' user and ends when the thread that starts it does.
pub fn command(program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    if let Some((user, group)) = account() {
        command
            .arg(format!("--reuid={user}"))
            .arg(format!("--regid={group}"))
            .arg("--clear-groups");
    }
    command
        .args(["--pdeathsig", "QUIT"])
        .arg(program)
        .env_clear()
        .env("LC_ALL", "C")
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .current_dir("/")
        .stdin(Stdio::null());
    command
}

/// One of PostgreSQL's programs, run to its end.
pub fn run(program: &str, arguments: &[&str]) -> Output {
    command(&programs().join(program))
        .args(arguments)
        .output()
        .unwrap()
}

fn must(output: &Output) {
    let faults = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{faults}");
}

pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// Starts a process in a thread of its own, which does nothing but wait for it.
pub fn spawn(mut command: Command, log: &Path) -> u32 {
    let output = fs::File::create(log).unwrap();
    command.stdout(output.try_clone().unwrap()).stderr(output);
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let mut child = command.spawn().unwrap();
        sender.send(child.id()).unwrap();
        let _ = child.wait();
    });
    receiver.recv().unwrap()
}

/// Waits until `done`, for 30 s at most.
pub fn wait_for(what: &str, mut done: impl FnMut() -> bool) {
    let since = Instant::now();
    while !done() {
        assert!(
            since.elapsed() < Duration::from_secs(30),
            "{what} took too long"
        );
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A server's files, and how it is reached.
pub struct Server {
    pub data: PathBuf,
    pub port: u16,
}

impl Server {
    /// Makes a server with one superuser. `hba` lets everybody else in, or not.
    pub fn make(hba: &str, settings: &str) -> Self {
        let data = folder("data");
        let passwords = data.with_extension("password");
        fs::write(&passwords, SUPERUSER_PASSWORD).unwrap();
        give_away(&passwords);
        let output = run(
            "initdb",
            &[
                "--pgdata",
                data.to_str().unwrap(),
                "--username",
                "postgres",
                "--encoding",
                "UTF8",
                "--locale",
                "C",
                "--auth",
                "scram-sha-256",
                "--no-sync",
                "--pwfile",
                passwords.to_str().unwrap(),
            ],
        );
        must(&output);
        Self::in_folder(data, hba, settings)
    }

    /// A server of the files in `data`.
    pub fn in_folder(data: PathBuf, hba: &str, settings: &str) -> Self {
        let server = Self {
            data,
            port: free_port(),
        };
        let sockets = server.data.display();
        let port = server.port;
        server.write(
            "postgresql.conf",
            &format!(
                "listen_addresses = '127.0.0.1'\nport = {port}\nunix_socket_directories = '{sockets}'\n\
                 fsync = off\nshared_buffers = 16MB\nmax_wal_size = 64MB\nautovacuum = off\n\
                 log_line_prefix = '[%e] '\nwal_level = replica\nmax_wal_senders = 3\n{settings}\n"
            ),
        );
        server.write("pg_hba.conf", hba);
        server
    }

    /// Replaces a file of the server's, which belongs to it then.
    pub fn write(&self, name: &str, text: &str) {
        let path = self.data.join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        give_away(&path);
    }

    /// Starts the process, without waiting for it to let anybody in.
    pub fn launch(&self) -> u32 {
        let mut command = command(&programs().join("postgres"));
        command.arg("-D").arg(&self.data);
        spawn(command, &self.data.join("log"))
    }

    /// Starts it, and waits until it lets people in.
    pub fn start(&self) {
        self.launch();
        let file = self.data.join("postmaster.pid");
        wait_for("starting PostgreSQL", || {
            let text = fs::read_to_string(&file).unwrap_or_default();
            text.lines()
                .nth(7)
                .is_some_and(|line| line.trim() == "ready")
        });
    }

    /// Has it end in `mode` of `pg_ctl`, without waiting.
    pub fn stop(&self, mode: &str) {
        let data = self.data.to_str().unwrap();
        must(&run(
            "pg_ctl",
            &["stop", "-D", data, "-m", mode, "--no-wait", "--silent"],
        ));
    }

    /// Waits until it has ended.
    pub fn gone(&self) {
        let file = self.data.join("postmaster.pid");
        wait_for("stopping PostgreSQL", || !file.exists());
    }

    /// Has it read its settings again. What changed holds for connections a moment later.
    pub fn reload(&self) {
        let data = self.data.to_str().unwrap();
        must(&run("pg_ctl", &["reload", "-D", data, "--silent"]));
    }

    /// A superuser's connection by the socket, whatever TLS is like.
    pub async fn superuser(&self, database: &str) -> PgConnection {
        let url = format!(
            "postgres://postgres:{SUPERUSER_PASSWORD}@localhost:{}/{database}?host={}",
            self.port,
            self.data.display()
        );
        PgConnection::connect(&url).await.unwrap()
    }

    /// Runs statements as the superuser, each by itself.
    pub async fn sql(&self, database: &str, statements: &[&str]) {
        let mut connection = self.superuser(database).await;
        for statement in statements {
            connection
                .execute(AssertSqlSafe((*statement).to_owned()))
                .await
                .unwrap_or_else(|error| panic!("{statement}: {error}"));
        }
        connection.close().await.unwrap();
    }

    /// A URL of `user` for `database` by the name `localhost`.
    pub fn url(&self, user: &str, database: &str) -> String {
        format!(
            "postgres://{user}:{PASSWORD}@localhost:{}/{database}",
            self.port
        )
    }
}
