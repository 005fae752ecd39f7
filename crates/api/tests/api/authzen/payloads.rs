//! What is sent, and what comes back when it cannot be read.

use jsonwebtoken::{DecodingKey, Validation, decode, decode_header, jwk::JwkSet};
use serde_json::{Value, json};

use super::{MANY, ONE, World, decision, why};
use crate::harness::TestApp;

#[actix_web::test]
async fn more_than_is_known_does_no_harm() {
    let world = World::new().await;
    let mut body = world.ask(&world.alice, "read", "record-1");
    body["context"] =
        json!({"time": "1985-10-26T01:22-07:00", "settings": 1, "device": {"os": null}});
    body["subject"]["properties"] = json!({"department": "Sales", "status": "disabled"});
    body["action"]["properties"] = json!({"method": "GET"});
    body["subject"]["unknown"] = json!(1);
    body["unknown"] = json!({"a": [1.5e300, -1, "\u{1f600}"]});
    body["evaluations"] = json!([{}]);
    let answer = world.gate.post(ONE, body).await;
    assert_eq!(why(&answer), (true, "granted"));
}

#[actix_web::test]
async fn an_incomplete_question_is_refused() {
    let world = World::new().await;
    let whole = world.ask(&world.alice, "read", "record-1");
    for (pointer, name) in [
        ("", "subject"),
        ("", "action"),
        ("", "resource"),
        ("/subject", "type"),
        ("/subject", "id"),
        ("/action", "name"),
        ("/resource", "type"),
        ("/resource", "id"),
    ] {
        for path in [ONE, MANY] {
            let mut body = whole.clone();
            body.pointer_mut(pointer)
                .unwrap()
                .as_object_mut()
                .unwrap()
                .remove(name);
            let answer = world.gate.post(path, body).await;
            assert_eq!(
                (answer.status, answer.problem()),
                (400, "validation_failed")
            );
            let field = format!("{pointer}/{name}")[1..].replace('/', ".");
            assert_eq!(answer.body["errors"][0]["field"], field);
        }
    }
}

#[actix_web::test]
async fn every_payload_that_cannot_be_read_is_a_400_with_the_request_id() {
    let world = World::new().await;
    let whole = world.ask(&world.alice, "read", "record-1").to_string();
    let json = "application/json";
    let wrong_types = [
        whole.replace("\"read\"", "123"),
        r#"{"subject":"alice","action":{"name":"read"},"resource":{"type":"record","id":"1"}}"#
            .to_owned(),
        whole.replace("\"read\"", "\"*\""),
        whole.replace("record-1", "record\\u0000"),
        "[]".to_owned(),
    ];
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(40), "]".repeat(40));
    let mut cases: Vec<(&str, &str, &str)> = vec![
        ("text/plain", &whole, "malformed_body"),
        ("application/json; charset=latin1", &whole, "malformed_body"),
        ("", &whole, "malformed_body"),
        (json, "", "malformed_body"),
        (json, "{", "malformed_body"),
        (json, "nonsense", "malformed_body"),
        (json, &deep, "malformed_body"),
    ];
    cases.extend(
        wrong_types
            .iter()
            .map(|body| (json, body.as_str(), "validation_failed")),
    );
    for path in [ONE, MANY] {
        for (kind, body, code) in &cases {
            let sent = Some((*kind, body.as_bytes().to_vec()));
            let headers = [("x-request-id", "certification-11")];
            let answer = world.gate.raw("POST", path, sent, &headers).await;
            assert_eq!(
                (answer.status, answer.problem()),
                (400, *code),
                "{kind}: {body}"
            );
            assert_eq!(answer.header("x-request-id"), "certification-11");
        }
    }
    let answer = world.gate.raw("POST", ONE, None, &[]).await;
    assert_eq!((answer.status, answer.problem()), (400, "malformed_body"));
    let large = format!("{{\"a\":\"{}\"}}", "x".repeat(65 * 1024));
    let answer = world
        .gate
        .raw("POST", ONE, Some((json, large.into_bytes())), &[])
        .await;
    assert_eq!(
        (answer.status, answer.problem()),
        (413, "payload_too_large")
    );
    let headers = [("x-request-id", "certification-12")];
    let body = world.ask(&world.alice, "read", "record-1");
    let answer = world.gate.post_with(ONE, body, &headers).await;
    assert!(decision(&answer));
    assert_eq!(answer.header("x-request-id"), "certification-12");
}

#[actix_web::test]
async fn the_metadata_names_only_what_there_is() {
    let app = TestApp::with(&[("PUBLIC_URL", "https://pdp.example.com")]).await;
    let headers = [
        ("x-forwarded-host", "evil.example"),
        ("x-forwarded-proto", "http"),
    ];
    let answer = app
        .anonymous()
        .get_with("/.well-known/authzen-configuration", &headers)
        .await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), "application/json");
    assert_eq!(answer.header("cache-control"), "public, max-age=300");
    let base = "https://pdp.example.com";
    let wanted = json!({
        "policy_decision_point": base,
        "access_evaluation_endpoint": format!("{base}{ONE}"),
        "access_evaluations_endpoint": format!("{base}{MANY}"),
        "search_subject_endpoint": format!("{base}/access/v1/search/subject"),
        "search_resource_endpoint": format!("{base}/access/v1/search/resource"),
        "search_action_endpoint": format!("{base}/access/v1/search/action"),
    });
    let mut plain = answer.body.clone();
    let signed = plain
        .as_object_mut()
        .unwrap()
        .remove("signed_metadata")
        .unwrap();
    assert_eq!(plain, wanted);

    let keys = app.anonymous().get("/.well-known/jwks.json").await.body;
    let keys: JwkSet = serde_json::from_value(keys).unwrap();
    let signed = signed.as_str().unwrap();
    let header = decode_header(signed).unwrap();
    assert_eq!(header.typ.as_deref(), Some("authzen-configuration+jwt"));
    let key = keys.find(&header.kid.unwrap()).unwrap();
    let mut validation = Validation::new(header.alg);
    validation.set_issuer(&[base]);
    validation.required_spec_claims = ["iss".to_owned()].into();
    let key = DecodingKey::from_jwk(key).unwrap();
    let mut claims = decode::<Value>(signed, &key, &validation).unwrap().claims;
    let members = claims.as_object_mut().unwrap();
    assert!(members.remove("iat").unwrap().is_i64());
    assert_eq!(members.remove("iss").unwrap(), base);
    assert_eq!(claims, wanted);
    // It is no access token, whatever signed it.
    let mut client = app.anonymous();
    client.token = Some(signed.to_owned());
    assert_eq!(client.get("/api/users/me").await.status, 401);
}
