//! What was decided is kept for a while, and can be decided again.

use std::time::{Duration, Instant};

use chrono::TimeDelta;
use gatepost::server::background::tidy_once;
use serde_json::{Value, json};

use super::{ONE, Rules, at_the_door, door, knock};
use crate::{
    harness::{TestApp, secret_key},
    program::gatepost,
};

const REPLAY: &str = "/api/admin/policy/replay";

type Row = (
    bool,
    Vec<String>,
    Option<String>,
    Value,
    Vec<String>,
    Option<String>,
);

/// The decisions about doors, once there are so many.
async fn logged(app: &TestApp, count: usize) -> Vec<Row> {
    let sql = "SELECT allowed, reasons, policy, input, masked, request_id FROM decision_log \
               WHERE input->'action'->>'name' = 'door:open' ORDER BY id";
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let rows: Vec<Row> = sqlx::query_as(sql)
            .fetch_all(&mut app.sql().await)
            .await
            .unwrap();
        if rows.len() >= count {
            assert_eq!(rows.len(), count);
            return rows;
        }
        assert!(Instant::now() < deadline, "only {} are there", rows.len());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[actix_web::test]
async fn decisions_are_written_down_masked_and_with_their_policy() {
    let rules = Rules::new(&door("ada"));
    let app = rules.app(&[("DECISION_LOG", "all")]).await;
    let admin = app.admin().await;
    let mut question = at_the_door("ada");
    question["context"] = json!({"ip": "192.0.2.9", "password": "hush", "mail": "eve@example.org"});
    let sent = [("x-request-id", "knock-1")];
    let answer = admin.post_with(ONE, question, &sent).await;
    assert_eq!(answer.body["decision"], true, "{}", answer.body);
    knock(&admin, "bob").await;
    let rows = logged(&app, 2).await;
    let (allowed, reasons, policy, input, masked, request_id) = &rows[0];
    assert!(*allowed);
    assert_eq!(reasons, &["custom:guest"]);
    assert_eq!(policy.as_deref(), answer.body["context"]["policy"].as_str());
    assert_eq!(request_id.as_deref(), Some("knock-1"));
    assert_eq!(masked, &["/context/ip", "/context/password"]);
    let text = input.to_string();
    for gone in ["192.0.2.9", "hush", "eve@"] {
        assert!(!text.contains(gone), "{text}");
    }
    assert!(
        input["context"]["mail"]
            .as_str()
            .unwrap()
            .ends_with("@example.org")
    );
    assert_eq!(
        (rows[1].0, rows[1].1.as_slice()),
        (false, &["no_grant".to_owned()][..])
    );
    app.stop().await;
}

#[actix_web::test]
async fn only_refusals_are_kept_unless_told_otherwise_and_none_if_off() {
    for (setting, kept) in [("deny", 1), ("off", 0)] {
        let rules = Rules::new(&door("ada"));
        let app = rules.app(&[("DECISION_LOG", setting)]).await;
        let admin = app.admin().await;
        knock(&admin, "ada").await;
        knock(&admin, "bob").await;
        // What waits is written before the end.
        let database = app.database.clone();
        app.stop().await;
        let sql = "SELECT count(*) FROM decision_log WHERE input->'action'->>'name' = 'door:open'";
        let mut superuser = crate::databases::superuser(&database).await;
        let count: i64 = sqlx::query_scalar(sql)
            .fetch_one(&mut superuser)
            .await
            .unwrap();
        assert_eq!(count, kept, "{setting}");
    }
}

#[actix_web::test]
async fn old_days_are_dropped() {
    let app = TestApp::with(&[("DECISION_LOG_DAYS", "3")]).await;
    let admin = app.admin().await;
    knock(&admin, "bob").await;
    logged(&app, 1).await;
    let partitions = async || -> i64 {
        let sql = "SELECT count(*) FROM pg_inherits WHERE inhparent = 'decision_log'::regclass";
        sqlx::query_scalar(sql)
            .fetch_one(&mut app.sql().await)
            .await
            .unwrap()
    };
    tidy_once(&app.state).await.unwrap();
    assert_eq!(
        partitions().await,
        4,
        "today, two days to come, and the rest"
    );
    logged(&app, 1).await;
    app.clock.advance(TimeDelta::days(3));
    tidy_once(&app.state).await.unwrap();
    logged(&app, 1).await;
    app.clock.advance(TimeDelta::days(1));
    tidy_once(&app.state).await.unwrap();
    logged(&app, 0).await;
    app.stop().await;
}

#[actix_web::test]
async fn another_policy_shows_who_gains_and_who_loses() {
    let rules = Rules::new(&door("ada"));
    let app = rules.app(&[("DECISION_LOG", "all")]).await;
    let admin = app.admin().await;
    for guest in ["ada", "bob", "ada", "eve"] {
        knock(&admin, guest).await;
    }
    logged(&app, 4).await;
    let same = admin.post(REPLAY, json!({"since": "1h"})).await;
    assert_eq!(same.status, 200, "{}", same.body);
    assert!(same.body["replayed"].as_u64().unwrap() >= 4);
    assert_eq!(same.body["replayed"], same.body["same"], "{}", same.body);
    assert_eq!(
        (&same.body["complete"], &same.body["gained"]),
        (&json!(true), &json!([]))
    );

    let files = json!({"policies/custom/rules.rego": door("bob")});
    let answer = admin
        .post(REPLAY, json!({"since": "1h", "files": files}))
        .await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let (gained, lost) = (&answer.body["gained"], &answer.body["lost"]);
    assert_eq!(gained.as_array().unwrap().len(), 1, "{}", answer.body);
    assert_eq!(gained[0]["subject"], "visitor:bob");
    assert_eq!(gained[0]["after"], json!(["custom:guest"]));
    assert_eq!(lost.as_array().unwrap().len(), 1, "{}", answer.body);
    assert_eq!(
        (
            &lost[0]["subject"],
            &lost[0]["decisions"],
            &lost[0]["before"],
            &lost[0]["after"]
        ),
        (
            &json!("visitor:ada"),
            &json!(2),
            &json!(["custom:guest"]),
            &json!(["no_grant"])
        )
    );
    let few = admin.post(REPLAY, json!({"since": "1h", "limit": 1})).await;
    assert_eq!(
        (&few.body["replayed"], &few.body["complete"]),
        (&json!(1), &json!(false))
    );
    // The replays themselves are not decisions.
    logged(&app, 4).await;

    // The command does the same with a folder.
    let other = Rules::new(&door("bob"));
    let mut command = gatepost(
        &app,
        &[
            "policy",
            "replay",
            "--since",
            "1d",
            "--policy",
            other.path(),
        ],
    )
    .await;
    let output = command
        .env("SECRET_KEY", secret_key('a'))
        .output()
        .await
        .unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    let faults = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}{faults}");
    for line in [
        "gain  visitor:bob  door:open  door:1  1 times: no_grant -> custom:guest",
        "lose  visitor:ada  door:open  door:1  2 times: custom:guest -> no_grant",
    ] {
        assert!(told.contains(line), "{told}");
    }
    app.stop().await;
}

#[actix_web::test]
async fn a_replay_of_what_is_no_policy_is_refused() {
    let app = TestApp::spawn().await;
    let admin = app.admin().await;
    let with = |files: Value| json!({"since": "1h", "files": files});
    for (body, field) in [
        (json!({}), "since"),
        (json!({"since": "0d"}), "since"),
        (json!({"since": "soon"}), "since"),
        (json!({"since": "1d", "limit": 0}), "limit"),
        (json!({"since": "1d", "limit": 50_001}), "limit"),
        (with(json!({"x.rego": "package x"})), "files"),
        (with(json!({"policies/../x.rego": "package x"})), "files"),
        (
            with(json!({"policies/custom/x.rego": "package x\n\ny := no_such(1)"})),
            "files",
        ),
        (with(json!({"data/x/data.json": "["})), "files"),
    ] {
        let answer = admin.post(REPLAY, body).await;
        assert_eq!(
            (answer.status, answer.problem()),
            (400, "validation_failed")
        );
        let named = answer.body["errors"][0]["field"].as_str().unwrap();
        assert_eq!(named, field, "{}", answer.body);
    }
    let nobody = app.user("nobody").await;
    assert_eq!(
        nobody.post(REPLAY, json!({"since": "1h"})).await.status,
        403
    );
    app.stop().await;
}
