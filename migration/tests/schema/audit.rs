//! The audit log is added to, and nothing else; its seals are one chain.

use sqlx::PgTransaction;

use crate::{Database, count, id, refused, run, system};

const CHANGES: [&str; 6] = [
    "UPDATE audit_log SET action = 'other'",
    "DELETE FROM audit_log",
    "TRUNCATE audit_log",
    "UPDATE audit_seals SET hash = prev_hash",
    "DELETE FROM audit_seals",
    "TRUNCATE audit_seals",
];

async fn add_entry(transaction: &mut PgTransaction<'static>, number: u32) {
    let entry = format!(
        "INSERT INTO audit_log (id, at, actor_type, action, outcome)
         VALUES ('{}', now(), 'user', 'test', 'success')",
        id(number)
    );
    assert_eq!(run(transaction, &entry).await, 1);
}

/// A seal whose hash is its number, and which follows the hash `prev`.
fn seal(seq: u32, entry: u32, prev: u32) -> String {
    format!(
        "INSERT INTO audit_seals (seq, entry_id, prev_hash, hash, sealed_at)
         VALUES ({seq}, '{}', decode(lpad('{prev}', 64, '0'), 'hex'),
                 decode(lpad('{seq}', 64, '0'), 'hex'), now())",
        id(entry)
    )
}

#[tokio::test]
async fn entries_and_seals_can_be_added_and_neither_changed_nor_removed() {
    let database = Database::migrated().await;
    let pool = database.as_api();
    let mut api = system(&pool).await;
    add_entry(&mut api, 1).await;
    assert_eq!(count(&mut api, "audit_pending").await, 1);
    run(&mut api, &seal(1, 1, 0)).await;
    assert_eq!(count(&mut api, "audit_pending").await, 0);
    api.commit().await.unwrap();
    for sql in CHANGES {
        assert_eq!(
            refused(&mut system(&pool).await, sql).await,
            "42501",
            "{sql}"
        );
        // Nor by the owner, who may be the API's role, too.
        let mut owner = system(&database.as_owner()).await;
        assert_eq!(refused(&mut owner, sql).await, "42501", "{sql}");
    }
    for sql in [
        "DELETE FROM audit_pending",
        "TRUNCATE audit_pending",
        "INSERT INTO audit_pending VALUES ('00000000-0000-7000-8000-000000000001')",
        "ALTER TABLE audit_log DISABLE TRIGGER ALL",
        "SET session_replication_role = replica",
        "SELECT gatepost_audit_check_seal()",
    ] {
        let code = refused(&mut system(&pool).await, sql).await;
        assert!(["42501", "0A000"].contains(&code.as_str()), "{sql}: {code}");
    }
}

#[tokio::test]
async fn seals_are_one_chain_without_gaps() {
    let database = Database::migrated().await;
    let pool = database.as_api();
    let mut api = system(&pool).await;
    for number in 1..=3 {
        add_entry(&mut api, number).await;
    }
    run(&mut api, &seal(1, 2, 0)).await;
    api.commit().await.unwrap();
    for (sql, why) in [
        (seal(1, 1, 0), "the number is taken"),
        (seal(3, 1, 1), "a number would be missing"),
        (seal(0, 1, 0), "before the first"),
        (seal(2, 1, 0), "does not follow the last"),
        (seal(2, 2, 1), "is sealed already"),
        (seal(2, 4, 1), "there is no such entry"),
    ] {
        let mut api = system(&pool).await;
        assert_eq!(refused(&mut api, &sql).await, "23000", "{why}");
    }
    let mut api = system(&pool).await;
    let both = format!("{}; {}", seal(2, 1, 1), seal(3, 3, 2));
    run(&mut api, &both).await;
    assert_eq!(count(&mut api, "audit_pending").await, 0);
}

#[tokio::test]
async fn entries_from_before_the_chain_wait_for_their_seal() {
    let database = Database::migrated().await;
    let db = database.connect("auth").await;
    let before = migration::Down::To("m20261121_000014".to_owned());
    migration::down(&db, "auth", &before, crate::RASH)
        .await
        .unwrap();
    let mut owner = system(&database.as_owner()).await;
    add_entry(&mut owner, 1).await;
    owner.commit().await.unwrap();
    migration::up(&db, "auth").await.unwrap();
    migration::grant_api_role(&db, &database.api).await.unwrap();
    let mut api = system(&database.as_api()).await;
    assert_eq!(count(&mut api, "audit_pending").await, 1);
    run(&mut api, &seal(1, 1, 0)).await;
}
