//! `gatepost audit`: the chain of the audit log, for those who keep it to account.

use std::{fs, io::Write, process::ExitCode};

use anyhow::Context;
use clap::Args;

use crate::{
    audit::{
        sealer,
        verify::{self, Anchor, Break, Position},
    },
    clock::Clock,
    config::Config,
    database::{db::Db, pool},
};

/// The exit status for a chain that does not hold: 1 is a failure to check it, 2 a wrong option.
pub const BROKEN: u8 = 3;
/// Links between two words of progress.
const PROGRESS: i64 = 100_000;

/// What to verify.
#[derive(Args, Debug, Default)]
pub struct Verify {
    /// Begin at this link instead of the first.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(i64).range(1..))]
    pub from: i64,
    /// What `gatepost audit anchor` printed, or a file of such lines: each must still be in the
    /// chain.
    #[arg(long)]
    pub anchor: Option<String>,
}

async fn open(config: &Config) -> anyhow::Result<Db> {
    let url = config
        .database
        .url
        .as_ref()
        .context("DATABASE_URL is not set")?;
    pool::open(&config.database, url, &std::sync::Arc::default()).await
}

/// Prints the end of the chain, to be kept elsewhere.
///
/// # Errors
///
/// The settings' or the database's.
pub async fn anchor(config: &Config, out: &mut dyn Write) -> anyhow::Result<()> {
    let db = open(config).await?;
    let head = verify::head(&db).await?;
    writeln!(out, "{}", serde_json::to_string(&head)?)?;
    db.close().await;
    Ok(())
}

/// Recomputes the chain and tells what it found. Status 0: it holds; [`BROKEN`]: it does not, and
/// the first fault is named.
///
/// # Errors
///
/// It could not be checked: the settings', the anchors' or the database's.
pub async fn verify(
    config: &Config,
    clock: &dyn Clock,
    what: &Verify,
    out: &mut dyn Write,
) -> anyhow::Result<ExitCode> {
    let anchors = what.anchor.as_deref().map(read_anchors).transpose()?;
    let db = open(config).await?;
    let broken = check(&db, what.from, &anchors.unwrap_or_default(), out).await?;
    let head = verify::head(&db).await?;
    writeln!(out, "head: {}", serde_json::to_string(&head)?)?;
    let waiting = sealer::unsealed(&db).await?;
    if let Some(oldest) = waiting.oldest {
        let seconds = (clock.now() - oldest).as_seconds_f64().max(0.0);
        let count = waiting.count;
        writeln!(
            out,
            "not sealed yet: {count}, the oldest written {seconds:.1} s ago"
        )?;
    }
    db.close().await;
    Ok(match broken {
        None => ExitCode::SUCCESS,
        Some(broken) => {
            writeln!(out, "BROKEN at {}: {broken}", broken.seq)?;
            ExitCode::from(BROKEN)
        }
    })
}

async fn check(
    db: &Db,
    from: i64,
    anchors: &[Anchor],
    out: &mut dyn Write,
) -> anyhow::Result<Option<Break>> {
    let mut position = verify::before(db, from)
        .await?
        .with_context(|| format!("there is no link {from}: the chain is shorter"))?;
    let start = position;
    loop {
        let step = verify::step(db, position).await?;
        if step.position.seq / PROGRESS > position.seq / PROGRESS {
            eprintln!("checked to {}", step.position.seq);
        }
        position = step.position;
        if let Some(broken) = step.broken {
            tell(start, position, out)?;
            return Ok(Some(broken));
        }
        if step.is_end {
            break;
        }
    }
    tell(start, position, out)?;
    for anchor in anchors {
        if let Some(broken) = verify::check_anchor(db, anchor).await? {
            return Ok(Some(broken));
        }
    }
    if !anchors.is_empty() {
        writeln!(out, "anchors in the chain: {}", anchors.len())?;
    }
    Ok(verify::stray(db).await?)
}

fn tell(start: Position, end: Position, out: &mut dyn Write) -> anyhow::Result<()> {
    let count = end.seq - start.seq;
    match count {
        0 => writeln!(out, "links that hold: none")?,
        _ => writeln!(
            out,
            "links that hold: {count}, from {} to {}",
            start.seq + 1,
            end.seq
        )?,
    }
    Ok(())
}

/// One anchor, or a file with one in each line.
fn read_anchors(text: &str) -> anyhow::Result<Vec<Anchor>> {
    let lines = if text.trim_start().starts_with('{') {
        text.to_owned()
    } else {
        fs::read_to_string(text).with_context(|| format!("{text} cannot be read"))?
    };
    let anchors: Vec<Anchor> = lines
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty())
        .map(|(number, line)| {
            serde_json::from_str(line)
                .with_context(|| format!("anchor {} is not what `audit anchor` prints", number + 1))
        })
        .collect::<Result<_, _>>()?;
    anyhow::ensure!(!anchors.is_empty(), "{text} holds no anchor");
    Ok(anchors)
}
