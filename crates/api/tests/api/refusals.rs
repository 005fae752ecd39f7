//! No route may forget to ask who calls and what they may do.

use gatepost::routes::{self, Row};
use serde_json::json;
use uuid::Uuid;

use crate::harness::TestApp;

/// What everyone who has logged in may do without any role: with their own account, and to
/// find out what they may see.
const OPEN_TO_ALL: [&str; 10] = [
    "self:read",
    "self:update",
    "self:sessions",
    "self:evaluate",
    "self:join",
    "self:request",
    "self:keys",
    "self:export",
    "self:delete",
    "organization:list",
];

fn path(row: &Row) -> String {
    let mut path = String::new();
    for (index, part) in row.path.split(['{', '}']).enumerate() {
        match index % 2 {
            0 => path.push_str(part),
            _ => path.push_str(&Uuid::now_v7().to_string()),
        }
    }
    path
}

#[actix_web::test]
async fn every_protected_route_refuses_strangers_and_the_roleless() {
    let app = TestApp::spawn().await;
    let (stranger, roleless) = (app.anonymous(), app.user("nobody").await);
    for row in routes::protected() {
        let path = path(&row);
        let body = Some(json!({"unknown": true}));
        let answer = stranger
            .send(row.method.as_str(), &path, body.clone(), &[])
            .await;
        assert_eq!(answer.status, 401, "{} {path} without a token", row.method);
        assert_eq!(answer.problem(), "unauthenticated");
        assert!(answer.header("www-authenticate").starts_with("Bearer"));
        if OPEN_TO_ALL.contains(&row.permission) {
            continue;
        }
        let answer = roleless.send(row.method.as_str(), &path, body, &[]).await;
        assert!(
            [403, 404].contains(&answer.status),
            "{} {path} without a role: {answer:?}",
            row.method
        );
    }
}

#[actix_web::test]
async fn tokens_of_other_kinds_open_nothing() {
    let app = TestApp::spawn().await;
    let mut user = app.user("anna").await;
    let refresh_token = user.refresh_token.clone();
    let access_token = user.token.clone().unwrap();
    let tampered = format!("{}x", &access_token[..access_token.len() - 2]);
    for wrong in ["", "nonsense", "gp_abc", &refresh_token, &tampered, "a.b.c"] {
        user.token = Some(wrong.to_owned());
        for row in routes::protected() {
            let answer = user.send(row.method.as_str(), &path(&row), None, &[]).await;
            assert_eq!(
                answer.status, 401,
                "{} {} with {wrong}",
                row.method, row.path
            );
        }
    }
    let as_refresh = json!({"refresh_token": access_token});
    let answer = app.anonymous().post("/api/auth/refresh", as_refresh).await;
    assert_eq!((answer.status, answer.problem()), (401, "invalid_token"));
}

#[actix_web::test]
async fn every_route_is_documented_and_every_operation_is_a_route() {
    let document = serde_json::to_value(gatepost::openapi::document()).unwrap();
    let mut documented = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys() {
            documented.push(format!("{} {path}", method.to_uppercase()));
        }
    }
    let public = routes::public();
    let public = public
        .iter()
        .map(|row| format!("{} {}", row.method, row.path));
    let protected = routes::protected();
    let protected = protected
        .iter()
        .map(|row| format!("{} {}", row.method, row.path));
    let mut served: Vec<_> = public.chain(protected).collect();
    documented.sort();
    served.sort();
    assert_eq!(documented, served);
}

#[actix_web::test]
async fn unknown_addresses_and_methods_are_problems() {
    let app = TestApp::spawn().await;
    let client = app.anonymous();
    for path in [
        "/",
        "/api",
        "/api/nothing",
        "/api/users/me/",
        "/%ff",
        "/api/organizations/x/y",
    ] {
        let answer = client.get(path).await;
        assert_eq!(
            (answer.status, answer.problem()),
            (404, "not_found"),
            "{path}"
        );
    }
    let answer = client.delete("/api/auth/login").await;
    assert_eq!(
        (answer.status, answer.problem()),
        (405, "method_not_allowed")
    );
    assert_eq!(answer.header("allow"), "POST");
}

#[actix_web::test]
async fn a_request_id_is_echoed_if_it_is_safe() {
    let app = TestApp::spawn().await;
    let client = app.anonymous();
    for path in ["/api/health/live", "/api/nothing", "/api/users/me"] {
        let answer = client
            .get_with(path, &[("x-request-id", "check-1.2_3")])
            .await;
        assert_eq!(answer.header("x-request-id"), "check-1.2_3", "{path}");
    }
    let answer = client
        .get_with("/api/nothing", &[("x-request-id", "a b")])
        .await;
    assert_eq!(answer.header("x-request-id").len(), 36);
}

#[actix_web::test]
async fn a_body_that_cannot_be_read_is_refused_before_anything_happens() {
    let app = TestApp::spawn().await;
    let client = app.anonymous();
    let login = "/api/auth/login";
    let send = async |kind: &str, body: &[u8]| {
        let answer = client
            .raw("POST", login, Some((kind, body.to_vec())), &[])
            .await;
        (answer.status, answer.problem().to_owned())
    };
    let json = "application/json";
    let code = |status: u16, code: &str| (status, code.to_owned());
    assert_eq!(send(json, b"").await, code(400, "malformed_body"));
    assert_eq!(send(json, b"{").await, code(400, "malformed_body"));
    assert_eq!(send(json, b"\xff\xfe").await, code(400, "malformed_body"));
    assert_eq!(send(json, b"[]").await, code(400, "validation_failed"));
    assert_eq!(
        send(json, br#"{"login":"a"}"#).await,
        code(400, "validation_failed")
    );
    assert_eq!(
        send(json, br#"{"login":1,"password":"x"}"#).await,
        code(400, "validation_failed")
    );
    let nul = br#"{"login":"a\u0000","password":"x"}"#;
    assert_eq!(send(json, nul).await, code(400, "validation_failed"));
    let unknown = br#"{"login":"a","password":"x","more":1}"#;
    assert_eq!(send(json, unknown).await, code(400, "validation_failed"));
    assert_eq!(
        send("text/plain", b"{}").await,
        code(415, "unsupported_media_type")
    );
    assert_eq!(
        send("application/json; charset=latin1", b"{}").await,
        code(415, "unsupported_media_type")
    );
    assert_eq!(send("", b"{}").await, code(415, "unsupported_media_type"));
    let large = vec![b' '; 17 * 1024];
    assert_eq!(send(json, &large).await, code(413, "payload_too_large"));
}
