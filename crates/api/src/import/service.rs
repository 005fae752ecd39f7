//! The import as a whole: kind after kind, batch after batch.

use std::{collections::HashMap, io, sync::Arc, time::Duration};

use entity::role;
use sea_orm::{ConnectionTrait, DbErr};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::{
    mapping::{Mapping, MappingError, Plan},
    people::Seen,
    person::{Person, Refused, Rules},
    place::{Assignment, Place as Thing},
    places::Directory,
    progress::Progress,
    reader::{self, Batch},
    repo,
    report::{Counts, Fault, Kind, Place, Report},
    source::{Source, SourceError},
};
use crate::{
    access::resource::ResourceType,
    clock::Clock,
    config::MetadataSchema,
    database::db::{Db, DbTx},
    http::origin::Origin,
    problem::sqlstate,
};

/// Users that one transaction writes: `activity::record_all` and the parser of statements bound it
/// for the others.
const PEOPLE: usize = 2000;
/// Other rows that one transaction writes.
const PLACES: usize = 1000;
/// How long one statement may take: some write a whole batch.
const STATEMENT: Duration = Duration::from_mins(2);
/// How often a batch is tried again that somebody else got in the way of.
pub(super) const TRIES: u32 = 5;

/// What happens to a row whose user is there already, not by an earlier run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum OnConflict {
    /// The user stays as they are.
    #[default]
    Skip,
    /// The row is not acceptable.
    Fail,
}

/// What was asked for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// What happens to a row whose user is there already.
    pub on_conflict: OnConflict,
    /// Whether roles at the system are imported.
    pub administrators: bool,
    /// Whether users whose hash cannot be verified come without one.
    pub drop_hashes: bool,
}

/// Why an import ended early. Batches that were written stay written.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The source cannot be read, or no further.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The mapping does not fit the source.
    #[error(transparent)]
    Mapping(#[from] MappingError),
    /// The file of `--report` cannot be written.
    #[error("the report cannot be written")]
    Report(#[from] io::Error),
    /// The built-in roles are not there.
    #[error(
        "the built-in roles are not in the database yet: the first start writes them; run \
         `gatepost serve` once"
    )]
    NoRoles,
    /// A role that is none of the built-in ones for this resource.
    #[error("role: {role:?} is no built-in role of {resource}; there are: {}", there.join(", "))]
    UnknownRole {
        /// What it is called.
        role: String,
        /// On what.
        resource: &'static str,
        /// Those that there are.
        there: Vec<String>,
    },
    /// The disk of the database is full.
    #[error(
        "the disk of the database is full: {0}; make room and run the import again, it goes on"
    )]
    DiskFull(DbErr),
    /// The database failed.
    #[error("the database failed: {0}; run the import again, it goes on")]
    Database(DbErr),
}

impl From<DbErr> for ImportError {
    fn from(error: DbErr) -> Self {
        match sqlstate(&error).as_deref() {
            Some("53100") => Self::DiskFull(error),
            _ => Self::Database(error),
        }
    }
}

impl ImportError {
    /// Whether somebody else wrote the same at the same time.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            Self::Database(error) => matches!(
                sqlstate(error).as_deref(),
                Some("23505" | "40P01" | "40001" | "55P03")
            ),
            _ => false,
        }
    }
}

/// An import that is under way.
pub struct Import<'a> {
    /// The database it goes to.
    pub(super) db: &'a Db,
    pub(super) clock: &'a dyn Clock,
    pub(super) origin: Origin,
    pub(super) options: Options,
    pub(super) mapping: Mapping,
    source: Arc<Source>,
    schema: Option<MetadataSchema>,
    /// Whether anything but users comes.
    pub(super) needs_people: bool,
    roles: Vec<role::Model>,
    /// What the source calls a user, and who that is here; nobody, if it is not sure.
    pub(super) people: HashMap<Uuid, Option<Uuid>>,
    pub(super) directory: Directory,
    /// What was found and done.
    pub report: Report,
}

/// One kind of rows on its way.
pub(super) struct Progressing {
    /// Whether anything is written.
    pub(super) writes: bool,
    bar: Progress,
    is_silent: bool,
}

impl Progressing {
    /// Says once where an import goes on that was interrupted.
    pub(super) fn goes_on(&mut self, counts: &Counts, first: Option<&Place>) {
        let Some(first) = first else { return };
        if !self.is_silent && self.writes && counts.skipped > 0 {
            let text = format!("{} are there already; going on at {first}", counts.skipped);
            self.bar.say(&text);
        }
        self.is_silent = true;
    }
}

impl<'a> Import<'a> {
    /// Prepares one.
    ///
    /// # Errors
    ///
    /// The database's.
    pub async fn new(
        db: &'a Db,
        clock: &'a dyn Clock,
        (source, mapping): (Source, Mapping),
        schema: Option<MetadataSchema>,
        options: Options,
        report: Report,
    ) -> Result<Self, ImportError> {
        let needs_people = mapping.kinds().any(|kind| kind != Kind::Users);
        Ok(Self {
            db,
            clock,
            origin: Origin::program("import"),
            options,
            needs_people,
            mapping,
            source: Arc::new(source),
            schema,
            roles: repo::built_in_roles(db).await?,
            people: HashMap::new(),
            directory: Directory::default(),
            report,
        })
    }

    /// Reads everything and compares it; with `writes` writes what is new, too.
    ///
    /// # Errors
    ///
    /// See [`ImportError`]. Each batch is written as a whole or not at all.
    pub async fn run(mut self, writes: bool) -> Result<Report, ImportError> {
        let gives_roles = self.options.administrators
            || self.mapping.kinds().any(|kind| kind == Kind::Assignments);
        if gives_roles && self.roles.is_empty() {
            return Err(ImportError::NoRoles);
        }
        // Before anything is written, every table has to be there.
        let mut plans = Vec::new();
        for kind in self.mapping.kinds().collect::<Vec<_>>() {
            let (plan, size) = Box::pin(self.plan(kind)).await?;
            if !plan.unused.is_empty() {
                self.report.unused.insert(kind, plan.unused.clone());
            }
            plans.push((kind, (plan, size)));
        }
        for (kind, (plan, size)) in plans {
            self.report.of(kind);
            let mut progress = Progressing {
                writes,
                bar: Progress::new(kind.as_str().to_owned(), size),
                is_silent: false,
            };
            match kind {
                Kind::Users => Box::pin(self.all_people(plan, &mut progress)).await?,
                Kind::Assignments => Box::pin(self.all_assignments(plan, &mut progress)).await?,
                _ => Box::pin(self.all_places(kind, plan, &mut progress)).await?,
            }
        }
        self.note_owners()?;
        self.report.close()?;
        Ok(self.report)
    }

    async fn plan(&mut self, kind: Kind) -> Result<(Plan, u64), ImportError> {
        let (source, mapping) = (Arc::clone(&self.source), self.mapping.clone());
        let planned = tokio::task::spawn_blocking(move || {
            let columns = source.columns(&mapping.table(kind))?;
            let plan = mapping.plan(kind, columns.as_deref())?;
            let size = source.size(&plan.wanted)?;
            Ok::<_, ImportError>((plan, size))
        });
        planned
            .await
            .map_err(|error| ImportError::Report(io::Error::other(error)))?
    }

    fn rules(&self, plan: &Plan) -> Rules {
        Rules {
            source: self.mapping.name.clone(),
            now: self.clock.now(),
            schema: self.schema.clone(),
            droppable: plan.droppable.clone(),
            drop_hashes: self.options.drop_hashes,
        }
    }

    async fn all_people(
        &mut self,
        plan: Plan,
        progress: &mut Progressing,
    ) -> Result<(), ImportError> {
        let rules = self.rules(&plan);
        let wanted = plan.wanted.clone();
        let is_plain = plan.is_plain;
        let judge = move |row: Result<Map<String, Value>, Fault>| {
            let row = row?;
            let row = if is_plain { row } else { plan.apply(&row)? };
            Person::parse(row, &rules)
        };
        let mut seen = Seen::default();
        let mut batches = reader::read(&self.source, wanted, PEOPLE, judge);
        while let Some(batch) = batches.recv().await {
            let Batch { items, position } = batch?;
            let count = items.len();
            let mut people = Vec::with_capacity(count);
            self.report.of(Kind::Users).read += count as u64;
            for item in items {
                if item.is_open_end {
                    self.report
                        .notice(Kind::Users, item.place.clone(), open_end())?;
                }
                match item.row {
                    Ok(person) => {
                        self.count_hash(person.hash.clone());
                        for fault in &person.dropped {
                            self.report
                                .notice(Kind::Users, item.place.clone(), fault.clone())?;
                        }
                        match seen.fault(&item.place, &person) {
                            None => people.push((item.place, person)),
                            Some(fault) => self.report.refuse(Kind::Users, item.place, fault)?,
                        }
                    }
                    Err(Refused { fault, hash }) => {
                        if hash.is_some() {
                            self.count_hash(hash);
                        }
                        self.report.refuse(Kind::Users, item.place, fault)?;
                    }
                }
            }
            self.people(people, progress).await?;
            progress.bar.advance(count, position);
        }
        Ok(())
    }

    fn count_hash(&mut self, name: Option<String>) {
        let name = name.unwrap_or_else(|| "none".to_owned());
        *self.report.hashes.entry(name).or_default() += 1;
    }

    async fn all_places(
        &mut self,
        kind: Kind,
        plan: Plan,
        progress: &mut Progressing,
    ) -> Result<(), ImportError> {
        let rules = self.rules(&plan);
        let wanted = plan.wanted.clone();
        let judge = move |row: Result<Map<String, Value>, Fault>| {
            Thing::parse(kind, plan.apply(&row?)?, &rules)
        };
        let mut batches = reader::read(&self.source, wanted, PLACES, judge);
        while let Some(batch) = batches.recv().await {
            let Batch { items, position } = batch?;
            let count = items.len();
            let rows = self.acceptable(kind, items)?;
            self.places(kind, rows, progress).await?;
            progress.bar.advance(count, position);
        }
        Ok(())
    }

    async fn all_assignments(
        &mut self,
        plan: Plan,
        progress: &mut Progressing,
    ) -> Result<(), ImportError> {
        let rules = self.rules(&plan);
        let wanted = plan.wanted.clone();
        let judge = move |row: Result<Map<String, Value>, Fault>| {
            Assignment::parse(plan.apply(&row?)?, &rules)
        };
        let mut batches = reader::read(&self.source, wanted, PLACES, judge);
        while let Some(batch) = batches.recv().await {
            let Batch { items, position } = batch?;
            let count = items.len();
            let rows = self.acceptable(Kind::Assignments, items)?;
            self.assignments(rows, progress).await?;
            progress.bar.advance(count, position);
        }
        Ok(())
    }

    fn acceptable<T>(
        &mut self,
        kind: Kind,
        items: Vec<reader::Item<Result<T, Fault>>>,
    ) -> Result<Vec<(Place, T)>, ImportError> {
        self.report.of(kind).read += items.len() as u64;
        let mut rows = Vec::with_capacity(items.len());
        for item in items {
            match item.row {
                Ok(row) => rows.push((item.place, row)),
                Err(fault) => self.report.refuse(kind, item.place, fault)?,
            }
        }
        Ok(rows)
    }

    /// A transaction that sees the rows of every tenant.
    pub(super) async fn begin(&self) -> Result<DbTx, DbErr> {
        let tx = self.db.begin_within(STATEMENT).await?;
        tx.execute_unprepared(
            "SET LOCAL app.scope = 'system'; SET LOCAL lock_timeout = '10s';
             SET LOCAL idle_in_transaction_session_timeout = '120s'",
        )
        .await?;
        Ok(tx)
    }

    /// A built-in role.
    pub(super) fn role(
        &self,
        key: &str,
        resource: ResourceType,
    ) -> Result<&role::Model, ImportError> {
        if self.roles.is_empty() {
            return Err(ImportError::NoRoles);
        }
        let fits =
            |role: &&role::Model| role.assignable_at.iter().any(|at| at == resource.as_str());
        let mut here = self.roles.iter().filter(fits);
        here.clone().find(|role| role.key == key).ok_or_else(|| {
            let mut there: Vec<_> = here.by_ref().map(|role| role.key.clone()).collect();
            there.sort();
            ImportError::UnknownRole {
                role: key.to_owned(),
                resource: resource.as_str(),
                there,
            }
        })
    }
}

fn open_end() -> Fault {
    let text = "the file ends here without a line end: if it was cut off, this row is not whole";
    ("open_end", text.to_owned())
}
