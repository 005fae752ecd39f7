//! What the commands print.

use migration::{Planned, PlannedLock, Status};
use serde_json::json;

pub(crate) fn print_status(status: &Status) {
    for step in &status.applied {
        println!("applied  {}  {}", step.at, step.name);
    }
    for name in &status.pending {
        println!("pending  {:19}  {name}", "-");
    }
    for step in &status.unknown {
        println!("unknown  {}  {}", step.at, step.name);
    }
    print_summary(status);
}

pub(crate) fn print_history(status: &Status) {
    let current = status.applied.last().map(|step| step.name.as_str());
    for name in migration::known().iter().rev() {
        let mark = if Some(name.as_str()) == current {
            "  (current)"
        } else {
            ""
        };
        println!("{name}{mark}");
    }
}

pub(crate) fn print_summary(status: &Status) {
    if !status.unknown.is_empty() {
        println!(
            "The database is newer than this program: it has taken {} that are not known here.",
            count(status.unknown.len())
        );
    }
    if status.pending.is_empty() {
        println!("The schema is up to date.");
    } else {
        println!("Missing: {}.", count(status.pending.len()));
    }
}

fn count(steps: usize) -> String {
    match steps {
        1 => "1 step".to_owned(),
        steps => format!("{steps} steps"),
    }
}

/// The plan for people.
pub(crate) fn print_plan(planned: &[Planned]) {
    if planned.is_empty() {
        println!("The schema is up to date: there is nothing to do.");
        return;
    }
    for step in planned {
        let online = if step.is_online() {
            "online"
        } else {
            "OFFLINE"
        };
        println!("{:7}  {}", online, step.name);
        if !step.makes.is_empty() {
            println!("         makes {}", step.makes.join(", "));
        }
        for lock in &step.locks {
            print_lock(lock);
        }
    }
    let offline = planned.iter().filter(|step| !step.is_online()).count();
    println!("Missing: {}.", count(planned.len()));
    if offline > 0 {
        println!(
            "{} would keep others waiting for as long as the work takes: choose a quiet hour.",
            count(offline)
        );
    }
}

fn print_lock(lock: &PlannedLock) {
    let rows = lock.rows.map_or("not counted yet".to_owned(), |rows| {
        format!("about {rows} rows")
    });
    let work = if lock.work.is_empty() {
        String::new()
    } else {
        format!("; {}", lock.work.join(", "))
    };
    let time = if lock.is_brief() { ", briefly" } else { "" };
    println!(
        "         {} ({rows}): {}, keeps {} waiting{time}{work}",
        lock.table,
        lock.mode.as_str(),
        lock.mode.keeps_waiting()
    );
}

/// The plan for programs.
pub(crate) fn print_plan_json(planned: &[Planned], schema: &str) {
    let steps: Vec<_> = planned
        .iter()
        .map(|step| {
            let locks: Vec<_> = step
                .locks
                .iter()
                .map(|lock| {
                    json!({
                        "table": lock.table,
                        "mode": lock.mode.as_str(),
                        "keeps_waiting": lock.mode.keeps_waiting(),
                        "brief": lock.is_brief(),
                        "work": lock.work,
                        "estimated_rows": lock.rows,
                    })
                })
                .collect();
            json!({
                "name": step.name,
                "online": step.is_online(),
                "makes": step.makes,
                "locks": locks,
            })
        })
        .collect();
    let online = planned.iter().all(Planned::is_online);
    println!(
        "{:#}",
        json!({"schema": schema, "online": online, "pending": steps})
    );
}

/// The SQL of the missing steps.
pub(crate) fn print_sql(planned: &[Planned], schema: &str) {
    for step in planned {
        if let Some(sql) = migration::sql_of(&step.name, schema) {
            println!("-- {}\n{sql}", step.name);
        }
    }
}
