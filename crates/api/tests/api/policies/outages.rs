//! An OPA server that is away or wrong: nobody may do anything, and everyone is told why.

use std::time::{Duration, Instant};

use serde_json::json;

use super::{MANY, ONE, at_the_door, codes};
use crate::{
    harness::TestApp,
    policy::{
        opa::Opa,
        scripted::{Reply, Scripted},
    },
};

/// Milliseconds for a decision.
const BUDGET: &str = "400";
/// The budget, and what a busy machine takes besides.
const BOUND: Duration = Duration::from_secs(4);

#[actix_web::test]
async fn applications_are_told_no_with_the_reason_and_our_own_routes_say_503() {
    let opa = Opa::start(None).await;
    let app = TestApp::with(&[("OPA_URL", &opa.address), ("OPA_TIMEOUT_MS", "10000")]).await;
    let admin = app.admin().await;
    let token = admin.token.clone();
    assert_eq!(admin.post(ONE, at_the_door("ada")).await.status, 200);
    let whole = |result: &str| Reply::ok(format!("{{\"result\":{result}}}"));
    let allow = |allow: &str| {
        whole(&format!(
            r#"{{"allow":{allow},"reasons":[],"matched_grants":[],"obligations":[]}}"#
        ))
    };
    let nothing = String::new;
    for (reply, code) in [
        (Reply::Silence, "policy_timeout"),
        (Reply::Drip, "policy_timeout"),
        (
            Reply::Late(Duration::from_secs(2), nothing()),
            "policy_timeout",
        ),
        (Reply::Http(500, "", nothing()), "policy_error"),
        (Reply::Http(404, "", nothing()), "policy_error"),
        (Reply::ok("{}"), "policy_undefined"),
        (whole("null"), "policy_undefined"),
        (whole("\"true\""), "policy_invalid_answer"),
        (whole("true"), "policy_invalid_answer"),
        (allow("\"true\""), "policy_invalid_answer"),
        (allow("1"), "policy_invalid_answer"),
        (Reply::ok("x".repeat(10 << 20)), "policy_invalid_answer"),
        (Reply::ok("\u{0}garbage"), "policy_invalid_answer"),
        (Reply::Half, "policy_unavailable"),
        (Reply::Cut, "policy_unavailable"),
    ] {
        let server = Scripted::start([reply]).await;
        // An instance of its own for each, because the breaker opens after some.
        let there = app
            .second_with(&[("OPA_URL", &server.address), ("OPA_TIMEOUT_MS", BUDGET)])
            .await;
        let mut client = admin.at(&there);
        client.token.clone_from(&token);
        let started = Instant::now();
        let one = client.post(ONE, at_the_door("ada")).await;
        assert!(started.elapsed() < BOUND, "{code}: {:?}", started.elapsed());
        assert_eq!(
            (one.status, &one.body["decision"]),
            (200, &json!(false)),
            "{code}"
        );
        assert_eq!(codes(&one.body), [code]);
        let batch = json!({"evaluations": [at_the_door("ada"), at_the_door("bob")]});
        let many = client.post(MANY, batch).await;
        assert_eq!(many.status, 200, "{}", many.body);
        let answers = many.body["evaluations"].as_array().unwrap();
        assert_eq!(answers.len(), 2);
        assert!(
            answers
                .iter()
                .all(|answer| answer["decision"] == false && codes(answer) == [code])
        );
        let own = client.get("/api/admin/users").await;
        assert_eq!(
            (own.status, own.problem()),
            (503, "policy_unavailable"),
            "{code}"
        );
        assert_eq!(own.header("retry-after"), "1");
        there.stop().await;
    }
    app.stop().await;
}

#[actix_web::test]
async fn a_server_that_is_gone_and_comes_back_is_asked_again_without_a_restart() {
    let mut opa = Opa::start(None).await;
    let app = TestApp::with(&[("OPA_URL", &opa.address), ("OPA_TIMEOUT_MS", "5000")]).await;
    let admin = app.admin().await;
    let own = json!({
        "subject": {"type": "user", "id": admin.user_id},
        "action": {"name": "read"},
        "resource": {"type": "system", "id": "system"},
    });
    assert_eq!(admin.post(ONE, own.clone()).await.body["decision"], true);
    opa.stop();
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..12 {
        let answer = admin.post(ONE, own.clone()).await;
        assert_eq!(
            (answer.status, &answer.body["decision"]),
            (200, &json!(false))
        );
        seen.insert(codes(&answer.body)[0].to_owned());
        assert_eq!(admin.get("/api/admin/users").await.status, 503);
    }
    let expected = ["policy_circuit_open", "policy_unavailable"];
    assert!(seen.iter().eq(expected), "{seen:?}");
    let health = app.anonymous().get("/api/health").await;
    assert_eq!(
        (health.status, &health.body["checks"]["policy"]["status"]),
        (503, &json!("down"))
    );
    opa.again().await;
    let deadline = Instant::now() + Duration::from_secs(30);
    while admin.post(ONE, own.clone()).await.body["decision"] != true {
        assert!(Instant::now() < deadline, "it is never asked again");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(admin.get("/api/admin/users").await.status, 200);
    app.stop().await;
}
