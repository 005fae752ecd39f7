//! The user that PostgreSQL runs as, and how programs are started under that name.

use std::{
    ffi::OsStr,
    fs, io,
    os::unix::fs::MetadataExt,
    path::Path,
    process::{Command, Output, Stdio},
};

use tokio::io::AsyncWriteExt;

use super::error::{BundledError, Storing, tells_of_full_disk};

/// Where the system's own tools are. The caller's PATH is not passed on.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:\
                    /opt/homebrew/bin:/run/current-system/sw/bin";

/// Users that may own a PostgreSQL, the best first.
const CANDIDATES: [&str; 4] = ["postgres", "_postgres", "pgsql", "nobody"];

/// A program to be started with nothing of our environment: it holds secrets,
/// and libpq's variables (`PGDATA`, `PGOPTIONS`, ...) would change what PostgreSQL does.
fn clean(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command
        .env_clear()
        .env("PATH", PATH)
        .env("LC_ALL", "C")
        .env("TZ", "UTC")
        .current_dir("/");
    command
}

/// Who runs PostgreSQL.
#[derive(Debug)]
pub(super) struct Account {
    uid: u32,
    gid: u32,
    name: String,
    /// None: we are that user already.
    switch: Option<Switch>,
    /// `setpriv` can ask the kernel to end the server when we end.
    tied: bool,
}

#[derive(Debug)]
enum Switch {
    Setpriv { groups: &'static str },
    Runuser,
}

impl Account {
    /// Ourselves, unless we are root: then the owner of `data`, an existing database, else `postgres`.
    pub(super) async fn choose(data: Option<&Path>) -> Result<Self, BundledError> {
        let (uid, gid) = (id(&["-u"]).await?, id(&["-g"]).await?);
        let tied = has("setpriv", "--pdeathsig").await;
        if uid != 0 {
            let name = format!("uid {uid}");
            return Ok(Self {
                uid,
                gid,
                name,
                switch: None,
                tied,
            });
        }
        let (uid, gid, name) = match data.map(fs::metadata) {
            Some(Ok(owner)) if owner.uid() != 0 => (owner.uid(), owner.gid(), None),
            _ => server_user().await?,
        };
        let switch = match &name {
            _ if tied => Switch::Setpriv {
                groups: if name.is_some() {
                    "--init-groups"
                } else {
                    "--clear-groups"
                },
            },
            Some(_) if has("runuser", "--user").await => Switch::Runuser,
            _ => {
                let user = name.unwrap_or_else(|| format!("uid {uid}"));
                return Err(BundledError::CannotSwitchUser { user });
            }
        };
        Ok(Self {
            uid,
            gid,
            name: name.unwrap_or_else(|| format!("uid {uid}")),
            switch: Some(switch),
            tied,
        })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn uid(&self) -> u32 {
        self.uid
    }

    /// Whether PostgreSQL runs as another user than we do.
    pub(super) fn differs(&self) -> bool {
        self.switch.is_some()
    }

    /// Gives a file or folder to the user.
    pub(super) fn own(&self, path: &Path) -> Result<(), BundledError> {
        if !self.differs() {
            return Ok(());
        }
        std::os::unix::fs::chown(path, Some(self.uid), Some(self.gid))
            .storing("give to PostgreSQL's user", path)
    }

    /// A program that runs as the user.
    pub(super) fn command(&self, program: &Path) -> Command {
        self.build(program, false)
    }

    /// As [`Self::command`]; the kernel interrupts the program when the thread
    /// that started it ends (Linux with util-linux; elsewhere it lives on).
    pub(super) fn tied_command(&self, program: &Path) -> Command {
        self.build(program, self.tied)
    }

    fn build(&self, program: &Path, tied: bool) -> Command {
        let mut command = match &self.switch {
            Some(Switch::Runuser) => {
                let mut command = clean("runuser");
                command.args(["-u", &self.name, "--"]).arg(program);
                return command;
            }
            None if !tied => return clean(program),
            None => clean("setpriv"),
            Some(Switch::Setpriv { groups }) => {
                let mut command = clean("setpriv");
                command.args([
                    format!("--reuid={}", self.uid),
                    format!("--regid={}", self.gid),
                ]);
                command.arg(groups);
                command
            }
        };
        if tied {
            command.args(["--pdeathsig", "INT"]);
        }
        command.arg("--").arg(program);
        command
    }
}

/// Runs a program to its end and returns what it printed on standard output.
pub(super) async fn run(command: Command, folder: &Path) -> Result<String, BundledError> {
    run_with(command, "", folder).await
}

/// As [`run`], with `input` on its standard input. `folder` is what a full disk is told about.
pub(super) async fn run_with(
    command: Command,
    input: &str,
    folder: &Path,
) -> Result<String, BundledError> {
    let program = described(&command);
    let output = collect(command, input)
        .await
        .map_err(|error| BundledError::Program {
            program: program.clone(),
            output: error.to_string(),
        })?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    // initdb tells its progress on standard output and its trouble on standard error.
    let text = match &output.stderr[..] {
        [] => String::from_utf8_lossy(&output.stdout),
        errors => String::from_utf8_lossy(errors),
    };
    if tells_of_full_disk(&text) {
        return Err(BundledError::DiskFull {
            path: folder.to_owned(),
        });
    }
    Err(BundledError::Program {
        program,
        output: format!("{} ({})", text.trim(), output.status),
    })
}

async fn collect(command: Command, input: &str) -> io::Result<Output> {
    let mut child = tokio::process::Command::from(command)
        .kill_on_drop(true)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        // A program that ends before it has read everything tells why itself.
        let _ = stdin.write_all(input.as_bytes()).await;
    }
    child.wait_with_output().await
}

/// The program's name: the last path among the words, as `setpriv` and `runuser` stand before it.
fn described(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let name = words
        .map(Path::new)
        .skip_while(|word| !word.is_absolute())
        .find_map(Path::file_name);
    name.unwrap_or(command.get_program())
        .to_string_lossy()
        .into_owned()
}

/// A `sh` of the caller's environment: it knows the caller's PATH.
pub(super) async fn ask_shell(script: &str) -> Option<String> {
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    let output = collect(command, "").await.ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}

async fn has(tool: &str, option: &str) -> bool {
    let mut command = clean(tool);
    command.arg("--help");
    let output = collect(command, "").await;
    output.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains(option))
}

async fn id(arguments: &[&str]) -> Result<u32, BundledError> {
    let mut command = clean("id");
    command.args(arguments);
    let text = run(command, Path::new("/")).await?;
    text.trim().parse().map_err(|_| BundledError::Program {
        program: "id".to_owned(),
        output: text,
    })
}

async fn server_user() -> Result<(u32, u32, Option<String>), BundledError> {
    for name in CANDIDATES {
        if let (Ok(uid), Ok(gid)) = (id(&["-u", name]).await, id(&["-g", name]).await) {
            return Ok((uid, gid, Some(name.to_owned())));
        }
    }
    Err(BundledError::NoServerUser)
}
