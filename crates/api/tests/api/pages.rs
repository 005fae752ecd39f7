//! The pages that links in mails lead to.

use reqwest::header::{ACCEPT_LANGUAGE, HeaderMap};
use serde_json::json;

use crate::{
    harness::{PASSWORD, TestApp},
    post::Post,
    tenants::Tenant,
};

const ANNA: &str = "anna@example.com";
const NEW_PASSWORD: &str = "sparrow lantern 52 oak ridge";
const PAGES: [&str; 4] = [
    "verify-email",
    "reset-password",
    "cancel-email-change",
    "lockdown",
];

struct Shown {
    status: u16,
    headers: HeaderMap,
    text: String,
}

async fn shown(request: reqwest::RequestBuilder) -> Shown {
    let response = request.send().await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let text = response.text().await.unwrap();
    Shown {
        status,
        headers,
        text,
    }
}

fn browser() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().build().unwrap()
}

async fn open(app: &TestApp, page: &str, token: &str, language: &str) -> Shown {
    let url = format!(
        "{}/account/{page}?token={token}&utm_source=mail",
        app.address
    );
    shown(browser().get(url).header(ACCEPT_LANGUAGE, language)).await
}

async fn submit(app: &TestApp, page: &str, fields: &[(&str, &str)]) -> Shown {
    let body = url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(fields)
        .finish();
    let url = format!("{}/account/{page}", app.address);
    let form = "application/x-www-form-urlencoded";
    shown(browser().post(url).header("content-type", form).body(body)).await
}

#[actix_web::test]
async fn a_page_loads_nothing_runs_nothing_and_is_kept_nowhere() {
    let app = TestApp::spawn().await;
    for page in PAGES {
        let shown = open(&app, page, "x\"><script>alert(1)</script>", "en").await;
        assert_eq!(shown.status, 200, "{page}");
        let header = |name: &str| shown.headers[name].to_str().unwrap();
        assert_eq!(header("content-type"), "text/html; charset=utf-8");
        assert_eq!(header("cache-control"), "no-store");
        assert_eq!(header("referrer-policy"), "no-referrer");
        assert_eq!(header("x-content-type-options"), "nosniff");
        let policy = header("content-security-policy");
        assert!(
            policy.starts_with("default-src 'none'; style-src 'sha256-"),
            "{policy}"
        );
        assert!(policy.ends_with("form-action 'self'; frame-ancestors 'none'; base-uri 'none'"));
        for refused in ["<script", "http:", "https:", "src=", "utm_source"] {
            assert!(!shown.text.contains(refused), "{refused} in {}", shown.text);
        }
        assert!(
            shown.text.contains("value=\"x&quot;&gt;&lt;script&gt;"),
            "{}",
            shown.text
        );
        let sent = submit(
            &app,
            page,
            &[("token", "gpw_x"), ("password", NEW_PASSWORD)],
        )
        .await;
        assert_eq!(sent.status, 400, "{page}");
        assert!(sent.text.contains("This link is not good"));
    }
}

#[actix_web::test]
async fn a_page_speaks_the_language_of_the_browser() {
    let app = TestApp::spawn().await;
    for (language, tag, title) in [
        ("de-AT,de;q=0.9", "de", "Das war ich nicht"),
        ("fr", "fr", "Ce n&#39;était pas moi"),
        ("nl", "en", "This was not me"),
    ] {
        let shown = open(&app, "lockdown", "gpl_x", language).await;
        assert!(shown.text.contains(&format!("<html lang=\"{tag}\">")));
        assert!(
            shown.text.contains(&format!("<h1>{title}</h1>")),
            "{}",
            shown.text
        );
        assert_eq!(shown.headers["content-language"], tag);
    }
}

#[actix_web::test]
async fn following_a_link_changes_nothing_and_the_button_does() {
    let post = Post::verifying("approval").await;
    let app = &post.app;
    post.register("anna").await;
    let token = post.token(ANNA, "gpv_", 1).await;
    let mail = post.mail(ANNA, "gpv_", 1).await;
    assert!(mail.contains(&format!("/account/verify-email?token={token}")));
    for _ in 0..3 {
        let shown = open(app, "verify-email", &token, "en").await;
        assert!(shown.text.contains(&token) && shown.text.contains("<form method=\"post\">"));
    }
    let done = submit(app, "verify-email", &[("token", &token)]).await;
    assert_eq!(done.status, 200);
    assert!(
        done.text.contains("An administrator will look"),
        "{}",
        done.text
    );
    assert_eq!(
        submit(app, "verify-email", &[("token", &token)])
            .await
            .status,
        400
    );
}

#[actix_web::test]
async fn a_password_is_set_and_everything_closed_without_a_script() {
    let post = Post::open().await;
    let app = &post.app;
    app.user("anna").await;
    let token = post.reset_token(ANNA, 1).await;
    let weak = [("token", token.as_str()), ("password", "short")];
    let refused = submit(app, "reset-password", &weak).await;
    assert_eq!(refused.status, 400);
    assert!(refused.text.contains("Use at least 12 characters") && refused.text.contains(&token));
    let good = [("token", token.as_str()), ("password", NEW_PASSWORD)];
    let done = submit(app, "reset-password", &good).await;
    assert_eq!(done.status, 200, "{}", done.text);
    assert_eq!(app.login(ANNA).await.status, 401, "the old one");
    let token = post.token(ANNA, "gpl_", 1).await;
    for _ in 0..2 {
        let done = submit(app, "lockdown", &[("token", &token)]).await;
        assert_eq!(done.status, 200);
        assert!(done.text.contains("You get a mail"), "{}", done.text);
    }
}

#[actix_web::test]
async fn a_change_of_address_is_stopped_on_its_page() {
    let post = Post::open().await;
    let app = &post.app;
    let anna = app.user("anna").await;
    let change = json!({"email": "anna@example.org"});
    assert_eq!(anna.put("/api/users/me", change).await.status, 200);
    let token = post.token(ANNA, "gpx_", 1).await;
    let done = submit(app, "cancel-email-change", &[("token", &token)]).await;
    assert!(
        done.text.contains("The address stays as it is"),
        "{}",
        done.text
    );
}

#[actix_web::test]
async fn an_invitation_is_accepted_on_its_page_with_and_without_an_account() {
    let post = Post::with(&[("REGISTRATION_MODE", "invitation")]).await;
    let app = &post.app;
    let admin = app.admin().await;
    let acme = Tenant::create(&admin, "Acme").await;
    let invite = async |name: &str| {
        let body = json!({"email": format!("{name}@example.com"), "role": "viewer"});
        let path = format!("{}/invitations", acme.organization_path());
        assert_eq!(admin.post(&path, body).await.status, 201);
    };
    invite("anna").await;
    let token = post.token(ANNA, "gpi_", 1).await;
    let shown = open(app, "invitation", &token, "de").await;
    assert_eq!(shown.status, 200);
    assert!(shown.text.contains("Einladung zu Acme") && shown.text.contains("type=\"password\""));
    let mut fields = vec![("token", token.as_str()), ("password", "short")];
    let refused = submit(app, "invitation", &fields).await;
    assert!(
        refused.text.contains("Use at least 12 characters"),
        "{}",
        refused.text
    );
    fields[1].1 = PASSWORD;
    fields.push(("display_name", "Anna"));
    let done = submit(app, "invitation", &fields).await;
    assert_eq!(done.status, 200, "{}", done.text);
    assert!(done.text.contains("you have joined Acme"), "{}", done.text);
    let anna = app.log_in(ANNA).await;
    assert_eq!(anna.get(&acme.project_path()).await.status, 200);
    assert_eq!(submit(app, "invitation", &fields).await.status, 400, "once");

    let other = Tenant::create(&admin, "Other").await;
    let body = json!({"email": ANNA, "role": "viewer"});
    let path = format!("{}/invitations", other.organization_path());
    assert_eq!(admin.post(&path, body).await.status, 201);
    let token = post.token(ANNA, "gpi_", 2).await;
    let shown = open(app, "invitation", &token, "en").await;
    assert!(!shown.text.contains("type=\"password\""), "{}", shown.text);
    assert_eq!(anna.get(&other.project_path()).await.status, 404, "not yet");
    let done = submit(app, "invitation", &[("token", &token)]).await;
    assert_eq!(done.status, 200, "{}", done.text);
    assert_eq!(anna.get(&other.project_path()).await.status, 200);
    assert_eq!(open(app, "invitation", &token, "en").await.status, 400);
    assert_eq!(anna.get("/api/users/me").await.body["email_verified"], true);
}
