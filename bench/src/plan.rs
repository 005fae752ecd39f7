//! What is measured, in which order, and what it is compared with.
//!
//! A round is calibrators - ours - calibrators. One whose calibrators differ by more than a fifth,
//! or before or after which the machine was busy with something else, says more about the machine
//! than about the program: it is dropped, counted, and made again, up to as many times as there
//! are rounds.

use std::{path::PathBuf, thread, time::Duration};

use clap::{Args, ValueEnum};

use crate::{
    decisions, hash,
    http::request,
    logins, machine,
    people::{self, Person},
    probe::Probe,
    report::{Report, Wanted},
    server::Server,
    stats::{Rounds, agree},
    timing::{self, Case},
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
    /// Decisions of the engine in the program, one at a time and in batches.
    Evaluation,
    /// How soon other instances hear of a change.
    Lag,
    /// Logins that all find a place.
    Login,
    /// More logins than find a place.
    Storm,
    /// Whether answers tell that an account exists.
    Timing,
    /// Decisions and searches with ever more people. Comes last: it fills the database.
    Growth,
}

/// What to measure, and how often.
#[derive(Args, Clone)]
pub struct Plan {
    /// The program.
    gatepost: PathBuf,
    /// Rounds of each measurement that count; the table shows their median and range.
    #[arg(long, default_value_t = 5)]
    pub rounds: usize,
    /// Starts of the program.
    #[arg(long, default_value_t = 10)]
    starts: usize,
    /// Only these measurements.
    #[arg(long, value_delimiter = ',', default_values = ["start", "evaluation", "lag", "login", "storm", "timing", "growth"])]
    only: Vec<Part>,
    /// The level of the program's log, which goes to /dev/null.
    #[arg(long, default_value = "error")]
    log_level: String,
}

/// Measures as planned, and prints the table; also what there is of it when something fails.
pub fn run(plan: &Plan) -> anyhow::Result<()> {
    let mut report = Report::default();
    let result = plan.only.iter().try_for_each(|part| {
        eprintln!("== {part:?} (load {})", machine::load()?);
        match part {
            Part::Start => starts(plan, &mut report),
            Part::Evaluation => decisions::evaluations(plan, &mut report),
            Part::Lag => decisions::lag(plan, &mut report),
            Part::Login => many_logins(plan, &mut report),
            Part::Storm => {
                storms(plan, &mut report, false)?;
                storms(plan, &mut report, true)
            }
            Part::Timing => timings(plan, &mut report),
            Part::Growth => decisions::growth(plan, &mut report),
        }
    });
    println!("{report}");
    result
}

impl Plan {
    /// Starts the program.
    pub fn start(&self) -> anyhow::Result<Server> {
        Server::start(&self.gatepost, &self.log_level)
    }

    /// Calls `round` until enough of them count, and returns their figures.
    ///
    /// A round tells whether its calibrators agreed; it counts if they did, and if the machine had
    /// nothing else to do before and after.
    pub fn rounds<const N: usize>(
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
pub struct Measured<const N: usize> {
    pub figures: [Rounds; N],
    pub dropped: usize,
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
    let profile = request("GET", "/api/users/me", Some(&token), "");
    let probe = |time| {
        let address = server.address.clone();
        Probe::start(address, vec![profile.clone()], PROBE, time)
    };
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
