//! How fast decisions are: alone and in batches, with more people, in searches, and after a change
//! that another instance made.

use std::{thread, time::Duration};

use anyhow::{Context, ensure};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::{
    data::{self, Kind, Size, id},
    echo::Echo,
    http::{Connection, request},
    people::{self, EVALUATION, Person},
    plan::Plan,
    probe::Probe,
    report::{Report, Wanted},
    server::Server,
    stats::{Rounds, Samples, agree},
    wrk::{Load, Script, Shape},
};

/// How long a closed loop takes, in seconds.
const LOOP: u64 = 5;
/// How long what it is compared with takes, before and after.
const CALIBRATION: u64 = 3;
/// People who ask where there are many.
const MANY: u32 = 512;
/// Searches of one kind.
const SEARCHES: u32 = 200;
/// Changes whose arrival is waited for.
const CHANGES: u32 = 100;
/// How many people there are, one time after the other.
const SIZES: [u32; 3] = [10_000, 100_000, 1_000_000];
/// Among how many of them is searched, and in how many projects.
const SEARCHED: u32 = 100_000;
const PROJECTS: u32 = 1_000_000;

/// Single questions and batches, against an echo that knows its token.
pub fn evaluations(plan: &Plan, report: &mut Report) -> anyhow::Result<()> {
    let echo = Echo::start()?;
    for shape in Shape::ALL {
        let mut server = plan.start()?;
        let askers = people::askers(&server.address, people::ASKERS, people::COUNT)?;
        let script = Script::new(&askers, shape)?;
        let mut failures = 0;
        let measured = plan.rounds(|| {
            let calibrate = || Load::questions(&echo.address, &script).run(CALIBRATION);
            let before = calibrate()?.rate;
            let cpu = server.cpu()?;
            let ours = Load::questions(&server.address, &script).run(LOOP)?;
            let cpu = server.cpu()?.saturating_sub(cpu).as_secs_f64() * 1e6 / ours.requests;
            let after = calibrate()?.rate;
            failures += ours.failures;
            let bare = f64::midpoint(before, after);
            eprintln!(
                "echo {before:.0} and {after:.0}/s, {shape:?} {:.0}/s",
                ours.rate
            );
            let decisions = ours.rate * f64::from(shape.decisions());
            let figures = [ours.rate / bare, decisions, ours.p99, cpu, bare];
            Ok((agree(before, after), figures))
        })?;
        let [ratio, rate, p99, cpu, bare] = &measured.figures;
        let (name, ratios, rates) = match shape {
            Shape::Same => (
                "the same questions again",
                Wanted::From(0.5),
                Wanted::From(10_000.0),
            ),
            Shape::New => (
                "questions never asked before",
                Wanted::Nothing,
                Wanted::Nothing,
            ),
            Shape::SameBatch => (
                "the same batches of 50 again",
                Wanted::Nothing,
                Wanted::From(300_000.0),
            ),
            Shape::NewBatch => (
                "batches of 50 never asked before",
                Wanted::Nothing,
                Wanted::Nothing,
            ),
        };
        report.add(&format!("{name}: requests / echo, ratio"), ratios, ratio, 3);
        report.add("- decisions/s", rates, rate, 0);
        report.add("- p99 of 32 connections, ms", Wanted::Nothing, p99, 2);
        report.add(
            "- CPU of the program for a request, us",
            Wanted::Nothing,
            cpu,
            0,
        );
        report.add("- the echo's requests/s", Wanted::Nothing, bare, 0);
        if shape == Shape::Same {
            let late = half_load(plan, &server, &askers, rate.median())?;
            let name = "- p99 at half that rate, from when each was due, ms";
            report.add(name, Wanted::Below(5.0), &late, 2);
        }
        let peak = server.memory()?.peak;
        let dropped = measured.dropped;
        report.note(&format!(
            "{name}: {failures} requests failed; {dropped} rounds dropped; peak memory {peak:.1} MiB"
        ));
        server.stop()?;
    }
    Ok(())
}

fn half_load(plan: &Plan, server: &Server, askers: &[Person], rate: f64) -> anyhow::Result<Rounds> {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a rate of requests"
    )]
    let half = (rate / 2.0) as u32;
    let requests: Vec<_> = askers
        .iter()
        .map(|person| {
            request(
                "POST",
                EVALUATION,
                Some(&person.token),
                &person.question("read"),
            )
        })
        .collect();
    let mut rounds = Rounds::new();
    for _ in 0..plan.rounds {
        let time = Duration::from_secs(LOOP);
        let probe = Probe::start(server.address.clone(), requests.clone(), half, time)?;
        let late = probe.end()?;
        eprintln!("half load, {half}/s: {late}");
        rounds.add(late.percentile(99.0));
    }
    Ok(rounds)
}

/// The same questions while there are ever more people, and searches among many.
pub fn growth(plan: &Plan, report: &mut Report) -> anyhow::Result<()> {
    let echo = Echo::start()?;
    let mut size = Size {
        people: people::COUNT,
        more_projects: 0,
    };
    let mut first = None;
    for people in SIZES {
        let larger = Size {
            people,
            more_projects: if people < SEARCHED { 0 } else { PROJECTS },
        };
        let started = Instant::now();
        data::load(size, larger)?;
        size = larger;
        let took = started.elapsed().as_secs_f64();
        report.note(&format!("up to {people} people: loaded in {took:.0} s"));
        let mut server = plan.start()?;
        let askers = people::askers(&server.address, MANY, people)?;
        let script = Script::new(&askers, Shape::New)?;
        let measured = plan.rounds(|| {
            let calibrate = || Load::questions(&echo.address, &script).run(CALIBRATION);
            let before = calibrate()?.rate;
            let ours = Load::questions(&server.address, &script).run(LOOP)?;
            let after = calibrate()?.rate;
            eprintln!("{people} people: {:.0}/s", ours.rate);
            let ratio = ours.rate / f64::midpoint(before, after);
            Ok((agree(before, after), [ratio]))
        })?;
        let [ratio] = &measured.figures;
        let name = format!("{people} people: evaluations / echo, ratio");
        report.add(&name, Wanted::Nothing, ratio, 3);
        let memory = server.memory()?.resident;
        report.note(&format!("{people} people: memory then {memory:.1} MiB"));
        let smallest = *first.get_or_insert(ratio.median());
        let mut growth = Rounds::new();
        growth.add(ratio.median() / smallest);
        if people > SIZES[0] {
            let name = "- of what it is with the fewest people";
            report.add(name, Wanted::From(0.9), &growth, 3);
        }
        if people == SEARCHED {
            searches(&server, people, report)?;
        }
        server.stop()?;
    }
    Ok(())
}

/// The first page of what people may read, asked by themselves.
fn searches(server: &Server, people: u32, report: &mut Report) -> anyhow::Result<()> {
    let anyone: Vec<_> = (0..SEARCHES / 2)
        .map(|turn| 2 + turn * 997 % people)
        .collect();
    let who = [
        ("people with three roles", anyone),
        ("who may read everything", vec![data::SEES_ALL]),
    ];
    for (name, numbers) in who {
        let mut times = Rounds::new();
        let asking: Vec<_> = numbers
            .iter()
            .map(|number| people::log_in(&server.address, *number))
            .collect::<Result<_, _>>()?;
        for turn in 0..SEARCHES as usize {
            let person = &asking[turn % asking.len()];
            let body = json!({
                "subject": person.subject(),
                "action": {"name": "read"},
                "resource": {"type": "project"},
                "page": {"limit": 50},
            });
            let started = Instant::now();
            let found = person.ask(&server.address, "/access/v1/search/resource", &body)?;
            times.add(started.elapsed().as_secs_f64() * 1000.0);
            let count = found["results"].as_array().map_or(0, Vec::len);
            ensure!(count == 50, "a page of {count}: {found}");
        }
        let name = format!(
            "first page of a search in {PROJECTS} projects among {people} people, {name}, ms"
        );
        report.add(&name, Wanted::Below(20.0), &times, 1);
    }
    Ok(())
}

/// From the answer to who took a role away on one instance to the first no of another one.
pub fn lag(plan: &Plan, report: &mut Report) -> anyhow::Result<()> {
    let (one, other) = (plan.start()?, plan.start()?);
    let admin = people::log_in(&one.address, data::ADMIN)?;
    // Of another organization, and so without a role in this one.
    let person = people::log_in(&one.address, people::COUNT / 2)?;
    let organization = id(Kind::Organization, data::organization_of(data::ADMIN));
    let given = json!({
        "principal": person.subject(),
        "role": "viewer",
        "resource": {"type": "organization", "id": organization},
    });
    let question = json!({
        "subject": person.subject(),
        "action": {"name": "read"},
        "resource": {"type": "project", "id": id(Kind::Project, 0)},
    })
    .to_string();
    let question = request("POST", EVALUATION, Some(&person.token), &question);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let mut lags = Samples::default();
    for _ in 0..CHANGES {
        let assignment = admin.ask(&one.address, "/api/role-assignments", &given)?;
        let assignment = assignment["id"].as_str().context("no id")?.to_owned();
        let path = format!("/api/role-assignments/{assignment}");
        let taking = request("DELETE", &path, Some(&admin.token), "");
        let lag = runtime.block_on(async {
            let mut there = Connection::open(&other.address).await?;
            until(&mut there, &question, true).await?;
            let mut here = Connection::open(&one.address).await?;
            let answer = here.send(&taking).await?;
            ensure!(answer.status == 204, "{}", answer.status);
            let answered = Instant::now();
            until(&mut there, &question, false).await?;
            Ok(answered.elapsed())
        })?;
        lags.add(lag);
        thread::sleep(Duration::from_millis(5));
    }
    eprintln!("lag: {lags}");
    let name = "lag of another instance after a role is taken away, p50, ms";
    let figure = |percent| {
        let mut rounds = Rounds::new();
        rounds.add(lags.percentile(percent));
        rounds
    };
    report.add(name, Wanted::Nothing, &figure(50.0), 2);
    report.add("- p99, ms", Wanted::Below(100.0), &figure(99.0), 2);
    one.stop()?;
    other.stop()
}

/// Asks until the answer is `wanted`, for 10 s at most.
async fn until(connection: &mut Connection, question: &[u8], wanted: bool) -> anyhow::Result<()> {
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(10) {
        let answer = connection.send(question).await?;
        let body: Value = serde_json::from_slice(&answer.body)?;
        if body["decision"].as_bool() == Some(wanted) {
            return Ok(());
        }
    }
    anyhow::bail!("the decision did not become {wanted} in 10 s")
}
