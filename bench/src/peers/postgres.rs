//! The PostgreSQL that all of them share, reached as a superuser through the `psql` on the path,
//! which finds it by its own variables (`PGHOST` and so on).

use std::{fs, process::Command, time::Duration};

use anyhow::{Context, ensure};

/// The role of the peers. There is nothing in the database that is worth a better password.
const ROLE: &str = "peers";

/// What a statement prints, a row a line.
pub fn ask(database: &str, sql: &str) -> anyhow::Result<String> {
    let output = Command::new("psql")
        .args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align"])
        .args(["--set", "ON_ERROR_STOP=1", "--dbname", database])
        .args(["--command", sql])
        .output()
        .context("cannot start psql; bench/run knows where it is")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "psql: {said}");
    Ok(String::from_utf8(output.stdout)?)
}

/// Makes an empty database, and returns the URL that a peer reaches it by.
pub fn create(database: &str) -> anyhow::Result<String> {
    let known = ask(
        "postgres",
        &format!("SELECT 1 FROM pg_roles WHERE rolname = '{ROLE}'"),
    )?;
    if known.trim().is_empty() {
        ask(
            "postgres",
            &format!("CREATE ROLE {ROLE} LOGIN PASSWORD '{ROLE}'"),
        )?;
    }
    ask(
        "postgres",
        &format!("CREATE DATABASE {database} OWNER {ROLE}"),
    )?;
    let port = ask("postgres", "SHOW port")?;
    let port = port.trim();
    Ok(format!(
        "postgres://{ROLE}:{ROLE}@127.0.0.1:{port}/{database}?sslmode=disable"
    ))
}

/// The processes of the server.
pub struct Processes {
    /// The one that all others are children of.
    first: u32,
}

impl Processes {
    /// Has to be called by the server's user, or by root.
    pub fn find() -> anyhow::Result<Self> {
        let folder = ask("postgres", "SHOW data_directory")?;
        let file = format!("{}/postmaster.pid", folder.trim());
        let text = fs::read_to_string(&file).with_context(|| format!("cannot read {file}"))?;
        let first = text.lines().next().context("an empty file")?.trim();
        Ok(Self {
            first: first.parse()?,
        })
    }

    /// Time on a core that they have had, exact to 10 ms, those that have ended included.
    pub fn cpu(&self) -> anyhow::Result<Duration> {
        let mut ticks = 0;
        for entry in fs::read_dir("/proc")? {
            let name = entry?.file_name();
            let Some(id) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else {
                continue;
            };
            // One that has just ended is no error: its parent has its time then.
            let Ok(stat) = fs::read_to_string(format!("/proc/{id}/stat")) else {
                continue;
            };
            // Behind the name, which may hold anything: state, parent, ten more, then the ticks in
            // the program and in the kernel, and the same of children that have ended.
            let numbers: Vec<i64> = stat
                .rsplit_once(')')
                .into_iter()
                .flat_map(|(_, rest)| rest.split_whitespace().skip(1))
                .map(|word| word.parse().unwrap_or_default())
                .collect();
            if id == self.first {
                ticks += numbers[10..14].iter().sum::<i64>();
            } else if numbers.first() == Some(&i64::from(self.first)) {
                ticks += numbers[10..12].iter().sum::<i64>();
            }
        }
        // Programs are told ticks of 10 ms, whatever the kernel's own are.
        Ok(Duration::from_millis(10 * u64::try_from(ticks)?))
    }
}
