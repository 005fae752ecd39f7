//! The table: a row for each, with the medians of its rounds.

use std::{fmt, fs, path::Path, process::Command, time::Duration};

use anyhow::Context;

use crate::{people::BATCH, stats::Rounds, wrk::Found};

pub const HEAD: &str = "\
| | version | requests/s (range) | p99, ms | CPU for each, µs | of PostgreSQL, µs \
| in batches of 50: decisions/s (range) | p99, ms | CPU for each batch, µs | of PostgreSQL, µs \
| memory idle, MiB | at most, MiB | start, ms | program, MiB |
|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|";

/// What a peer does and needs.
pub struct Row {
    pub name: &'static str,
    version: String,
    /// The size of the program's file, in MiB.
    size: f64,
    /// From the start of the process to the first right answer, in milliseconds.
    pub start: Rounds,
    /// MiB five seconds later.
    pub idle: Rounds,
    /// The most MiB it ever had.
    pub peak: Rounds,
    /// One question a request.
    pub single: Figures,
    /// Fifty of them.
    pub batches: Figures,
}

/// One closed loop.
pub struct Figures {
    /// In a request.
    count: u32,
    /// In a second.
    decisions: Rounds,
    p99: Rounds,
    /// Microseconds on a core for a request.
    cpu: Rounds,
    /// The same in PostgreSQL.
    postgres: Rounds,
}

impl Row {
    /// `version_by` makes the program tell its version.
    pub fn new(name: &'static str, program: &Path, version_by: &str) -> anyhow::Result<Self> {
        let output = Command::new(program).arg(version_by).output()?;
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        let version = version(&said).with_context(|| format!("no version in {said}"))?;
        let kib = u32::try_from(fs::metadata(program)?.len() / 1024)?;
        Ok(Self {
            name,
            version,
            size: f64::from(kib) / 1024.0,
            start: Rounds::new(),
            idle: Rounds::new(),
            peak: Rounds::new(),
            single: Figures::new(1),
            batches: Figures::new(BATCH),
        })
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "| {} | {} ", self.name, self.version)?;
        for figures in [&self.single, &self.batches] {
            let rate = figures.decisions.show(0);
            write!(f, "| {rate} | {} ", median(&figures.p99, 1))?;
            let [cpu, postgres] = [&figures.cpu, &figures.postgres].map(|all| median(all, 0));
            write!(f, "| {cpu} | {postgres} ")?;
        }
        let [idle, peak, start] = [&self.idle, &self.peak, &self.start].map(|all| median(all, 0));
        write!(f, "| {idle} | {peak} | {start} | {:.0} |", self.size)
    }
}

impl Figures {
    const fn new(count: u32) -> Self {
        Self {
            count,
            decisions: Rounds::new(),
            p99: Rounds::new(),
            cpu: Rounds::new(),
            postgres: Rounds::new(),
        }
    }

    /// What `wrk` found, and the time on a core that it took of the peer and of PostgreSQL.
    pub fn add(&mut self, found: &Found, own: Duration, postgres: Duration) {
        self.decisions.add(found.rate * f64::from(self.count));
        if found.requests < 1.0 {
            // None was answered in time: nothing to divide by.
            return;
        }
        // `wrk` says 0 where it has seen too few.
        if found.p99 > 0.0 {
            self.p99.add(found.p99);
        }
        self.cpu.add(own.as_secs_f64() * 1e6 / found.requests);
        self.postgres
            .add(postgres.as_secs_f64() * 1e6 / found.requests);
    }
}

/// With `digits` behind the point; a dash where nothing was measured.
fn median(all: &Rounds, digits: usize) -> String {
    match all.count() {
        0 => "-".to_owned(),
        _ => format!("{:.digits$}", all.median()),
    }
}

/// The first word that looks like one: `1.22.0`, `v1.49.0` or `` `v1.22.1` ``.
fn version(said: &str) -> Option<String> {
    said.split(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '+')))
        .map(|word| word.strip_prefix('v').unwrap_or(word))
        .find(|word| {
            let parts: Vec<_> = word.split('.').collect();
            parts.len() >= 3 && parts[0].chars().all(|c| c.is_ascii_digit()) && !parts[0].is_empty()
        })
        .map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_say_their_version_in_their_own_ways() {
        for (said, wanted) in [
            ("gatepost 0.1.0", "0.1.0"),
            ("Version: 1.22.0\nBuild Commit:", "1.22.0"),
            ("spicedb v1.49.0", "1.49.0"),
            ("0.55.0\nBuild timestamp: 2026-08-13T08:04:59Z", "0.55.0"),
            (
                "2026/11/21 22:00:00 OpenFGA version `v1.22.1` build",
                "1.22.1",
            ),
        ] {
            assert_eq!(version(said).as_deref(), Some(wanted));
        }
        assert_eq!(version("unknown"), None);
    }
}
