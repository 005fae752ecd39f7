//! Checking a file, and writing what it says.

use std::{collections::HashMap, io, path::PathBuf};

use sea_orm::DbErr;
use serde_json::{Value, json};

use super::{
    model::{Counts, Fault, Finding, Imported},
    read::{self, Syntax},
    repo,
};
use crate::{
    activity,
    audit::{self, Doer, Entry, Target},
    clock::Clock,
    config::MetadataSchema,
    database::db::Db,
    http::origin::Origin,
    problem::constraint,
};

/// Users that one transaction writes.
const BATCH: usize = 500;
/// Findings that are kept; the others are counted.
const SHOWN: usize = 100;
/// Lines between two words of progress.
const PROGRESS: u64 = 10_000;

/// What happens to a line whose user is there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum OnConflict {
    /// The user stays as they are.
    Skip,
    /// The line is a fault, and nothing is written.
    Fail,
}

/// A file of users.
pub struct Source {
    /// Where it is.
    pub path: PathBuf,
    /// How it is written.
    pub syntax: Syntax,
    /// What happens to a line whose user is there already.
    pub on_conflict: OnConflict,
    /// What `metadata` has to be.
    pub schema: Option<MetadataSchema>,
}

/// What is wrong with a file.
#[derive(Debug, Default)]
pub struct Findings {
    /// The first hundred.
    pub shown: Vec<Finding>,
    /// All of them.
    pub count: usize,
}

impl Findings {
    fn add(&mut self, line: u64, code: &'static str, message: String) {
        self.count += 1;
        if self.shown.len() < SHOWN {
            self.shown.push(Finding {
                line,
                code,
                message,
            });
        }
    }
}

/// Why an import ended early. Batches that were written stay written.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The file cannot be read.
    #[error("{} cannot be read: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A line was acceptable when it was checked, and no longer is.
    #[error("{0}: the file or the users changed while they were read; run the import again")]
    Changed(Finding),
    /// Someone else took an address or a username of the batch meanwhile.
    #[error("someone registered with a username or an address of the file; run the import again")]
    Taken,
    /// The database failed.
    #[error("the database failed; run the import again to go on where it ended")]
    Database(#[from] DbErr),
}

/// Reads the whole file and tells what an import would do, or all that is wrong with the file.
///
/// # Errors
///
/// The file's or the database's.
pub async fn check(
    db: &Db,
    clock: &dyn Clock,
    source: &Source,
) -> Result<(Counts, Findings), ImportError> {
    let mut seen = Seen::default();
    let (mut counts, mut findings) = (Counts::default(), Findings::default());
    let mut batch = Vec::with_capacity(BATCH);
    for line in source.lines()? {
        let (number, value) = line.map_err(|error| source.unreadable(error))?;
        counts.read += 1;
        tell(&counts, "checked");
        match source.parse(value, clock) {
            Ok(user) => {
                seen.note(number, &user, &mut findings);
                batch.push((number, user));
            }
            Err((code, message)) => findings.add(number, code, message),
        }
        if batch.len() == BATCH {
            compare(db, source, &mut batch, &mut counts, &mut findings).await?;
        }
    }
    compare(db, source, &mut batch, &mut counts, &mut findings).await?;
    findings.shown.sort_by_key(|finding| finding.line);
    Ok((counts, findings))
}

/// Where each address and username of the file stands.
#[derive(Default)]
struct Seen {
    emails: HashMap<String, u64>,
    usernames: HashMap<String, u64>,
}

impl Seen {
    fn note(&mut self, line: u64, user: &Imported, findings: &mut Findings) {
        if let Some(first) = self.emails.insert(user.email_normalized.clone(), line) {
            let text = format!("line {first} has the same e-mail address: leave one out");
            findings.add(line, "duplicate_email", text);
        }
        let name = user.username_normalized();
        if let Some(first) = name.and_then(|name| self.usernames.insert(name, line)) {
            let text = format!("line {first} has the same username: change or leave out one");
            findings.add(line, "duplicate_username", text);
        }
    }
}

/// Compares lines with the users that there are, and empties the batch.
async fn compare(
    db: &Db,
    source: &Source,
    batch: &mut Vec<(u64, Imported)>,
    counts: &mut Counts,
    findings: &mut Findings,
) -> Result<(), DbErr> {
    let emails = batch.iter().map(|(_, user)| user.email_normalized.as_str());
    let emails = repo::known_emails(db, emails).await?;
    let names: Vec<_> = batch
        .iter()
        .filter_map(|(_, user)| user.username_normalized())
        .collect();
    let names = repo::known_usernames(db, names.iter().map(String::as_str)).await?;
    for (line, user) in batch.drain(..) {
        if emails.contains(&user.email_normalized) {
            counts.skipped += 1;
            if source.on_conflict == OnConflict::Fail {
                let text = "this e-mail address is a user's already: take the line out, or use \
                            --on-conflict skip";
                findings.add(line, "email_exists", text.to_owned());
            }
        } else if user
            .username_normalized()
            .is_some_and(|name| names.contains(&name))
        {
            let text = "this username is another user's: change it, or leave it out";
            findings.add(line, "username_taken", text.to_owned());
        } else {
            count(counts, &user);
        }
    }
    Ok(())
}

fn count(counts: &mut Counts, user: &Imported) {
    counts.new += 1;
    if let Some(password) = &user.password {
        *counts.passwords.entry(password.name()).or_default() += 1;
    }
}

/// Writes the users of a file that [`check`] found nothing wrong with.
///
/// # Errors
///
/// See [`ImportError`]. Each batch is written as a whole or not at all.
pub async fn write(db: &Db, clock: &dyn Clock, source: &Source) -> Result<Counts, ImportError> {
    let origin = Origin::program("import users");
    let mut counts = Counts::default();
    let mut batch = Vec::with_capacity(BATCH);
    for line in source.lines()? {
        let (number, value) = line.map_err(|error| source.unreadable(error))?;
        let user = source.parse(value, clock).map_err(|(code, message)| {
            ImportError::Changed(Finding {
                line: number,
                code,
                message,
            })
        })?;
        counts.read += 1;
        batch.push(user);
        if batch.len() == BATCH {
            write_batch(db, clock, &origin, &mut batch, &mut counts).await?;
        }
        tell(&counts, "imported");
    }
    write_batch(db, clock, &origin, &mut batch, &mut counts).await?;
    Ok(counts)
}

async fn write_batch(
    db: &Db,
    clock: &dyn Clock,
    origin: &Origin,
    batch: &mut Vec<Imported>,
    counts: &mut Counts,
) -> Result<(), ImportError> {
    let tx = db.begin().await?;
    let emails = batch.iter().map(|user| user.email_normalized.as_str());
    let known = repo::known_emails(&tx, emails).await?;
    let all = batch.len() as u64;
    let new: Vec<_> = batch
        .drain(..)
        .filter(|user| !known.contains(&user.email_normalized))
        .collect();
    counts.skipped += all - new.len() as u64;
    if new.is_empty() {
        return Ok(());
    }
    let ids = repo::insert(&tx, &new, clock.now())
        .await
        .map_err(|error| match constraint(&error) {
            Some(_) => ImportError::Taken,
            None => error.into(),
        })?;
    activity::record_all(&tx, clock, origin, &ids, "imported").await?;
    let entries = new.iter().zip(&ids).map(|(user, id)| Entry {
        doer: Doer::Program,
        action: "user.imported",
        target: Target::global("user", id),
        details: json!({
            "status": user.status.as_str(),
            "password": user.password.as_ref().map(crate::crypto::password::Format::name),
        }),
    });
    audit::record_all(&tx, clock, origin, entries).await?;
    tx.commit().await?;
    for user in &new {
        count(counts, user);
    }
    Ok(())
}

fn tell(counts: &Counts, what: &str) {
    if counts.read.is_multiple_of(PROGRESS) {
        eprintln!("{what}: {}", counts.read);
    }
}

impl Source {
    fn parse(&self, value: Result<Value, Fault>, clock: &dyn Clock) -> Result<Imported, Fault> {
        Imported::parse(value?, clock.now(), self.schema.as_ref())
    }

    fn lines(&self) -> Result<Box<dyn Iterator<Item = io::Result<read::Numbered>>>, ImportError> {
        read::lines(&self.path, self.syntax).map_err(|error| self.unreadable(error))
    }

    fn unreadable(&self, source: io::Error) -> ImportError {
        ImportError::File {
            path: self.path.clone(),
            source,
        }
    }
}
