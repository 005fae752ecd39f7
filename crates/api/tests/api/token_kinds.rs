//! Every kind of token in the place of every other: each is good for one thing.

use std::collections::HashMap;

use chrono::TimeDelta;
use gatepost::{
    crypto::token::{Token, TokenKind},
    database::tx::{Scope, Tx},
    devices,
    http::origin::Origin,
    one_time,
};
use serde_json::{Value, json};

use crate::{
    harness::{Answer, Client, PASSWORD, TestApp},
    mfa::{enrol_totp, fresh_code},
    post::Post,
    tenants::Tenant,
};

const ANNA: &str = "anna@example.com";
const COOKIE: &str = "__Host-gatepost_session";

/// What may be mistaken for one another. A kind that is added to the program is in the matrix at
/// once: [`Mint::text`] does not compile without it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    Access,
    Csrf,
    Opaque(TokenKind),
}

impl Kind {
    fn all() -> Vec<Self> {
        let opaque = TokenKind::ALL.map(Self::Opaque);
        [Self::Access, Self::Csrf]
            .into_iter()
            .chain(opaque)
            .collect()
    }
}

/// Where a token can be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Bearer,
    Forward,
    Cookie,
    Csrf,
    Refresh,
    DeviceAtLogin,
    MfaChallenge,
    MfaVerify,
    MfaEnrol,
    PasswordChange,
    PasswordReset,
    EmailVerify,
    EmailCancel,
    Lockdown,
    Accept,
    Register,
    Introspect,
}

const PLACES: [Place; 17] = [
    Place::Bearer,
    Place::Forward,
    Place::Cookie,
    Place::Csrf,
    Place::Refresh,
    Place::DeviceAtLogin,
    Place::MfaChallenge,
    Place::MfaVerify,
    Place::MfaEnrol,
    Place::PasswordChange,
    Place::PasswordReset,
    Place::EmailVerify,
    Place::EmailCancel,
    Place::Lockdown,
    Place::Accept,
    Place::Register,
    Place::Introspect,
];

impl Place {
    fn takes(self, kind: Kind) -> bool {
        use TokenKind as T;
        let taken: &[TokenKind] = match self {
            Self::Bearer | Self::Forward => &[T::ApiKey],
            Self::Cookie => &[T::Session],
            Self::Csrf => return kind == Kind::Csrf,
            Self::Refresh => &[T::Refresh],
            Self::DeviceAtLogin => &[T::Device],
            Self::MfaChallenge | Self::MfaVerify | Self::MfaEnrol => &[T::Mfa],
            Self::PasswordChange => &[T::PasswordChange],
            Self::PasswordReset => &[T::PasswordReset],
            Self::EmailVerify => &[T::EmailVerification, T::EmailChange],
            Self::EmailCancel => &[T::EmailChangeCancel],
            Self::Lockdown => &[T::Lockdown],
            Self::Accept | Self::Register => &[T::Invitation],
            Self::Introspect => &[T::Refresh, T::ApiKey],
        };
        match kind {
            Kind::Access => matches!(self, Self::Bearer | Self::Forward | Self::Introspect),
            Kind::Csrf => false,
            Kind::Opaque(kind) => taken.contains(&kind),
        }
    }

    /// Sends `token` there, with everything else as it should be.
    async fn ask(self, all: &Mint, token: &str) -> Answer {
        let anyone = all.post.app.anonymous();
        let call = async |path: &str, body: Value| anyone.post(path, body).await;
        let new = "a new and long enough password";
        match self {
            Self::Bearer => bearer(&anyone, token).get("/api/users/me").await,
            Self::Forward => bearer(&anyone, token).get("/api/auth/forward").await,
            Self::Cookie => {
                let cookie = format!("{COOKIE}={token}");
                let with = [("cookie", cookie.as_str())];
                anyone.get_with("/api/users/me", &with).await
            }
            Self::Csrf => {
                let cookie = format!("{COOKIE}={}", all.session);
                let with = [("cookie", cookie.as_str()), ("x-csrf-token", token)];
                let change = json!({"display_name": "Anna"});
                anyone.put_with("/api/users/me", change, &with).await
            }
            Self::Refresh => call("/api/auth/refresh", json!({"refresh_token": token})).await,
            Self::DeviceAtLogin => {
                let body = json!({"login": ANNA, "password": PASSWORD, "device_token": token});
                call("/api/auth/login", body).await
            }
            Self::MfaChallenge => {
                let body = json!({"mfa_token": token, "factor": "email"});
                call("/api/auth/mfa/challenge", body).await
            }
            Self::MfaVerify => {
                let body = json!({"mfa_token": token, "factor": "totp", "code": all.code});
                call("/api/auth/mfa/verify", body).await
            }
            Self::MfaEnrol => {
                let body = json!({"mfa_token": token, "factor": "totp"});
                call("/api/auth/mfa/enrol", body).await
            }
            Self::PasswordChange => {
                let body = json!({"password_change_token": token, "new_password": new});
                call("/api/auth/password/change", body).await
            }
            Self::PasswordReset => {
                let body = json!({"token": token, "new_password": new});
                call("/api/auth/password/reset", body).await
            }
            Self::EmailVerify => call("/api/auth/email/verify", json!({"token": token})).await,
            Self::EmailCancel => call("/api/auth/email/cancel", json!({"token": token})).await,
            Self::Lockdown => call("/api/auth/lockdown", json!({"token": token})).await,
            Self::Accept => {
                let body = json!({"token": token});
                all.anna.post("/api/invitations/accept", body).await
            }
            Self::Register => {
                let body = json!({
                    "email": "zoe@example.com", "password": new, "invitation_token": token,
                });
                anyone
                    .at(&all.by_invitation)
                    .post("/api/register", body)
                    .await
            }
            Self::Introspect => {
                let body = format!("token={token}");
                let form = ("application/x-www-form-urlencoded", body.into_bytes());
                let path = "/api/auth/introspect";
                all.introspector.raw("POST", path, Some(form), &[]).await
            }
        }
    }

    /// Whether that was refused, and in the way that the place refuses.
    fn refused(self, answer: &Answer) -> bool {
        let says = |status, code| answer.status == status && answer.problem() == code;
        match self {
            Self::DeviceAtLogin => answer.body["status"] == "mfa_required",
            Self::Introspect => answer.body == json!({"active": false}),
            Self::Bearer | Self::Forward | Self::Cookie => answer.status == 401,
            Self::Csrf => says(403, "csrf_required"),
            Self::Accept => says(404, "not_found"),
            Self::Register => says(403, "invitation_required"),
            _ => says(401, "invalid_token"),
        }
    }
}

fn bearer(client: &Client, token: &str) -> Client {
    let mut client = client.clone();
    client.token = Some(token.to_owned());
    client
}

/// One token of each kind, all of them anna's, all of them good.
struct Mint {
    post: Post,
    /// An instance that registers none but those who were invited.
    by_invitation: TestApp,
    anna: Client,
    introspector: Client,
    session: String,
    /// A code of anna's that nobody has used.
    code: String,
    texts: HashMap<Kind, String>,
}

impl Mint {
    async fn all() -> Self {
        let post = Post::with(&[]).await;
        let app = &post.app;
        let by_invitation = app
            .second_with(&[("REGISTRATION_MODE", "invitation")])
            .await;
        let admin = app.admin().await;
        let anna = app.user("anna").await;
        let acme = Tenant::create(&admin, "Acme").await;
        let key = json!({"name": "introspects", "permissions": ["token:introspect"]});
        let key = admin.post("/api/users/me/api-keys", key).await;
        let introspector = bearer(&app.anonymous(), key.body["key"].as_str().unwrap());
        let login = json!({"login": ANNA, "password": PASSWORD, "cookie": true});
        let answer = app.anonymous().post("/api/auth/login", login).await;
        let cookie = answer.header("set-cookie");
        let session = cookie.split(['=', ';']).nth(1).unwrap().to_owned();
        let (secret, _) = enrol_totp(app, &anna).await;
        // Enrolling ended the other session: in again, with the second factor.
        let session = second_factor_cookie(&post, &secret, &session).await;
        let invited = json!({"email": ANNA, "role": "viewer"});
        let path = format!("{}/invitations", acme.organization_path());
        assert_eq!(admin.post(&path, invited).await.status, 201);
        let mut all = Self {
            code: fresh_code(app, &secret),
            anna,
            introspector,
            session,
            texts: HashMap::new(),
            by_invitation,
            post,
        };
        for kind in Kind::all() {
            let text = all.text(kind).await;
            all.texts.insert(kind, text);
        }
        all
    }

    async fn text(&self, kind: Kind) -> String {
        let (app, anna) = (&self.post.app, &self.anna);
        match kind {
            Kind::Access => anna.token.clone().unwrap(),
            Kind::Csrf => {
                let cookie = format!("{COOKIE}={}", self.session);
                let with = [("cookie", cookie.as_str())];
                let answer = app.anonymous().get_with("/api/auth/csrf", &with).await;
                answer.body["csrf_token"].as_str().unwrap().to_owned()
            }
            Kind::Opaque(TokenKind::Session) => self.session.clone(),
            Kind::Opaque(TokenKind::Refresh) => anna.refresh_token.clone(),
            Kind::Opaque(TokenKind::Mfa) => {
                let answer = app.login("anna").await;
                answer.body["mfa_token"].as_str().unwrap().to_owned()
            }
            Kind::Opaque(TokenKind::ApiKey) => {
                let key = json!({"name": "reads", "permissions": ["self:read"]});
                let answer = anna.post("/api/users/me/api-keys", key).await;
                assert_eq!(answer.status, 201, "{}", answer.body);
                answer.body["key"].as_str().unwrap().to_owned()
            }
            Kind::Opaque(TokenKind::Invitation) => self.post.token(ANNA, "gpi_", 1).await,
            Kind::Opaque(TokenKind::Device) => {
                self.within(async |tx, id| {
                    let origin = Origin::program("test");
                    devices::trust(tx, &app.state, &origin, id, None)
                        .await
                        .unwrap()
                })
                .await
            }
            Kind::Opaque(
                kind @ (TokenKind::PasswordChange
                | TokenKind::PasswordReset
                | TokenKind::EmailVerification
                | TokenKind::EmailChange
                | TokenKind::EmailChangeCancel
                | TokenKind::Lockdown),
            ) => {
                self.within(async |tx, id| {
                    let payload = json!({"email": ANNA});
                    let ttl = TimeDelta::hours(1);
                    one_time::issue(tx, &app.state, kind, id, payload, ttl)
                        .await
                        .unwrap()
                })
                .await
            }
        }
    }

    async fn within(&self, make: impl AsyncFnOnce(&Tx<'_>, uuid::Uuid) -> Token) -> String {
        let state = &self.post.app.state;
        let tx = Tx::begin(state, &Scope::System).await.unwrap();
        let token = make(&tx, self.anna.user_id.parse().unwrap()).await;
        tx.commit().await.unwrap();
        token.expose().to_owned()
    }
}

async fn second_factor_cookie(post: &Post, secret: &str, ended: &str) -> String {
    let app = &post.app;
    let with = [("cookie", format!("{COOKIE}={ended}"))];
    let with = [(with[0].0, with[0].1.as_str())];
    assert_eq!(
        app.anonymous()
            .get_with("/api/users/me", &with)
            .await
            .status,
        401
    );
    let login = json!({"login": ANNA, "password": PASSWORD, "cookie": true});
    let waits = app.anonymous().post("/api/auth/login", login).await;
    let code = fresh_code(app, secret);
    let proof = json!({"mfa_token": waits.body["mfa_token"], "factor": "totp", "code": code});
    let answer = app.anonymous().post("/api/auth/mfa/verify", proof).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let cookie = answer.header("set-cookie");
    cookie.split(['=', ';']).nth(1).unwrap().to_owned()
}

#[actix_web::test]
async fn every_kind_is_refused_in_the_place_of_every_other_and_spent_by_none() {
    let all = Box::pin(Mint::all()).await;
    let mut refused = 0;
    for place in PLACES {
        for kind in Kind::all() {
            if place.takes(kind) {
                continue;
            }
            let answer = place.ask(&all, &all.texts[&kind]).await;
            let said = (answer.status, &answer.body);
            assert!(place.refused(&answer), "{kind:?} as {place:?}: {said:?}");
            refused += 1;
        }
    }
    assert_eq!(refused, 17 * 14 - 22);
    // And yet all were good all the time.
    let state = &all.post.app.state;
    for (kind, text) in &all.texts {
        // Introspecting comes before spending.
        let places = PLACES.into_iter().rev().filter(|place| place.takes(*kind));
        let is_good = match kind {
            Kind::Opaque(TokenKind::Mfa) => Place::MfaVerify.ask(&all, text).await.status == 200,
            Kind::Opaque(TokenKind::Invitation) => {
                Place::Accept.ask(&all, text).await.status == 200
            }
            Kind::Opaque(
                TokenKind::PasswordChange
                | TokenKind::PasswordReset
                | TokenKind::EmailVerification
                | TokenKind::EmailChange
                | TokenKind::EmailChangeCancel
                | TokenKind::Lockdown,
            ) => {
                let Kind::Opaque(kind) = *kind else {
                    unreachable!()
                };
                let found = one_time::find(&state.db, state, kind, text).await.unwrap();
                found.is_some()
            }
            _ => {
                let mut good = true;
                for place in places {
                    good &= !place.refused(&place.ask(&all, text).await);
                }
                good
            }
        };
        assert!(is_good, "{kind:?} was spent");
    }
    all.by_invitation.stop().await;
}
