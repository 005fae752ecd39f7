//! What applications register: whose it is, and what becomes of it.

use sqlx::PgTransaction;

use crate::{Database, count, fill, grant, id, refused, run, scoped, system};

/// A record below the project of an organization, and a page below the record.
async fn register(transaction: &mut PgTransaction<'static>, org: u32) {
    let [o, a, p] = [org, org * 10 + 1, org * 100 + 11].map(id);
    let (record, page) = (id(org * 1000), id(org * 1000 + 1));
    let sql = format!(
        "INSERT INTO resources (id, type, external_id, organization_id, account_id, project_id,
             parent_id, ancestors, created_at, updated_at)
         VALUES ('{record}', 'record', 'r{org}', '{o}', '{a}', '{p}', NULL, '{{}}', now(), now()),
             ('{page}', 'page', 'p{org}', '{o}', '{a}', '{p}', '{record}', '{{{record}}}', now(), now())"
    );
    run(transaction, &sql).await;
}

async fn revision(transaction: &mut PgTransaction<'static>) -> i64 {
    sqlx::query_scalar("SELECT revision FROM authz_state")
        .fetch_one(&mut **transaction)
        .await
        .unwrap()
}

#[tokio::test]
async fn a_tenant_sees_its_own_resources_only() {
    let database = Database::migrated().await;
    fill(&database).await;
    let mut everything = system(&database.as_owner()).await;
    register(&mut everything, 1).await;
    register(&mut everything, 2).await;
    everything.commit().await.unwrap();
    let own = id(1);
    for pool in [database.as_api(), database.as_owner()] {
        let mut nobody = scoped(&pool, &[]).await;
        assert_eq!(count(&mut nobody, "resources").await, 0);
        let mut tenant = scoped(&pool, &[("app.organization_ids", own.as_str())]).await;
        assert_eq!(count(&mut tenant, "resources").await, 2);
        let sql = "DELETE FROM resources WHERE external_id = 'r2'";
        assert_eq!(run(&mut tenant, sql).await, 0);
    }
}

#[tokio::test]
async fn what_stands_below_moves_and_goes_along_and_counts_as_a_change() {
    let database = Database::migrated().await;
    fill(&database).await;
    let mut transaction = system(&database.as_api()).await;
    let before = revision(&mut transaction).await;
    register(&mut transaction, 1).await;
    assert_eq!(revision(&mut transaction).await, before + 1);
    let sql = format!(
        "UPDATE projects SET organization_id = '{}', account_id = '{}', name_normalized = 'p2'
         WHERE id = '{}'",
        id(2),
        id(21),
        id(111)
    );
    run(&mut transaction, &sql).await;
    let there = format!(
        "resources WHERE organization_id = '{}' AND account_id = '{}'",
        id(2),
        id(21)
    );
    assert_eq!(count(&mut transaction, &there).await, 2);
    let at = revision(&mut transaction).await;
    run(&mut transaction, "UPDATE resources SET version = 2").await;
    assert_eq!(revision(&mut transaction).await, at);
    run(
        &mut transaction,
        "UPDATE resources SET properties = '{\"a\": 1}'",
    )
    .await;
    assert_eq!(revision(&mut transaction).await, at + 1);
    run(
        &mut transaction,
        "DELETE FROM resources WHERE external_id = 'r1'",
    )
    .await;
    assert_eq!(count(&mut transaction, "resources").await, 0);
    register(&mut transaction, 2).await;
    let sql = format!("DELETE FROM projects WHERE id = '{}'", id(211));
    run(&mut transaction, &sql).await;
    assert_eq!(count(&mut transaction, "resources").await, 0);
}

#[tokio::test]
async fn roles_on_what_is_registered_go_along_with_it() {
    let database = Database::migrated().await;
    fill(&database).await;
    let mut transaction = system(&database.as_api()).await;
    register(&mut transaction, 1).await;
    let group = format!(
        "INSERT INTO groups (id, organization_id, name, name_normalized, created_at, updated_at)
             VALUES ('{0}', '{1}', 'G', 'g', now(), now());
         INSERT INTO user_role_assignments (id, principal_type, group_id, role_id, resource_type,
             resource_id, organization_id, created_at)
             VALUES ('{2}', 'group', '{0}', '{3}', 'resource', '{4}', '{1}', now())",
        id(601),
        id(1),
        id(713),
        id(802),
        id(1001)
    );
    for sql in [
        grant(711, 903, 802, "resource", 1001, 1),
        grant(712, 903, 803, "resource", 1001, 1),
        grant(714, 903, 802, "resource", 1000, 1),
        group,
    ] {
        run(&mut transaction, &sql).await;
    }
    for wrong in [
        grant(715, 902, 802, "resource", 1001, 2),
        grant(715, 902, 802, "resource", 999, 1),
        grant(715, 902, 802, "record", 1001, 1),
    ] {
        run(&mut transaction, "SAVEPOINT before").await;
        refused(&mut transaction, &wrong).await;
        run(&mut transaction, "ROLLBACK TO before").await;
    }
    // To another tenant: built-in roles of people only.
    let to_the_other = format!(
        "UPDATE projects SET organization_id = '{}', account_id = '{}', name_normalized = 'p2'
         WHERE id = '{}'",
        id(2),
        id(21),
        id(111)
    );
    run(&mut transaction, &to_the_other).await;
    let there = format!(
        "user_role_assignments WHERE resource_type = 'resource' AND organization_id = '{}'",
        id(2)
    );
    assert_eq!(count(&mut transaction, &there).await, 2);
    let on_things = "user_role_assignments WHERE resource_type = 'resource'";
    assert_eq!(count(&mut transaction, on_things).await, 2);
    let gone = "DELETE FROM resources WHERE external_id = 'r1'";
    run(&mut transaction, gone).await;
    assert_eq!(count(&mut transaction, on_things).await, 0);
}

#[tokio::test]
async fn what_cannot_be_is_refused() {
    let database = Database::migrated().await;
    fill(&database).await;
    let [one, two] = [id(1000), id(2000)];
    for (sql, code) in [
        (
            format!(
                "UPDATE resources SET parent_id = '{one}', ancestors = '{{{one}}}' WHERE id = '{one}'"
            ),
            "23514",
        ),
        (
            format!("UPDATE resources SET parent_id = '{two}' WHERE id = '{one}'"),
            "23514",
        ),
        (
            format!("UPDATE resources SET account_id = '{}'", id(21)),
            "23503",
        ),
        (
            format!("UPDATE resources SET project_id = '{}'", id(211)),
            "23503",
        ),
        ("UPDATE resources SET account_id = NULL".to_owned(), "23514"),
        ("UPDATE resources SET type = 'Record'".to_owned(), "23514"),
        ("UPDATE resources SET external_id = ''".to_owned(), "23514"),
        ("UPDATE resources SET properties = '[]'".to_owned(), "23514"),
        (
            "UPDATE resources SET type = 'record', external_id = 'r1'".to_owned(),
            "23505",
        ),
        (
            format!(
                "UPDATE resources SET ancestors = array_fill('{two}'::uuid, ARRAY[9]), parent_id = '{two}'"
            ),
            "23514",
        ),
    ] {
        let mut transaction = system(&database.as_api()).await;
        register(&mut transaction, 1).await;
        assert_eq!(refused(&mut transaction, &sql).await, code, "{sql}");
    }
}
