//! P7 and P8: what the role may do with what is there.

use std::fmt::Write as _;

use serde::Deserialize;

use super::{
    ask,
    class::{Class, Phase},
    report::{Finding, Report, Severity, Stopped},
    session::{Facts, failure},
    text::{identifier, literal},
    wire::{Fault, Wire},
};

/// What of ours is there.
#[derive(Debug, Deserialize)]
pub struct Tables {
    ours: Vec<Table>,
    /// Tables of others in the schema, a few of them.
    pub others: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Table {
    name: String,
    exists: bool,
    owned: bool,
    missing: Vec<String>,
}

impl Tables {
    /// Whether any table of ours is there.
    pub fn any(&self) -> bool {
        self.ours.iter().any(|table| table.exists)
    }

    /// Whether all are.
    fn all(&self) -> bool {
        self.ours.iter().all(|table| table.exists)
    }

    /// Whether the role owns all those that are there.
    pub fn owned(&self) -> bool {
        self.ours.iter().all(|table| table.owned || !table.exists)
    }
}

/// Which privileges the role lacks on the tables, all at once, and whether a write goes through; it
/// is rolled back.
pub async fn look(wire: &mut Wire, facts: &Facts, report: &mut Report) -> Result<Tables, Stopped> {
    let rights: Vec<_> = migration::api_rights()
        .iter()
        .map(|(table, rights)| format!("({}, {})", literal(table), literal(rights)))
        .collect();
    let sql = format!(
        "WITH place AS (SELECT oid FROM pg_namespace WHERE nspname = current_schema()),
           wanted (name, rights) AS (VALUES {}),
           found AS (SELECT c.oid, c.relname, c.relowner, c.relispartition FROM pg_class c JOIN place ON place.oid = c.relnamespace
                     WHERE c.relkind IN ('r', 'p'))
         SELECT json_build_object(
           'ours', (SELECT json_agg(json_build_object('name', w.name, 'exists', f.oid IS NOT NULL,
               'owned', coalesce(f.relowner = (SELECT oid FROM pg_roles WHERE rolname = current_user), false),
               'missing', (SELECT coalesce(json_agg(r), '[]') FROM unnest(string_to_array(w.rights, ', ')) r
                           WHERE f.oid IS NOT NULL AND NOT has_table_privilege(f.oid, r))) ORDER BY w.name)
             FROM wanted w LEFT JOIN found f ON f.relname = w.name),
           'others', (SELECT coalesce(json_agg(o.relname), '[]') FROM (SELECT relname FROM found
               WHERE NOT relispartition AND relname NOT IN (SELECT name FROM wanted) ORDER BY relname LIMIT 5) o))::text",
        rights.join(", ")
    );
    let tables: Tables = ask(wire, Phase::Privileges, &sql, report).await?;
    judge(&tables, facts, report);
    if report.end(Phase::Privileges).is_err() {
        return Err(Stopped);
    }
    report.passed.pop();
    try_to_write(wire, &tables, report).await?;
    report.end(Phase::Privileges)?;
    Ok(tables)
}

fn judge(tables: &Tables, facts: &Facts, report: &mut Report) {
    let user = identifier(&facts.user);
    let schema = identifier(facts.schema.as_deref().unwrap_or("public"));
    if !tables.any() {
        if !facts.may_create && tables.others.is_empty() {
            report.add(Finding::error(Phase::Privileges, Class::SchemaClosed).with_fix(format!(
                "As the schema's owner: GRANT USAGE, CREATE ON SCHEMA {schema} TO {user}; or set MIGRATION_DATABASE_URL to an owner's URL and run `gatepost-migrate up`."
            )));
        }
        return;
    }
    let lacking = tables.ours.iter().filter(|table| !table.missing.is_empty());
    let mut script = String::new();
    let mut names = Vec::new();
    for table in lacking {
        let rights = table.missing.join(", ");
        let name = identifier(&table.name);
        let _ = write!(script, "\nGRANT {rights} ON {schema}.{name} TO {user};");
        names.push(format!("{} ({rights})", table.name));
    }
    if !names.is_empty() {
        report.add(
            Finding::error(Phase::Privileges, Class::TableForbidden)
                .because(names.join(", "))
                .with_fix(format!(
                    "As the owner of the tables, or by `gatepost-migrate up` with DATABASE_API_ROLE={user}:{script}"
                )),
        );
    }
    if tables.owned() && tables.any() {
        let mut finding = Finding::info(
            Phase::Privileges,
            format!("{user} owns the tables: a fault of the service could change the schema"),
        )
        .with_fix("Keep this role for migrations (MIGRATION_DATABASE_URL), and serve as another (DATABASE_API_ROLE).");
        finding.severity = Severity::Warning;
        report.add(finding);
    }
}

/// Writes a little, so that a full disk or a trigger shows, and takes it back.
async fn try_to_write(
    wire: &mut Wire,
    tables: &Tables,
    report: &mut Report,
) -> Result<(), Stopped> {
    // Half a megabyte, so that the table has to grow.
    let temporary = "BEGIN; CREATE TEMPORARY TABLE gatepost_check (t text) ON COMMIT DROP;
         INSERT INTO gatepost_check SELECT repeat('x', 1000) FROM generate_series(1, 500)";
    let real = "BEGIN; INSERT INTO idempotency_keys (principal, key, request_hash, expires_at)
           VALUES ('gatepost check', 'gatepost check', '\\x00', now());
         UPDATE idempotency_keys SET status = 0 WHERE principal = 'gatepost check';
         DELETE FROM idempotency_keys WHERE principal = 'gatepost check'";
    for (sql, is_ours) in [(temporary, false), (real, true)] {
        if is_ours && !tables.all() {
            continue;
        }
        let written = wire.query(sql).await;
        if let Err(Fault::Server(error)) = &written
            && !is_ours
            && error.sqlstate == "42501"
        {
            report.add(Finding::info(
                Phase::Privileges,
                "the role may make no temporary tables, so writing was tried on a small scale only",
            ));
        } else if let Err(fault) = written {
            return Err(report.stop(failure(Phase::Privileges, fault)));
        }
        if let Err(fault) = wire.query("ROLLBACK").await {
            return Err(report.stop(failure(Phase::Privileges, fault)));
        }
    }
    Ok(())
}

#[derive(Debug, Deserialize)]
struct Function {
    name: String,
    exists: bool,
    allowed: bool,
}

#[derive(Debug, Deserialize)]
struct Functions {
    ours: Vec<Function>,
    /// None: not installed on the machine. Some(None): not created.
    statements: Option<Extension>,
}

#[derive(Debug, Deserialize)]
struct Extension {
    version: Option<String>,
}

/// P8: the functions that the service calls, and the one extension that is of use.
pub async fn functions(
    wire: &mut Wire,
    facts: &Facts,
    tables: &Tables,
    report: &mut Report,
) -> Result<(), Stopped> {
    let names: Vec<_> = migration::API_FUNCTIONS
        .iter()
        .map(|name| format!("({})", literal(name)))
        .collect();
    let sql = format!(
        "SELECT json_build_object(
           'ours', (SELECT json_agg(json_build_object('name', f.name, 'exists', to_regprocedure(f.name) IS NOT NULL,
               'allowed', coalesce(has_function_privilege(to_regprocedure(f.name), 'EXECUTE'), false)))
             FROM (VALUES {}) AS f (name)),
           'statements', (SELECT json_build_object('version', installed_version)
             FROM pg_available_extensions WHERE name = 'pg_stat_statements'))::text",
        names.join(", ")
    );
    let functions: Functions = ask(wire, Phase::Functions, &sql, report).await?;
    let user = identifier(&facts.user);
    for function in functions.ours.iter().filter(|_| tables.all()) {
        if !function.exists {
            let what = format!("the function {} is not there", function.name);
            report.add(Finding::error(Phase::Functions, Class::ExtensionNotCreated).because(what));
        } else if !function.allowed {
            let name = &function.name;
            report.add(
                Finding::error(Phase::Functions, Class::TableForbidden)
                    .saying(format!("the role may not call the function {name}"))
                    .with_fix(format!(
                        "As its owner: GRANT EXECUTE ON FUNCTION {name} TO {user};"
                    )),
            );
        }
    }
    let (class, text) = match functions.statements {
        None => (
            Class::ExtensionMissing,
            "pg_stat_statements is not installed: `gatepost db stats` shows no slow queries",
        ),
        Some(Extension { version: None }) => (
            Class::ExtensionNotCreated,
            "pg_stat_statements is not created in this database: `gatepost db stats` shows no slow queries",
        ),
        Some(_) => return report.end(Phase::Functions),
    };
    let mut finding = Finding::warning(Phase::Functions, class).saying(text);
    finding.severity = Severity::Info;
    finding.fix = None;
    report.add(finding);
    report.end(Phase::Functions)
}
