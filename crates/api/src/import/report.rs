//! What an import found and did.

use std::{
    collections::BTreeMap,
    fmt,
    fs::File,
    io::{self, BufWriter, Write},
    path::Path,
};

use serde_json::json;

/// Findings that are kept for the end; all of them are counted, and written to `--report`.
const SHOWN: usize = 100;

/// What a row can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A person.
    Users,
    /// A tenant.
    Organizations,
    /// A part of a tenant.
    Accounts,
    /// A part of an account.
    Projects,
    /// Who holds which role where.
    Assignments,
}

impl Kind {
    /// All, in the order in which one needs the other.
    pub const ALL: [Self; 5] = [
        Self::Users,
        Self::Organizations,
        Self::Accounts,
        Self::Projects,
        Self::Assignments,
    ];

    /// Its name in mappings and reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Users => "users",
            Self::Organizations => "organizations",
            Self::Accounts => "accounts",
            Self::Projects => "projects",
            Self::Assignments => "assignments",
        }
    }
}

/// Where a row stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Counted from 1: the line of a file, or which row of a table it was.
    pub number: u64,
    /// The row's own id, where a table has one; `None` for a file.
    pub key: Option<String>,
}

impl Place {
    /// A line of a file.
    #[must_use]
    pub const fn line(number: u64) -> Self {
        Self { number, key: None }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.key.as_deref() {
            None => write!(f, "line {}", self.number),
            Some("") => write!(f, "row {}", self.number),
            Some(key) => write!(f, "row {} (id {key})", self.number),
        }
    }
}

/// What is wrong with a row: a name to search a long report for, and the same for people.
pub type Fault = (&'static str, String);

/// Something about one row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What the row is.
    pub kind: Kind,
    /// Where it stands.
    pub place: Place,
    /// A name to search a long report for.
    pub code: &'static str,
    /// What is wrong and what to do.
    pub message: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { place, code, .. } = self;
        if self.place.key.is_some() {
            write!(f, "{} ", self.kind.as_str())?;
        }
        write!(f, "{place}: {code}: {}", self.message)
    }
}

/// Findings of one sort.
#[derive(Debug, Default)]
pub struct Findings {
    /// The first hundred.
    pub shown: Vec<Finding>,
    /// All of them.
    pub count: u64,
}

impl Findings {
    fn add(&mut self, finding: Finding) {
        self.count += 1;
        if self.shown.len() < SHOWN {
            self.shown.push(finding);
        }
    }
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for finding in &self.shown {
            writeln!(f, "{finding}")?;
        }
        match self.count - self.shown.len() as u64 {
            0 => Ok(()),
            more => writeln!(f, "and {more} more (--report FILE has all)"),
        }
    }
}

/// How many rows of one kind came to what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Rows of the source.
    pub read: u64,
    /// Rows that are new here.
    pub new: u64,
    /// Rows whose thing is here already, and stays as it is.
    pub skipped: u64,
    /// Rows that are not acceptable.
    pub refused: u64,
    /// Roles at the system that were not asked for.
    pub withheld: u64,
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            read, new, skipped, ..
        } = self;
        write!(f, "{read} read, {new} new, {skipped} already there")?;
        if self.refused > 0 {
            write!(f, ", {} not acceptable", self.refused)?;
        }
        if self.withheld > 0 {
            write!(f, ", {} withheld", self.withheld)?;
        }
        Ok(())
    }
}

/// What an import did, or would do.
#[derive(Debug, Default)]
pub struct Report {
    /// For each kind that the source has.
    pub counts: BTreeMap<Kind, Counts>,
    /// How many of the users that were read have which form of hash.
    pub hashes: BTreeMap<String, u64>,
    /// Rows that cannot be taken.
    pub faults: Findings,
    /// Rows that were taken otherwise than they stand there, or that are here already.
    pub notices: Findings,
    /// Users who were administrators there and are none here.
    pub administrators: u64,
    /// Columns of the source that nothing is made of.
    pub unused: BTreeMap<Kind, Vec<String>>,
    /// Where all findings are written.
    file: Option<BufWriter<File>>,
}

impl Report {
    /// One that also writes each finding as a JSON object into the file at `path`.
    ///
    /// # Errors
    ///
    /// The file's.
    pub fn with_file(path: Option<&Path>) -> io::Result<Self> {
        let file = path.map(File::create).transpose()?.map(BufWriter::new);
        Ok(Self {
            file,
            ..Self::default()
        })
    }

    /// The counts of one kind.
    pub fn of(&mut self, kind: Kind) -> &mut Counts {
        self.counts.entry(kind).or_default()
    }

    /// Notes a row that cannot be taken.
    ///
    /// # Errors
    ///
    /// The report's file cannot be written.
    pub fn refuse(&mut self, kind: Kind, place: Place, fault: Fault) -> io::Result<()> {
        self.of(kind).refused += 1;
        let finding = Finding {
            kind,
            place,
            code: fault.0,
            message: fault.1,
        };
        self.write(&finding, true)?;
        self.faults.add(finding);
        Ok(())
    }

    /// Notes something that is worth knowing of a row.
    ///
    /// # Errors
    ///
    /// The report's file cannot be written.
    pub fn notice(&mut self, kind: Kind, place: Place, fault: Fault) -> io::Result<()> {
        let finding = Finding {
            kind,
            place,
            code: fault.0,
            message: fault.1,
        };
        self.write(&finding, false)?;
        self.notices.add(finding);
        Ok(())
    }

    fn write(&mut self, finding: &Finding, refused: bool) -> io::Result<()> {
        let Some(file) = &mut self.file else {
            return Ok(());
        };
        let line = json!({
            "kind": finding.kind.as_str(),
            "number": finding.place.number,
            "id": finding.place.key,
            "refused": refused,
            "code": finding.code,
            "message": finding.message,
        });
        writeln!(file, "{line}")
    }

    /// Writes what is left to the report's file.
    ///
    /// # Errors
    ///
    /// The file's.
    pub fn close(&mut self) -> io::Result<()> {
        self.file.as_mut().map_or(Ok(()), Write::flush)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (kind, counts) in &self.counts {
            writeln!(f, "{:<14} {counts}", kind.as_str())?;
        }
        if !self.hashes.is_empty() {
            let hashes: Vec<_> = self
                .hashes
                .iter()
                .map(|(name, count)| format!("{name} {count}"))
                .collect();
            writeln!(f, "{:<14} {}", "passwords", hashes.join(", "))?;
        }
        for (kind, columns) in &self.unused {
            let columns = columns.join(", ");
            writeln!(
                f,
                "{:<14} columns that are not imported: {columns}",
                kind.as_str()
            )?;
        }
        if self.administrators > 0 {
            writeln!(
                f,
                "New users who were administrators there: {}; here they are not, unless \
                 --administrators says so",
                self.administrators
            )?;
        }
        Ok(())
    }
}
