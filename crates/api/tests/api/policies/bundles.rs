//! A real OPA server lives on our bundles, decides as we do, and tells us what it decided.

use std::time::{Duration, Instant};

use gatepost::policy::{Bundle, Embedded, Input, Policy};
use serde_json::{Value, json};

use super::{Rules, door, until};
use crate::{
    harness::{Client, TestApp},
    policy::{opa::Opa, remote},
    service_accounts::{hire, key_of, service_account},
};

const BUNDLE: &str = "/api/opa/bundles/gatepost.tar.gz";
const LOGS: &str = "/api/opa/logs";

/// The key of a service account for OPA servers.
async fn sidecar(admin: &Client) -> String {
    let id = service_account(admin, "sidecars").await;
    for role in ["auditor", "application"] {
        let hired = hire(admin, &id, role, json!({"type": "system"})).await;
        assert_eq!(hired.status, 201, "{}", hired.body);
    }
    let key = key_of(admin, &id, json!(["policy:read", "authz:evaluate"])).await;
    assert_eq!(key.status, 201, "{}", key.body);
    key.body["key"].as_str().unwrap().to_owned()
}

fn configuration(app: &TestApp, key: &str, shown: &Value) -> Value {
    let kid = shown["bundle_key"]["kid"].as_str().unwrap();
    json!({
        "services": {"gatepost": {
            "url": app.address,
            "credentials": {"bearer": {"token": key}},
        }},
        "keys": {kid: {
            "algorithm": "ES256",
            "key": shown["bundle_key"]["key"],
            "scope": "gatepost",
        }},
        "bundles": {"gatepost": {
            "service": "gatepost",
            "resource": "api/opa/bundles/gatepost.tar.gz",
            "signing": {"keyid": kid, "scope": "gatepost"},
            // Without long polling a change would come after half a minute.
            "polling": {
                "min_delay_seconds": 30, "max_delay_seconds": 30, "long_polling_timeout_seconds": 10,
            },
        }},
        "decision_logs": {
            "service": "gatepost",
            "resource": "/api/opa/logs",
            "reporting": {"min_delay_seconds": 1, "max_delay_seconds": 1},
        },
    })
}

fn question(guest: &str) -> Input {
    serde_json::from_value(json!({
        "subject": {"type": "visitor", "id": guest, "properties": {"status": "active"}},
        "action": {"name": "door:open"},
        "resource": {"type": "door", "id": "1", "path": [{"type": "system"}], "properties": {"guest": guest}},
        "grants": [],
        "context": {"time": "2026-11-21T10:00:00Z", "ip": "192.0.2.77"},
    }))
    .unwrap()
}

#[actix_web::test]
async fn an_opa_server_decides_by_our_bundle_follows_changes_and_logs_to_us() {
    let rules = Rules::new(&door("ada"));
    let app = rules.app(&[("DECISION_LOG", "all")]).await;
    let admin = app.admin().await;
    let key = sidecar(&admin).await;
    let shown = until(&admin, |_| true).await;
    let opa = Opa::configured(&configuration(&app, &key, &shown)).await;
    let there = remote(&opa.address, Duration::from_secs(20));
    let started = Instant::now();
    while there.health().await.is_err() {
        assert!(
            started.elapsed() < Duration::from_secs(30),
            "it does not get the bundle"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let decided = async |guest: &str| there.decide(&question(guest)).await.unwrap();

    let bundle = Bundle::load(Some(rules.0.path())).unwrap();
    let here = Embedded::new(&bundle).unwrap();
    for guest in ["ada", "bob"] {
        let ours = here.decide(&question(guest)).await.unwrap();
        let theirs = decided(guest).await;
        assert_eq!((theirs.allow, guest == "ada"), (ours.allow, theirs.allow));
        assert_eq!(theirs, ours);
        assert_eq!(theirs.policy.as_deref(), Some(bundle.digest()));
    }
    assert_eq!(there.digest().as_deref(), shown["digest"].as_str());
    there.health().await.unwrap();

    rules.write("policies/custom/rules.rego", &door("bob"));
    let started = Instant::now();
    while !decided("bob").await.allow {
        assert!(
            started.elapsed() < Duration::from_secs(20),
            "it does not follow"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(!decided("ada").await.allow);
    let now = until(&admin, |now| now["digest"] != shown["digest"]).await;
    assert_eq!(there.digest().as_deref(), now["digest"].as_str());

    // What it decided comes to us, masked.
    let sql = "SELECT count(*), bool_or(allowed), count(DISTINCT policy), \
               count(*) FILTER (WHERE input::text LIKE '%192.0.2.77%') \
               FROM decision_log WHERE source LIKE 'opa:%' AND input->'action'->>'name' = 'door:open'";
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let row: (i64, Option<bool>, i64, i64) = sqlx::query_as(sql)
            .fetch_one(&mut app.sql().await)
            .await
            .unwrap();
        assert_eq!(row.3, 0, "the address is not masked");
        if row.0 >= 4 && row.1 == Some(true) && row.2 == 2 {
            break;
        }
        assert!(Instant::now() < deadline, "{row:?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    app.stop().await;
}

#[actix_web::test]
async fn an_opa_server_with_another_key_takes_no_bundle() {
    let app = TestApp::spawn().await;
    let admin = app.admin().await;
    let key = sidecar(&admin).await;
    let mut shown = until(&admin, |_| true).await;
    let other = gatepost::policy::opa_bundle::BundleKey::new(&[9; 32]).unwrap();
    shown["bundle_key"]["key"] = other.public_pem().into();
    let opa = Opa::configured(&configuration(&app, &key, &shown)).await;
    let there = remote(&opa.address, Duration::from_secs(20));
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(there.health().await.unwrap_err().code(), "policy_undefined");
    app.stop().await;
}

#[actix_web::test]
async fn who_has_the_newest_bundle_is_told_so_or_waits_for_the_next() {
    let rules = Rules::new(&door("ada"));
    let app = rules.app(&[]).await;
    let admin = app.admin().await;
    let first = admin.get(BUNDLE).await;
    assert_eq!(first.status, 200);
    assert_eq!(first.header("content-type"), "application/gzip");
    let tag = first.header("etag").to_owned();
    assert!(tag.starts_with('"') && tag.len() > 64, "{tag}");
    let known = admin.get_with(BUNDLE, &[("if-none-match", &tag)]).await;
    assert_eq!((known.status, known.header("etag")), (304, tag.as_str()));

    let started = Instant::now();
    let waiting = [
        ("if-none-match", tag.as_str()),
        ("prefer", "modes=snapshot,delta;wait=1"),
    ];
    let known = admin.get_with(BUNDLE, &waiting).await;
    assert_eq!(known.status, 304);
    assert_eq!(
        known.header("content-type"),
        "application/vnd.openpolicyagent.bundles"
    );
    assert!(started.elapsed() >= Duration::from_secs(1));

    let waiting = [
        ("if-none-match", tag.as_str()),
        ("prefer", "modes=snapshot;wait=20"),
    ];
    let change = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        rules.write("policies/custom/rules.rego", &door("bob"));
    };
    let started = Instant::now();
    let (next, ()) = tokio::join!(admin.get_with(BUNDLE, &waiting), change);
    assert_eq!(next.status, 200);
    assert_ne!(next.header("etag"), tag);
    assert_eq!(
        next.header("content-type"),
        "application/vnd.openpolicyagent.bundles"
    );
    assert!(started.elapsed() < Duration::from_secs(15));

    let nobody = app.user("nobody").await;
    assert_eq!(nobody.get(BUNDLE).await.status, 403);
    assert_eq!(app.anonymous().get(BUNDLE).await.status, 401);
    app.stop().await;
}

#[actix_web::test]
async fn what_is_no_decision_log_is_refused() {
    let app = TestApp::spawn().await;
    let admin = app.admin().await;
    let empty = admin.post(LOGS, json!([])).await;
    assert_eq!(
        (empty.status, &empty.body),
        (200, &json!({"taken": 0, "ignored": 0}))
    );
    for (body, headers, status) in [
        ("{}", &[][..], 400),
        ("[1]", &[], 400),
        ("[]", &[("content-encoding", "gzip")], 400),
        ("[]", &[("content-encoding", "br")], 415),
    ] {
        let body = Some(("application/json", body.as_bytes().to_vec()));
        let answer = admin.raw("POST", LOGS, body, headers).await;
        assert_eq!(answer.status, status, "{}", answer.body);
    }
    let large = Some(("application/json", vec![b' '; 300 * 1024]));
    assert_eq!(admin.raw("POST", LOGS, large, &[]).await.status, 413);
    let text = Some(("text/plain", b"[]".to_vec()));
    assert_eq!(admin.raw("POST", LOGS, text, &[]).await.status, 415);
    app.stop().await;
}
