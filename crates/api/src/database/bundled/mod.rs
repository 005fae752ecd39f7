//! A private PostgreSQL: made, started and stopped by gatepost itself, from the machine's PostgreSQL programs.
//!
//! For `gatepost dev` and for the tests; production brings its own server. There is no global
//! state: a program may run several clusters at once.
//!
//! The server listens on 127.0.0.1 and on a socket, asks everybody for a SCRAM password, runs as an ordinary user
//! even when we are root, and does not outlive us: [`Cluster::stop`] or dropping the [`Cluster`] stops
//! it, and on Linux the kernel does so when we are killed. Where it cannot, the next start does.

mod account;
mod error;
mod home;
mod passwords;
pub(super) mod programs;
mod server;
#[cfg(test)]
mod tests;

use std::{
    fs,
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

use secrecy::{ExposeSecret, SecretString};

pub use self::error::BundledError;
use self::{
    account::{Account, run, run_with},
    error::Storing,
    home::Home,
    passwords::Passwords,
    programs::Programs,
    server::{Server, StartError},
};
use super::setup::{Names, scram, sql};

/// The role that owns the database and migrates it.
pub const OWNER_ROLE: &str = "gatepost_owner";
/// The role of the API: it may log in, and owns nothing.
pub const API_ROLE: &str = "gatepost_api";
/// The database.
pub const DATABASE: &str = "gatepost";

const SUPERUSER: &str = "postgres";

/// How many ports after the wanted one are tried.
const PORTS_TRIED: u16 = 100;

/// What kind of cluster to start.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where the cluster lives; made if it is missing.
    pub data_dir: PathBuf,
    /// False: the disk is never waited for. Fast, but a kill of the server loses the last
    /// commits, and a crash of the machine ruins the data: for tests only.
    pub durable: bool,
    /// A new, empty cluster beside the kept one; deleted when it stops.
    pub ephemeral: bool,
    /// The port to listen on; if it is taken the next free one of the hundred after it. None: any free one.
    pub port: Option<u16>,
    /// The folder of the PostgreSQL programs. None: PATH, `pg_config`, then the usual places, newest version first.
    pub programs: Option<PathBuf>,
    /// More settings of the server (names and values as in `postgresql.conf`); they win over ours.
    pub settings: Vec<(String, String)>,
}

impl Options {
    /// A durable, kept cluster in `data_dir` on any free port.
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            data_dir: data_dir.into(),
            durable: true,
            ephemeral: false,
            port: None,
            programs: None,
            settings: Vec::new(),
        }
    }
}

/// A running private PostgreSQL.
#[derive(Debug)]
pub struct Cluster {
    account: Account,
    programs: Programs,
    // Before `home`: the lock is given back last.
    server: Server,
    port: u16,
    sockets: PathBuf,
    passwords: Passwords,
    data: PathBuf,
    stopped: bool,
    home: Home,
}

impl Cluster {
    /// Starts the cluster of `options.data_dir`, making it first if there is none.
    ///
    /// May be called from any thread and task of a Tokio runtime.
    pub async fn start(options: Options) -> Result<Self, BundledError> {
        let begun = Instant::now();
        let folder = &options.data_dir;
        fs::create_dir_all(folder).storing("make the folder", folder)?;
        let folder = folder.canonicalize().storing("open", folder)?;
        let kept = Home::kept_data(&folder);
        let existing = if options.ephemeral {
            None
        } else {
            Some(kept.as_path())
        };
        let account = Account::choose(existing).await?;
        let home = Home::open(&folder, options.ephemeral, &account).await?;
        let data = home.data();
        let made_by = fs::read_to_string(data.join("PG_VERSION")).ok();
        let made_by = made_by.as_deref().map(str::trim);
        let programs = Programs::find(options.programs.as_deref(), made_by, &data).await?;
        tracing::debug!(
            version = programs.version,
            user = account.name(),
            "found PostgreSQL"
        );

        let setup = Setup {
            account: &account,
            programs: &programs,
            home: &home,
            durable: options.durable,
        };
        let passwords = setup.prepare().await?;
        let sockets = home.sockets(&account)?;
        home::empty(&sockets);
        let (server, port) = setup.serve(&options, &sockets).await?;
        tracing::info!(
            port,
            pid = server.pid,
            milliseconds = begun.elapsed().as_millis(),
            "PostgreSQL {} is ready in {}",
            programs.version,
            home.root().display()
        );
        Ok(Self {
            account,
            programs,
            server,
            port,
            sockets,
            passwords,
            data,
            stopped: false,
            home,
        })
    }

    /// The URL of [`DATABASE`] for its owner: migrations.
    pub fn owner_url(&self) -> SecretString {
        self.url(OWNER_ROLE, &self.passwords.owner, DATABASE)
    }

    /// The URL of [`DATABASE`] for the API.
    pub fn api_url(&self) -> SecretString {
        self.url(API_ROLE, &self.passwords.api, DATABASE)
    }

    /// The URL of the database `postgres` for the superuser: makes and drops databases of tests.
    pub fn superuser_url(&self) -> SecretString {
        self.url(SUPERUSER, &self.passwords.superuser, "postgres")
    }

    fn url(&self, role: &str, password: &SecretString, database: &str) -> SecretString {
        let (password, port) = (password.expose_secret(), self.port);
        // The server speaks no TLS, and the way to it does not leave the machine.
        let url =
            format!("postgres://{role}:{password}@127.0.0.1:{port}/{database}?sslmode=disable");
        SecretString::from(url)
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The folder of the socket; only PostgreSQL's user and root may enter it.
    pub fn socket_dir(&self) -> &Path {
        &self.sockets
    }

    /// The folder with the data, the log and the passwords.
    pub fn home(&self) -> &Path {
        self.home.root()
    }

    /// The server's process, for messages.
    pub fn pid(&self) -> u32 {
        self.server.pid
    }

    /// Resolves when the server has ended without being asked to, with how it ended.
    pub async fn ended(&self) -> String {
        self.server.ended().await
    }

    /// Stops the server in order; an ephemeral cluster is deleted.
    pub async fn stop(mut self) -> Result<(), BundledError> {
        self.stopped = true;
        let stop = self.server.stop(&self.account, &self.programs, &self.data);
        stop.await?;
        self.home.leave(&self.sockets);
        tracing::debug!("PostgreSQL has stopped");
        Ok(())
    }
}

impl Drop for Cluster {
    /// Blocks for the fraction of a second that stopping takes; [`Cluster::stop`] is the better way.
    fn drop(&mut self) {
        if !self.stopped {
            self.server
                .stop_blocking(&self.account, &self.programs, &self.data);
            self.home.leave(&self.sockets);
        }
    }
}

/// What the steps of a start share.
struct Setup<'a> {
    account: &'a Account,
    programs: &'a Programs,
    home: &'a Home,
    durable: bool,
}

impl Setup<'_> {
    /// Leaves complete data that no server uses, and returns its roles' passwords.
    async fn prepare(&self) -> Result<Passwords, BundledError> {
        let data = self.home.data();
        if !data.exists() {
            return self.make().await;
        }
        server::clear(self.account, self.programs, &data).await?;
        if let Some(passwords) = Passwords::read(&self.home.passwords()) {
            return Ok(passwords);
        }
        tracing::warn!("the passwords of the private PostgreSQL are lost: setting new ones");
        let passwords = Passwords::generate();
        let statements = passwords.all().map(|(role, password)| {
            let password = password.expose_secret();
            format!("ALTER ROLE {role} PASSWORD '{password}';\n")
        });
        self.without_server(&data, &statements.concat()).await?;
        passwords.write(&self.home.passwords())?;
        Ok(passwords)
    }

    /// Makes the data under another name and moves it into place when all is done,
    /// so that what an interruption leaves is never taken for a database.
    async fn make(&self) -> Result<Passwords, BundledError> {
        let unfinished = self.home.unfinished();
        if unfinished.exists() {
            tracing::info!("removing the database of an interrupted first start");
            fs::remove_dir_all(&unfinished).storing("remove", &unfinished)?;
        }
        tracing::info!("making a database in {}", self.home.root().display());
        let passwords = Passwords::generate();
        home::make_private(&unfinished, self.account)?;
        self.initdb(&unfinished, &passwords).await?;
        let names = Names {
            database: DATABASE.to_owned(),
            schema: "public".to_owned(),
            owner: OWNER_ROLE.to_owned(),
            api: API_ROLE.to_owned(),
        };
        let statements = [
            sql::create_role(OWNER_ROLE, &scram::verifier(&passwords.owner)),
            sql::create_role(API_ROLE, &scram::verifier(&passwords.api)),
            sql::create_database(&names),
            sql::close_database(&names),
            sql::open_database(&names, API_ROLE),
        ]
        .map(|statement| statement + ";\n");
        self.without_server(&unfinished, &statements.concat())
            .await?;
        passwords.write(&self.home.passwords())?;
        let data = self.home.data();
        fs::rename(&unfinished, &data).storing("move into place", &data)?;
        Ok(passwords)
    }

    async fn initdb(&self, data: &Path, passwords: &Passwords) -> Result<(), BundledError> {
        let password_file = self.home.root().join("initdb-password");
        passwords::write_private(&password_file, passwords.superuser.expose_secret())?;
        self.account.own(&password_file)?;
        let mut command = self.account.command(&self.programs.path("initdb"));
        command.arg("--pgdata").arg(data);
        command.arg("--pwfile").arg(&password_file);
        command.arg(format!("--username={SUPERUSER}"));
        command.args(["--auth=scram-sha-256"]);
        command.args(["--encoding=UTF8", "--data-checksums", "--no-instructions"]);
        command.arg(format!("--locale={}", locale().await));
        if !self.durable {
            command.arg("--no-sync");
        }
        let made = run(command, data).await;
        let _ = fs::remove_file(&password_file);
        made.map(drop)
    }

    /// Runs statements, one on each line, on data that no server uses: no password is needed, nobody can connect meanwhile.
    async fn without_server(&self, data: &Path, statements: &str) -> Result<(), BundledError> {
        let mut command = self.account.command(&self.programs.path("postgres"));
        command.arg("--single").arg("-D").arg(data);
        for setting in [
            "exit_on_error=on",
            "password_encryption=scram-sha-256",
            // The statements hold passwords; what is printed may reach a terminal.
            "log_min_error_statement=panic",
        ] {
            command.args(["-c", setting]);
        }
        if !self.durable {
            command.args(["-c", "fsync=off"]);
        }
        command.arg("postgres");
        run_with(command, statements, data).await.map(drop)
    }

    async fn serve(
        &self,
        options: &Options,
        sockets: &Path,
    ) -> Result<(Server, u16), BundledError> {
        // Another program may take the port between our look and the server's: then the next one is tried.
        for port in ports(options.port).filter_map(free) {
            let command = self.command(options, sockets, port);
            match Server::start(command, &self.home.data(), &self.home.log()).await {
                Ok(server) => return Ok((server, port)),
                Err(StartError::PortBusy) => tracing::debug!(port, "was taken meanwhile"),
                Err(StartError::Other(error)) => {
                    // One that was only too slow must not run on behind our back.
                    let _ = server::clear(self.account, self.programs, &self.home.data()).await;
                    return Err(error);
                }
            }
        }
        Err(BundledError::NoPort {
            first: options.port.unwrap_or_default(),
        })
    }

    fn command(&self, options: &Options, sockets: &Path, port: u16) -> Command {
        let mut command = self.account.tied_command(&self.programs.path("postgres"));
        command.arg("-D").arg(self.home.data());
        let mut settings: Vec<(&str, String)> = vec![
            ("port", port.to_string()),
            ("listen_addresses", Ipv4Addr::LOCALHOST.to_string()),
            ("unix_socket_directories", sockets.display().to_string()),
            ("unix_socket_permissions", "0700".to_owned()),
            ("password_encryption", "scram-sha-256".to_owned()),
            // Our own pipe to server.log is the log.
            ("logging_collector", "off".to_owned()),
            ("log_destination", "stderr".to_owned()),
        ];
        if !self.durable {
            let unsafe_ones = ["fsync", "synchronous_commit", "full_page_writes"];
            settings.extend(unsafe_ones.map(|name| (name, "off".to_owned())));
        }
        for (name, value) in settings {
            command.args(["-c", &format!("{name}={value}")]);
        }
        for (name, value) in &options.settings {
            command.args(["-c", &format!("{name}={value}")]);
        }
        command
    }
}

/// The ports to try, in order; 0 stands for any free one.
fn ports(wanted: Option<u16>) -> impl Iterator<Item = u16> {
    let tries = 0..=PORTS_TRIED;
    tries.filter_map(move |n| wanted.map_or(Some(0), |first| first.checked_add(n)))
}

/// The port itself if nobody listens on it.
fn free(port: u16) -> Option<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok()?;
    listener.local_addr().ok().map(|address| address.port())
}

/// `C.UTF-8` sorts by code point and knows all letters; where it is missing `C` knows only ASCII's.
async fn locale() -> &'static str {
    let known = account::ask_shell("locale -a").await.unwrap_or_default();
    let is_it = |name: &str| matches!(name.to_ascii_lowercase().as_str(), "c.utf-8" | "c.utf8");
    if known.lines().any(is_it) {
        "C.UTF-8"
    } else {
        "C"
    }
}
