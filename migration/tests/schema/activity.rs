//! The upkeep of `user_activity`.

use sqlx::PgPool;

use crate::{
    count, grant, id,
    rules::{commit, filled},
    system,
};

fn activity(number: u32, at: &str) -> String {
    format!(
        "INSERT INTO user_activity (id, user_id, kind, created_at)
         VALUES ('{}', '{}', 'login', '{at}')",
        id(number),
        id(901)
    )
}

async fn maintain(pool: &PgPool, days: i32, at: &str) -> i32 {
    sqlx::query_scalar("SELECT gatepost_maintain_activity($1, $2::text::timestamptz)")
        .bind(days)
        .bind(at)
        .fetch_one(pool)
        .await
        .unwrap()
}

/// The last digits of the ids of the activity that is left.
async fn left(pool: &PgPool) -> Vec<i32> {
    sqlx::query_scalar("SELECT right(id::text, 3)::integer FROM user_activity ORDER BY id")
        .fetch_all(pool)
        .await
        .unwrap()
}

#[tokio::test]
async fn activity_has_a_partition_for_each_month_and_old_months_go() {
    let (database, pool) = filled().await;
    for (number, at) in [
        (1, "2030-01-31 23:59:59Z"),
        (2, "2030-02-01 00:00:00Z"),
        (3, "2029-06-01Z"),
    ] {
        commit(&pool, &activity(number, at)).await.unwrap();
    }
    // The default partition holds rows of two of these months already.
    assert_eq!(maintain(&pool, 0, "2030-01-15Z").await, 3);
    assert_eq!(maintain(&pool, 0, "2030-01-15Z").await, 0);
    let rows = |partition: &str| {
        let sql = format!("SELECT count(*) FROM auth.user_activity_{partition}");
        database.server.psql(&database.name, &sql)
    };
    assert_eq!(
        [rows("2030_01"), rows("2030_02"), rows("2030_03")],
        ["1", "1", "0"]
    );
    assert_eq!(rows("default"), "1");
    commit(&pool, &activity(4, "2030-03-10Z")).await.unwrap();
    assert_eq!(rows("2030_03"), "1");

    // June 2029 and January are over for 30 days, February is not.
    let (made, dropped) = (2, 1);
    assert_eq!(maintain(&pool, 30, "2030-03-15Z").await, made + dropped);
    assert_eq!(left(&pool).await, [2, 4]);
    let made = maintain(&pool, 0, "2035-01-01Z").await;
    assert_eq!(made, 3, "and none dropped");
    assert_eq!(left(&pool).await, [2, 4]);
    let now: i32 = sqlx::query_scalar("SELECT gatepost_maintain_activity(365)")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!(now, 3);
}

#[tokio::test]
async fn a_person_who_goes_takes_their_traces_along_but_not_the_audit_entries() {
    let (_database, pool) = filled().await;
    commit(&pool, &activity(1, "2030-01-01Z")).await.unwrap();
    commit(&pool, &grant(711, 902, 801, "organization", 1, 1))
        .await
        .unwrap();
    commit(
        &pool,
        &format!(
            "INSERT INTO audit_log (id, at, actor_type, actor_id, action, outcome)
         VALUES ('{}', now(), 'user', '{}', 'test', 'success')",
            id(1),
            id(901)
        ),
    )
    .await
    .unwrap();
    commit(
        &pool,
        &format!("DELETE FROM users WHERE id = '{}'", id(901)),
    )
    .await
    .unwrap();
    let mut transaction = system(&pool).await;
    assert_eq!(count(&mut transaction, "user_activity").await, 0);
    assert_eq!(count(&mut transaction, "audit_log").await, 1);
}
