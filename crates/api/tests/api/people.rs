//! What administrators do with users, and who cannot have it done to them.

use std::time::Duration;

use chrono::TimeDelta;
use futures_util::future::join;
use serde_json::{Value, json};

use crate::{
    harness::{Answer, Client, PASSWORD, TestApp},
    smtp_sink::SmtpSink,
    tenants::{Tenant, all, column, given},
};

const USERS: &str = "/api/admin/users";

/// An instance, and where its mails arrive.
pub struct Post {
    pub app: TestApp,
    sink: SmtpSink,
}

impl Post {
    pub async fn with(settings: &[(&str, &str)]) -> Self {
        let sink = SmtpSink::start().await;
        let url = sink.url("tls=none");
        let mut all = vec![("SMTP_URL", url.as_str())];
        all.extend(settings);
        Self {
            app: TestApp::with(&all).await,
            sink,
        }
    }

    /// The next mail to `to` that holds `what`.
    pub async fn mail(&self, to: &str, what: &str) -> String {
        let to = format!("<{to}>");
        loop {
            let mails = self.sink.mails().into_iter().filter(|mail| mail.to == to);
            let mut texts = mails.map(|mail| mail.content.replace("=\n", "").replace("=3D", "="));
            if let Some(text) = texts.find(|text| text.contains(what)) {
                return text;
            }
            let more = tokio::time::timeout(Duration::from_secs(20), self.sink.received());
            more.await
                .unwrap_or_else(|_| panic!("no mail to {to} with {what}"));
        }
    }

    /// How many mails to `to` hold `what`.
    pub fn count(&self, to: &str, what: &str) -> usize {
        let to = format!("<{to}>");
        let mails = self.sink.mails();
        let fits =
            |mail: &&crate::smtp_sink::ReceivedMail| mail.to == to && mail.content.contains(what);
        mails.iter().filter(fits).count()
    }
}

fn path(id: &str) -> String {
    format!("{USERS}/{id}")
}

async fn created(admin: &Client, body: Value) -> String {
    let answer = admin.post(USERS, body).await;
    assert_eq!(answer.status, 201, "{}", answer.body);
    answer.id()
}

fn refusal(answer: &Answer) -> (u16, &str) {
    (answer.status, answer.problem())
}

async fn audited(admin: &Client, action: &str, target: &str) -> Vec<Value> {
    let query = format!("/api/admin/audit?action={action}&target_id={target}");
    admin.get(&query).await.body["items"]
        .as_array()
        .unwrap()
        .clone()
}

#[actix_web::test]
async fn a_user_who_was_made_with_a_password_has_to_change_it() {
    let app = TestApp::spawn().await;
    let admin = app.admin().await;
    let new = json!({
        "email": "Anna@example.com", "username": "anna", "display_name": "Anna", "locale": "de",
        "attributes": {"clearance": 3}, "metadata": {"team": "red"}, "password": PASSWORD,
    });
    let answer = admin.post(USERS, new).await;
    assert_eq!(answer.status, 201, "{}", answer.body);
    assert_eq!(answer.header("location"), path(&answer.id()));
    assert_eq!(answer.header("etag"), "\"v1\"");
    assert_eq!(answer.body["attributes"], json!({"clearance": 3}));
    assert_eq!(answer.body["status"], "active");
    assert_eq!(answer.body["email_verified"], false);
    let login = app.login("anna").await;
    assert_eq!(login.body["status"], "password_change_required");
    assert_eq!(audited(&admin, "user.created", &answer.id()).await.len(), 1);
}

#[actix_web::test]
async fn a_user_who_was_made_without_a_password_gets_a_link() {
    let post = Post::with(&[]).await;
    let admin = post.app.admin().await;
    let id = created(&admin, json!({"email": "ben@example.com"})).await;
    let text = post.mail("ben@example.com", "gpw_").await;
    assert!(text.contains("token=gpw_"), "{text}");
    assert_eq!(post.app.login("ben@example.com").await.status, 401);
    assert_eq!(admin.get(&path(&id)).await.body["has_password"], false);
}

#[actix_web::test]
async fn the_same_creation_happens_once() {
    let app = TestApp::spawn().await;
    let admin = app.admin().await;
    let with = [("idempotency-key", "one")];
    let body = json!({"email": "anna@example.com"});
    let (first, second) = join(
        admin.post_with(USERS, body.clone(), &with),
        admin.post_with(USERS, body.clone(), &with),
    )
    .await;
    assert_eq!((first.status, second.status), (201, 201));
    assert_eq!(first.body, second.body);
    assert_eq!(first.header("etag"), second.header("etag"));
    assert_eq!(
        refusal(&admin.post(USERS, body).await),
        (409, "email_taken")
    );
    let other = json!({"email": "other@example.com"});
    let answer = admin.post_with(USERS, other, &with).await;
    assert_eq!(refusal(&answer), (422, "idempotency_key_reused"));
}

#[actix_web::test]
async fn what_cannot_be_a_user_is_refused() {
    let app = TestApp::spawn().await;
    let admin = app.admin().await;
    app.user("anna").await;
    for (body, field) in [
        (json!({}), "email"),
        (json!({"email": "nobody"}), "email"),
        (
            json!({"email": "x@example.com", "username": null}),
            "username",
        ),
        (
            json!({"email": "x@example.com", "password": "short"}),
            "password",
        ),
        (
            json!({"email": "x@example.com", "attributes": []}),
            "attributes",
        ),
        (
            json!({"email": "x@example.com", "status": "active"}),
            "status",
        ),
    ] {
        let answer = admin.post(USERS, body.clone()).await;
        assert_eq!(refusal(&answer), (400, "validation_failed"), "{body}");
        assert_eq!(answer.body["errors"][0]["field"], field, "{body}");
    }
    let taken = json!({"email": "x@example.com", "username": "ANNA"});
    assert_eq!(
        refusal(&admin.post(USERS, taken).await),
        (409, "username_taken")
    );
}

#[actix_web::test]
async fn administrators_change_profiles_and_attributes() {
    let app = TestApp::spawn().await;
    let (admin, anna) = (app.admin().await, app.user("anna").await);
    let seen = admin.get(&path(&anna.user_id)).await;
    let with = [("if-match", seen.header("etag"))];
    let change =
        json!({"display_name": "Anna B.", "attributes": {"region": "eu"}, "metadata": {"a": 1}});
    let answer = admin
        .patch_with(&path(&anna.user_id), change.clone(), &with)
        .await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(answer.body["attributes"], json!({"region": "eu"}));
    assert_eq!(
        anna.get("/api/users/me").await.body["display_name"],
        "Anna B."
    );
    assert!(
        anna.get("/api/users/me")
            .await
            .body
            .get("attributes")
            .is_none()
    );
    let stale = admin.patch_with(&path(&anna.user_id), change, &with).await;
    assert_eq!(refusal(&stale), (412, "precondition_failed"));
    let cleared = admin
        .patch(
            &path(&anna.user_id),
            json!({"display_name": null, "username": null}),
        )
        .await;
    assert_eq!(cleared.body["username"], json!(null));
    let own = admin
        .patch(&path(&admin.user_id), json!({"attributes": {"a": 1}}))
        .await;
    assert_eq!(refusal(&own), (403, "forbidden"));
    let nothing = admin.patch(&path(&anna.user_id), json!({})).await;
    assert_eq!(nothing.header("etag"), cleared.header("etag"));
}

#[actix_web::test]
async fn another_address_is_told_to_the_old_one_and_ends_what_was_open() {
    let post = Post::with(&[]).await;
    let app = &post.app;
    let (admin, anna) = (app.admin().await, app.user("anna").await);
    app.user("ben").await;
    let taken = admin
        .patch(&path(&anna.user_id), json!({"email": "BEN@example.com"}))
        .await;
    assert_eq!(refusal(&taken), (409, "email_taken"));
    assert_eq!(anna.get("/api/users/me").await.status, 200);
    let spelled = admin
        .patch(&path(&anna.user_id), json!({"email": "Anna@example.com"}))
        .await;
    assert_eq!(spelled.body["email"], "Anna@example.com");
    assert_eq!(
        anna.get("/api/users/me").await.status,
        200,
        "the same address"
    );
    let answer = admin
        .patch(&path(&anna.user_id), json!({"email": "anna@example.org"}))
        .await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(answer.body["email_verified"], false);
    assert_eq!(anna.get("/api/users/me").await.status, 401);
    post.mail("Anna@example.com", "anna@example.org").await;
    assert_eq!(app.login("anna@example.com").await.status, 401);
    assert_eq!(app.login("anna@example.org").await.status, 200);
}

#[actix_web::test]
async fn the_new_address_is_asked_for_a_proof() {
    let post = Post::with(&[("EMAIL_VERIFICATION", "required")]).await;
    let admin = post.app.admin().await;
    let id = created(&admin, json!({"email": "ben@example.com"})).await;
    let answer = admin
        .patch(&path(&id), json!({"email": "ben@example.org"}))
        .await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    post.mail("ben@example.org", "token=gpv_").await;
}

#[actix_web::test]
async fn who_is_erased_is_gone_and_the_audit_log_stays() {
    let post = Post::with(&[]).await;
    let app = &post.app;
    let (admin, anna) = (app.admin().await, app.user("anna").await);
    let acme = Tenant::create(&admin, "Acme").await;
    given(&admin, &anna, "editor", acme.resource("project")).await;
    let second = app.second().await;
    let elsewhere = anna.at(&second);
    assert_eq!(elsewhere.get("/api/users/me").await.status, 200);
    let before = admin
        .get(&format!("/api/admin/audit?actor_id={}", anna.user_id))
        .await;
    let entries = before.body["items"].as_array().unwrap().len();
    assert!(entries > 0);
    let answer = admin.delete(&path(&anna.user_id)).await;
    assert_eq!(answer.status, 204, "{}", answer.body);
    assert_eq!(anna.get("/api/users/me").await.status, 401);
    assert_eq!(elsewhere.get("/api/users/me").await.status, 401);
    assert_eq!(
        refusal(&admin.get(&path(&anna.user_id)).await),
        (404, "not_found")
    );
    assert_eq!(
        refusal(&admin.delete(&path(&anna.user_id)).await),
        (404, "not_found")
    );
    post.mail("anna@example.com", "Subject: Your account").await;
    let after = admin
        .get(&format!("/api/admin/audit?actor_id={}", anna.user_id))
        .await;
    assert_eq!(after.body["items"].as_array().unwrap().len(), entries);
    assert_eq!(audited(&admin, "user.erased", &anna.user_id).await.len(), 1);
    let mut sql = app.sql().await;
    for table in [
        "users WHERE id",
        "sessions WHERE user_id",
        "refresh_tokens WHERE user_id",
        "user_activity WHERE user_id",
        "user_role_assignments WHERE user_id",
    ] {
        let left: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(format!(
            "SELECT count(*) FROM {table} = '{}'",
            anna.user_id
        )))
        .fetch_one(&mut sql)
        .await
        .unwrap();
        assert_eq!(left, 0, "{table}");
    }
    let about: i64 =
        sqlx::query_scalar("SELECT count(*) FROM audit_log WHERE details::text LIKE '%anna@%'")
            .fetch_one(&mut sql)
            .await
            .unwrap();
    assert_eq!(about, 0, "the log says nowhere whose id it is");
    assert_eq!(app.login("anna").await.status, 401);
    second.stop().await;
}

#[actix_web::test]
async fn a_sole_owner_is_not_erased() {
    let app = TestApp::spawn().await;
    let (admin, anna) = (app.admin().await, app.user("anna").await);
    let acme = Tenant::create(&admin, "Acme").await;
    given(&admin, &anna, "owner", acme.resource("organization")).await;
    let query = format!(
        "/api/role-assignments?role=owner&resource_id={}&principal_id={}",
        acme.organization, admin.user_id
    );
    let mine = column(&all(&admin, &query, 50).await, "id");
    assert_eq!(
        admin
            .delete(&format!("/api/role-assignments/{}", mine[0]))
            .await
            .status,
        204
    );
    let answer = admin.delete(&path(&anna.user_id)).await;
    assert_eq!(refusal(&answer), (409, "last_owner"));
    let detail = answer.body["detail"].as_str().unwrap();
    assert!(
        detail.contains("Acme") && detail.contains(&acme.organization),
        "{detail}"
    );
    let own = anna.delete("/api/users/me").await;
    assert_eq!(refusal(&own), (409, "last_owner"));
    assert_eq!(
        anna.get("/api/users/me").await.status,
        200,
        "nothing has changed"
    );
    given(&admin, &admin, "owner", acme.resource("organization")).await;
    assert_eq!(admin.delete(&path(&anna.user_id)).await.status, 204);
}

#[actix_web::test]
async fn a_lock_is_lifted_and_told_once() {
    let post = Post::with(&[]).await;
    let app = &post.app;
    let (admin, anna) = (app.admin().await, app.user("anna").await);
    let wrong = json!({"login": "anna", "password": "not this one at all"});
    for _ in 0..6 {
        assert_eq!(
            app.anonymous()
                .post("/api/auth/login", wrong.clone())
                .await
                .status,
            401
        );
    }
    assert_eq!(app.login("anna").await.status, 429);
    let unlock = format!("{}/unlock", path(&anna.user_id));
    for _ in 0..2 {
        assert_eq!(admin.put(&unlock, json!({})).await.status, 200);
    }
    assert_eq!(app.login("anna").await.status, 200);
    assert_eq!(
        audited(&admin, "user.unlocked", &anna.user_id).await.len(),
        1
    );
}

#[actix_web::test]
async fn a_required_change_of_password_ends_sessions() {
    let app = TestApp::spawn().await;
    let (admin, anna) = (app.admin().await, app.user("anna").await);
    let step = format!("{}/require-password-change", path(&anna.user_id));
    for _ in 0..2 {
        let answer = admin.put(&step, json!({"reason": "leaked"})).await;
        assert_eq!(
            (answer.status, &answer.body["password_must_change"]),
            (200, &json!(true))
        );
    }
    assert_eq!(anna.get("/api/users/me").await.status, 401);
    assert_eq!(
        app.login("anna").await.body["status"],
        "password_change_required"
    );
    let entries = audited(&admin, "user.password_change_required", &anna.user_id).await;
    assert_eq!(
        entries
            .iter()
            .filter(|entry| entry["details"]["reason"] == "leaked")
            .count(),
        1
    );
}

#[actix_web::test]
async fn sessions_activity_and_roles_are_seen_and_sessions_end() {
    let app = TestApp::spawn().await;
    let (admin, anna) = (app.admin().await, app.user("anna").await);
    app.log_in("anna").await;
    given(&admin, &anna, "auditor", json!({"type": "system"})).await;
    let of = |what: &str| format!("{}/{what}", path(&anna.user_id));
    assert_eq!(all(&admin, &of("sessions"), 1).await.len(), 2);
    assert_eq!(
        column(&all(&admin, &of("roles"), 1).await, "role"),
        ["auditor"]
    );
    let kinds = column(&all(&admin, &of("activity"), 2).await, "kind");
    for kind in ["registered", "approved", "login", "role_assigned"] {
        assert!(kinds.contains(&kind.to_owned()), "{kinds:?}");
    }
    let reader = anna.get(&of("sessions")).await;
    assert_eq!(reader.status, 200, "an auditor reads");
    let ended = admin.delete(&of("sessions")).await;
    assert_eq!((ended.status, &ended.body["ended"]), (200, &json!(2)));
    assert_eq!(anna.get("/api/users/me").await.status, 401);
    assert_eq!(admin.delete(&of("sessions")).await.body["ended"], 0);
    let own = format!("{}/sessions", path(&admin.user_id));
    assert_eq!(refusal(&admin.delete(&own).await), (403, "forbidden"));
    for what in ["sessions", "activity", "roles"] {
        let unknown = format!("{}/{what}", path(&uuid::Uuid::now_v7().to_string()));
        assert_eq!(refusal(&admin.get(&unknown).await), (404, "not_found"));
    }
}

#[actix_web::test]
async fn what_an_administrator_did_shows_no_address_of_theirs() {
    let app = TestApp::spawn().await;
    let (_, anna) = (app.admin().await, app.user("anna").await);
    let items = all(&anna, "/api/users/me/activity", 50).await;
    let approved = items
        .iter()
        .find(|item| item["kind"] == "approved")
        .unwrap();
    assert_eq!(
        (&approved["ip"], &approved["user_agent"]),
        (&json!(null), &json!(null))
    );
}

#[actix_web::test]
async fn a_rejection_says_why() {
    let post = Post::with(&[]).await;
    let app = &post.app;
    let admin = app.admin().await;
    let new = json!({"email": "eve@example.com", "password": PASSWORD});
    app.anonymous().post("/api/register", new).await;
    let found = admin.get(&format!("{USERS}?email=eve@example.com")).await;
    let id = found.body["items"][0]["id"].as_str().unwrap().to_owned();
    let reject = format!("{}/reject", path(&id));
    for _ in 0..2 {
        let answer = admin
            .put(&reject, json!({"reason": "Not one of us."}))
            .await;
        assert_eq!(answer.body["status"], "rejected", "{}", answer.body);
    }
    post.mail("eve@example.com", "Not one of us.").await;
    assert_eq!(audited(&admin, "user.rejected", &id).await.len(), 1);
}

#[actix_web::test]
async fn users_are_found_by_role_and_by_absence() {
    let app = TestApp::with(&[("REGISTRATION_MODE", "open")]).await;
    let (admin, anna) = (app.admin().await, app.user("anna").await);
    let ben = app.user("ben").await;
    given(&admin, &anna, "auditor", json!({"type": "system"})).await;
    let emails = async |query: &str| {
        column(
            &all(&admin, &format!("{USERS}?{query}&order=created_at"), 1).await,
            "email",
        )
    };
    assert_eq!(emails("role=auditor").await, ["anna@example.com"]);
    assert_eq!(emails("role=admin").await, ["admin@example.com"]);
    assert!(emails("role=nothing").await.is_empty());
    let time =
        |at: chrono::DateTime<chrono::Utc>| at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
    let now = gatepost::clock::Clock::now(&*app.clock);
    let later = time(now + TimeDelta::days(20));
    assert_eq!(emails(&format!("inactive_since={later}")).await.len(), 3);
    app.clock.advance(TimeDelta::days(30));
    let admin = app.admin().await;
    let emails = async |query: &str| {
        column(
            &all(&admin, &format!("{USERS}?{query}&order=created_at"), 1).await,
            "email",
        )
    };
    app.log_in("ben").await;
    app.state
        .seen
        .write(&app.state.db, gatepost::clock::Clock::now(&*app.clock))
        .await
        .unwrap();
    assert_eq!(
        emails(&format!("inactive_since={later}")).await,
        ["anna@example.com"]
    );
    let seen = admin.get(&path(&ben.user_id)).await.body["last_seen_at"].clone();
    assert_eq!(seen, json!(time(now + TimeDelta::days(30))));
}

#[actix_web::test]
async fn nobody_touches_themselves_or_someone_above() {
    let app = TestApp::spawn().await;
    let (admin, helper) = (app.admin().await, app.user("helper").await);
    // A role that may do everything with users, and nothing else.
    let mut sql = app.sql().await;
    sqlx::raw_sql(
        "INSERT INTO roles (id, key, name, permissions, assignable_at, created_at, updated_at) \
        VALUES (gen_random_uuid(), 'helper', 'Helper', '{user:*}', '{system}', now(), now())",
    )
    .execute(&mut sql)
    .await
    .unwrap();
    given(&admin, &helper, "helper", json!({"type": "system"})).await;
    for (client, id) in [
        (&admin, &admin.user_id),
        (&helper, &admin.user_id),
        (&helper, &helper.user_id),
    ] {
        for (method, what) in [
            ("PATCH", ""),
            ("DELETE", ""),
            ("PUT", "/approve"),
            ("PUT", "/reject"),
            ("PUT", "/disable"),
            ("PUT", "/enable"),
            ("PUT", "/unlock"),
            ("PUT", "/require-password-change"),
            ("DELETE", "/sessions"),
        ] {
            let answer = client
                .send(method, &format!("{}{what}", path(id)), Some(json!({})), &[])
                .await;
            assert_eq!(refusal(&answer), (403, "forbidden"), "{method} {what}");
        }
    }
    let anna = app.user("anna").await;
    assert_eq!(
        helper
            .put(&format!("{}/disable", path(&anna.user_id)), json!({}))
            .await
            .status,
        200
    );
}

#[actix_web::test]
async fn the_last_administrator_stays() {
    let app = TestApp::spawn().await;
    let admin = app.admin().await;
    let role = async |user: &str| {
        let query =
            format!("/api/role-assignments?role=admin&resource_type=system&principal_id={user}");
        column(&all(&admin, &query, 50).await, "id")[0].clone()
    };
    let own = format!("/api/role-assignments/{}", role(&admin.user_id).await);
    assert_eq!(
        refusal(&admin.delete(&own).await),
        (409, "last_administrator")
    );
    assert_eq!(
        refusal(&admin.delete("/api/users/me").await),
        (409, "last_administrator")
    );
    // Who is administrator for a time is none to rely on.
    let anna = app.user("anna").await;
    let end = gatepost::clock::Clock::now(&*app.clock) + TimeDelta::hours(1);
    let body = json!({"principal": {"type": "user", "id": anna.user_id}, "role": "admin",
        "resource": {"type": "system"}, "expires_at": end});
    let passing = admin.post("/api/role-assignments", body).await.id();
    assert_eq!(
        refusal(&admin.delete(&own).await),
        (409, "last_administrator")
    );
    let disable = format!("{}/disable", path(&admin.user_id));
    assert_eq!(
        refusal(&anna.put(&disable, json!({})).await),
        (409, "last_administrator")
    );
    assert_eq!(
        refusal(&anna.delete(&path(&admin.user_id)).await),
        (409, "last_administrator")
    );
    assert_eq!(admin.get("/api/users/me").await.status, 200, "and goes on");
    assert_eq!(
        admin
            .delete(&format!("/api/role-assignments/{passing}"))
            .await
            .status,
        204
    );
    given(&admin, &anna, "admin", json!({"type": "system"})).await;
    assert_eq!(admin.delete(&own).await.status, 204);
}

#[actix_web::test]
async fn of_administrators_who_remove_each_other_at_once_one_stays() {
    let app = TestApp::with(&[("REGISTRATION_MODE", "open")]).await;
    let root = app.admin().await;
    for round in 0..4 {
        let (one, other) = (
            app.user(&format!("one{round}")).await,
            app.user(&format!("other{round}")).await,
        );
        for user in [&one, &other] {
            given(&root, user, "admin", json!({"type": "system"})).await;
        }
        // The first administrator steps back for the round.
        let mut sql = app.sql().await;
        let away = format!(
            "UPDATE user_role_assignments SET expires_at = now() + interval '1 year' \
            WHERE user_id NOT IN ('{}', '{}') AND expires_at IS NULL",
            one.user_id, other.user_id
        );
        sqlx::raw_sql(sqlx::AssertSqlSafe(away))
            .execute(&mut sql)
            .await
            .unwrap();
        let disable = |user: &Client| format!("{}/disable", path(&user.user_id));
        let (first, second) = match round % 2 {
            0 => {
                join(
                    one.put(&disable(&other), json!({})),
                    other.put(&disable(&one), json!({})),
                )
                .await
            }
            _ => {
                join(
                    one.delete("/api/users/me"),
                    other.put(&disable(&one), json!({})),
                )
                .await
            }
        };
        let done = [&first, &second]
            .iter()
            .filter(|answer| [200, 204].contains(&answer.status))
            .count();
        assert!(done >= 1, "{first:?} {second:?}");
        let left: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM user_role_assignments a JOIN users u ON u.id = a.user_id \
            WHERE u.status = 'active' AND a.resource_type = 'system' AND a.expires_at IS NULL",
        )
        .fetch_one(&mut sql)
        .await
        .unwrap();
        assert!(left >= 1, "{first:?} {second:?}");
    }
}

#[actix_web::test]
async fn the_numbers_of_the_last_days_are_counted() {
    let app = TestApp::with(&[("REGISTRATION_MODE", "open")]).await;
    let admin = app.admin().await;
    app.user("anna").await;
    let wrong = json!({"login": "nobody", "password": PASSWORD});
    app.anonymous().post("/api/auth/login", wrong).await;
    let answer = admin.get("/api/admin/overview").await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(answer.body["users"]["total"], 2);
    assert_eq!(answer.body["users"]["active"], 2);
    assert_eq!(
        (&answer.body["organizations"], &answer.body["live_sessions"]),
        (&json!(0), &json!(2))
    );
    let days = answer.body["days"].as_array().unwrap();
    assert_eq!(days.len(), 30);
    let now = gatepost::clock::Clock::now(&*app.clock);
    let today = json!({"date": now.date_naive(), "logins": 2, "failures": 1, "registrations": 1});
    assert_eq!(days[29], today);
    assert!(days[..29].iter().all(|day| day["logins"] == 0));
    let user = app.log_in("anna").await;
    assert_eq!(
        refusal(&user.get("/api/admin/overview").await),
        (403, "forbidden")
    );
}

#[actix_web::test]
async fn keys_are_seen_without_their_secrets_and_rotated_once() {
    let app = TestApp::spawn().await;
    let (admin, anna) = (app.admin().await, app.user("anna").await);
    let before = admin.get("/api/admin/keys").await;
    assert_eq!(before.status, 200, "{}", before.body);
    let states = |answer: &Answer| {
        let mut states = column(answer.body["items"].as_array().unwrap(), "state");
        states.sort_unstable();
        states
    };
    assert_eq!(states(&before), ["active", "next"]);
    assert!(
        !before.body.to_string().contains("private"),
        "{}",
        before.body
    );
    let rotate = "/api/admin/keys/rotate";
    let with = [("idempotency-key", "r")];
    let (first, second) = join(
        admin.post_with(rotate, json!({}), &with),
        admin.post_with(rotate, json!({}), &with),
    )
    .await;
    assert_eq!((first.status, second.status), (200, 200), "{first:?}");
    assert_eq!(first.body, second.body);
    assert_eq!(states(&first), ["active", "next", "retired"]);
    assert_eq!(
        anna.get("/api/users/me").await.status,
        200,
        "its token is good until it expires"
    );
    let entries = admin.get("/api/admin/audit?action=keys.rotated").await;
    assert_eq!(entries.body["items"].as_array().unwrap().len(), 1);
    assert_eq!(entries.body["items"][0]["actor_id"], json!(admin.user_id));
    assert_eq!(
        refusal(&anna.get("/api/admin/keys").await),
        (403, "forbidden")
    );
    assert_eq!(app.login("anna").await.status, 200);
}

#[actix_web::test]
async fn metadata_has_to_fit_the_schema_wherever_it_is_written() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let schema = json!({"type": "object", "properties": {"team": {"enum": ["red", "blue"]}},
        "required": ["team"], "additionalProperties": false});
    std::fs::write(file.path(), schema.to_string()).unwrap();
    let path_text = file.path().to_str().unwrap().to_owned();
    let app = TestApp::with(&[("USER_METADATA_SCHEMA", &path_text)]).await;
    let (admin, anna) = (app.admin().await, app.user("anna").await);
    let fits = json!({"metadata": {"team": "red"}});
    for (metadata, field) in [
        (json!({"team": "green"}), "metadata.team"),
        (json!({}), "metadata.team"),
        (json!({"team": "red", "more": 1}), "metadata.more"),
    ] {
        let body = json!({"metadata": metadata});
        let mut new = body.clone();
        new["email"] = json!("new@example.com");
        for answer in [
            anna.put("/api/users/me", body.clone()).await,
            admin.patch(&path(&anna.user_id), body.clone()).await,
            admin.post(USERS, new).await,
        ] {
            assert_eq!(refusal(&answer), (400, "validation_failed"), "{body}");
            assert_eq!(answer.body["errors"][0]["field"], field, "{}", answer.body);
        }
    }
    assert_eq!(anna.put("/api/users/me", fits.clone()).await.status, 200);
    assert_eq!(admin.patch(&path(&anna.user_id), fits).await.status, 200);
    assert_eq!(
        anna.put("/api/users/me", json!({"locale": "fr"}))
            .await
            .status,
        200
    );
}
