//! Forwards, backwards, and forwards again.

use migration::{Down, MigrateError};

use crate::{Database, code};

#[tokio::test]
async fn down_leaves_nothing_and_up_makes_the_same_again() {
    let database = Database::empty();
    let db = database.connect("auth").await;
    let all = migration::known();
    assert_eq!(migration::up(&db, "auth").await.unwrap(), all);
    let first = database.server.dump(&database.name);
    assert!(first.contains("CREATE TABLE auth.users"));

    let undone = migration::down(&db, "auth", &Down::Steps(1000), crate::RASH)
        .await
        .unwrap();
    assert_eq!(undone.len(), all.len());
    let left = database.server.psql(
        &database.name,
        "SELECT relname FROM pg_class WHERE relnamespace = 'auth'::regnamespace
         UNION SELECT proname FROM pg_proc WHERE pronamespace = 'auth'::regnamespace ORDER BY 1",
    );
    assert_eq!(left, "seaql_migrations\nseaql_migrations_pkey");

    migration::up(&db, "auth").await.unwrap();
    assert_eq!(database.server.dump(&database.name), first);
}

#[tokio::test]
async fn each_step_back_undoes_its_step() {
    let database = Database::empty();
    let db = database.connect("public").await;
    migration::up(&db, "public").await.unwrap();
    let mut dumps = vec![database.server.dump(&database.name)];
    for name in migration::known().iter().rev() {
        let undone = migration::down(&db, "public", &Down::Steps(1), crate::RASH)
            .await
            .unwrap();
        assert_eq!(undone.as_slice(), std::slice::from_ref(name));
        dumps.push(database.server.dump(&database.name));
    }
    dumps.pop();
    for (name, after) in migration::known().iter().zip(dumps.iter().rev()) {
        // All steps up to this one: stands where the walk back had come by.
        migration::up(&db, "public").await.unwrap();
        migration::down(&db, "public", &Down::To(name.clone()), crate::RASH)
            .await
            .unwrap();
        assert_eq!(&database.server.dump(&database.name), after, "{name}");
    }
}

#[tokio::test]
async fn down_to_a_step_keeps_it() {
    let database = Database::migrated().await;
    let db = database.connect("auth").await;
    let to = Down::To("m20261121_000003".to_owned());
    migration::down(&db, "auth", &to, crate::RASH)
        .await
        .unwrap();
    let status = migration::status(&db).await.unwrap();
    assert_eq!(
        status.applied.last().unwrap().name,
        "m20261121_000003_user_activity"
    );
    let to = Down::To("m20261121_0000".to_owned());
    let error = migration::down(&db, "auth", &to, crate::RASH)
        .await
        .unwrap_err();
    assert!(matches!(error, MigrateError::NoSuchMigration(_)), "{error}");
}

#[tokio::test]
async fn an_empty_database_misses_everything_and_is_not_written_to_by_asking() {
    let database = Database::empty();
    let db = database.connect("public").await;
    assert_eq!(migration::pending(&db).await.unwrap(), migration::known());
    let tables = "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace";
    assert_eq!(database.server.psql(&database.name, tables), "0");
}

#[tokio::test]
async fn a_newer_database_is_left_alone_unless_steps_are_missing() {
    let database = Database::migrated().await;
    let db = database.connect("auth").await;
    let newer = "INSERT INTO auth.seaql_migrations VALUES ('m29990101_000001_future', 0)";
    database.server.psql(&database.name, newer);
    assert!(migration::up(&db, "auth").await.unwrap().is_empty());
    let status = migration::status(&db).await.unwrap();
    assert_eq!(status.unknown[0].name, "m29990101_000001_future");
    let error = migration::down(&db, "auth", &Down::Steps(1), crate::RASH)
        .await
        .unwrap_err();
    assert!(matches!(error, MigrateError::Newer(_)), "{error}");

    let missing = "DELETE FROM auth.seaql_migrations WHERE version LIKE '%row_level%'";
    database.server.psql(&database.name, missing);
    let error = migration::up(&db, "auth").await.unwrap_err();
    assert!(
        error.to_string().contains("m29990101_000001_future"),
        "{error}"
    );
}

#[tokio::test]
async fn a_step_that_cannot_get_its_locks_gives_up_and_leaves_the_schema_as_it_was() {
    let database = Database::migrated().await;
    let db = database.connect("auth").await;
    // The step that needs a lock on what the reader holds has to be the last one.
    let to = Down::To("m20261121_000014".to_owned());
    migration::down(&db, "auth", &to, crate::RASH)
        .await
        .unwrap();
    let before = database.server.dump(&database.name);
    let mut reader = database.as_owner().begin().await.unwrap();
    sqlx::query("SELECT FROM organizations")
        .execute(&mut *reader)
        .await
        .unwrap();
    let error = migration::down(&db, "auth", &Down::Steps(1), crate::RASH)
        .await
        .unwrap_err();
    assert!(
        matches!(&error, MigrateError::Blocked { holders, .. } if holders.contains("idle in tr")),
        "{error}"
    );
    drop(reader);
    assert_eq!(database.server.dump(&database.name), before);
}

#[tokio::test]
async fn the_schema_must_be_the_one_the_connection_looks_into() {
    let database = Database::empty();
    let db = database.connect("auth").await;
    let error = migration::up(&db, "other").await.unwrap_err();
    assert!(matches!(error, MigrateError::OtherSchema { .. }), "{error}");
}

#[tokio::test]
async fn a_standby_and_a_read_only_database_are_told_from_a_primary() {
    let database = Database::migrated().await;
    let standby = database.server.standby();
    let url = standby.url(&database.owner, &database.name);
    let options = url.parse::<sqlx::postgres::PgConnectOptions>().unwrap();
    let db = migration::connect(options.options([("search_path", "auth")]))
        .await
        .unwrap();
    assert!(matches!(
        migration::up(&db, "auth").await,
        Err(MigrateError::Standby)
    ));
    assert!(migration::pending(&db).await.unwrap().is_empty());

    let name = &database.name;
    let read_only = format!("ALTER DATABASE {name} SET default_transaction_read_only = on");
    database.server.psql("postgres", &read_only);
    let db = database.connect("auth").await;
    assert!(matches!(
        migration::up(&db, "auth").await,
        Err(MigrateError::ReadOnly)
    ));
}

#[tokio::test]
async fn a_stamp_notes_where_the_schema_stands_and_runs_nothing() {
    let database = Database::empty();
    let db = database.connect("auth").await;
    let name = migration::stamp(&db, "auth", "m20261121_000002")
        .await
        .unwrap();
    assert_eq!(name, "m20261121_000002_sessions");
    let status = migration::status(&db).await.unwrap();
    assert_eq!(status.applied.len(), 2);
    let error = sqlx::query("SELECT FROM users")
        .execute(&database.as_owner())
        .await
        .unwrap_err();
    assert_eq!(code(&error), "42P01");

    migration::stamp(&db, "auth", "m20261121_000001")
        .await
        .unwrap();
    assert_eq!(migration::status(&db).await.unwrap().applied.len(), 1);
}
