//! P10: how much room there is, and what drifts.

use serde::Deserialize;

use super::{
    Target, ask,
    class::{Class, Phase},
    report::{Finding, Report, Stopped},
    session::Facts,
    wire::Wire,
};

/// What an instance opens besides its pool: the connection that listens for changes.
const BESIDES: i64 = 1;
/// Standbys that are further behind are told.
const BEHIND: f64 = 10.0;

const ROOM: &str = "SELECT json_build_object(
    'max', current_setting('max_connections')::int,
    'reserved', current_setting('superuser_reserved_connections')::int
        + coalesce(current_setting('reserved_connections', true)::int, 0),
    'database_limit', (SELECT datconnlimit FROM pg_database WHERE datname = current_database()),
    'used', (SELECT count(*) FROM pg_stat_activity
        WHERE datid IS NOT NULL AND coalesce(backend_type, 'client backend') = 'client backend'),
    'of_role', (SELECT count(*) FROM pg_stat_activity WHERE usename = current_user),
    'of_database', (SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()),
    'ours', (SELECT count(*) FROM pg_stat_activity WHERE application_name = 'gatepost'),
    'blocked', (SELECT coalesce(json_agg(json_build_array(pid, pg_blocking_pids(pid))), '[]') FROM pg_stat_activity
        WHERE datname = current_database() AND cardinality(pg_blocking_pids(pid)) > 0),
    'idle_timeout', (SELECT setting::bigint FROM pg_settings WHERE name = 'idle_session_timeout'),
    'synchronous', current_setting('synchronous_standby_names'),
    'standbys', (SELECT coalesce(json_agg(json_build_object('name', application_name, 'state', sync_state,
        'behind', extract(epoch FROM replay_lag))), '[]') FROM pg_stat_replication)
  )::text";

#[derive(Debug, Deserialize)]
struct Room {
    max: i64,
    reserved: i64,
    database_limit: i64,
    used: i64,
    of_role: i64,
    of_database: i64,
    ours: i64,
    blocked: Vec<(i32, Vec<i32>)>,
    idle_timeout: Option<u64>,
    synchronous: String,
    standbys: Vec<Standby>,
}

#[derive(Debug, Deserialize)]
struct Standby {
    name: Option<String>,
    state: Option<String>,
    behind: Option<f64>,
}

/// Compares what an instance needs with what there is, and looks at the standbys.
pub async fn look(
    wire: &mut Wire,
    target: &Target<'_>,
    facts: &Facts,
    report: &mut Report,
) -> Result<(), Stopped> {
    let room: Room = ask(wire, Phase::Capacity, ROOM, report).await?;
    judge_room(&room, target, facts, report);
    judge_blocked(&room, report);
    judge_standbys(&room, report);
    let idle = target.pool.idle_timeout;
    if let Some(limit) = room.idle_timeout.filter(|limit| *limit > 0)
        && u128::from(limit) < idle.as_millis()
    {
        report.add(
            Finding::warning(Phase::Capacity, Class::ConnectionLost)
                .saying(format!(
                    "the server ends sessions that are idle for {limit} ms, and the pool keeps them for {} s",
                    idle.as_secs()
                ))
                .with_fix(format!(
                    "Set DATABASE_IDLE_TIMEOUT below {} s, or idle_session_timeout higher.",
                    (limit / 1000).max(1)
                )),
        );
    }
    report.end(Phase::Capacity)
}

fn judge_room(room: &Room, target: &Target<'_>, facts: &Facts, report: &mut Report) {
    let need = i64::from(target.pool.size) + BESIDES;
    // This check's own session ends before an instance starts.
    let free = |limit: i64, used: i64| limit - (used - 1).max(0);
    let server = free(room.max - room.reserved, room.used);
    let limits = [
        ("the server", Some(server)),
        (
            "the role",
            (facts.role_limit >= 0).then(|| free(facts.role_limit, room.of_role)),
        ),
        (
            "the database",
            (room.database_limit >= 0).then(|| free(room.database_limit, room.of_database)),
        ),
    ];
    let all = room.max - room.reserved;
    report.add(Finding::info(
        Phase::Capacity,
        format!(
            "connections: {} of {} used ({} reserved, {} by Gatepost); an instance opens up to {need}, so {} instances fit on an empty server",
            room.used - 1, room.max, room.reserved, room.ours, all / need
        ),
    ));
    for (whose, left) in limits {
        let Some(left) = left.filter(|left| *left < need) else {
            continue;
        };
        let class = if whose == "the server" {
            Class::TooManyConnections
        } else {
            Class::ConnectionLimit
        };
        let lower = (left - BESIDES).max(1);
        let mut finding = Finding::warning(Phase::Capacity, class).saying(format!(
            "{whose} has {} connections left, and an instance opens up to {need}",
            left.max(0)
        ));
        if class == Class::TooManyConnections {
            finding = finding.with_fix(format!(
                "Set DATABASE_MAX_SIZE to {lower} or less, or raise max_connections (a restart)."
            ));
        }
        report.add(finding);
    }
}

fn judge_blocked(room: &Room, report: &mut Report) {
    if room.blocked.is_empty() {
        return;
    }
    let who: Vec<_> = room
        .blocked
        .iter()
        .map(|(waits, holders)| {
            let holders: Vec<_> = holders.iter().map(ToString::to_string).collect();
            format!("{waits} waits for {}", holders.join(", "))
        })
        .collect();
    report.add(
        Finding::warning(Phase::Capacity, Class::Contention).saying(format!(
            "sessions wait for the locks of others: {}",
            who.join("; ")
        )),
    );
}

fn judge_standbys(room: &Room, report: &mut Report) {
    let finding = || Finding::warning(Phase::Capacity, Class::Replication);
    let is_synchronous =
        |standby: &&Standby| matches!(standby.state.as_deref(), Some("sync" | "quorum"));
    if !room.synchronous.is_empty() && room.standbys.iter().find(is_synchronous).is_none() {
        // Without the privilege to see it the state is missing, not another one.
        if room.standbys.iter().all(|standby| standby.state.is_some()) {
            report.add(finding().saying(format!(
                "no standby of synchronous_standby_names ({}) follows: every commit waits",
                super::printable(&room.synchronous)
            )));
        }
    }
    for standby in &room.standbys {
        let name = super::printable(standby.name.as_deref().unwrap_or("?"));
        match standby.behind {
            Some(seconds) if seconds > BEHIND => {
                report
                    .add(finding().saying(format!("the standby {name} is {seconds:.0} s behind")));
            }
            _ => report.add(Finding::info(
                Phase::Capacity,
                format!(
                    "the standby {name} follows ({})",
                    standby.state.as_deref().unwrap_or("unseen")
                ),
            )),
        }
    }
}
