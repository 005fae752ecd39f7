//! What holds whatever the program does.

use std::time::Duration;

use sqlx::{PgPool, postgres::PgListener};

use crate::{Database, code, count, fill, grant, id, refused, run, system};

pub async fn filled() -> (Database, PgPool) {
    let database = Database::migrated().await;
    fill(&database).await;
    let pool = database.as_api();
    (database, pool)
}

fn take(assignment: u32) -> String {
    format!(
        "DELETE FROM user_role_assignments WHERE id = '{}'",
        id(assignment)
    )
}

/// Runs SQL in a transaction of its own; the SQLSTATE if it or its commit is refused.
pub async fn commit(pool: &PgPool, sql: &str) -> Result<(), String> {
    let mut transaction = system(pool).await;
    run(&mut transaction, sql).await;
    transaction.commit().await.map_err(|error| code(&error))
}

#[tokio::test]
async fn the_last_owner_stays() {
    let (_database, pool) = filled().await;
    let refused = Err("GP001".to_owned());
    assert_eq!(commit(&pool, &take(701)).await, refused);
    let expiring = format!(
        "UPDATE user_role_assignments SET expires_at = now() + interval '1 day' WHERE id = '{}'",
        id(701)
    );
    assert_eq!(commit(&pool, &expiring).await, refused);
    let erased = format!("DELETE FROM users WHERE id = '{}'", id(901));
    assert_eq!(commit(&pool, &erased).await, refused);

    // An owner who cannot log in, or not for long, does not count.
    let disabled = format!(
        "UPDATE users SET status = 'disabled' WHERE id = '{}'",
        id(902)
    );
    commit(&pool, &disabled).await.unwrap();
    commit(&pool, &grant(711, 902, 801, "organization", 1, 1))
        .await
        .unwrap();
    let short = grant(712, 903, 801, "organization", 1, 1)
        .replace("created_at)", "created_at, expires_at)")
        .replace("now())", "now(), now() + interval '1 day')");
    commit(&pool, &short).await.unwrap();
    assert_eq!(commit(&pool, &take(701)).await, refused);
}

#[tokio::test]
async fn an_organization_can_be_handed_over_or_removed() {
    let (_database, pool) = filled().await;
    let mut transaction = system(&pool).await;
    run(&mut transaction, &take(701)).await;
    run(
        &mut transaction,
        &grant(711, 903, 801, "organization", 1, 1),
    )
    .await;
    transaction.commit().await.unwrap();

    let gone = format!(
        "DELETE FROM projects WHERE id = '{}'; DELETE FROM accounts WHERE id = '{}';
         DELETE FROM organizations WHERE id = '{}'",
        id(111),
        id(11),
        id(1)
    );
    commit(&pool, &gone).await.unwrap();
    let mut transaction = system(&pool).await;
    assert_eq!(count(&mut transaction, "user_role_assignments").await, 1);
    assert_eq!(
        count(&mut transaction, "roles").await,
        2,
        "its own roles went with it"
    );
}

#[tokio::test]
async fn of_two_owners_who_leave_at_once_one_stays() {
    let (_database, pool) = filled().await;
    for round in 0..20 {
        commit(&pool, &grant(1000 + round, 903, 801, "organization", 1, 1))
            .await
            .unwrap();
        let (first, second) = (take(701), take(1000 + round));
        let outcome = tokio::join!(commit(&pool, &first), commit(&pool, &second));
        let refused = [&outcome.0, &outcome.1].map(|one| one == &Err("GP001".to_owned()));
        assert_eq!(refused.iter().filter(|one| **one).count(), 1, "{outcome:?}");
        let mut transaction = system(&pool).await;
        let owners = format!("user_role_assignments WHERE resource_id = '{}'", id(1));
        assert_eq!(count(&mut transaction, &owners).await, 1);
        run(&mut transaction, &format!("DELETE FROM {owners}")).await;
        run(
            &mut transaction,
            &grant(701, 901, 801, "organization", 1, 1),
        )
        .await;
        transaction.commit().await.unwrap();
    }
}

#[tokio::test]
async fn the_lock_alone_keeps_an_owner_when_both_have_deleted_before_either_commits() {
    let (database, pool) = filled().await;
    commit(&pool, &grant(711, 903, 801, "organization", 1, 1))
        .await
        .unwrap();
    // Without the revision's row nothing but the rule's own lock makes the second one wait.
    database.server.psql(
        &database.name,
        "ALTER TABLE auth.user_role_assignments
             DISABLE TRIGGER user_role_assignments_bump_delete",
    );
    let mut first = system(&pool).await;
    let mut second = system(&pool).await;
    run(&mut first, &take(701)).await;
    run(&mut second, &take(711)).await;
    let (first, second) = tokio::join!(first.commit(), second.commit());
    let refused = [first, second].into_iter().filter_map(Result::err);
    assert_eq!(
        refused.map(|error| code(&error)).collect::<Vec<_>>(),
        ["GP001"]
    );
}

#[tokio::test]
async fn a_role_is_given_only_where_it_belongs() {
    let (_database, pool) = filled().await;
    let foreign = [
        grant(711, 903, 802, "project", 211, 1),
        grant(711, 903, 802, "account", 21, 1),
        grant(711, 903, 802, "project", 999, 1),
        grant(711, 903, 803, "organization", 2, 2),
    ];
    for sql in foreign {
        assert_eq!(
            refused(&mut system(&pool).await, &sql).await,
            "23503",
            "{sql}"
        );
    }
    let mismatched = [
        grant(711, 903, 802, "organization", 1, 2),
        grant(711, 903, 802, "planet", 1, 1),
        grant(711, 903, 802, "organization", 1, 1).replace("'user'", "'group'"),
    ];
    for sql in mismatched {
        assert_eq!(
            refused(&mut system(&pool).await, &sql).await,
            "23514",
            "{sql}"
        );
    }
    commit(&pool, &grant(711, 903, 803, "project", 111, 1))
        .await
        .unwrap();
    let twice = grant(712, 903, 803, "project", 111, 1);
    assert_eq!(refused(&mut system(&pool).await, &twice).await, "23505");
}

#[tokio::test]
async fn a_resource_takes_its_roles_along() {
    let (_database, pool) = filled().await;
    commit(&pool, &grant(711, 903, 802, "project", 111, 1))
        .await
        .unwrap();
    commit(&pool, &grant(712, 903, 803, "project", 111, 1))
        .await
        .unwrap();
    let moved = format!(
        "UPDATE projects SET organization_id = '{}', account_id = '{}', name_normalized = 'p2'
         WHERE id = '{}'",
        id(2),
        id(21),
        id(111)
    );
    commit(&pool, &moved).await.unwrap();
    let mut transaction = system(&pool).await;
    let there = format!("user_role_assignments WHERE resource_id = '{}'", id(111));
    assert_eq!(
        count(&mut transaction, &there).await,
        1,
        "the other tenant's role ends"
    );
    let there = format!("{there} AND organization_id = '{}'", id(2));
    assert_eq!(count(&mut transaction, &there).await, 1);
    run(
        &mut transaction,
        &format!("DELETE FROM projects WHERE id = '{}'", id(111)),
    )
    .await;
    assert_eq!(count(&mut transaction, &there).await, 0);
}

/// Gives users 901 and 902 the role `admin` of the system (804) for good, and 903 for a day.
async fn administrators(pool: &PgPool) {
    let mut sql = format!(
        "INSERT INTO roles (id, key, name, permissions, assignable_at, created_at, updated_at)
         VALUES ('{}', 'admin', 'admin', '{{*}}', '{{system}}', now(), now());",
        id(804)
    );
    for (number, user, end) in [
        (721, 901, "NULL"),
        (722, 902, "NULL"),
        (723, 903, "now() + interval '1 day'"),
    ] {
        let (assignment, user, role) = (id(number), id(user), id(804));
        sql.push_str("INSERT INTO user_role_assignments (id, principal_type, user_id, role_id, ");
        let values = format!("'{assignment}', 'user', '{user}', '{role}', 'system', {end}, now()");
        sql.push_str("resource_type, expires_at, created_at) VALUES (");
        sql.push_str(&values);
        sql.push_str(");");
    }
    commit(pool, &sql).await.unwrap();
}

#[tokio::test]
async fn the_last_administrator_of_the_system_stays() {
    let (_database, pool) = filled().await;
    administrators(&pool).await;
    let status = |user, status: &str| {
        format!(
            "UPDATE users SET status = '{status}' WHERE id = '{}'",
            id(user)
        )
    };
    commit(&pool, &status(903, "disabled")).await.unwrap();
    commit(&pool, &status(902, "disabled")).await.unwrap();
    for sql in [
        take(721),
        status(901, "disabled"),
        format!("DELETE FROM users WHERE id = '{}'", id(901)),
        format!(
            "UPDATE user_role_assignments SET expires_at = now() WHERE id = '{}'",
            id(721)
        ),
    ] {
        assert_eq!(
            refused(&mut system(&pool).await, &sql).await,
            "GP002",
            "{sql}"
        );
    }
    commit(&pool, &status(902, "active")).await.unwrap();
    commit(&pool, &take(721)).await.unwrap();
    assert_eq!(refused(&mut system(&pool).await, &take(722)).await, "GP002");
}

#[tokio::test]
async fn of_two_administrators_who_go_at_once_one_stays() {
    let (_database, pool) = filled().await;
    administrators(&pool).await;
    let mut first = system(&pool).await;
    run(&mut first, &take(721)).await;
    let disable = format!(
        "UPDATE users SET status = 'disabled' WHERE id = '{}'",
        id(902)
    );
    let second = tokio::spawn({
        let pool = pool.clone();
        async move { refused(&mut system(&pool).await, &disable).await }
    });
    // Until the second one waits for the first.
    let waiting = "SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database
        WHERE d.datname = current_database() AND l.locktype = 'advisory' AND NOT l.granted";
    while sqlx::query_scalar::<_, i64>(waiting)
        .fetch_one(&pool)
        .await
        .unwrap()
        == 0
    {
        tokio::task::yield_now().await;
    }
    first.commit().await.unwrap();
    assert_eq!(second.await.unwrap(), "GP002");
}

#[tokio::test]
async fn what_has_parts_cannot_be_deleted_and_a_project_has_its_accounts_tenant() {
    let (_database, pool) = filled().await;
    for table in ["organizations", "accounts"] {
        let sql = format!("DELETE FROM {table}");
        assert_eq!(refused(&mut system(&pool).await, &sql).await, "23503");
    }
    let other = format!(
        "UPDATE projects SET organization_id = '{}' WHERE id = '{}'",
        id(2),
        id(111)
    );
    assert_eq!(refused(&mut system(&pool).await, &other).await, "23503");
}

async fn revision(pool: &PgPool) -> i64 {
    sqlx::query_scalar("SELECT revision FROM authz_state")
        .fetch_one(pool)
        .await
        .unwrap()
}

#[tokio::test]
async fn the_revision_counts_what_concerns_rights_and_nothing_else() {
    let (_database, pool) = filled().await;
    let project = format!("WHERE id = '{}'", id(111));
    let steps = [
        ("UPDATE projects SET name = 'Q', version = 2".to_owned(), 0),
        ("UPDATE organizations SET name = 'Q' || slug".to_owned(), 0),
        (
            "UPDATE roles SET name = 'Q', description = 'Q'".to_owned(),
            0,
        ),
        (
            "UPDATE user_role_assignments SET reason = 'Q'".to_owned(),
            0,
        ),
        ("UPDATE roles SET permissions = permissions".to_owned(), 0),
        (format!("DELETE FROM projects WHERE id = '{}'", id(999)), 0),
        ("UPDATE roles SET permissions = '{*}'".to_owned(), 1),
        (format!("UPDATE projects SET owner_id = NULL {project}"), 1),
        (grant(711, 903, 802, "project", 111, 1), 1),
        (
            format!(
                "UPDATE user_role_assignments SET expires_at = now() WHERE id = '{}'",
                id(711)
            ),
            1,
        ),
        (take(711), 1),
        (format!("DELETE FROM projects {project}"), 1),
        (format!("DELETE FROM accounts WHERE id = '{}'", id(11)), 1),
    ];
    for (sql, more) in steps {
        let before = revision(&pool).await;
        commit(&pool, &sql).await.unwrap();
        let counted = revision(&pool).await - before;
        assert_eq!(counted.min(1), more, "{sql}: {counted}");
    }
    let before = revision(&pool).await;
    let mut undone = system(&pool).await;
    run(&mut undone, "UPDATE roles SET permissions = '{}'").await;
    undone.rollback().await.unwrap();
    assert_eq!(revision(&pool).await, before);
}

/// What a listener hears of a committed statement, without the revision, which comes after all that it
/// stands for, and without the last word that ends the listening.
async fn heard(listener: &mut PgListener, pool: &PgPool, sql: &str) -> Vec<String> {
    commit(pool, sql).await.unwrap();
    commit(pool, "SELECT pg_notify('gatepost_changes', 'end')")
        .await
        .unwrap();
    let (mut heard, mut revision) = (Vec::new(), None);
    loop {
        let wait = tokio::time::timeout(Duration::from_secs(10), listener.recv());
        let payload = wait.await.unwrap().unwrap().payload().to_owned();
        if payload == "end" {
            heard.sort();
            break;
        }
        if let Some(number) = payload.strip_prefix("revision ") {
            revision = Some(number.parse::<i64>().unwrap());
            continue;
        }
        assert_eq!(revision, None, "{sql}: {payload} comes too late");
        heard.push(payload);
    }
    if let Some(revision) = revision {
        let stored = sqlx::query_scalar::<_, i64>("SELECT revision FROM authz_state");
        assert_eq!(revision, stored.fetch_one(pool).await.unwrap(), "{sql}");
    }
    heard
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "one change after the other")]
async fn caches_are_told_of_every_change_that_concerns_them() {
    let (_database, pool) = filled().await;
    let [user, owner, session, key, service] = [903, 901, 601, 501, 401].map(id);
    commit(&pool, &format!(
        "INSERT INTO sessions (id, user_id, created_at, last_used_at, idle_expires_at, expires_at,
             auth_time, amr) VALUES ('{session}', '{user}', now(), now(), now(), now(), now(), '{{pwd}}');
         INSERT INTO service_accounts (id, name, name_normalized, status, created_at, updated_at)
             VALUES ('{service}', 's', 's', 'active', now(), now());
         INSERT INTO api_keys (id, service_account_id, name, prefix, key_hash, permissions, created_at)
             VALUES ('{key}', '{service}', 'k', 'gp_', 'x', '{{}}', now())")).await.unwrap();
    let mut listener = PgListener::connect_with(&pool).await.unwrap();
    listener.listen("gatepost_changes").await.unwrap();

    let project = id(111);
    let cases: Vec<(String, Vec<String>)> = vec![
        ("UPDATE sessions SET last_used_at = now()".into(), vec![]),
        (
            "UPDATE sessions SET revoked_at = now()".into(),
            vec![format!("session {session}")],
        ),
        (
            "DELETE FROM sessions".into(),
            vec![format!("session {session}")],
        ),
        ("UPDATE users SET display_name = 'x'".into(), vec![]),
        (
            format!("UPDATE users SET status = 'disabled' WHERE id = '{user}'"),
            vec![format!("user {user}")],
        ),
        (
            format!("UPDATE users SET password_must_change = true WHERE id = '{user}'"),
            vec![format!("user {user}")],
        ),
        (
            grant(711, 903, 802, "project", 111, 1),
            vec![format!("grants user {user}")],
        ),
        (
            format!(
                "UPDATE user_role_assignments SET user_id = '{owner}' WHERE id = '{}'",
                id(711)
            ),
            vec![
                format!("grants user {owner}"),
                format!("grants user {user}"),
            ],
        ),
        ("UPDATE roles SET name = 'x'".into(), vec![]),
        (
            format!(
                "UPDATE roles SET permissions = '{{}}' WHERE id = '{}'",
                id(802)
            ),
            vec![format!("role {}", id(802))],
        ),
        (
            format!("UPDATE projects SET name = 'x' WHERE id = '{project}'"),
            vec![],
        ),
        (
            format!("UPDATE projects SET owner_id = NULL WHERE id = '{project}'"),
            vec![format!("resource project {project}")],
        ),
        (
            format!("DELETE FROM projects WHERE id = '{project}'"),
            vec![
                format!("grants user {owner}"),
                format!("resource project {project}"),
            ],
        ),
        (
            format!("DELETE FROM accounts WHERE id = '{}'", id(11)),
            vec![format!("resource account {}", id(11))],
        ),
        ("UPDATE api_keys SET last_used_at = now()".into(), vec![]),
        (
            "UPDATE service_accounts SET status = 'disabled'".into(),
            vec![
                format!("api_key {key}"),
                format!("grants service_account {service}"),
            ],
        ),
        (
            "UPDATE service_accounts SET name = 't'".into(),
            vec![
                format!("api_key {key}"),
                format!("grants service_account {service}"),
            ],
        ),
        (
            "UPDATE api_keys SET revoked_at = now()".into(),
            vec![format!("api_key {key}")],
        ),
        (
            "INSERT INTO signing_keys (kid, algorithm, private_key, public_jwk, state, created_at)
            VALUES ('k', 'EdDSA', 'x', '{}', 'active', now())"
                .into(),
            vec!["keys".into()],
        ),
    ];
    for (sql, expected) in cases {
        assert_eq!(heard(&mut listener, &pool, &sql).await, expected, "{sql}");
    }
}

#[tokio::test]
async fn a_session_has_one_live_refresh_token_and_an_algorithm_one_active_key() {
    let (_database, pool) = filled().await;
    let mut transaction = system(&pool).await;
    run(
        &mut transaction,
        &format!(
        "INSERT INTO sessions (id, user_id, created_at, last_used_at, idle_expires_at, expires_at,
             auth_time, amr) VALUES ('{}', '{}', now(), now(), now(), now(), now(), '{{pwd}}')",
        id(601), id(901)),
    )
    .await;
    let token = |number: u32| {
        format!(
            "INSERT INTO refresh_tokens (id, session_id, user_id, token_hash, nonce, issued_at)
         VALUES ('{}', '{}', '{}', 'hash {number}', 'n', now())",
            id(number),
            id(601),
            id(901)
        )
    };
    run(&mut transaction, &token(1)).await;
    run(
        &mut transaction,
        "UPDATE refresh_tokens SET used_at = now()",
    )
    .await;
    run(&mut transaction, &token(2)).await;
    assert_eq!(refused(&mut transaction, &token(3)).await, "23505");

    let key = |kid: &str| {
        format!(
            "INSERT INTO signing_keys (kid, algorithm, private_key, public_jwk, state, created_at)
         VALUES ('{kid}', 'EdDSA', 'x', '{{}}', 'active', now())"
        )
    };
    let mut transaction = system(&pool).await;
    run(&mut transaction, &key("one")).await;
    assert_eq!(refused(&mut transaction, &key("two")).await, "23505");
}
