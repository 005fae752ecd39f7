//! What the forms send.

use actix_web::{FromRequest, HttpMessage, HttpRequest, dev::Payload};
use futures_util::future::LocalBoxFuture;
use secrecy::SecretString;
use utoipa::ToSchema;

use crate::{
    http::body,
    problem::{Code, Problem},
};

/// Bytes of a form: a token and a password, percent-encoded.
const LIMIT: usize = 16 * 1024;

/// A form with a button.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes a form for the OpenAPI document")]
pub struct LinkForm {
    /// From the link in the mail.
    token: String,
}

/// A form for a new password.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes a form for the OpenAPI document")]
pub struct PasswordForm {
    /// From the link in the mail.
    token: String,
    /// The password from now on.
    #[schema(format = "password")]
    password: String,
}

/// A form that accepts an invitation; who has no account yet sends a password too.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes a form for the OpenAPI document")]
pub struct RegistrationForm {
    /// From the link in the mail.
    token: String,
    /// What the person is called on the screen.
    display_name: Option<String>,
    /// The password of the account that is made.
    #[schema(format = "password")]
    password: Option<String>,
}

/// The fields that were sent. A field that is missing is as one that was left empty.
pub struct Form(Vec<(String, String)>);

impl Form {
    fn text(&self, name: &str) -> &str {
        let found = self.0.iter().find(|(key, _)| key == name);
        found.map_or("", |(_, value)| value)
    }

    pub(super) fn token(&self) -> &str {
        self.text("token")
    }

    pub(super) fn password(&self) -> SecretString {
        self.text("password").into()
    }

    pub(super) fn display_name(&self) -> &str {
        self.text("display_name").trim()
    }
}

impl FromRequest for Form {
    type Error = Problem;
    type Future = LocalBoxFuture<'static, Result<Self, Problem>>;

    fn from_request(req: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let is_form = req.content_type() == "application/x-www-form-urlencoded";
        let payload = payload.take();
        Box::pin(async move {
            let bytes = body::read(payload, LIMIT).await?;
            if !is_form {
                return Err(Problem::plain(Code::UnsupportedMediaType));
            }
            Ok(Self(
                url::form_urlencoded::parse(&bytes).into_owned().collect(),
            ))
        })
    }
}
