//! Groups and role requests: what the database keeps of them whatever the program does.

use crate::{Database, count, fill, grant, id, refused, run, scoped, system};

fn group(number: u32, org: u32) -> String {
    format!(
        "INSERT INTO groups (id, organization_id, name, name_normalized, created_at, updated_at)
         VALUES ('{}', '{}', 'G', 'g', now(), now())",
        id(number),
        id(org)
    )
}

fn join(group: u32, user: u32, org: u32) -> String {
    format!(
        "INSERT INTO group_members (group_id, user_id, organization_id, created_at)
         VALUES ('{}', '{}', '{}', now())",
        id(group),
        id(user),
        id(org)
    )
}

/// Gives a role to a group, in the place of a user.
fn held(number: u32, group: u32, role: u32, kind: &str, resource: u32, org: u32) -> String {
    grant(number, group, role, kind, resource, org)
        .replace("user_id", "group_id")
        .replace("'user'", "'group'")
}

#[tokio::test]
async fn a_group_holds_nothing_outside_of_its_organization() {
    let database = Database::migrated().await;
    fill(&database).await;
    let pool = database.as_owner();
    let mut transaction = system(&pool).await;
    run(&mut transaction, &group(601, 1)).await;
    run(&mut transaction, &held(711, 601, 802, "project", 111, 1)).await;
    transaction.commit().await.unwrap();
    let system_wide = format!(
        "INSERT INTO user_role_assignments (id, principal_type, group_id, role_id, resource_type, created_at)
         VALUES ('{}', 'group', '{}', '{}', 'system', now())",
        id(712),
        id(601),
        id(802)
    );
    for (sql, expected) in [
        (held(712, 601, 802, "project", 211, 2), "23503"),
        (system_wide, "23514"),
        (join(601, 901, 2), "23503"),
    ] {
        let mut transaction = system(&pool).await;
        assert_eq!(refused(&mut transaction, &sql).await, expected, "{sql}");
    }
}

#[tokio::test]
async fn a_group_that_is_deleted_takes_all_along_and_does_not_count_as_an_owner() {
    let database = Database::migrated().await;
    fill(&database).await;
    let pool = database.as_owner();
    let mut transaction = system(&pool).await;
    run(&mut transaction, &group(601, 1)).await;
    run(&mut transaction, &join(601, 903, 1)).await;
    run(&mut transaction, &held(711, 601, 801, "organization", 1, 1)).await;
    transaction.commit().await.unwrap();
    let mut transaction = system(&pool).await;
    let last = format!(
        "DELETE FROM user_role_assignments WHERE id = '{}'; SET CONSTRAINTS ALL IMMEDIATE",
        id(701)
    );
    assert_eq!(refused(&mut transaction, &last).await, "GP001");
    let mut transaction = system(&pool).await;
    let before: i64 = revision(&mut transaction).await;
    run(
        &mut transaction,
        &format!("DELETE FROM groups WHERE id = '{}'", id(601)),
    )
    .await;
    assert_eq!(count(&mut transaction, "group_members").await, 0);
    assert_eq!(count(&mut transaction, "user_role_assignments").await, 2);
    assert!(revision(&mut transaction).await > before);
    transaction.commit().await.unwrap();
}

async fn revision(transaction: &mut sqlx::PgTransaction<'static>) -> i64 {
    sqlx::query_scalar("SELECT revision FROM authz_state")
        .fetch_one(&mut **transaction)
        .await
        .unwrap()
}

#[tokio::test]
async fn membership_is_counted_and_told() {
    let database = Database::migrated().await;
    fill(&database).await;
    let pool = database.as_owner();
    let mut listener = sqlx::postgres::PgListener::connect_with(&pool)
        .await
        .unwrap();
    listener.listen("gatepost_changes").await.unwrap();
    let mut transaction = system(&pool).await;
    run(&mut transaction, &group(601, 1)).await;
    let before = revision(&mut transaction).await;
    run(&mut transaction, &join(601, 903, 1)).await;
    assert_eq!(revision(&mut transaction).await, before + 1);
    transaction.commit().await.unwrap();
    let told = listener.recv().await.unwrap();
    assert_eq!(told.payload(), format!("grants user {}", id(903)));
}

#[tokio::test]
async fn a_project_that_goes_to_another_tenant_leaves_groups_and_requests_behind() {
    let database = Database::migrated().await;
    fill(&database).await;
    let pool = database.as_owner();
    let mut transaction = system(&pool).await;
    run(&mut transaction, &group(601, 1)).await;
    run(&mut transaction, &held(711, 601, 802, "project", 111, 1)).await;
    run(&mut transaction, &grant(712, 903, 802, "project", 111, 1)).await;
    let request = format!(
        "INSERT INTO role_requests (id, organization_id, user_id, role_id, resource_type,
             resource_id, duration_seconds, reason, state, expires_at, created_at)
         VALUES ('{}', '{}', '{}', '{}', 'project', '{}', 60, 'r', 'pending', now(), now())",
        id(721),
        id(1),
        id(903),
        id(802),
        id(111)
    );
    run(&mut transaction, &request).await;
    let moved = format!(
        "UPDATE projects SET name_normalized = 'q', account_id = '{}', organization_id = '{}'
         WHERE id = '{}'",
        id(21),
        id(2),
        id(111)
    );
    run(&mut transaction, &moved).await;
    let there = format!("user_role_assignments WHERE resource_id = '{}'", id(111));
    assert_eq!(count(&mut transaction, &there).await, 1);
    assert_eq!(count(&mut transaction, "role_requests").await, 0);
    transaction.rollback().await.unwrap();
}

#[tokio::test]
async fn tenants_do_not_see_each_others_groups_and_requests() {
    let database = Database::migrated().await;
    fill(&database).await;
    let pool = database.as_owner();
    let mut transaction = system(&pool).await;
    run(&mut transaction, &group(601, 1)).await;
    run(&mut transaction, &join(601, 903, 1)).await;
    transaction.commit().await.unwrap();
    let (own, other) = (id(1), id(2));
    for (organization, seen) in [(own.as_str(), 1), (other.as_str(), 0), ("", 0)] {
        let settings = [("app.organization_ids", organization)];
        let mut tenant = scoped(&database.as_api(), &settings).await;
        for table in ["groups", "group_members"] {
            assert_eq!(count(&mut tenant, table).await, seen, "{table}");
        }
    }
    let settings = [("app.organization_ids", other.as_str())];
    let mut tenant = scoped(&database.as_api(), &settings).await;
    assert_eq!(refused(&mut tenant, &group(602, 1)).await, "42501");
}
