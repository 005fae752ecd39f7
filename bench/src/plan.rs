//! What is measured, in which order, and what it is compared with.
//!
//! A round is [calibrators] - ours - [calibrators]. One whose calibrators differ by more than a
//! fifth says more about the machine than about the program: it is dropped, counted, and made
//! again, up to as many times as there are rounds.

use std::{path::PathBuf, thread, time::Duration};

use clap::{Args, ValueEnum};

use crate::{
    hash, logins, machine,
    people::{self, Person},
    probe::Probe,
    report::{Report, Wanted},
    server::Server,
    stats::{Rounds, agree},
    wrk::{Load, Script},
};

/// How long calibrators take, in seconds.
const CALIBRATION: u64 = 3;
/// How long a closed loop takes, in seconds.
const LOOP: u64 = 5;
/// How long a storm takes.
const STORM: Duration = Duration::from_secs(10);
/// How many log in at once in a storm.
const STORMERS: usize = 400;
/// Requests a second of the probe.
const PROBE: u32 = 200;
/// What the memory of an idle instance is measured after.
const IDLE: Duration = Duration::from_secs(5);
/// How many log in at the same time, from two to as many as find a place in the queue.
const CLIENTS: [usize; 5] = [2, 4, 8, 16, 64];

/// One measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// From the start of the process to the first `200`, and the memory of an idle process.
    Start,
    /// Decisions of the engine in the program.
    Evaluation,
    /// Logins that all find a place.
    Login,
    /// More logins than find a place.
    Storm,
}

/// What to measure, and how often.
#[derive(Args, Clone)]
pub struct Plan {
    /// The program.
    gatepost: PathBuf,
    /// Rounds of each measurement that count; the table shows their median and range.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Starts of the program.
    #[arg(long, default_value_t = 10)]
    starts: usize,
    /// Only these measurements.
    #[arg(long, value_delimiter = ',', default_values = ["start", "evaluation", "login", "storm"])]
    only: Vec<Part>,
    /// The level of the program's log, which goes to /dev/null.
    #[arg(long, default_value = "info")]
    log_level: String,
}

/// Measures as planned, and prints the table; also what there is of it when something fails.
pub fn run(plan: &Plan) -> anyhow::Result<()> {
    let mut report = Report::default();
    let result = plan.only.iter().try_for_each(|part| {
        eprintln!("== {part:?} (load {})", machine::load()?);
        match part {
            Part::Start => starts(plan, &mut report),
            Part::Evaluation => evaluations(plan, &mut report),
            Part::Login => many_logins(plan, &mut report),
            Part::Storm => {
                storms(plan, &mut report, false)?;
                storms(plan, &mut report, true)
            }
        }
    });
    println!("{report}");
    result
}

impl Plan {
    fn start(&self) -> anyhow::Result<Server> {
        Server::start(&self.gatepost, &self.log_level)
    }

    /// Calls `round` until enough of them count; those that answer `false` do not. Returns how
    /// many were dropped.
    fn rounds(&self, mut round: impl FnMut() -> anyhow::Result<bool>) -> anyhow::Result<usize> {
        let (mut counted, mut dropped) = (0, 0);
        while counted < self.rounds && dropped < self.rounds {
            if round()? {
                counted += 1;
            } else {
                dropped += 1;
                eprintln!("dropped: the calibrators differ by more than a fifth");
            }
        }
        Ok(dropped)
    }
}

fn starts(plan: &Plan, report: &mut Report) -> anyhow::Result<()> {
    let (mut ready, mut idle) = (Rounds::default(), Rounds::default());
    for _ in 0..plan.starts {
        let server = plan.start()?;
        ready.add(server.ready_after.as_secs_f64() * 1000.0);
        if idle.count() < plan.rounds {
            thread::sleep(IDLE);
            idle.add(server.memory()?.resident);
        }
        server.stop()?;
    }
    report.add("start to ready, ms", Wanted::Below(300.0), &ready, 0);
    report.add("idle memory after 5 s, MiB", Wanted::Below(30.0), &idle, 1);
    Ok(())
}

fn evaluations(plan: &Plan, report: &mut Report) -> anyhow::Result<()> {
    let server = plan.start()?;
    let people = people::askers(&server.address)?;
    let script = Script::new(&people)?;
    let (mut rate, mut p99, mut ratio) = (Rounds::default(), Rounds::default(), Rounds::default());
    let (mut live, mut unknown) = (Rounds::default(), Rounds::default());
    let mut failures = 0;
    let calibrate = || Load::get(&server.address, "/api/health/live").run(CALIBRATION);
    let dropped = plan.rounds(|| {
        let before = calibrate()?.rate;
        let refused = Load::get(&server.address, "/api/users/me")
            .with_token("unknown")
            .run(CALIBRATION)?;
        let ours = Load::questions(&server.address, &script).run(LOOP)?;
        let after = calibrate()?.rate;
        eprintln!(
            "live {before:.0} and {after:.0}/s, evaluation {:.0}/s",
            ours.rate
        );
        failures += ours.failures;
        if !agree(before, after) {
            return Ok(false);
        }
        rate.add(ours.rate);
        p99.add(ours.p99);
        live.add(f64::midpoint(before, after));
        unknown.add(refused.rate);
        ratio.add(ours.rate / f64::midpoint(before, after));
        Ok(true)
    })?;
    let peak = server.memory()?.peak;
    server.stop()?;
    report.add(
        "evaluations/s, embedded engine, 32 connections",
        Wanted::From(10_000.0),
        &rate,
        0,
    );
    report.add("- their p99, ms", Wanted::Nothing, &p99, 2);
    report.add(
        "- beside it GET /api/health/live, 1/s",
        Wanted::Nothing,
        &live,
        0,
    );
    report.add(
        "- beside it 401 of an unknown token, 1/s",
        Wanted::Nothing,
        &unknown,
        0,
    );
    report.add("- evaluation / health, ratio", Wanted::Nothing, &ratio, 3);
    report.note(&format!(
        "evaluation: {failures} requests failed; {dropped} rounds dropped; peak memory {peak:.1} MiB"
    ));
    Ok(())
}

fn many_logins(plan: &Plan, report: &mut Report) -> anyhow::Result<()> {
    let server = plan.start()?;
    // One login each, so that everybody's first pages are in the database's memory.
    people::log_in(&server.address, 0)?;
    let mut hashes = Rounds::default();
    let mut rates = CLIENTS.map(|_| Rounds::default());
    let mut ratios = CLIENTS.map(|_| Rounds::default());
    let mut slowest = CLIENTS.map(|_| Rounds::default());
    let mut dropped = 0;
    for (index, clients) in CLIENTS.into_iter().enumerate() {
        let crowd = crowd(&server, clients, false);
        dropped += plan.rounds(|| {
            let before = calibrate()?;
            let ours = logins::run(&crowd, Duration::from_secs(LOOP))?;
            let after = calibrate()?;
            ours.must_be_right()?;
            let rate = ours.rate();
            eprintln!("hash {before:.1} and {after:.1}/s, {clients} clients {rate:.1} logins/s");
            if !agree(before, after) {
                return Ok(false);
            }
            let bare = f64::midpoint(before, after);
            hashes.add(bare);
            rates[index].add(rate);
            ratios[index].add(rate / bare);
            slowest[index].add(ours.accepted.percentile(99.0));
            Ok(true)
        })?;
    }
    server.stop()?;
    let name = format!("bare Argon2id on {} threads, 1/s", machine::cores());
    report.add(&name, Wanted::Nothing, &hashes, 1);
    for (index, clients) in CLIENTS.into_iter().enumerate() {
        let name = format!("logins/s, {clients} clients");
        report.add(&name, Wanted::Nothing, &rates[index], 1);
        report.add(
            "- ratio to bare Argon2id",
            Wanted::From(0.8),
            &ratios[index],
            3,
        );
        report.add("- p99, ms", Wanted::Nothing, &slowest[index], 0);
    }
    report.note(&format!("login: {dropped} rounds dropped"));
    Ok(())
}

/// What a storm is judged by.
#[derive(Default)]
struct Storm {
    alone: Rounds,
    during: Rounds,
    median: Rounds,
    logins: Rounds,
    ratio: Rounds,
    refusals: Rounds,
    refused: Rounds,
    peak: Rounds,
    after: Rounds,
}

/// `heed`: those who are refused come back when they were told to. Otherwise they come back at
/// once, which nobody's client should do and somebody's will.
fn storms(plan: &Plan, report: &mut Report, heed: bool) -> anyhow::Result<()> {
    let mut storm = Storm::default();
    let dropped = plan.rounds(|| one_storm(plan, heed, &mut storm))?;
    let manner = if heed {
        "who wait as told"
    } else {
        "who come back at once"
    };
    let rows = [
        (
            format!("storm of {STORMERS} {manner}: peak memory, MiB"),
            Wanted::Below(120.0),
            &storm.peak,
            1,
        ),
        (
            "- memory right after it, MiB".to_owned(),
            Wanted::Nothing,
            &storm.after,
            1,
        ),
        (
            "- p99 of others' requests, ms".to_owned(),
            Wanted::Below(25.0),
            &storm.during,
            1,
        ),
        (
            "- p50 of others' requests, ms".to_owned(),
            Wanted::Nothing,
            &storm.median,
            1,
        ),
        (
            "- the same p99 without a storm, ms".to_owned(),
            Wanted::Nothing,
            &storm.alone,
            1,
        ),
        (
            "- refusals/s, all with Retry-After".to_owned(),
            Wanted::Nothing,
            &storm.refusals,
            0,
        ),
        (
            "- p99 of refusals, ms".to_owned(),
            Wanted::Nothing,
            &storm.refused,
            1,
        ),
        ("- logins/s".to_owned(), Wanted::Nothing, &storm.logins, 1),
        (
            "- logins / bare Argon2id, ratio".to_owned(),
            Wanted::Nothing,
            &storm.ratio,
            3,
        ),
    ];
    for (name, wanted, rounds, digits) in rows {
        report.add(&name, wanted, rounds, digits);
    }
    report.note(&format!(
        "storm of those {manner}: {dropped} rounds dropped"
    ));
    Ok(())
}

fn one_storm(plan: &Plan, heed: bool, storm: &mut Storm) -> anyhow::Result<bool> {
    let server = plan.start()?;
    let Person { token, .. } = people::log_in(&server.address, 0)?;
    let probe = |time| Probe::start(server.address.clone(), token.clone(), PROBE, time);
    let alone = probe(Duration::from_secs(CALIBRATION))?.end()?;
    let before = calibrate()?;
    let probe = probe(STORM)?;
    let ours = logins::run(&crowd(&server, STORMERS, heed), STORM)?;
    let during = probe.end()?;
    let memory = server.memory()?;
    server.stop()?;
    let after = calibrate()?;
    eprintln!("hash {before:.1} and {after:.1}/s\n{ours}\nprobe: {during}");
    ours.must_be_right()?;
    if !agree(before, after) {
        return Ok(false);
    }
    storm.alone.add(alone.percentile(99.0));
    storm.during.add(during.percentile(99.0));
    storm.median.add(during.percentile(50.0));
    storm.logins.add(ours.rate());
    storm.ratio.add(ours.rate() / f64::midpoint(before, after));
    storm.refusals.add(ours.refusals());
    storm.refused.add(ours.refused.percentile(99.0));
    storm.peak.add(memory.peak);
    storm.after.add(memory.resident);
    Ok(true)
}

fn calibrate() -> anyhow::Result<f64> {
    hash::rate(machine::cores(), Duration::from_secs(CALIBRATION))
}

fn crowd(server: &Server, clients: usize, heed: bool) -> logins::Crowd {
    logins::Crowd {
        address: server.address.clone(),
        clients,
        heed,
    }
}
