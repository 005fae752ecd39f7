//! The statements that make a database and its two roles, each with when it is needed: once for the
//! program that runs them and for the script that somebody else runs.

use std::fmt::Write as _;

use super::Names;

/// Where a statement runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// In any database of the server.
    Server,
    /// In the database that is set up.
    Database,
}

/// One statement.
#[derive(Clone, Debug)]
pub(super) struct Step {
    pub(super) place: Place,
    /// An SQL condition; what was done before is not done again.
    pub(super) when: String,
    pub(super) statement: String,
    /// What to tell when it was done. Empty: nothing changed for others.
    pub(super) told: String,
}

/// What the server keeps of the roles' passwords.
pub(crate) struct Verifiers {
    pub(crate) owner: String,
    pub(crate) api: String,
}

/// A role that may log in and nothing else: the defaults of `CREATE ROLE`. Writing out NOSUPERUSER
/// and its like would ask a managed server's administrator for rights that they have not.
pub(crate) fn create_role(role: &str, verifier: &str) -> String {
    format!("CREATE ROLE \"{role}\" LOGIN PASSWORD '{verifier}'")
}

pub(super) fn set_password(role: &str, verifier: &str) -> String {
    format!("ALTER ROLE \"{role}\" PASSWORD '{verifier}'")
}

/// From `template0`, the only template that every server has without somebody's additions.
pub(crate) fn create_database(names: &Names) -> String {
    let Names {
        database, owner, ..
    } = names;
    format!("CREATE DATABASE \"{database}\" OWNER \"{owner}\" TEMPLATE template0 ENCODING 'UTF8'")
}

pub(crate) fn close_database(names: &Names) -> String {
    let database = &names.database;
    format!("REVOKE ALL ON DATABASE \"{database}\" FROM PUBLIC")
}

pub(crate) fn open_database(names: &Names, role: &str) -> String {
    let database = &names.database;
    format!("GRANT CONNECT ON DATABASE \"{database}\" TO \"{role}\"")
}

/// All of them, in their order.
pub(super) fn steps(names: &Names, verifiers: &Verifiers, rotate: bool) -> Vec<Step> {
    let mut steps = roles(names, verifiers, rotate);
    steps.extend(database(names));
    steps.extend(schema(names));
    steps
}

fn step(place: Place, when: impl Into<String>, statement: String, told: String) -> Step {
    Step {
        place,
        when: when.into(),
        statement,
        told,
    }
}

fn roles(names: &Names, verifiers: &Verifiers, rotate: bool) -> Vec<Step> {
    let Names { owner, .. } = names;
    let mut steps = Vec::new();
    for (role, verifier) in [(owner, &verifiers.owner), (&names.api, &verifiers.api)] {
        let exists = format!("EXISTS (SELECT FROM pg_roles WHERE rolname = '{role}')");
        if rotate {
            steps.push(step(
                Place::Server,
                exists.clone(),
                set_password(role, verifier),
                format!("new password of role {role}"),
            ));
        }
        steps.push(step(
            Place::Server,
            format!("NOT {exists}"),
            create_role(role, verifier),
            format!("role {role}"),
        ));
    }
    // Whoever is no superuser can only give a database to a role that they could become. Until
    // PostgreSQL 15 membership says so; since 16 it is a right of its own.
    steps.push(step(
        Place::Server,
        format!(
            "NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user)
             AND NOT pg_has_role('{owner}', CASE
                 WHEN current_setting('server_version_num')::int >= 160000 THEN 'SET'
                 ELSE 'MEMBER' END)"
        ),
        format!("GRANT \"{owner}\" TO CURRENT_USER"),
        format!("membership of the administrator in {owner}"),
    ));
    steps
}

fn database(names: &Names) -> Vec<Step> {
    let Names {
        database,
        owner,
        api,
        ..
    } = names;
    let mut steps = vec![step(
        Place::Server,
        format!("NOT EXISTS (SELECT FROM pg_database WHERE datname = '{database}')"),
        create_database(names),
        format!("database {database}"),
    )];
    for role in [owner, api] {
        // In a database of ours everybody else is locked out below, and the owner has every right.
        steps.push(step(
            Place::Database,
            format!(
                "NOT {} AND NOT has_database_privilege('{role}', current_database(), 'CONNECT')",
                is_ours(names)
            ),
            open_database(names, role),
            format!("right of {role} to connect to database {database}"),
        ));
    }
    steps
}

/// Whether the database belongs to the owner's role; otherwise others use it too.
fn is_ours(names: &Names) -> String {
    format!(
        "(SELECT pg_get_userbyid(datdba) = '{}' FROM pg_database
          WHERE datname = current_database())",
        names.owner
    )
}

fn schema(names: &Names) -> Vec<Step> {
    let Names {
        database,
        schema,
        owner,
        api,
    } = names;
    let ours = is_ours(names);
    let here = |when: String, statement: String, told: String| {
        step(Place::Database, when, statement, told)
    };
    vec![
        here(
            format!("NOT EXISTS (SELECT FROM pg_namespace WHERE nspname = '{schema}')"),
            format!("CREATE SCHEMA \"{schema}\" AUTHORIZATION \"{owner}\""),
            format!("schema {schema}"),
        ),
        here(
            format!(
                "NOT (has_schema_privilege('{owner}', '{schema}', 'CREATE')
                     AND has_schema_privilege('{owner}', '{schema}', 'USAGE'))"
            ),
            format!("GRANT USAGE, CREATE ON SCHEMA \"{schema}\" TO \"{owner}\""),
            format!("right of {owner} to make tables in schema {schema}"),
        ),
        // Servers before PostgreSQL 15 let everybody make tables in `public`.
        here(
            format!(
                "{ours} AND EXISTS (
                     SELECT FROM pg_namespace, aclexplode(nspacl) AS granted
                     WHERE nspname = '{schema}' AND grantee = 0 AND privilege_type = 'CREATE'
                       AND pg_has_role(nspowner, 'USAGE'))"
            ),
            format!("REVOKE CREATE ON SCHEMA \"{schema}\" FROM PUBLIC"),
            format!("end of everybody's right to make tables in schema {schema}"),
        ),
        here(
            "true".to_owned(),
            format!("SET ROLE \"{owner}\""),
            String::new(),
        ),
        here(
            format!(
                "{ours} AND EXISTS (
                     SELECT FROM pg_database, aclexplode(coalesce(datacl, acldefault('d', datdba)))
                     WHERE datname = current_database() AND grantee = 0)"
            ),
            close_database(names),
            format!("end of everybody's right to connect to database {database}"),
        ),
        here(
            format!(
                "{ours} AND NOT has_database_privilege('{api}', current_database(), 'CONNECT')"
            ),
            open_database(names, api),
            format!("right of {api} to connect to database {database}"),
        ),
        here(
            format!("NOT has_schema_privilege('{api}', '{schema}', 'USAGE')"),
            format!("GRANT USAGE ON SCHEMA \"{schema}\" TO \"{api}\""),
            format!("right of {api} to use schema {schema}"),
        ),
        // Rights on tables come with the tables (`gatepost-migrate up`), one by one. What the owner
        // makes from now on is nobody's until it is granted, functions too.
        here(
            format!(
                "NOT EXISTS (SELECT FROM pg_default_acl WHERE defaclnamespace = 0
                     AND defaclobjtype = 'f' AND pg_get_userbyid(defaclrole) = '{owner}')"
            ),
            format!(
                "ALTER DEFAULT PRIVILEGES FOR ROLE \"{owner}\" \
                 REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC"
            ),
            format!("default privileges of {owner}: nothing for everybody"),
        ),
    ]
}

/// The same for `psql`: it looks at each condition when its turn comes, so the script may be run
/// again.
pub(super) fn script(names: &Names, steps: &[Step]) -> String {
    let database = &names.database;
    let mut text = format!(
        "-- Makes the database {database}, its owner and the role of the API. Run it with psql as a\n\
         -- superuser, or as a role with CREATEDB and CREATEROLE. It may be run again: what is there\n\
         -- stays. It holds what the server keeps of the passwords, not the passwords.\n\
         \\set ON_ERROR_STOP on\n\
         \\set QUIET on\n"
    );
    let mut place = Place::Server;
    for step in steps {
        if step.place != place {
            place = step.place;
            text.push_str("\\connect \"");
            text.push_str(database);
            text.push_str("\"\n");
        }
        let when = step.when.split_whitespace().collect::<Vec<_>>().join(" ");
        writeln!(
            text,
            "SELECT $sql${}$sql$ WHERE {when} \\gexec",
            step.statement
        )
        .expect("a String takes all that is written");
    }
    text
}
