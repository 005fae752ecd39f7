//! Whether a pooler such as `PgBouncer` stands between, and how it is set.

use super::{
    class::{Class, Phase},
    connect::{Connector, Way},
    report::{Finding, Report, Severity, Stopped},
    session::{Facts, failure},
    wire::{Fault, Wire},
};

/// The name under which a statement is prepared to see what becomes of it.
const NAME: &str = "gatepost_check";

/// Finds out. A pooler gives us a process number of its own, so a server that knows another one is
/// behind a pooler; if two sessions that are open at once get one process, it pools transactions.
pub async fn look(
    wire: &mut Wire,
    connector: &Connector<'_>,
    way: &Way,
    facts: &mut Facts,
    report: &mut Report,
) -> Result<(), Stopped> {
    if wire.process == facts.process {
        return Ok(());
    }
    facts.pooled = match shares(wire, connector, way).await {
        Ok(shares) => shares,
        Err(fault) => return Err(report.stop(failure(Phase::Session, fault))),
    };
    if !facts.pooled {
        report.add(Finding::info(
            Phase::Session,
            "a pooler is between, and gives this session a connection of its own",
        ));
        return Ok(());
    }
    let mut finding = Finding::warning(Phase::Session, Class::PoolerSession);
    finding.severity = Severity::Info;
    report.add(finding);
    let is_told = connector.target.url.is_pooled();
    match keeps_statements(wire).await {
        Ok(true) => {}
        Ok(false) if is_told => report.add(Finding::info(
            Phase::Session,
            "the pooler keeps no prepared statements, and the URL says so: none are used",
        )),
        Ok(false) => report.add(Finding::error(Phase::Session, Class::PreparedStatements)),
        Err(fault) => return Err(report.stop(failure(Phase::Session, fault))),
    }
    Ok(())
}

async fn shares(wire: &mut Wire, connector: &Connector<'_>, way: &Way) -> Result<bool, Fault> {
    let first = process(wire, "SELECT pg_backend_pid()").await?;
    let Some(mut other) = connector.another(way).await else {
        return Ok(false);
    };
    // An open transaction keeps its process, so ours has to move on if it was the same.
    let held = process(&mut other, "BEGIN; SELECT pg_backend_pid()").await?;
    let second = process(wire, "SELECT pg_backend_pid()").await?;
    other.query("ROLLBACK").await?;
    other.close().await;
    Ok(first == held || first != second)
}

async fn process(wire: &mut Wire, sql: &str) -> Result<Option<String>, Fault> {
    let rows = wire.query(sql).await?;
    Ok(rows
        .into_iter()
        .next_back()
        .and_then(|row| row.into_iter().next().flatten()))
}

/// A pooler that keeps track of prepared statements gives them names of its own; one that does not
/// passes ours on, and the next transaction may find another session. Asked within a transaction, so
/// that question and answer meet one session.
async fn keeps_statements(wire: &mut Wire) -> Result<bool, Fault> {
    wire.query("BEGIN").await?;
    let prepared = wire.prepare(NAME, "SELECT 1").await;
    if let Err(Fault::Server(error)) = &prepared
        && error.sqlstate == "42P05"
    {
        wire.query("ROLLBACK").await?;
        return Ok(false);
    }
    prepared?;
    let sql = format!("SELECT count(*) FROM pg_prepared_statements WHERE name = '{NAME}'");
    let is_raw = process(wire, &sql).await?.as_deref() != Some("0");
    if is_raw {
        // Leave nothing behind for whoever gets the session next.
        wire.query(&format!("DEALLOCATE {NAME}")).await?;
    }
    wire.query("ROLLBACK").await?;
    Ok(!is_raw)
}
