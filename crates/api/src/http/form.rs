//! Bodies of `application/x-www-form-urlencoded`, for the endpoints that OAuth defines.

use actix_web::{FromRequest, HttpRequest, dev::Payload, http::header::CONTENT_TYPE};
use futures_util::future::LocalBoxFuture;

use super::body;
use crate::problem::{Code, Problem};

/// The parameters of a form. Those that nobody asks for are ignored (RFC 6749, section 3.2).
pub struct Form(Vec<(String, String)>);

impl Form {
    /// The parameter called `name`, if it was sent with a value.
    ///
    /// # Errors
    ///
    /// `400` if it came more than once (RFC 6749, section 3.2).
    pub fn parameter(&self, name: &str) -> Result<Option<&str>, Problem> {
        let mut values = self.0.iter().filter(|(known, _)| known == name);
        let value = values.next().map(|(_, value)| value.as_str());
        if values.next().is_some() {
            return Err(Problem::invalid(name, "repeated", "came more than once"));
        }
        Ok(value.filter(|value| !value.is_empty()))
    }

    /// The parameter called `name`, which has to be there.
    ///
    /// # Errors
    ///
    /// `400` if it is missing, empty, or came more than once.
    pub fn required(&self, name: &str) -> Result<&str, Problem> {
        self.parameter(name)?
            .ok_or_else(|| Problem::invalid(name, "missing_field", "is missing"))
    }
}

impl FromRequest for Form {
    type Error = Problem;
    type Future = LocalBoxFuture<'static, Result<Self, Problem>>;

    fn from_request(req: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let acceptable = is_form(req);
        let limit = body::limit(req.path());
        let payload = payload.take();
        Box::pin(async move {
            let bytes = body::read(payload, limit).await?;
            if !acceptable {
                let detail = "Send `Content-Type: application/x-www-form-urlencoded`.";
                return Err(Problem::new(Code::UnsupportedMediaType, detail));
            }
            Ok(Self(
                url::form_urlencoded::parse(&bytes).into_owned().collect(),
            ))
        })
    }
}

fn is_form(req: &HttpRequest) -> bool {
    let value = req.headers().get(CONTENT_TYPE);
    let text = value.and_then(|value| value.to_str().ok());
    let essence = text.and_then(|text| text.split(';').next());
    essence.is_some_and(|essence| {
        essence
            .trim()
            .eq_ignore_ascii_case("application/x-www-form-urlencoded")
    })
}
