//! Accounts that nobody uses are closed, after a warning.

use chrono::TimeDelta;
use gatepost::dormancy::service::{Done, Fate, report, round};
use serde_json::json;

use crate::{people::Post, tenants::given};

const POLICY: [(&str, &str); 4] = [
    ("DORMANT_AFTER_DAYS", "90"),
    ("DORMANT_WARN_DAYS", "14"),
    ("REGISTRATION_MODE", "open"),
    ("SESSION_REMEMBER_TTL", "30d"),
];

fn done(warned: usize, disabled: usize) -> Done {
    Done { warned, disabled }
}

#[actix_web::test]
async fn who_stays_away_is_warned_once_and_then_closed() {
    let post = Post::with(&POLICY).await;
    let app = &post.app;
    let state = &app.state;
    let (anna, ben) = (app.user("anna").await, app.user("ben").await);
    app.clock.advance(TimeDelta::days(75));
    assert_eq!(round(state).await.unwrap(), done(0, 0));
    app.log_in("ben").await;
    app.clock.advance(TimeDelta::days(2));
    assert_eq!(report(state, 10).await.unwrap()[0].next, Fate::Warn);
    // The second instance looks as soon as it starts.
    let second = app.second().await;
    let (one, other) = futures_util::future::join(round(state), round(&second.state)).await;
    assert!(one.unwrap().warned + other.unwrap().warned <= 1);
    let warned = "SELECT count(*) FROM audit_log WHERE action = 'user.dormancy_warned'";
    while sqlx::query_scalar::<_, i64>(warned)
        .fetch_one(&mut app.sql().await)
        .await
        .unwrap()
        == 0
    {
        tokio::task::yield_now().await;
    }
    second.stop().await;
    let told: i64 = sqlx::query_scalar(warned)
        .fetch_one(&mut app.sql().await)
        .await
        .unwrap();
    assert_eq!(told, 1, "once in all");
    assert_eq!(round(state).await.unwrap(), done(0, 0), "once");
    post.mail("anna@example.com", "closed").await;
    assert_eq!(post.count("ben@example.com", "closed"), 0);
    app.clock.advance(TimeDelta::days(13));
    assert_eq!(
        round(state).await.unwrap(),
        done(0, 0),
        "not before it was said"
    );
    app.clock.advance(TimeDelta::days(1));
    assert_eq!(round(state).await.unwrap(), done(0, 1));
    assert_eq!(app.login("anna").await.problem(), "account_disabled");
    let admin = app.admin().await;
    let entries = admin
        .get(&format!(
            "/api/admin/audit?action=user.disabled&target_id={}",
            anna.user_id
        ))
        .await;
    assert_eq!(entries.body["items"][0]["actor_type"], "program");
    assert_eq!(entries.body["items"][0]["details"]["reason"], "dormant");
    // Who is let in again has the whole time again.
    let enable = format!("/api/admin/users/{}/enable", anna.user_id);
    assert_eq!(admin.put(&enable, json!({})).await.status, 200);
    assert_eq!(round(state).await.unwrap(), done(0, 0));
    assert_eq!(
        admin
            .get(&format!("/api/admin/users/{}", ben.user_id))
            .await
            .body["status"],
        "active"
    );
}

#[actix_web::test]
async fn who_comes_back_after_the_warning_stays() {
    let post = Post::with(&POLICY).await;
    let app = &post.app;
    app.user("anna").await;
    app.clock.advance(TimeDelta::days(80));
    assert_eq!(round(&app.state).await.unwrap(), done(1, 0));
    // A request is enough; it is written down by the next round at the latest.
    app.log_in("anna").await;
    app.clock.advance(TimeDelta::days(20));
    assert_eq!(round(&app.state).await.unwrap(), done(0, 0));
    app.clock.advance(TimeDelta::days(60));
    assert_eq!(
        round(&app.state).await.unwrap(),
        done(1, 0),
        "a new absence, a new warning"
    );
}

#[actix_web::test]
async fn a_policy_that_is_new_closes_nobody_without_a_warning() {
    let post = Post::with(&POLICY).await;
    let app = &post.app;
    app.user("anna").await;
    app.clock.advance(TimeDelta::days(1000));
    assert_eq!(round(&app.state).await.unwrap(), done(1, 0));
    app.clock.advance(TimeDelta::days(13));
    assert_eq!(round(&app.state).await.unwrap(), done(0, 0));
    app.clock.advance(TimeDelta::days(1));
    assert_eq!(round(&app.state).await.unwrap(), done(0, 1));
}

#[actix_web::test]
async fn without_a_warning_time_accounts_are_closed_at_once() {
    let mut settings = POLICY.to_vec();
    settings.push(("DORMANT_WARN_DAYS", "0"));
    let post = Post::with(&settings).await;
    let app = &post.app;
    app.user("anna").await;
    app.clock.advance(TimeDelta::days(89));
    assert_eq!(round(&app.state).await.unwrap(), done(0, 0));
    app.clock.advance(TimeDelta::days(1));
    assert_eq!(round(&app.state).await.unwrap(), done(0, 1));
}

#[actix_web::test]
async fn the_last_administrator_and_break_glass_stay() {
    let mut settings = POLICY.to_vec();
    settings.push(("DORMANT_WARN_DAYS", "0"));
    let post = Post::with(&settings).await;
    let app = &post.app;
    let (admin, anna) = (app.admin().await, app.user("anna").await);
    given(&admin, &anna, "admin", json!({"type": "system"})).await;
    let mut sql = app.sql().await;
    // Only an administrator who is there for emergencies, and has the role for a time.
    sqlx::raw_sql(
        "UPDATE user_role_assignments a SET expires_at = now() + interval '20 years' \
        FROM users u WHERE u.id = a.user_id AND u.break_glass",
    )
    .execute(&mut sql)
    .await
    .unwrap();
    app.clock.advance(TimeDelta::days(200));
    assert_eq!(round(&app.state).await.unwrap(), done(0, 0));
    let status: Vec<String> = sqlx::query_scalar("SELECT DISTINCT status FROM users")
        .fetch_all(&mut sql)
        .await
        .unwrap();
    assert_eq!(status, ["active"]);
}

#[actix_web::test]
async fn without_a_policy_nobody_is_closed() {
    let post = Post::with(&[("REGISTRATION_MODE", "open")]).await;
    post.app.user("anna").await;
    post.app.clock.advance(TimeDelta::days(5000));
    assert_eq!(round(&post.app.state).await.unwrap(), done(0, 0));
    assert!(report(&post.app.state, 10).await.unwrap().is_empty());
}
