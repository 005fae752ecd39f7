//! What a plan foretells is what happens, and what would be lost is said before.

use std::{collections::BTreeMap, process::Stdio};

use migration::{Down, How, MigrateError, Mode};
use sqlx::{AssertSqlSafe, Executor, Row};

use crate::{Database, fill, program::program, run, system};

const CAREFUL: How = How {
    patience: std::time::Duration::ZERO,
    lose_data: false,
};

fn mode(name: &str) -> Option<Mode> {
    Some(match name {
        "RowExclusiveLock" => Mode::RowExclusive,
        "ShareUpdateExclusiveLock" => Mode::ShareUpdateExclusive,
        "ShareLock" => Mode::Share,
        "ShareRowExclusiveLock" => Mode::ShareRowExclusive,
        "AccessExclusiveLock" => Mode::AccessExclusive,
        _ => return None,
    })
}

#[tokio::test]
async fn each_step_takes_the_locks_that_its_plan_tells() {
    let database = Database::empty();
    let db = database.connect("auth").await;
    migration::up(&db, "auth").await.unwrap();
    let everything = Down::Steps(1000);
    migration::down(&db, "auth", &everything, crate::RASH)
        .await
        .unwrap();
    let owner = database.as_owner();
    for name in migration::known() {
        let planned = migration::plan(&db).await.unwrap().remove(0);
        assert_eq!(planned.name, name);
        let foretold: BTreeMap<String, Mode> = planned
            .locks
            .iter()
            .map(|lock| (lock.table.clone(), lock.mode))
            .collect();
        let mut transaction = owner.begin().await.unwrap();
        let there: Vec<i64> = sqlx::query_scalar(
            "SELECT oid::bigint FROM pg_class WHERE relkind IN ('r', 'p') AND NOT relispartition
             AND relnamespace = 'auth'::regnamespace AND relname <> 'seaql_migrations'",
        )
        .fetch_all(&mut *transaction)
        .await
        .unwrap();
        let sql = migration::sql_of(&name, "auth").unwrap();
        transaction
            .execute(sqlx::raw_sql(AssertSqlSafe(sql)))
            .await
            .unwrap();
        let rows = sqlx::query(
            "SELECT c.relname::text, l.mode FROM pg_locks l JOIN pg_class c ON c.oid = l.relation
             WHERE l.pid = pg_backend_pid() AND l.locktype = 'relation'
               AND c.oid::bigint = ANY ($1)",
        )
        .bind(&there)
        .fetch_all(&mut *transaction)
        .await
        .unwrap();
        let mut taken: BTreeMap<String, Mode> = BTreeMap::new();
        for row in rows {
            let Some(mode) = mode(row.get("mode")) else {
                continue;
            };
            let strongest = taken.entry(row.get("relname")).or_insert(mode);
            *strongest = mode.max(*strongest);
        }
        assert_eq!(foretold, taken, "{name}");
        transaction.commit().await.unwrap();
        migration::stamp(&db, "auth", &name).await.unwrap();
    }
    assert_eq!(migration::plan(&db).await.unwrap(), []);
}

#[tokio::test]
async fn a_plan_counts_rows_and_says_who_would_wait() {
    let database = Database::migrated().await;
    fill(&database).await;
    let db = database.connect("auth").await;
    let to = Down::To("m20261121_000024".to_owned());
    migration::down(&db, "auth", &to, CAREFUL).await.unwrap();
    let name = &database.name;
    let server = &database.server;
    server.psql(name, "ANALYZE");
    let planned = migration::plan(&db).await.unwrap();
    let search = planned
        .iter()
        .find(|step| step.name.ends_with("_search"))
        .unwrap();
    let projects = search
        .locks
        .iter()
        .find(|lock| lock.table == "projects")
        .unwrap();
    assert_eq!((projects.mode, projects.rows), (Mode::Share, Some(2)));
    assert!(search.is_online(), "{search:?}");

    // As if there were many.
    server.psql(
        name,
        "UPDATE pg_class SET reltuples = 1e6 WHERE relname = 'projects'",
    );
    let output = program(&database, &["plan"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("OFFLINE  m20261121_000026_search"), "{text}");
    assert!(
        text.contains(
            "projects (about 1000000 rows): SHARE, keeps writers waiting; reads all rows"
        ),
        "{text}"
    );
    let output = program(&database, &["plan", "--json"]).output().unwrap();
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["schema"], "auth");
    assert_eq!(json["online"], false);
    assert_eq!(json["pending"][0]["locks"][0]["mode"], "SHARE");
    let output = program(&database, &["plan", "--sql"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        text.contains("CREATE INDEX projects_account_id_idx"),
        "{text}"
    );

    migration::up(&db, "auth").await.unwrap();
    let output = program(&database, &["plan"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("nothing to do"), "{text}");
}

#[tokio::test]
async fn a_step_that_waits_for_a_lock_lets_others_pass_says_who_holds_it_and_comes_back() {
    let database = Database::migrated().await;
    let db = database.connect("auth").await;
    let to = Down::To("m20261121_000014".to_owned());
    migration::down(&db, "auth", &to, CAREFUL).await.unwrap();
    let mut reader = database.as_owner().begin().await.unwrap();
    reader.execute("SELECT FROM users").await.unwrap();

    let once = program(&database, &["up", "--wait-for-locks", "0"])
        .output()
        .unwrap();
    let told = String::from_utf8(once.stderr).unwrap();
    assert_eq!(once.status.code(), Some(75), "{told}");
    assert!(
        told.contains("Held by process") && told.contains("idle in transaction"),
        "{told}"
    );

    let mut child = program(&database, &["up"])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let waiting = format!(
        "SELECT count(*) FROM pg_stat_activity
         WHERE datname = '{}' AND wait_event_type = 'Lock'",
        database.name
    );
    // It waits, and then it does not, so that who came after it gets through.
    for expected in ["1", "0"] {
        while database.server.psql("postgres", &waiting) != expected {
            assert!(child.try_wait().unwrap().is_none(), "it gave up");
        }
    }
    reader.rollback().await.unwrap();
    let output = child.wait_with_output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{told}");
    assert!(told.contains("Trying again in 1 s"), "{told}");
}

#[tokio::test]
async fn down_and_up_again_lose_nothing_or_are_refused() {
    let database = Database::migrated().await;
    fill(&database).await;
    let db = database.connect("auth").await;
    let content = |table: &str| {
        let sql =
            format!("SELECT md5(string_agg(t::text, ',' ORDER BY t::text)) FROM auth.{table} AS t");
        database.server.psql(&database.name, &sql)
    };
    let tables = ["users", "projects", "user_role_assignments", "roles"];
    let before = tables.map(content);
    let to = Down::To("m20261121_000014".to_owned());
    migration::down(&db, "auth", &to, CAREFUL).await.unwrap();
    migration::up(&db, "auth").await.unwrap();
    assert_eq!(tables.map(content), before);

    let mut transaction = system(&database.as_owner()).await;
    run(&mut transaction, "UPDATE users SET locked_down_at = now()").await;
    transaction.commit().await.unwrap();
    let schema = database.server.dump(&database.name);
    let output = program(&database, &["down", "--to", "m20261121_000014"])
        .output()
        .unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(
        told.contains("m20261121_000015_recovery: users.locked_down_at (3 rows)")
            && told.contains("--lose-data"),
        "{told}"
    );
    assert_eq!(database.server.dump(&database.name), schema);
    let error = migration::down(&db, "auth", &to, CAREFUL)
        .await
        .unwrap_err();
    assert!(matches!(error, MigrateError::WouldLose(losses) if losses.len() == 1));

    let arguments = ["down", "--to", "m20261121_000014", "--lose-data"];
    let output = program(&database, &arguments).output().unwrap();
    assert!(output.status.success(), "{output:?}");
}
