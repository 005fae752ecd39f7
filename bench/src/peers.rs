//! Gatepost beside others that decide: the same data, the same questions, one after the other on
//! the same machine.
//!
//! Each is started anew for each round, and asked every question once before any time is taken:
//! then the answers are compared with what is right, and caches are as warm as they get.

mod cerbos;
mod facts;
mod gatepost;
mod opa;
mod openfga;
mod postgres;
mod running;
mod spicedb;
mod table;

use std::{
    collections::HashMap,
    fmt::Write,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::Duration,
};

use anyhow::{Context, ensure};
use clap::{Args, ValueEnum};
use serde_json::Value;

use self::{
    cerbos::Cerbos,
    facts::{Facts, Question},
    gatepost::Gatepost,
    opa::Opa,
    openfga::OpenFga,
    postgres::Processes,
    running::{Ask, Ports, Running},
    spicedb::SpiceDb,
    table::Row,
};
use crate::{data, machine, people, wrk::Load};

/// Scripts for `wrk` so far, which number their files.
static SCRIPTS: AtomicU32 = AtomicU32::new(0);
/// What the memory of an idle peer is measured after.
const IDLE: Duration = Duration::from_secs(5);

/// Who is beside Gatepost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Name {
    Opa,
    Cerbos,
    Spicedb,
    Openfga,
}

/// What to measure, and how often.
#[derive(Args)]
pub struct Plan {
    /// The program.
    gatepost: PathBuf,
    /// The repository, which has the policies, and installs the programs.
    #[arg(long, default_value = ".")]
    root: PathBuf,
    /// Only these beside Gatepost.
    #[arg(long, value_delimiter = ',', default_values = ["opa", "cerbos", "spicedb", "openfga"])]
    only: Vec<Name>,
    /// The table shows their medians.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// How long each is asked in a round, once by single questions and once by batches.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// How many people are asked about: eight questions and a batch each.
    #[arg(long, default_value_t = 256)]
    askers: u32,
    /// Do not wait for the machine to have nothing else to do.
    #[arg(long)]
    noisy: bool,
}

/// Something that decides.
trait Peer {
    fn name(&self) -> &'static str;

    fn program(&self) -> &Path;

    /// The argument that makes it tell its version.
    fn version_by(&self) -> &'static str;

    /// Does what has to be done once, before it is started.
    fn prepare(&mut self) -> anyhow::Result<()> {
        Ok(())
    }

    fn command(&self, ports: &Ports) -> Command;

    /// Tells it, once, what it has to know.
    fn load(&mut self, address: &str, facts: &Facts) -> anyhow::Result<()>;

    /// One question, or many of one person in the request that it has for many: then always two
    /// about each project.
    fn ask(&self, facts: &Facts, questions: &[Question]) -> anyhow::Result<Ask>;

    /// The answers in the order of the questions, if that is what they are.
    fn answers(&self, answer: &Value, questions: &[Question]) -> Option<Vec<bool>>;
}

/// A peer, what it is asked, and what came out so far.
struct Measured {
    peer: Box<dyn Peer>,
    single: Asked,
    batches: Asked,
    row: Row,
    /// Requests that failed, or took more than 2 s, while time was taken.
    failures: u64,
}

/// Measures as planned, and prints the table.
pub fn run(plan: &Plan) -> anyhow::Result<()> {
    let facts = Facts::read()?;
    // The first may more than others. Not the second, who sees all and so needs a second factor.
    let askers: Vec<_> = (0..plan.askers)
        .map(|turn| match turn {
            0 => data::ADMIN,
            _ => 1 + turn * (people::COUNT - 2) / plan.askers,
        })
        .collect();
    let (mut single, mut batches) = (Vec::new(), Vec::new());
    for person in &askers {
        let questions = facts.questions(*person)?;
        single.extend(questions.chunks(1).map(<[Question]>::to_vec));
        batches.push(facts.batch(*person)?);
    }
    let (peers, missing) = peers(plan, &askers);
    let mut all = Vec::new();
    for mut peer in peers {
        let name = peer.name();
        let loaded = load(&mut *peer, &facts);
        loaded.with_context(|| format!("{name}: cannot load it"))?;
        let measured = Measured {
            row: Row::new(name, peer.program(), peer.version_by())?,
            single: Asked::new(&*peer, &facts, &single)?,
            batches: Asked::new(&*peer, &facts, &batches)?,
            peer,
            failures: 0,
        };
        all.push(measured);
    }
    let mut busy = 0;
    let result = rounds(plan, &mut all, &mut busy);
    // Also what there is of it when something failed.
    print(plan, &all, [&single, &batches], busy);
    for missing in missing {
        println!("{missing}");
    }
    result
}

/// Counts in `busy` how often the machine had something else to do.
fn rounds(plan: &Plan, all: &mut [Measured], busy: &mut usize) -> anyhow::Result<()> {
    let processes = Processes::find()?;
    for round in 1..=plan.rounds {
        for measured in &mut *all {
            *busy += usize::from(!plan.noisy && !machine::wait_for_quiet()?);
            let name = measured.row.name;
            eprintln!("== round {round}: {name} (load {})", machine::load()?);
            measured.round(plan, &processes).context(name)?;
        }
    }
    Ok(())
}

fn print(plan: &Plan, all: &[Measured], asked: [&[Vec<Question>]; 2], busy: usize) {
    println!("{}", table::HEAD);
    for measured in all {
        println!("{}", measured.row);
    }
    println!();
    let right = |questions: &[Vec<Question>]| {
        let all = questions.iter().flatten();
        let (yes, no): (Vec<_>, Vec<_>) = all.partition(|question| question.right);
        format!("{} yes and {} no", yes.len(), no.len())
    };
    let [single, batches] = asked.map(right);
    println!(
        "- {} rounds of {} s. Before each, all answered all questions right: {single} one by one, \
         {batches} in batches.",
        plan.rounds, plan.seconds
    );
    for measured in all.iter().filter(|measured| measured.failures > 0) {
        println!(
            "- {}: {} requests failed or took more than 2 s while time was taken.",
            measured.row.name, measured.failures
        );
    }
    if plan.noisy {
        println!("- The machine had something else to do, too: these figures say nothing.");
    } else if busy > 0 {
        println!("- {busy} measurements began while the machine had something else to do.");
    }
}

/// Those who take part, and what to say of those who cannot.
fn peers(plan: &Plan, askers: &[u32]) -> (Vec<Box<dyn Peer>>, Vec<String>) {
    let mut all: Vec<Box<dyn Peer>> = Vec::new();
    // The first is as it comes, and writes down what it refuses. Nobody else does.
    for (name, decision_log) in [
        ("Gatepost", "deny"),
        ("Gatepost, `DECISION_LOG=off`", "off"),
    ] {
        all.push(Box::new(Gatepost {
            program: plan.gatepost.clone(),
            name,
            decision_log,
            askers: askers.to_vec(),
            tokens: HashMap::new(),
        }));
    }
    let mut missing = Vec::new();
    for name in &plan.only {
        let program = match install(plan, *name) {
            Ok(program) => program,
            Err(error) => {
                missing.push(format!("- {name:?} could not be had here: {error}"));
                continue;
            }
        };
        match name {
            Name::Opa => {
                let policy = plan.root.join("opa");
                all.push(Box::new(Opa { program, policy }));
            }
            Name::Cerbos => {
                let policy = plan.root.join("bench/peers/cerbos");
                all.push(Box::new(Cerbos { program, policy }));
            }
            Name::Spicedb => all.push(Box::new(SpiceDb::new(program))),
            Name::Openfga => {
                all.push(Box::new(OpenFga::new(program.clone(), false)));
                all.push(Box::new(OpenFga::new(program, true)));
            }
        }
    }
    (all, missing)
}

/// The path of a program, which is installed where that has not been done.
fn install(plan: &Plan, name: Name) -> anyhow::Result<PathBuf> {
    let (script, argument) = match name {
        Name::Opa => ("scripts/install-opa", None),
        Name::Cerbos => ("bench/peers/install", Some("cerbos")),
        Name::Spicedb => ("bench/peers/install", Some("spicedb")),
        Name::Openfga => ("bench/peers/install", Some("openfga")),
    };
    let path = plan.root.join(script);
    let mut command = Command::new(&path);
    command.args(argument).stderr(Stdio::inherit());
    let output = command.output()?;
    ensure!(output.status.success(), "{script}: {}", output.status);
    Ok(String::from_utf8(output.stdout)?.trim().into())
}

fn load(peer: &mut dyn Peer, facts: &Facts) -> anyhow::Result<()> {
    eprintln!("== {}: loading", peer.name());
    peer.prepare()?;
    let mut running = Running::start(|ports| peer.command(ports))?;
    running.wait(|address| peer.load(address, facts))?;
    running.stop()
}

/// Runs something to its end.
fn finish(command: &mut Command) -> anyhow::Result<()> {
    let program = command.get_program().display().to_string();
    let output = command.output();
    let output = output.with_context(|| format!("cannot start {program}"))?;
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    ensure!(output.status.success(), "{program}: {said}");
    Ok(())
}

impl Measured {
    fn round(&mut self, plan: &Plan, processes: &Processes) -> anyhow::Result<()> {
        let mut running = Running::start(|ports| self.peer.command(ports))?;
        let ((), ready) = running.wait(|address| self.single.check(&*self.peer, address, 1))?;
        self.row.start.add(ready.as_secs_f64() * 1000.0);
        thread::sleep(IDLE);
        self.row.idle.add(running.memory()?.resident);
        for asked in [&self.single, &self.batches] {
            asked.check(&*self.peer, &running.address, usize::MAX)?;
        }
        for (asked, figures) in [
            (&self.single, &mut self.row.single),
            (&self.batches, &mut self.row.batches),
        ] {
            let [own, shared] = [running.cpu()?, processes.cpu()?];
            let found = Load::scripted(&running.address, &asked.script).run(plan.seconds)?;
            let own = running.cpu()?.saturating_sub(own);
            let shared = processes.cpu()?.saturating_sub(shared);
            eprintln!("{:.0} requests/s, p99 {:.2} ms", found.rate, found.p99);
            self.failures += found.failures;
            figures.add(&found, own, shared);
        }
        self.row.peak.add(running.memory()?.peak);
        running.stop()
    }
}

/// What a peer is asked, as it is said to it.
struct Asked {
    requests: Vec<(Ask, Vec<Question>)>,
    /// The same for `wrk`; removed when this is dropped.
    script: PathBuf,
}

impl Asked {
    fn new(peer: &dyn Peer, facts: &Facts, all: &[Vec<Question>]) -> anyhow::Result<Self> {
        let requests = all
            .iter()
            .map(|questions| Ok((peer.ask(facts, questions)?, questions.clone())))
            .collect::<anyhow::Result<Vec<_>>>()?;
        let mut text = String::from("local asks, made, n = {}, {}, 0\n");
        for (ask, _) in &requests {
            let token = ask.token.as_ref().map_or_else(String::new, |token| {
                format!(", ['Authorization'] = 'Bearer {token}'")
            });
            writeln!(
                text,
                "asks[#asks + 1] = {{'{}', {{['Content-Type'] = 'application/json'{token}}}, [==[{}]==]}}",
                ask.path, ask.body
            )?;
        }
        // Each is made once, so that the client is as cheap as can be.
        text.push_str(
            "function request()\nn = n % #asks + 1\nlocal ask = asks[n]\n\
             made[n] = made[n] or wrk.format('POST', ask[1], ask[2], ask[3])\n\
             return made[n]\nend\n",
        );
        let number = SCRIPTS.fetch_add(1, Ordering::Relaxed);
        let name = format!("gatepost-bench-{}-{number}.lua", std::process::id());
        let script = std::env::temp_dir().join(name);
        fs::write(&script, text)?;
        Ok(Self { requests, script })
    }

    /// Asks the first so many, one after the other.
    ///
    /// # Errors
    ///
    /// If any answer is not right.
    fn check(&self, peer: &dyn Peer, address: &str, count: usize) -> anyhow::Result<()> {
        for (ask, questions) in self.requests.iter().take(count) {
            let answer = ask.send(address)?;
            let answers = peer.answers(&answer, questions);
            let right: Vec<_> = questions.iter().map(|question| question.right).collect();
            ensure!(
                answers.as_ref() == Some(&right),
                "wrong: {questions:?}: {answer}"
            );
        }
        Ok(())
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        // Left behind at worst.
        fs::remove_file(&self.script).ok();
    }
}

/// A role that somebody holds, or what something is below, for those who keep both in one kind of
/// sentence: the subject has the relation to the object.
struct Tuple<'a> {
    /// Type and id.
    subject: (&'a str, &'a str),
    relation: &'a str,
    object: (&'a str, &'a str),
}

/// All that there is to tell.
fn tuples(facts: &Facts) -> Vec<Tuple<'_>> {
    const SYSTEM: (&str, &str) = ("system", "gatepost");
    fn below<'a>(above: (&'a str, &'a str), object: (&'a str, &'a str)) -> Tuple<'a> {
        Tuple {
            subject: above,
            relation: above.0,
            object,
        }
    }
    let mut all = Vec::new();
    for project in &facts.projects {
        // Each organization has one.
        all.push(below(SYSTEM, ("organization", &project.organization)));
        all.push(below(
            ("account", &project.account),
            ("project", &project.id),
        ));
    }
    for account in &facts.accounts {
        let above = ("organization", account.organization.as_str());
        all.push(below(above, ("account", &account.id)));
    }
    for grant in facts.grants.values().flatten() {
        let place = grant.place.as_deref().unwrap_or(SYSTEM.1);
        all.push(Tuple {
            subject: ("user", &grant.user),
            relation: &grant.role,
            object: (&grant.kind, place),
        });
    }
    all
}
