//! The upkeep of `decision_log`.

use sqlx::PgPool;

use crate::{Database, count, id, refused, scoped, system};

async fn maintain(pool: &PgPool, days: i32, at: &str) -> i32 {
    sqlx::query_scalar("SELECT gatepost_maintain_decisions($1, $2::text::timestamptz)")
        .bind(days)
        .bind(at)
        .fetch_one(pool)
        .await
        .unwrap()
}

fn decision(number: u32, at: &str) -> String {
    format!(
        "INSERT INTO decision_log (id, at, source, allowed, reasons, input, masked)
         VALUES ('{}', '{at}', 'gatepost', false, '{{no_grant}}', '{{}}', '{{}}')",
        id(number)
    )
}

#[tokio::test]
async fn decisions_have_a_partition_for_each_day_and_old_days_go() {
    let database = Database::migrated().await;
    let pool = database.as_api();
    let rows = |partition: &str| {
        let sql = format!("SELECT count(*) FROM auth.decision_log_{partition}");
        database.server.psql(&database.name, &sql)
    };
    for (number, at) in [
        (1, "2030-01-31 23:59:59Z"),
        (2, "2030-02-01 00:00:00Z"),
        (3, "2029-06-01Z"),
    ] {
        let mut transaction = system(&pool).await;
        crate::run(&mut transaction, &decision(number, at)).await;
        transaction.commit().await.unwrap();
    }
    // The default partition holds rows of two of these days; June goes.
    assert_eq!(maintain(&pool, 14, "2030-01-31 10:00Z").await, 3);
    assert_eq!(maintain(&pool, 14, "2030-01-31 11:00Z").await, 0);
    assert_eq!(
        [
            rows("2030_01_31"),
            rows("2030_02_01"),
            rows("2030_02_02"),
            rows("default")
        ],
        ["1", "1", "0", "0"]
    );
    // The 31st of January is over for a day, the first of February is not.
    let (made, dropped) = (2, 1);
    assert_eq!(
        maintain(&pool, 1, "2030-02-02 10:00Z").await,
        made + dropped
    );
    let mut transaction = system(&pool).await;
    assert_eq!(count(&mut transaction, "decision_log").await, 1);
    let wrong = "SELECT gatepost_maintain_decisions(0)";
    assert_eq!(refused(&mut transaction, wrong).await, "22023");
}

#[tokio::test]
async fn only_the_system_sees_decisions_and_nobody_changes_them() {
    let database = Database::migrated().await;
    let pool = database.as_api();
    let mut transaction = system(&pool).await;
    crate::run(&mut transaction, &decision(1, "2030-01-01Z")).await;
    transaction.commit().await.unwrap();
    let own = id(1);
    let mut tenant = scoped(&pool, &[("app.organization_ids", own.as_str())]).await;
    assert_eq!(count(&mut tenant, "decision_log").await, 0);
    assert_eq!(
        refused(&mut tenant, &decision(2, "2030-01-01Z")).await,
        "42501"
    );
    for sql in [
        "DELETE FROM decision_log",
        "UPDATE decision_log SET allowed = true",
    ] {
        let mut transaction = system(&pool).await;
        assert_eq!(refused(&mut transaction, sql).await, "42501", "{sql}");
    }
}
