//! What is measured, in which order, and what it is compared with.
//!
//! A round is calibrators - ours - calibrators. One whose calibrators differ by more than a fifth,
//! or before or after which the machine was busy with something else, says more about the machine
//! than about the program: it is dropped, counted, and made again, up to as many times as there
//! are rounds.

use std::{path::PathBuf, thread, time::Duration};

use clap::{Args, ValueEnum};

use crate::{
    hash, logins, machine,
    people::{self, Person},
    probe::Probe,
    report::{Report, Wanted},
    server::Server,
    stats::{Rounds, agree},
    timing::{self, Case},
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
/// Requests about known accounts in a round, and as many about unknown ones.
const SAMPLES: u32 = 300;
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
    /// Whether answers tell that an account exists.
    Timing,
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
    #[arg(long, value_delimiter = ',', default_values = ["start", "evaluation", "login", "storm", "timing"])]
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
            Part::Timing => timings(plan, &mut report),
        }
    });
    println!("{report}");
    result
}

impl Plan {
    fn start(&self) -> anyhow::Result<Server> {
        Server::start(&self.gatepost, &self.log_level)
    }

    /// Calls `round` until enough of them count, and returns their figures.
    ///
    /// A round tells whether its calibrators agreed; it counts if they did, and if the machine had
    /// nothing else to do before and after.
    fn rounds<const N: usize>(
        &self,
        mut round: impl FnMut() -> anyhow::Result<(bool, [f64; N])>,
    ) -> anyhow::Result<Measured<N>> {
        let mut measured = Measured {
            figures: [const { Rounds::new() }; N],
            dropped: 0,
        };
        while measured.figures[0].count() < self.rounds && measured.dropped < self.rounds {
            let was_quiet = machine::wait_for_quiet()?;
            let (agree, figures) = round()?;
            if was_quiet && agree && machine::is_quiet()? {
                for (rounds, figure) in measured.figures.iter_mut().zip(figures) {
                    rounds.add(figure);
                }
            } else {
                measured.dropped += 1;
                eprintln!("dropped: the machine was not ours alone");
            }
        }
        Ok(measured)
    }
}

/// The figures of the rounds that counted, and how many did not.
struct Measured<const N: usize> {
    figures: [Rounds; N],
    dropped: usize,
}

fn starts(plan: &Plan, report: &mut Report) -> anyhow::Result<()> {
    let (mut ready, mut idle) = (Rounds::new(), Rounds::new());
    for _ in 0..plan.starts {
        machine::wait_for_quiet()?;
        let mut server = plan.start()?;
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
    let mut server = plan.start()?;
    let people = people::askers(&server.address)?;
    let script = Script::new(&people)?;
    let mut failures = 0;
    let calibrate = || Load::get(&server.address, "/api/health/live").run(CALIBRATION);
    let measured = plan.rounds(|| {
        let before = calibrate()?.rate;
        let unknown = Load::get(&server.address, "/api/users/me")
            .with_token("unknown")
            .run(CALIBRATION)?
            .rate;
        let cpu = server.cpu()?;
        let ours = Load::questions(&server.address, &script).run(LOOP)?;
        let cpu = server.cpu()?.saturating_sub(cpu).as_secs_f64() * 1e6 / ours.requests;
        let after = calibrate()?.rate;
        let rate = ours.rate;
        eprintln!("live {before:.0} and {after:.0}/s, evaluation {rate:.0}/s");
        failures += ours.failures;
        let live = f64::midpoint(before, after);
        let figures = [rate, ours.p99, cpu, live, unknown, rate / live];
        Ok((agree(before, after), figures))
    })?;
    let peak = server.memory()?.peak;
    server.stop()?;
    let [rate, p99, cpu, live, unknown, ratio] = &measured.figures;
    report.add(
        "evaluations/s, embedded engine, 32 connections",
        Wanted::From(10_000.0),
        rate,
        0,
    );
    report.add("- their p99, ms", Wanted::Nothing, p99, 2);
    report.add(
        "- CPU time of the program for each, us",
        Wanted::Nothing,
        cpu,
        0,
    );
    report.add(
        "- beside it GET /api/health/live, 1/s",
        Wanted::Nothing,
        live,
        0,
    );
    report.add(
        "- beside it 401 of an unknown token, 1/s",
        Wanted::Nothing,
        unknown,
        0,
    );
    report.add("- evaluation / health, ratio", Wanted::Nothing, ratio, 3);
    let dropped = measured.dropped;
    report.note(&format!(
        "evaluation: {failures} requests failed; {dropped} rounds dropped; peak memory {peak:.1} MiB"
    ));
    Ok(())
}

fn many_logins(plan: &Plan, report: &mut Report) -> anyhow::Result<()> {
    let server = plan.start()?;
    // So that the first round does not pay for connections to the database.
    people::log_in(&server.address, 0)?;
    for clients in CLIENTS {
        let crowd = crowd(&server, clients, false);
        let measured = plan.rounds(|| {
            let before = calibrate()?;
            let ours = logins::run(&crowd, Duration::from_secs(LOOP))?;
            let after = calibrate()?;
            ours.must_be_right()?;
            let rate = ours.rate();
            eprintln!("hash {before:.1} and {after:.1}/s, {clients} clients {rate:.1} logins/s");
            let bare = f64::midpoint(before, after);
            let figures = [rate / bare, rate, bare, ours.accepted.percentile(99.0)];
            Ok((agree(before, after), figures))
        })?;
        let [ratio, rate, bare, p99] = &measured.figures;
        let name = format!("{clients} clients: logins / bare Argon2id, ratio");
        report.add(&name, Wanted::From(0.8), ratio, 3);
        report.add("- logins/s", Wanted::Nothing, rate, 1);
        let name = format!("- bare Argon2id on {} threads, 1/s", machine::cores());
        report.add(&name, Wanted::Nothing, bare, 1);
        report.add("- p99 of logins, ms", Wanted::Nothing, p99, 0);
        let dropped = measured.dropped;
        report.note(&format!("{clients} clients: {dropped} rounds dropped"));
    }
    server.stop()
}

fn timings(plan: &Plan, report: &mut Report) -> anyhow::Result<()> {
    let server = plan.start()?;
    // So that the first round does not pay for connections to the database.
    people::log_in(&server.address, 0)?;
    let mut first = 1;
    for case in Case::ALL {
        let measured = plan.rounds(|| {
            let seen = timing::measure(&server.address, case, first, SAMPLES)?;
            // Nobody is asked about more than twice in a round: after five failures they wait.
            first = (first + 2 * SAMPLES) % (people::COUNT - 2 * SAMPLES);
            Ok((true, [seen.known_longer, seen.difference]))
        })?;
        let [known_longer, difference] = &measured.figures;
        let name = format!("{}: known takes longer, %", case.name());
        report.add(&name, Wanted::Near(50.0, 5.0), known_longer, 1);
        let name = "- known less unknown, medians, µs";
        report.add(name, Wanted::Nothing, difference, 0);
        let dropped = measured.dropped;
        report.note(&format!("{}: {dropped} rounds dropped", case.name()));
    }
    server.stop()
}

/// `heed`: those who are refused come back when they were told to. Otherwise they come back at
/// once, which nobody's client should do and somebody's will.
fn storms(plan: &Plan, report: &mut Report, heed: bool) -> anyhow::Result<()> {
    let measured = plan.rounds(|| one_storm(plan, heed))?;
    let manner = if heed {
        "who wait as told"
    } else {
        "who come back at once"
    };
    let first = format!("storm of {STORMERS} {manner}: peak memory, MiB");
    let rows = [
        (first.as_str(), Wanted::Below(120.0), 1),
        ("- memory right after it, MiB", Wanted::Nothing, 1),
        ("- p99 of others' requests, ms", Wanted::Below(25.0), 1),
        ("- p50 of others' requests, ms", Wanted::Nothing, 1),
        ("- the same p99 without a storm, ms", Wanted::Nothing, 1),
        ("- refusals/s, all with Retry-After", Wanted::Nothing, 0),
        ("- p99 of refusals, ms", Wanted::Nothing, 1),
        ("- logins/s", Wanted::Nothing, 1),
        ("- logins / bare Argon2id, ratio", Wanted::Nothing, 3),
    ];
    for ((name, wanted, digits), rounds) in rows.into_iter().zip(&measured.figures) {
        report.add(name, wanted, rounds, digits);
    }
    let dropped = measured.dropped;
    report.note(&format!(
        "storm of those {manner}: {dropped} rounds dropped"
    ));
    Ok(())
}

/// In the order of the rows of the table.
fn one_storm(plan: &Plan, heed: bool) -> anyhow::Result<(bool, [f64; 9])> {
    let mut server = plan.start()?;
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
    let figures = [
        memory.peak,
        memory.resident,
        during.percentile(99.0),
        during.percentile(50.0),
        alone.percentile(99.0),
        ours.refusals(),
        ours.refused.percentile(99.0),
        ours.rate(),
        ours.rate() / f64::midpoint(before, after),
    ];
    Ok((agree(before, after), figures))
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
