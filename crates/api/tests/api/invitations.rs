//! Invitations: by mail, for one person, once, and only as long as the inviter could give the role.

use chrono::TimeDelta;
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::{
    harness::{Answer, Client, PASSWORD},
    post::Post,
    tenants::{Tenant, all, column, given},
};

const ACCEPT: &str = "/api/invitations/accept";

fn path(tenant: &Tenant) -> String {
    format!("{}/invitations", tenant.organization_path())
}

async fn invited(by: &Client, tenant: &Tenant, name: &str, role: &str, kind: &str) -> String {
    let body = json!({
        "email": format!("{name}@example.com"), "role": role, "resource": tenant.resource(kind),
    });
    let answer = by.post(&path(tenant), body).await;
    assert_eq!(answer.status, 201, "{}", answer.body);
    answer.id()
}

/// The token in the `number`th invitation of a user.
async fn token(post: &Post, name: &str, number: usize) -> String {
    post.token(&format!("{name}@example.com"), "gpi_", number)
        .await
}

async fn accept(client: &Client, token: &str) -> Answer {
    client.post(ACCEPT, json!({"token": token})).await
}

#[actix_web::test]
async fn an_invitation_is_sent_accepted_and_used_up() {
    let post = Post::with(&[]).await;
    let app = &post.app;
    let (admin, anna) = (app.admin().await, app.user("anna").await);
    let acme = Tenant::create(&admin, "Acme").await;
    let answer = admin
        .post(
            &path(&acme),
            json!({"email": "Anna@Example.com", "role": "viewer"}),
        )
        .await;
    assert_eq!(answer.status, 201, "{}", answer.body);
    assert_eq!(answer.body["resource"], acme.resource("organization"));
    assert_eq!(answer.body["status"], "pending");
    assert_eq!(
        answer.header("location"),
        format!("{}/{}", path(&acme), answer.id())
    );
    let mail = post.mail("Anna@Example.com", "gpi_", 1).await;
    assert!(
        mail.contains("Acme") && mail.contains("Break-glass administrator"),
        "{mail}"
    );
    let (_, rest) = mail.split_once("?token=").unwrap();
    let token = rest[..47].to_owned();
    assert!(token.starts_with("gpi_") && !answer.body.to_string().contains(&token));
    assert!(
        !admin
            .get(&path(&acme))
            .await
            .body
            .to_string()
            .contains("gpi_")
    );

    let joined = accept(&anna, &token).await;
    assert_eq!(joined.status, 200, "{}", joined.body);
    assert_eq!(joined.body["role"], "viewer");
    assert_eq!(joined.body["granted_by"], admin.user_id);
    assert!(!joined.header("gatepost-revision").is_empty());
    assert_eq!(
        anna.get(&acme.project_path()).await.status,
        200,
        "from now on"
    );
    let again = accept(&anna, &token).await;
    assert_eq!((again.status, again.problem()), (404, "not_found"));
    let listed = all(&admin, &path(&acme), 50).await;
    assert_eq!(column(&listed, "status"), ["accepted"]);
    let revoked = admin
        .delete(&format!("{}/{}", path(&acme), answer.id()))
        .await;
    assert_eq!((revoked.status, revoked.problem()), (409, "conflict"));
}

#[actix_web::test]
async fn fifty_uses_of_one_invitation_leave_one_membership() {
    let post = Post::with(&[]).await;
    let app = &post.app;
    let (admin, anna) = (app.admin().await, app.user("anna").await);
    let acme = Tenant::create(&admin, "Acme").await;
    invited(&admin, &acme, "anna", "viewer", "account").await;
    let token = token(&post, "anna", 1).await;
    let answers = join_all((0..50).map(|_| accept(&anna, &token))).await;
    let mut statuses: Vec<_> = answers.iter().map(|answer| answer.status).collect();
    statuses.sort_unstable();
    assert_eq!((statuses[0], &statuses[1..]), (200, &[404; 49][..]));
    let roles = anna.get("/api/users/me/roles").await;
    assert_eq!(roles.body["items"].as_array().map(Vec::len), Some(1));
}

#[actix_web::test]
async fn an_answer_that_was_lost_is_given_once_more() {
    let post = Post::with(&[]).await;
    let app = &post.app;
    let (admin, anna) = (app.admin().await, app.user("anna").await);
    let acme = Tenant::create(&admin, "Acme").await;
    let with = [("idempotency-key", "i")];
    let body = json!({"email": "anna@example.com", "role": "viewer"});
    let first = admin.post_with(&path(&acme), body.clone(), &with).await;
    let again = admin.post_with(&path(&acme), body, &with).await;
    assert_eq!((again.status, &again.body), (201, &first.body));
    let body = json!({"token": token(&post, "anna", 1).await});
    let first = anna.post_with(ACCEPT, body.clone(), &with).await;
    let again = anna.post_with(ACCEPT, body, &with).await;
    assert_eq!((again.status, &again.body), (200, &first.body));
}

#[actix_web::test]
async fn only_who_has_the_address_can_accept_and_only_in_time() {
    let post = Post::with(&[]).await;
    let app = &post.app;
    let (admin, anna, ben) = (
        app.admin().await,
        app.user("anna").await,
        app.user("ben").await,
    );
    let acme = Tenant::create(&admin, "Acme").await;
    let id = invited(&admin, &acme, "anna", "viewer", "account").await;
    let first = token(&post, "anna", 1).await;
    let strangers = [
        accept(&ben, &first).await,
        accept(&anna, "").await,
        accept(&anna, "gpi_x").await,
        accept(&anna, &first.replace("gpi_", "gpr_")).await,
    ];
    for answer in strangers {
        assert_eq!((answer.status, answer.problem()), (404, "not_found"));
    }
    // A second invitation to the same takes the place of the first.
    invited(&admin, &acme, "anna", "viewer", "account").await;
    let second = token(&post, "anna", 2).await;
    assert_eq!(accept(&anna, &first).await.status, 404);
    let states = column(&all(&admin, &path(&acme), 1).await, "status");
    assert_eq!(states, ["pending", "revoked"]);
    let gone = format!("{}/{id}", path(&acme));
    assert_eq!(
        admin.delete(&gone).await.status,
        204,
        "as if it were the first time"
    );
    app.clock.advance(TimeDelta::days(7));
    let (admin, anna) = (app.admin().await, app.log_in("anna@example.com").await);
    assert_eq!(accept(&anna, &second).await.status, 404);
    let states = column(&all(&admin, &path(&acme), 1).await, "status");
    assert_eq!(states, ["expired", "revoked"]);
    let third = invited(&admin, &acme, "anna", "viewer", "account").await;
    let third_token = token(&post, "anna", 3).await;
    let revoke = format!("{}/{third}", path(&acme));
    assert_eq!(admin.delete(&revoke).await.status, 204);
    assert_eq!(accept(&anna, &third_token).await.status, 404);
}

#[actix_web::test]
async fn nobody_invites_to_what_they_could_not_give() {
    let post = Post::with(&[]).await;
    let app = &post.app;
    let (admin, chief) = (app.admin().await, app.user("chief").await);
    let (acme, other) = (
        Tenant::create(&admin, "Acme").await,
        Tenant::create(&admin, "Other").await,
    );
    given(&admin, &chief, "admin", acme.resource("organization")).await;
    given(&admin, &chief, "owner", other.resource("organization")).await;
    let invite = async |body: Value| chief.post(&path(&acme), body).await;
    let to = |role: &str, resource: Value| json!({"email": "x@example.com", "role": role, "resource": resource});
    for (body, status) in [
        (to("owner", acme.resource("organization")), 403),
        (to("owner", acme.resource("project")), 403),
        (to("viewer", other.resource("project")), 404),
        (to("viewer", json!({"type": "system"})), 400),
        (to("auditor", acme.resource("organization")), 400),
        (json!({"email": "x", "role": "viewer"}), 400),
        (json!({"email": "x@example.com"}), 400),
    ] {
        let answer = invite(body.clone()).await;
        assert_eq!(answer.status, status, "{body}: {}", answer.body);
        answer.problem();
    }
    assert_eq!(all(&admin, &path(&acme), 50).await.len(), 0);
    let id = invited(&chief, &acme, "anna", "editor", "project").await;
    let elsewhere = chief.delete(&format!("{}/{id}", path(&other))).await;
    assert_eq!((elsewhere.status, elsewhere.problem()), (404, "not_found"));
}

#[actix_web::test]
async fn who_has_lost_the_right_to_give_no_longer_lets_anyone_in() {
    let post = Post::with(&[]).await;
    let app = &post.app;
    let (admin, chief) = (app.admin().await, app.user("chief").await);
    let (anna, ben) = (app.user("anna").await, app.user("ben").await);
    let acme = Tenant::create(&admin, "Acme").await;
    let role = given(&admin, &chief, "admin", acme.resource("account")).await;
    // Inviting is a permission of the organization, giving one of the place.
    let inviter = given(&admin, &chief, "admin", acme.resource("organization")).await;
    invited(&chief, &acme, "anna", "editor", "project").await;
    let first = token(&post, "anna", 1).await;
    invited(&chief, &acme, "ben", "editor", "project").await;
    let second = token(&post, "ben", 1).await;
    admin
        .delete(&format!("/api/role-assignments/{inviter}"))
        .await;
    assert_eq!(
        accept(&anna, &first).await.status,
        200,
        "still admin of the account"
    );
    admin.delete(&format!("/api/role-assignments/{role}")).await;
    let answer = accept(&ben, &second).await;
    assert_eq!((answer.status, answer.problem()), (409, "conflict"));
    assert_eq!(ben.get(&acme.project_path()).await.status, 404);
    given(&admin, &chief, "owner", acme.resource("organization")).await;
    assert_eq!(
        accept(&ben, &second).await.status,
        200,
        "a refusal used nothing up"
    );
}

#[actix_web::test]
async fn who_is_invited_registers_and_is_in() {
    let post = Post::with(&[("REGISTRATION_MODE", "invitation")]).await;
    let app = &post.app;
    let admin = app.admin().await;
    let acme = Tenant::create(&admin, "Acme").await;
    invited(&admin, &acme, "anna", "editor", "account").await;
    let token = token(&post, "anna", 1).await;
    let register = async |name: &str, token: &str| {
        let body = json!({
            "email": format!("{name}@example.com"), "password": PASSWORD, "invitation_token": token,
        });
        app.anonymous().post("/api/register", body).await
    };
    for (name, token) in [("ben", token.as_str()), ("anna", "gpi_x"), ("anna", "")] {
        let answer = register(name, token).await;
        assert_eq!(
            (answer.status, answer.problem()),
            (403, "invitation_required")
        );
    }
    let answer = register("anna", &token).await;
    assert_eq!(
        (answer.status, &answer.body["status"]),
        (202, &json!("active"))
    );
    let anna = app.log_in("anna@example.com").await;
    let answer = anna
        .patch(&acme.project_path(), json!({"name": "Hers"}))
        .await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let answer = register("anna", &token).await;
    assert_eq!(
        (answer.status, answer.problem()),
        (403, "invitation_required")
    );
}
