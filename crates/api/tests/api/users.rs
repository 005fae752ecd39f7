//! The own account, and what administrators do with users.

use serde_json::json;

use crate::harness::{PASSWORD, TestApp};

const ME: &str = "/api/users/me";

#[actix_web::test]
async fn people_change_their_profile() {
    let app = TestApp::spawn().await;
    let user = app.user("anna").await;
    let change = json!({
        "display_name": "Anna B.", "username": "anna.b", "locale": "de",
        "profile_picture_url": "https://example.com/a.png", "metadata": {"theme": "dark"},
    });
    let answer = user.put(ME, change.clone()).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    for (name, value) in change.as_object().unwrap() {
        assert_eq!(&answer.body[name], value);
    }
    assert_eq!(app.login("anna.b").await.status, 200);
    let answer = user
        .put(ME, json!({"username": null, "display_name": null}))
        .await;
    assert_eq!(answer.body["username"], json!(null));
    assert_eq!(answer.body["locale"], "de", "what was not sent stays");
    let before = user.get(ME).await;
    let answer = user.put(ME, json!({})).await;
    assert_eq!(
        answer.header("etag"),
        before.header("etag"),
        "nothing changed"
    );
}

#[actix_web::test]
async fn a_stale_copy_changes_nothing() {
    let app = TestApp::spawn().await;
    let user = app.user("anna").await;
    let seen = user.get(ME).await.header("etag").to_owned();
    let with = [("if-match", seen.as_str())];
    assert_eq!(
        user.put_with(ME, json!({"locale": "fr"}), &with)
            .await
            .status,
        200
    );
    let answer = user.put_with(ME, json!({"locale": "de"}), &with).await;
    assert_eq!(
        (answer.status, answer.problem()),
        (412, "precondition_failed")
    );
    assert_eq!(user.get(ME).await.body["locale"], "fr");
}

#[actix_web::test]
async fn what_does_not_fit_is_refused_and_changes_nothing() {
    let app = TestApp::spawn().await;
    let user = app.user("anna").await;
    app.user("ben").await;
    for (change, field) in [
        (json!({"display_name": "x".repeat(101)}), "display_name"),
        (json!({"locale": "German"}), "locale"),
        (
            json!({"profile_picture_url": "javascript:alert(1)"}),
            "profile_picture_url",
        ),
        (json!({"metadata": [1]}), "metadata"),
        (json!({"metadata": {"a": "x".repeat(17_000)}}), "metadata"),
        (json!({"metadata": null, "status": "active"}), "status"),
        (json!({"attributes": {"clearance": 9}}), "attributes"),
        (
            json!({"new_password": "sparrow lantern 52 oak ridge"}),
            "current_password",
        ),
        (
            json!({"current_password": PASSWORD, "new_password": "short"}),
            "new_password",
        ),
    ] {
        let answer = user.put(ME, change.clone()).await;
        assert_eq!(
            (answer.status, answer.problem()),
            (400, "validation_failed"),
            "{change}"
        );
        assert_eq!(
            answer.body["errors"][0]["field"], field,
            "{change}: {}",
            answer.body
        );
    }
    let answer = user
        .put(ME, json!({"username": "BEN", "locale": "de"}))
        .await;
    assert_eq!((answer.status, answer.problem()), (409, "username_taken"));
    assert_eq!(
        user.get(ME).await.body["locale"],
        json!(null),
        "not even the other half"
    );
}

#[actix_web::test]
async fn a_new_password_ends_the_other_sessions() {
    let app = TestApp::spawn().await;
    let (user, other) = (app.user("anna").await, app.log_in("anna").await);
    let new = "sparrow lantern 52 oak ridge";
    let wrong = json!({"current_password": "wrong", "new_password": new});
    let answer = user.put(ME, wrong).await;
    assert_eq!(answer.body["errors"][0]["code"], "wrong_password");
    let change = json!({"current_password": PASSWORD, "new_password": new});
    assert_eq!(user.put(ME, change).await.status, 200);
    assert_eq!(user.get(ME).await.status, 200);
    assert_eq!(other.get(ME).await.status, 401);
    assert_eq!(app.login("anna").await.problem(), "invalid_credentials");
    let login = json!({"login": "anna", "password": new});
    assert_eq!(
        app.anonymous().post("/api/auth/login", login).await.status,
        200
    );
}

#[actix_web::test]
async fn guessing_the_current_password_is_throttled_too() {
    let app = TestApp::spawn().await;
    let user = app.user("anna").await;
    let change =
        json!({"current_password": "wrong", "new_password": "sparrow lantern 52 oak ridge"});
    for _ in 0..6 {
        assert_eq!(user.put(ME, change.clone()).await.status, 400);
    }
    let answer = user.put(ME, change).await;
    assert_eq!(
        (answer.status, answer.problem()),
        (429, "too_many_attempts")
    );
    assert_eq!(app.login("anna").await.status, 429, "it is one count");
}

#[actix_web::test]
async fn administrators_find_users_page_by_page() {
    let app = TestApp::with(&[("REGISTRATION_MODE", "open")]).await;
    for name in ["anna", "anton", "ben", "carl", "dora"] {
        app.user(name).await;
    }
    let admin = app.admin().await;
    let emails = async |path: &str| {
        let answer = admin.get(path).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        let items = answer.body["items"].as_array().unwrap().clone();
        let emails: Vec<_> = items
            .iter()
            .map(|user| user["email"].as_str().unwrap().to_owned())
            .collect();
        (
            emails,
            answer.body["next_cursor"].as_str().map(ToOwned::to_owned),
        )
    };
    assert_eq!(
        emails("/api/admin/users?q=AN&order=created_at").await.0,
        ["anna@example.com", "anton@example.com"]
    );
    assert_eq!(
        emails("/api/admin/users?q=%25").await.0.len(),
        0,
        "no wildcards from outside"
    );
    assert_eq!(
        emails("/api/admin/users?email=BEN@example.com").await.0,
        ["ben@example.com"]
    );
    let (mut all, mut cursor) = emails("/api/admin/users?limit=2&order=created_at").await;
    while let Some(next) = cursor {
        app.user(&format!("late{}", all.len())).await;
        let (more, after) = emails(&format!(
            "/api/admin/users?limit=2&order=created_at&cursor={next}"
        ))
        .await;
        all.extend(more);
        cursor = after;
        if all.len() > 8 {
            break;
        }
    }
    assert_eq!(
        all[..6],
        ["admin", "anna", "anton", "ben", "carl", "dora"].map(|n| format!("{n}@example.com"))
    );
    for wrong in [
        "limit=0",
        "limit=201",
        "limit=x",
        "cursor=x",
        "order=name",
        "status=odd",
        "what=1",
    ] {
        let answer = admin.get(&format!("/api/admin/users?{wrong}")).await;
        assert_eq!(answer.status, 400, "{wrong}");
        answer.problem();
    }
}

#[actix_web::test]
async fn nobody_approves_or_closes_themselves_or_someone_above() {
    let app = TestApp::spawn().await;
    let admin = app.admin().await;
    let path = format!("/api/admin/users/{}/disable", admin.user_id);
    let answer = admin.put(&path, json!({})).await;
    assert_eq!((answer.status, answer.problem()), (403, "forbidden"));
    let unknown = format!("/api/admin/users/{}/approve", uuid::Uuid::now_v7());
    assert_eq!(admin.put(&unknown, json!({})).await.problem(), "not_found");
    let user = app.user("anna").await;
    assert_eq!(user.put(&path, json!({})).await.problem(), "forbidden");
    assert_eq!(user.get("/api/admin/users").await.problem(), "forbidden");
}

#[actix_web::test]
async fn the_database_refuses_changes_to_the_audit_log() {
    let app = TestApp::spawn().await;
    let mut connection = app.api_sql().await;
    for sql in [
        "UPDATE audit_log SET action = 'x'",
        "DELETE FROM audit_log",
        "TRUNCATE audit_log",
        "UPDATE audit_seals SET seq = seq + 1",
        "DELETE FROM audit_seals",
        "TRUNCATE audit_seals",
        "DELETE FROM audit_pending",
        "INSERT INTO audit_pending SELECT id FROM audit_log",
    ] {
        let error = sqlx::query(sql).execute(&mut connection).await.unwrap_err();
        let code = error
            .as_database_error()
            .unwrap()
            .code()
            .unwrap()
            .into_owned();
        assert_eq!(code, "42501", "{sql}");
    }
}

#[actix_web::test]
async fn a_change_and_its_audit_entry_happen_together_or_not_at_all() {
    let app = TestApp::spawn().await;
    let user = app.user("anna").await;
    let sql = "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '53100'; END $$; \
               CREATE TRIGGER refuse BEFORE INSERT ON audit_log FOR EACH ROW EXECUTE FUNCTION refuse()";
    sqlx::raw_sql(sql)
        .execute(&mut app.sql().await)
        .await
        .unwrap();
    let answer = user.put(ME, json!({"locale": "fr"})).await;
    assert_eq!(
        (answer.status, answer.problem()),
        (503, "database_unavailable")
    );
    assert!(!answer.header("retry-after").is_empty());
    assert_eq!(user.get(ME).await.body["locale"], json!(null));
}
