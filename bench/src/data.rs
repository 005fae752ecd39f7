//! Who there is, and what they hold: the same rows each time, written as `COPY` for `psql`.
//!
//! A hundred people share an organization with three accounts. Everybody is a viewer of their own
//! organization, of an account of another one, and of a project of a third. What is missing between
//! one size and a larger one can be added.

use std::{
    io::{self, BufWriter, Write},
    process::{Command, Stdio},
};

use anyhow::{Context, anyhow, ensure};
use argon2::{Argon2, PasswordHasher};

/// The password of everybody.
pub const PASSWORD: &str = "walnut ferry 88 cobalt moss";
/// Built-in roles, by the policy's data.
const VIEWER: &str = "019a9f00-0000-7000-8000-000000000010";
const ORGANIZATION_ADMIN: &str = "019a9f00-0000-7000-8000-000000000004";
const AUDITOR: &str = "019a9f00-0000-7000-8000-000000000002";

/// People of one organization.
const PER_ORGANIZATION: u32 = 100;
const ACCOUNTS: u32 = 3;
/// An organization's administrator.
pub const ADMIN: u32 = 0;
/// May read everything.
pub const SEES_ALL: u32 = 1;
/// When everything was made.
const THEN: &str = "2026-01-01 00:00:00+00";

/// Kinds of rows, as they stand in their ids.
#[derive(Clone, Copy)]
pub enum Kind {
    User = 1,
    Organization = 2,
    Account = 3,
    /// The first project of an organization, in its first account.
    Project = 4,
    Assignment = 5,
    /// Further projects, in turn in each organization.
    MoreProjects = 6,
}

/// The id of a row.
pub fn id(kind: Kind, number: u32) -> String {
    let kind = kind as u16;
    format!("019a9f00-{kind:04x}-7000-8000-{number:012x}")
}

/// The organization of a person.
pub const fn organization_of(person: u32) -> u32 {
    person / PER_ORGANIZATION
}

/// How many there are.
#[derive(Clone, Copy, Debug, Default)]
pub struct Size {
    pub people: u32,
    /// Besides the one of each organization.
    pub more_projects: u32,
}

impl Size {
    const fn organizations(self) -> u32 {
        self.people.div_ceil(PER_ORGANIZATION)
    }
}

/// Writes what leads from one size to another, as a script for `psql` as a superuser: it leaves the
/// checks of each row out, whose outcome is known.
pub fn write(out: &mut impl Write, from: Size, to: Size) -> anyhow::Result<()> {
    // All have the same hash: it takes as long to check as any.
    let hash = Argon2::default()
        .hash_password(PASSWORD.as_bytes())
        .map_err(|error| anyhow!("argon2: {error}"))?
        .to_string();
    let organizations = from.organizations()..to.organizations();
    let last = to.organizations();
    writeln!(out, "SET session_replication_role = replica;\nBEGIN;")?;
    let columns = "users (id, email, email_normalized, username, username_normalized, \
                   password_hash, display_name, status, created_at, updated_at)";
    copy(out, columns, from.people..to.people, |out, i| {
        let (id, mail) = (id(Kind::User, i), email(i));
        let name = format!("person{i}");
        writeln!(
            out,
            "{id}\t{mail}\t{mail}\t{name}\t{name}\t{hash}\tPerson {i}\tactive\t{THEN}\t{THEN}"
        )
    })?;
    let columns = "organizations (id, name, name_normalized, slug, created_at, updated_at)";
    copy(out, columns, organizations.clone(), |out, i| {
        let (id, name) = (id(Kind::Organization, i), format!("bench-{i}"));
        writeln!(out, "{id}\t{name}\t{name}\t{name}\t{THEN}\t{THEN}")
    })?;
    let columns = "accounts (id, organization_id, name, name_normalized, created_at, updated_at)";
    let accounts = organizations.start * ACCOUNTS..organizations.end * ACCOUNTS;
    copy(out, columns, accounts, |out, i| {
        let above = id(Kind::Organization, i / ACCOUNTS);
        let id = id(Kind::Account, i);
        writeln!(out, "{id}\t{above}\ta{i}\ta{i}\t{THEN}\t{THEN}")
    })?;
    let columns = "projects (id, organization_id, account_id, name, name_normalized, created_at, \
                   updated_at)";
    copy(out, columns, organizations, |out, i| {
        project(out, &id(Kind::Project, i), i, "home")
    })?;
    let more = from.more_projects..to.more_projects;
    copy(out, columns, more, |out, i| {
        let name = format!("p{i}");
        project(out, &id(Kind::MoreProjects, i), i % last, &name)
    })?;
    assignments(out, from, to)?;
    writeln!(out, "COMMIT;\nANALYZE;")?;
    Ok(())
}

fn project(out: &mut impl Write, id: &str, organization: u32, name: &str) -> io::Result<()> {
    let account = self::id(Kind::Account, organization * ACCOUNTS);
    let organization = self::id(Kind::Organization, organization);
    writeln!(
        out,
        "{id}\t{organization}\t{account}\t{name}\t{name}\t{THEN}\t{THEN}"
    )
}

fn assignments(out: &mut impl Write, from: Size, to: Size) -> anyhow::Result<()> {
    let organizations = to.organizations();
    let columns = "user_role_assignments (id, principal_type, user_id, role_id, resource_type, \
                   resource_id, organization_id, created_at)";
    let row = |number, person, role, r#type, resource: &str, organization: &str| {
        let (id, user) = (id(Kind::Assignment, number), id(Kind::User, person));
        format!("{id}\tuser\t{user}\t{role}\t{type}\t{resource}\t{organization}\t{THEN}\n")
    };
    copy(out, columns, from.people..to.people, |out, i| {
        let [own, second, third] =
            [organization_of(i), scatter(i, 1), scatter(i, 2)].map(|at| at % organizations);
        let [home, other, last] = [own, second, third].map(|i| id(Kind::Organization, i));
        let account = id(Kind::Account, second * ACCOUNTS + i % ACCOUNTS);
        let project = id(Kind::Project, third);
        let first = i * 4;
        let more = match i {
            ADMIN => row(3, i, ORGANIZATION_ADMIN, "organization", &home, &home),
            SEES_ALL => row(7, i, AUDITOR, "system", "\\N", "\\N"),
            _ => String::new(),
        };
        let rows = [
            row(first, i, VIEWER, "organization", &home, &home),
            row(first + 1, i, VIEWER, "account", &account, &other),
            row(first + 2, i, VIEWER, "project", &project, &last),
            more,
        ];
        out.write_all(rows.concat().as_bytes())
    })
}

fn copy<W: Write>(
    out: &mut W,
    columns: &str,
    rows: std::ops::Range<u32>,
    mut row: impl FnMut(&mut W, u32) -> io::Result<()>,
) -> anyhow::Result<()> {
    writeln!(out, "COPY {columns} FROM stdin;")?;
    for number in rows {
        row(out, number)?;
    }
    writeln!(out, "\\.")?;
    Ok(())
}

/// A number that looks drawn by lot and is always the same (splitmix64).
pub fn scatter(number: u32, salt: u64) -> u32 {
    let mut state = (u64::from(number) | salt << 32).wrapping_add(0x9e37_79b9_7f4a_7c15);
    state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    u32::try_from((state ^ (state >> 31)) >> 32).unwrap_or_default()
}

/// The address of a person.
pub fn email(number: u32) -> String {
    format!("person{number}@bench.example")
}

/// Adds to the database what is missing between the sizes, through the `psql` on the path, which
/// finds the server by its own variables (`PGHOST` and so on).
pub fn load(from: Size, to: Size) -> anyhow::Result<()> {
    let mut psql = Command::new("psql")
        .args(["--no-psqlrc", "--quiet", "--set", "ON_ERROR_STOP=1"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .context("cannot start psql; bench/run knows where it is")?;
    let input = psql.stdin.take().context("psql takes no input")?;
    let mut out = BufWriter::with_capacity(1 << 20, input);
    write(&mut out, from, to)?;
    drop(out.into_inner()?);
    ensure!(psql.wait()?.success(), "psql could not load the data");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_added_is_what_would_have_been_there_from_the_start() {
        let text = |from, to| {
            let mut out = Vec::new();
            write(&mut out, from, to).unwrap();
            String::from_utf8(out).unwrap()
        };
        let size = |people| Size {
            people,
            more_projects: people,
        };
        let all = text(size(0), size(300));
        let added = text(size(200), size(300));
        let person = id(Kind::User, 250);
        let of = |text: &str| -> Vec<String> {
            let lines = text.lines().filter(|line| line.contains(&person));
            // But for the hash, whose salt is new each time.
            lines
                .map(|line| line.split("$argon2").next().unwrap_or_default().to_owned())
                .collect()
        };
        assert_eq!(of(&all).len(), 4);
        assert_eq!(of(&all), of(&added));
        assert!(!added.contains(&id(Kind::User, 199)));
    }

    #[test]
    fn scattered_numbers_differ_and_stay_the_same() {
        assert_eq!(scatter(7, 1), scatter(7, 1));
        assert_ne!(scatter(7, 1), scatter(7, 2));
        assert_ne!(scatter(7, 1), scatter(8, 1));
    }
}
