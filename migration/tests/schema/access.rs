//! What the API's role may do, and what it sees.

use crate::{Database, count, fill, grant, id, refused, run, scoped, system};

#[tokio::test]
async fn every_table_has_its_rights_and_no_others() {
    let database = Database::migrated().await;
    let rights = |table: &str| {
        let sql = format!(
            "SELECT string_agg(r, ',') FROM unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE',
                 'TRUNCATE', 'REFERENCES', 'TRIGGER']) AS r
             WHERE has_table_privilege('{}', 'auth.{table}', r)",
            database.api
        );
        database.server.psql(&database.name, &sql)
    };
    let tables = database.server.psql(
        &database.name,
        "SELECT relname FROM pg_class WHERE relnamespace = 'auth'::regnamespace
         AND relkind IN ('r', 'p') AND NOT relispartition",
    );
    assert!(tables.lines().count() > 20);
    for table in tables.lines() {
        let expected = match table {
            "audit_log" | "audit_seals" | "decision_log" | "user_activity" => "SELECT,INSERT",
            "audit_pending" | "authz_state" | "lineage" | "seaql_migrations" => "SELECT",
            _ => "SELECT,INSERT,UPDATE,DELETE",
        };
        assert_eq!(rights(table), expected, "{table}");
    }
}

#[tokio::test]
async fn granting_again_takes_back_what_was_added() {
    let database = Database::migrated().await;
    let sql = format!("GRANT ALL ON auth.audit_log TO {}", database.api);
    database.server.psql(&database.name, &sql);
    let db = database.connect("auth").await;
    migration::grant_api_role(&db, &database.api).await.unwrap();
    let mut api = system(&database.as_api()).await;
    assert_eq!(refused(&mut api, "DELETE FROM audit_log").await, "42501");
}

#[tokio::test]
async fn the_apis_role_can_ask_what_is_missing() {
    let database = Database::migrated().await;
    let db = migration::connect(database.options(&database.api, "auth"))
        .await
        .unwrap();
    assert!(migration::pending(&db).await.unwrap().is_empty());
}

const TENANT_TABLES: [&str; 4] = [
    "organizations",
    "accounts",
    "projects",
    "user_role_assignments",
];

#[tokio::test]
async fn without_a_scope_nobody_sees_a_tenant() {
    let database = Database::migrated().await;
    fill(&database).await;
    // The owner is bound too: one role for both must be as safe.
    for pool in [database.as_api(), database.as_owner()] {
        let unset = [
            ("app.scope", ""),
            ("app.organization_ids", ""),
            ("app.user_id", ""),
        ];
        for settings in [&[][..], &unset[..]] {
            let mut nobody = scoped(&pool, settings).await;
            for table in TENANT_TABLES {
                assert_eq!(count(&mut nobody, table).await, 0, "{table} {settings:?}");
            }
            assert_eq!(
                count(&mut nobody, "roles").await,
                2,
                "only the built-in ones"
            );
        }
    }
}

#[tokio::test]
async fn a_tenant_sees_and_changes_its_own_rows_only() {
    let database = Database::migrated().await;
    fill(&database).await;
    let pool = database.as_api();
    let own = id(1);
    let scope = [("app.organization_ids", own.as_str())];
    let mut tenant = scoped(&pool, &scope).await;
    for table in TENANT_TABLES {
        assert_eq!(count(&mut tenant, table).await, 1, "{table}");
    }
    assert_eq!(count(&mut tenant, "roles").await, 3);
    assert_eq!(run(&mut tenant, "UPDATE accounts SET name = 'B'").await, 1);
    assert_eq!(run(&mut tenant, "DELETE FROM projects").await, 1);
    assert_eq!(
        run(
            &mut tenant,
            "UPDATE roles SET name = 'x' WHERE organization_id IS NULL"
        )
        .await,
        0
    );
    tenant.rollback().await.unwrap();

    let foreign = [
        format!("UPDATE accounts SET organization_id = '{}'", id(2)),
        format!("UPDATE organizations SET id = '{}'", id(3)),
        "UPDATE roles SET organization_id = NULL".to_owned(),
        grant(711, 903, 802, "organization", 2, 2),
        format!(
            "INSERT INTO organizations (id, name, name_normalized, slug, created_at, updated_at)
             VALUES ('{}', 'N', 'n', 'n', now(), now())",
            id(3)
        ),
    ];
    for sql in foreign {
        let mut tenant = scoped(&pool, &scope).await;
        assert_eq!(refused(&mut tenant, &sql).await, "42501", "{sql}");
    }

    let both = [id(1), id(2)].join(",");
    let mut tenant = scoped(&pool, &[("app.organization_ids", &both)]).await;
    assert_eq!(count(&mut tenant, "organizations").await, 2);
    let mut everything = system(&pool).await;
    assert_eq!(count(&mut everything, "organizations").await, 2);
}

#[tokio::test]
async fn a_person_sees_their_own_roles_and_cannot_give_themselves_any() {
    let database = Database::migrated().await;
    fill(&database).await;
    let pool = database.as_api();
    let me = id(901);
    let scope = [("app.user_id", me.as_str())];
    let mut person = scoped(&pool, &scope).await;
    assert_eq!(count(&mut person, "user_role_assignments").await, 1);
    assert_eq!(
        run(&mut person, "DELETE FROM user_role_assignments").await,
        0
    );
    let sql = grant(711, 901, 802, "organization", 1, 1);
    assert_eq!(refused(&mut person, &sql).await, "42501");
    let mut person = scoped(&pool, &scope).await;
    let system = format!(
        "INSERT INTO user_role_assignments (id, principal_type, user_id, role_id, resource_type,
         created_at) VALUES ('{}', 'user', '{me}', '{}', 'system', now())",
        id(712),
        id(801)
    );
    assert_eq!(refused(&mut person, &system).await, "42501");
}

#[tokio::test]
async fn a_setting_is_read_once_for_a_statement() {
    let database = Database::migrated().await;
    fill(&database).await;
    let own = id(1);
    let mut tenant = scoped(
        &database.as_api(),
        &[("app.organization_ids", own.as_str())],
    )
    .await;
    let plan: Vec<String> = sqlx::query_scalar("EXPLAIN SELECT * FROM projects")
        .fetch_all(&mut *tenant)
        .await
        .unwrap();
    let plan = plan.join("\n");
    let filter = plan.lines().find(|line| line.contains("Filter:")).unwrap();
    assert!(
        plan.contains("InitPlan") && !filter.contains("current_setting"),
        "{plan}"
    );
}

#[tokio::test]
async fn the_triggers_see_everything_and_leave_the_tenant_with_its_own_view() {
    let database = Database::migrated().await;
    fill(&database).await;
    let own = id(1);
    let scope = [("app.organization_ids", own.as_str())];
    // With one role for both, the triggers' owner is bound by the policies like everybody.
    for (number, pool) in [(711, database.as_api()), (721, database.as_owner())] {
        let mut tenant = scoped(&pool, &scope).await;
        run(&mut tenant, &grant(number, 903, 802, "project", 111, 1)).await;
        assert_eq!(count(&mut tenant, "organizations").await, 1);
        run(&mut tenant, "SAVEPOINT before").await;
        let wrong = grant(number + 1, 903, 802, "project", 211, 1);
        assert_eq!(refused(&mut tenant, &wrong).await, "23503");
        run(&mut tenant, "ROLLBACK TO before").await;
        assert_eq!(count(&mut tenant, "organizations").await, 1);
        run(&mut tenant, "UPDATE user_role_assignments SET reason = 'x'").await;
        run(&mut tenant, "SET CONSTRAINTS ALL IMMEDIATE").await;
        assert_eq!(count(&mut tenant, "organizations").await, 1);
        run(&mut tenant, "DELETE FROM projects").await;
        assert_eq!(count(&mut tenant, "organizations").await, 1);
        assert_eq!(count(&mut tenant, "user_role_assignments").await, 1);
        tenant.rollback().await.unwrap();
    }
}

#[tokio::test]
async fn the_owner_alone_can_run_everything() {
    let database = Database::migrated().await;
    fill(&database).await;
    let db = database.connect("auth").await;
    migration::grant_api_role(&db, &database.owner)
        .await
        .unwrap();
    let mut owner = system(&database.as_owner()).await;
    run(
        &mut owner,
        &format!("DELETE FROM projects WHERE id = '{}'", id(111)),
    )
    .await;
    run(&mut owner, "SELECT gatepost_maintain_activity(0)").await;
    owner.commit().await.unwrap();
}
