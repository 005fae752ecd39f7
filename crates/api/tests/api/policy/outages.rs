//! An OPA server that is away, slow, or wrong never means yes.
use std::time::{Duration, Instant};

use gatepost::policy::{
    Action, Context, Grant, Input, Place, Policy, Remote, RemoteOptions, Resource, Subject,
};
use tokio::net::TcpListener;
use uuid::Uuid;

use super::{
    PATIENT,
    opa::Opa,
    remote,
    scripted::{Reply, Scripted},
};

const YES: &str = r#"{"result":{"allow":true,"reasons":[],"matched_grants":[],"obligations":[]}}"#;

fn question() -> Input {
    Input {
        subject: Subject::new("user", "u1", "active"),
        action: Action::new("project:read"),
        resource: Resource::system(),
        grants: vec![Grant {
            id: Uuid::now_v7(),
            role: "admin".to_owned(),
            permissions: vec!["*".to_owned()],
            resource: Place::system(),
            expires_at: None,
        }],
        context: Context::at("2026-11-21T10:00:00Z".parse().unwrap()),
    }
}

async fn code(policy: &Remote) -> &'static str {
    match policy.decide(&question()).await {
        Ok(_) => "answered",
        Err(failure) => failure.code(),
    }
}

#[tokio::test]
async fn a_server_that_stops_is_an_error_and_not_a_yes() {
    let mut opa = Opa::start(None).await;
    let policy = remote(&opa.address, PATIENT);
    assert!(policy.decide(&question()).await.unwrap().allow);
    opa.stop();
    assert_eq!(code(&policy).await, "policy_unavailable");
    let health = policy.health().await.unwrap_err();
    assert_eq!(health.code(), "policy_unavailable");
}

#[tokio::test]
async fn a_server_without_the_policy_is_not_healthy() {
    let elsewhere = Scripted::start([Reply::ok("{}")]).await;
    let policy = remote(&elsewhere.address, PATIENT);
    assert_eq!(
        policy.health().await.unwrap_err().code(),
        "policy_undefined"
    );
}

#[tokio::test]
async fn every_wrong_answer_has_its_name() {
    let changed = |to: &str| Reply::ok(YES.replace("true", to));
    let elsewhere = "location: /elsewhere\r\n";
    for (reply, expected) in [
        (Reply::ok("{}"), "policy_undefined"),
        (Reply::ok(r#"{"result":null}"#), "policy_undefined"),
        (Reply::ok(""), "policy_invalid_answer"),
        (Reply::ok("<html>"), "policy_invalid_answer"),
        (Reply::ok(r#"{"result":true}"#), "policy_invalid_answer"),
        (
            Reply::ok(r#"{"result":{"allow":true}}"#),
            "policy_invalid_answer",
        ),
        (changed("\"true\""), "policy_invalid_answer"),
        (changed("null"), "policy_invalid_answer"),
        (changed("1"), "policy_invalid_answer"),
        (
            Reply::ok(format!("{YES}{}", " ".repeat(2 << 20))),
            "policy_invalid_answer",
        ),
        (Reply::Http(500, "", YES.to_owned()), "policy_error"),
        (
            Reply::ok(format!("{YES}{}", " ".repeat(10 << 20))),
            "policy_invalid_answer",
        ),
        (Reply::Http(400, "", YES.to_owned()), "policy_error"),
        (Reply::Http(404, "", YES.to_owned()), "policy_error"),
        (Reply::Http(401, "", YES.to_owned()), "policy_error"),
        (Reply::Http(204, "", String::new()), "policy_error"),
        (Reply::Http(307, elsewhere, YES.to_owned()), "policy_error"),
        (Reply::Http(502, "", YES.to_owned()), "policy_unavailable"),
        (Reply::Http(503, "", YES.to_owned()), "policy_unavailable"),
        (Reply::Half, "policy_unavailable"),
        (Reply::Cut, "policy_unavailable"),
    ] {
        let server = Scripted::start([reply]).await;
        assert_eq!(code(&remote(&server.address, PATIENT)).await, expected);
    }
}

#[tokio::test]
async fn only_an_outage_is_tried_once_more() {
    let status = |status| Reply::Http(status, "", String::new());
    for (first, requests, expected) in [
        (status(503), 2, "answered"),
        (status(502), 2, "answered"),
        (status(504), 2, "answered"),
        (Reply::Cut, 2, "answered"),
        (status(500), 1, "policy_error"),
        (status(429), 1, "policy_error"),
        (Reply::ok("{}"), 1, "policy_undefined"),
    ] {
        let server = Scripted::start([first, Reply::ok(YES)]).await;
        assert_eq!(code(&remote(&server.address, PATIENT)).await, expected);
        assert_eq!(server.requests().len(), requests);
    }
    let server = Scripted::start([status(503)]).await;
    assert_eq!(
        code(&remote(&server.address, PATIENT)).await,
        "policy_unavailable"
    );
    assert_eq!(server.requests().len(), 2);
}

#[tokio::test]
async fn the_time_limit_bounds_all_of_it() {
    let budget = Duration::from_millis(200);
    for replies in [
        vec![Reply::Silence],
        vec![Reply::Drip],
        vec![Reply::Late(Duration::from_secs(5), YES.to_owned())],
        vec![Reply::Http(503, "", String::new()), Reply::Silence],
    ] {
        let requests = replies.len();
        let server = Scripted::start(replies).await;
        let started = Instant::now();
        assert_eq!(
            code(&remote(&server.address, budget)).await,
            "policy_timeout"
        );
        assert!(started.elapsed() >= budget);
        assert_eq!(server.requests().len(), requests);
    }
}

#[tokio::test]
async fn many_answers_must_be_as_many_as_the_questions() {
    let one = YES
        .replace("\"result\":{", "\"result\":[{")
        .replace("}}", "}]}");
    let server = Scripted::start([Reply::ok(one)]).await;
    let policy = remote(&server.address, PATIENT);
    assert!(policy.decide_many(&[question()]).await.unwrap()[0].allow);
    let failure = policy
        .decide_many(&[question(), question()])
        .await
        .unwrap_err();
    assert_eq!(failure.code(), "policy_invalid_answer");
}

#[tokio::test]
async fn a_server_that_keeps_failing_is_left_alone_until_it_is_back() {
    let server = Scripted::start([Reply::Http(503, "", String::new())]).await;
    let policy = remote(&server.address, PATIENT);
    for _ in 0..5 {
        assert_eq!(code(&policy).await, "policy_unavailable");
    }
    let asked = server.requests().len();
    assert_eq!(code(&policy).await, "policy_circuit_open");
    assert_eq!(server.requests().len(), asked);

    server.rewrite([Reply::ok(YES)]);
    let deadline = Instant::now() + PATIENT;
    while code(&policy).await != "answered" {
        assert!(Instant::now() < deadline, "it is never asked again");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(code(&policy).await, "answered");
}

#[tokio::test]
async fn questions_that_the_policy_fails_on_do_not_close_the_way_for_others() {
    let server = Scripted::start([Reply::Http(500, "", String::new())]).await;
    let policy = remote(&server.address, PATIENT);
    for _ in 0..20 {
        assert_eq!(code(&policy).await, "policy_error");
    }
    server.rewrite([Reply::ok(YES)]);
    assert_eq!(code(&policy).await, "answered");
}

#[tokio::test]
async fn nobody_listening_is_an_outage() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    assert_eq!(code(&remote(&address, PATIENT)).await, "policy_unavailable");
}

#[tokio::test]
async fn the_token_is_sent_and_never_told() {
    let server = Scripted::start([Reply::ok(YES), Reply::Cut]).await;
    let policy = Remote::new(RemoteOptions {
        url: server
            .address
            .replace("http://", "http://u:hush@")
            .parse()
            .unwrap(),
        timeout: PATIENT,
        token: Some("s3cret-token".into()),
    })
    .unwrap();
    assert_eq!(code(&policy).await, "answered");
    let request = server.requests().remove(0);
    assert!(request.starts_with("POST /v1/data/gatepost/authz/decision?strict-builtin-errors"));
    assert!(
        request
            .to_lowercase()
            .contains("authorization: bearer s3cret-token"),
        "{request}"
    );
    let failure = policy.decide(&question()).await.unwrap_err();
    let told = format!("{failure} {failure:?}");
    assert!(
        !told.contains("hush") && !told.contains("s3cret-token"),
        "{told}"
    );
}
