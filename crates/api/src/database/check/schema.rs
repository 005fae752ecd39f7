//! P9: how far the schema is.

use serde::Deserialize;

use super::{
    ask,
    class::{Class, Phase},
    privileges::Tables,
    report::{Finding, Report, Severity, Stopped},
    session::Facts,
    text::identifier,
    wire::Wire,
};

#[derive(Debug, Deserialize)]
struct History {
    /// None: there is no table of steps.
    taken: Option<Vec<String>>,
    /// The process that migrates just now.
    migrating: Option<i32>,
}

/// Compares the steps that the database has taken with those that this program knows.
pub async fn look(
    wire: &mut Wire,
    facts: &Facts,
    tables: &Tables,
    report: &mut Report,
) -> Result<(), Stopped> {
    let exists = "SELECT to_json(to_regclass('seaql_migrations') IS NOT NULL)::text";
    let has_history: bool = ask(wire, Phase::Migrations, exists, report).await?;
    let taken = if has_history {
        "(SELECT coalesce(json_agg(version ORDER BY version), '[]') FROM seaql_migrations)"
    } else {
        "NULL"
    };
    let sql = format!(
        "SELECT json_build_object('taken', {taken}, 'migrating', (SELECT pid FROM pg_locks
           WHERE locktype = 'advisory' AND granted AND objsubid = 1
             AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
             AND (classid::bigint << 32) | objid::bigint = {} LIMIT 1))::text",
        migration::LOCK_KEY
    );
    let history: History = ask(wire, Phase::Migrations, &sql, report).await?;
    if let Some(process) = history.migrating {
        let mut finding = Finding::warning(Phase::Migrations, Class::MigrationState).saying(
            format!("somebody migrates just now (server process {process})"),
        );
        finding.fix = Some("Wait for it to end.".to_owned());
        report.add(finding);
    }
    judge(history.taken.as_deref(), facts, tables, report);
    report.end(Phase::Migrations)
}

fn judge(taken: Option<&[String]>, facts: &Facts, tables: &Tables, report: &mut Report) {
    let known = migration::known();
    let taken = taken.unwrap_or_default();
    let pending: Vec<_> = known.iter().filter(|step| !taken.contains(step)).collect();
    let unknown: Vec<_> = taken.iter().filter(|step| !known.contains(step)).collect();
    let ours = taken.len() - unknown.len();
    if ours == 0 && (!tables.others.is_empty() || !unknown.is_empty()) {
        let what = if tables.others.is_empty() {
            "its migrations are of another program".to_owned()
        } else {
            format!("it holds {}", tables.others.join(", "))
        };
        report.add(Finding::error(Phase::Migrations, Class::OtherSystem).because(what));
        return;
    }
    let finding = Finding::error(Phase::Migrations, Class::MigrationState);
    if taken.is_empty() {
        report.add(finding.saying("the database is empty: it has no schema yet"));
    } else if let Some(first) = pending.first() {
        let is_partial = taken
            .iter()
            .any(|step| step > *first && known.contains(step));
        let number = pending.len();
        let text = if is_partial {
            format!(
                "{number} migrations were left out, the first is {first}, though later ones were applied"
            )
        } else {
            format!("{number} migrations are pending, from {first} on")
        };
        report.add(finding.saying(text));
        if !tables.owned() {
            report.add(
                Finding::warning(Phase::Migrations, Class::NotOwner)
                    .because(format!("{} may not apply them", identifier(&facts.user))),
            );
        }
    }
    if !unknown.is_empty() {
        let names: Vec<_> = unknown.iter().map(|step| super::printable(step)).collect();
        let mut newer = Finding::warning(Phase::Migrations, Class::MigrationState)
            .saying(format!(
                "the database is newer than this program, which does not know {}",
                names.join(", ")
            ))
            .with_fix("Upgrade the program.");
        newer.severity = Severity::Warning;
        report.add(newer);
    } else if pending.is_empty() {
        let text = format!("all {} migrations are applied", known.len());
        report.add(Finding::info(Phase::Migrations, text));
    }
}
