//! Closed loops with `wrk`, which takes less of the machine than anything else that speaks HTTP.

use std::{
    fmt::Write,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, ensure};

use crate::people::{BATCH, EVALUATION, EVALUATIONS, Person};

/// Connections that are kept alive.
const CONNECTIONS: u32 = 32;

/// What `wrk` found.
#[derive(Debug)]
pub struct Found {
    /// Requests a second.
    pub rate: f64,
    /// Requests in all.
    pub requests: f64,
    /// 99 of 100 requests took no longer, in milliseconds.
    pub p99: f64,
    /// Answers with a status from 400 on, and connections that broke.
    pub failures: u64,
}

/// Something to ask again and again.
pub struct Load<'a> {
    address: &'a str,
    path: &'a str,
    more: Vec<String>,
}

impl<'a> Load<'a> {
    /// Questions of people about themselves, one after the other; `script` is what `wrk` reads
    /// them from.
    pub fn questions(address: &'a str, script: &'a Script) -> Self {
        Self {
            address,
            path: script.shape.path(),
            more: vec!["-s".to_owned(), script.file.display().to_string()],
        }
    }

    /// What a script asks that is kept elsewhere, and that names the paths itself.
    pub fn scripted(address: &'a str, file: &Path) -> Self {
        Self {
            address,
            path: "/",
            more: vec!["-s".to_owned(), file.display().to_string()],
        }
    }

    /// Asks for so many seconds.
    pub fn run(&self, seconds: u64) -> anyhow::Result<Found> {
        let output = Command::new("wrk")
            .args(["-t1", "--latency"])
            .arg(format!("-c{CONNECTIONS}"))
            .arg(format!("-d{seconds}s"))
            .args(&self.more)
            .arg(format!("http://{}{}", self.address, self.path))
            .output()
            .context("cannot start wrk; bench/run installs it")?;
        let text = String::from_utf8_lossy(&output.stdout);
        ensure!(output.status.success(), "wrk failed: {text}");
        read(&text).with_context(|| format!("cannot read what wrk says: {text}"))
    }
}

/// What people ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Whether they may read their own project: always the same.
    Same,
    /// Whether they may read a document of that project: each one once.
    New,
    /// The same about 50 documents, always the same ones.
    SameBatch,
    /// About 50 documents, each once.
    NewBatch,
}

impl Shape {
    pub const ALL: [Self; 4] = [Self::Same, Self::New, Self::SameBatch, Self::NewBatch];

    /// Where it is asked.
    pub const fn path(self) -> &'static str {
        match self {
            Self::Same | Self::New => EVALUATION,
            Self::SameBatch | Self::NewBatch => EVALUATIONS,
        }
    }

    /// Decisions in each answer.
    pub const fn decisions(self) -> u32 {
        match self {
            Self::Same | Self::New => 1,
            Self::SameBatch | Self::NewBatch => BATCH,
        }
    }

    /// The body of a question as an expression of Lua, where `n` is the number of the request.
    fn body(self, person: &Person) -> String {
        let head = format!(
            r#"{{"subject":{},"action":{{"name":"read"}}"#,
            person.subject()
        );
        let document = |number: &str| {
            format!(
                r#"{{"type":"document","id":"d{number}","properties":{{"parent":{{"type":"project","id":"{}"}}}}}}"#,
                person.project()
            )
        };
        let batch = |number: fn(u32) -> String| {
            let items: Vec<_> = (0..BATCH)
                .map(|item| format!(r#"{{"resource":{}}}"#, document(&number(item))))
                .collect();
            format!(r#"'{head},"evaluations":[{}]}}'"#, items.join(","))
        };
        match self {
            Self::Same => format!("'{}'", person.question("read")),
            Self::New => format!(r#"'{head},"resource":{}}}'"#, document("' .. n .. '")),
            Self::SameBatch => batch(|item| item.to_string()),
            Self::NewBatch => batch(|item| format!("' .. n .. '-{item}")),
        }
    }
}

/// A file for `wrk`; removed when this is dropped.
pub struct Script {
    file: PathBuf,
    shape: Shape,
}

impl Script {
    /// Everybody asks in turn.
    pub fn new(people: &[Person], shape: Shape) -> anyhow::Result<Self> {
        let mut text = String::from("local ask, n = {}, 0\n");
        for person in people {
            let (body, token) = (shape.body(person), &person.token);
            let format = format!(
                "wrk.format('POST', nil, {{['Content-Type'] = 'application/json', \
                 ['Authorization'] = 'Bearer {token}'}}, {body})"
            );
            match shape {
                // Made once, so that the client is as cheap as can be.
                Shape::Same | Shape::SameBatch => writeln!(
                    text,
                    "do local made; ask[#ask + 1] = function() made = made or {format}; return made end end"
                )?,
                Shape::New | Shape::NewBatch => {
                    writeln!(text, "ask[#ask + 1] = function() return {format} end")?;
                }
            }
        }
        text.push_str("function request()\nn = n + 1\nreturn ask[n % #ask + 1]()\nend\n");
        let name = format!("gatepost-bench-{}-{shape:?}.lua", std::process::id());
        let file = std::env::temp_dir().join(name);
        fs::write(&file, text)?;
        Ok(Self { file, shape })
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        // Left behind at worst.
        fs::remove_file(&self.file).ok();
    }
}

fn read(text: &str) -> Option<Found> {
    let after = |name: &str| {
        let rest = text
            .lines()
            .find_map(|line| line.trim().strip_prefix(name))?;
        Some(rest.trim())
    };
    let mut failures = match after("Non-2xx or 3xx responses:") {
        Some(count) => count.parse().ok()?,
        None => 0,
    };
    if let Some(broken) = after("Socket errors:") {
        // "connect 0, read 0, write 0, timeout 0"
        failures += broken
            .split(|c: char| !c.is_ascii_digit())
            .filter_map(|word| word.parse::<u64>().ok())
            .sum::<u64>();
    }
    // "130602 requests in 1.00s, 12.33MB read"
    let all = text
        .lines()
        .find_map(|line| line.split_once(" requests in "));
    Some(Found {
        requests: all?.0.trim().parse().ok()?,
        rate: after("Requests/sec:")?.parse().ok()?,
        p99: milliseconds(after("99%")?)?,
        failures,
    })
}

/// `wrk` writes `950.00us`, `1.20ms` and `1.02s`.
fn milliseconds(text: &str) -> Option<f64> {
    let (number, factor) = if let Some(number) = text.strip_suffix("us") {
        (number, 0.001)
    } else if let Some(number) = text.strip_suffix("ms") {
        (number, 1.0)
    } else {
        (text.strip_suffix('s')?, 1000.0)
    };
    Some(number.parse::<f64>().ok()? * factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: &str = "Running 1s test @ http://127.0.0.1:8004/
  1 threads and 32 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency   239.83us  112.36us   4.16ms   93.74%
    Req/Sec   131.24k     6.90k  137.85k    90.00%
  Latency Distribution
     50%  228.00us
     75%  255.00us
     90%  301.00us
     99%  610.00us
  130602 requests in 1.00s, 12.33MB read
  Socket errors: connect 0, read 2, write 0, timeout 1
  Non-2xx or 3xx responses: 7
Requests/sec: 130213.45
Transfer/sec:     12.29MB
";

    #[test]
    fn what_wrk_says_is_understood() {
        let found = read(OUTPUT).unwrap();
        assert!((found.rate - 130_213.45).abs() < 0.01);
        assert!((found.requests - 130_602.0).abs() < 0.01);
        assert!((found.p99 - 0.61).abs() < 1e-9);
        assert_eq!(found.failures, 10);
        assert!(read("wrk: no such host").is_none());
    }

    #[test]
    fn times_have_three_units() {
        for (text, wanted) in [("950.00us", 0.95), ("1.20ms", 1.2), ("1.02s", 1020.0)] {
            assert!((milliseconds(text).unwrap() - wanted).abs() < 1e-9);
        }
        assert!(milliseconds("1.00m").is_none());
    }
}
