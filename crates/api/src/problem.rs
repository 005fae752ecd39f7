//! The one error that leaves the service: an RFC 9457 problem document.
//!
//! [`Code`] lists every problem there is: its status, its title and what it
//! means. `GET /problems/{code}` and `docs/problems.md` are made from it.

use std::fmt;

use actix_web::{
    HttpResponse, ResponseError,
    http::{
        StatusCode,
        header::{RETRY_AFTER, WWW_AUTHENTICATE},
    },
};
use aws_lc_rs::rand;
use sea_orm::{DbErr, RuntimeErr};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{http::request_id, policy::PolicyUnavailable};

macro_rules! codes {
    ($($variant:ident $slug:literal $status:ident $title:literal $meaning:literal)*) => {
        /// What went wrong, as a stable name that clients may rely on.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Code {
            $(#[doc = $meaning] $variant,)*
        }

        impl Code {
            /// Every code there is, in the order of the documentation.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The name that stands in `code` and ends `type`.
            pub const fn slug(self) -> &'static str {
                match self { $(Self::$variant => $slug),* }
            }

            /// The HTTP status that it is answered with.
            pub const fn status(self) -> StatusCode {
                match self { $(Self::$variant => StatusCode::$status),* }
            }

            /// The same for every problem of this code.
            pub const fn title(self) -> &'static str {
                match self { $(Self::$variant => $title),* }
            }

            /// What it means, and what the client can do.
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$variant => $meaning),* }
            }
        }
    };
}

codes! {
    MalformedBody "malformed_body" BAD_REQUEST "The body is not valid JSON"
        "The body could not be read as JSON in UTF-8, or nests deeper than 32 levels."
    ValidationFailed "validation_failed" BAD_REQUEST "Some input is not acceptable"
        "`errors` names each field, what is wrong with it and what is expected. Nothing was changed."
    InvalidCursor "invalid_cursor" BAD_REQUEST "The cursor does not fit"
        "`cursor` must be the `next_cursor` of an answer to the same list with the same `order`."
    CsrfRequired "csrf_required" FORBIDDEN "A CSRF token is needed"
        "With the session cookie every unsafe method needs `X-CSRF-Token` from `GET /api/auth/csrf`."
    Unauthenticated "unauthenticated" UNAUTHORIZED "Who are you?"
        "Send `Authorization: Bearer <access token>`; the one that came has expired, was revoked or is not an access token."
    InvalidCredentials "invalid_credentials" UNAUTHORIZED "Login failed"
        "The login, the password or both are wrong."
    InvalidToken "invalid_token" UNAUTHORIZED "The token is not valid"
        "The token is unknown, has expired, was used already or is of another kind."
    RefreshTokenReused "refresh_token_reused" UNAUTHORIZED "The refresh token was used before"
        "A used refresh token came back, so the whole session was ended. Log in again."
    InvalidCode "invalid_code" UNAUTHORIZED "The code is wrong"
        "The code is wrong, was used already, is too old or belongs to another request."
    FactorLocked "factor_locked" FORBIDDEN "The factor is locked"
        "A hundred wrong codes in a row have locked it. Use another factor or a recovery code, or ask an administrator."
    AccountPending "account_pending" FORBIDDEN "The account waits for approval"
        "The password is right, but an administrator has to approve the account, or its address has to be confirmed, first."
    AccountDisabled "account_disabled" FORBIDDEN "The account is closed"
        "The password is right, but the account was disabled or rejected by an administrator."
    PasswordChangeRequired "password_change_required" FORBIDDEN "The password has to be changed first"
        "Log in, take the `password_change_token` and call `POST /api/auth/password/change`."
    PasswordResetRequired "password_reset_required" FORBIDDEN "A new password has to be set by mail first"
        "The account was closed with a \"this was not me\" link. Call `POST /api/auth/password/forgot` and follow the link in the mail."
    RegistrationClosed "registration_closed" FORBIDDEN "Registration is closed"
        "This installation does not let people register by themselves, or not with this address."
    InvitationRequired "invitation_required" FORBIDDEN "An invitation is needed"
        "Registration needs a valid `invitation_token` that was sent to this address."
    StepUpRequired "step_up_required" FORBIDDEN "Prove again who you are"
        "This takes a proof of identity that is at most five minutes old, with the strongest factor enrolled or a recovery code. Call `POST /api/auth/step-up`, then repeat the request."
    Forbidden "forbidden" FORBIDDEN "You may not do this"
        "The policy knows you and says no."
    NotFound "not_found" NOT_FOUND "There is no such thing"
        "It does not exist, or you may not know that it does."
    MethodNotAllowed "method_not_allowed" METHOD_NOT_ALLOWED "The method does not fit"
        "`Allow` lists the methods that this address takes."
    RequestTimeout "request_timeout" REQUEST_TIMEOUT "The body came too slowly"
        "The whole body has to arrive within 15 seconds."
    Conflict "conflict" CONFLICT "Something else is in the way"
        "The state of the thing does not allow this; `detail` says why."
    NameTaken "name_taken" CONFLICT "The name is in use"
        "Names are unique in their place, whatever the letter case."
    UsernameTaken "username_taken" CONFLICT "The username is in use"
        "Usernames are unique, whatever the letter case."
    EmailTaken "email_taken" CONFLICT "The address is in use"
        "An address belongs to one account, whatever the letter case. Told to administrators only."
    NotEmpty "not_empty" CONFLICT "It is not empty"
        "Delete what is inside first."
    AlreadyAssigned "already_assigned" CONFLICT "The role is held already"
        "This principal holds this role on this resource already."
    RoleInUse "role_in_use" CONFLICT "Somebody holds the role"
        "A role that somebody holds is not deleted. Remove its role assignments first."
    LastOwner "last_owner" CONFLICT "The last owner stays"
        "An organization keeps at least one owner whose role does not expire. Make another owner first."
    LastFactor "last_factor" CONFLICT "The last factor stays"
        "`MFA_REQUIRED` asks this user for a second factor. Enrol another one first."
    LastAdministrator "last_administrator" CONFLICT "The last administrator stays"
        "The system keeps at least one active user whose role `admin` does not expire. Make another one first."
    PreconditionFailed "precondition_failed" PRECONDITION_FAILED "It was changed in the meantime"
        "`If-Match` is not the current `ETag`. Read it again, and decide again."
    PayloadTooLarge "payload_too_large" PAYLOAD_TOO_LARGE "The body is too large"
        "Bodies may have 64 KiB; 16 KiB under `/api/auth/`; 256 KiB for batches of evaluations and of resources, and for decision logs."
    UnsupportedMediaType "unsupported_media_type" UNSUPPORTED_MEDIA_TYPE "The content type does not fit"
        "Send `Content-Type: application/json`, in UTF-8."
    IdempotencyKeyReused "idempotency_key_reused" UNPROCESSABLE_ENTITY "The idempotency key was used for another request"
        "The same `Idempotency-Key` came with another body within 24 hours. Use a fresh key."
    TooManyAttempts "too_many_attempts" TOO_MANY_REQUESTS "Too many attempts"
        "Wait for the seconds that `Retry-After` names."
    Internal "internal" INTERNAL_SERVER_ERROR "Something went wrong"
        "A fault of ours. It was logged under the `request_id`."
    Busy "busy" SERVICE_UNAVAILABLE "Too much at once"
        "More logins are waiting than can be worked off soon. Try again after `Retry-After` seconds."
    PolicyUnavailable "policy_unavailable" SERVICE_UNAVAILABLE "The policy cannot be asked"
        "No decision could be had, and no decision means no. Try again after `Retry-After` seconds."
    DatabaseUnavailable "database_unavailable" SERVICE_UNAVAILABLE "The database cannot be asked"
        "The database did not answer in time, or does not take writes. Try again after `Retry-After` seconds."
}

/// What is wrong with one field.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct FieldError {
    /// Where: a path such as `principal.id`; empty for the body as a whole.
    pub field: String,
    /// What, as a stable name.
    pub code: &'static str,
    /// What, for people.
    pub message: String,
}

/// An RFC 9457 problem. Its source is logged here and never sent.
#[derive(Debug)]
pub struct Problem {
    code: Code,
    detail: String,
    errors: Vec<FieldError>,
    retry_after: Option<u64>,
    source: Option<anyhow::Error>,
}

/// The body of every error.
#[derive(Serialize, ToSchema)]
#[schema(as = Problem)]
pub struct ProblemDocument {
    /// A link to the explanation of the code.
    #[schema(example = "http://localhost:8004/problems/validation_failed")]
    pub r#type: String,
    /// The same for every problem of this code.
    pub title: &'static str,
    /// The HTTP status.
    pub status: u16,
    /// For people: what happened here.
    pub detail: String,
    /// The stable name to program against.
    pub code: &'static str,
    /// Found again in the logs.
    pub request_id: String,
    /// What is wrong, field by field.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
}

impl Problem {
    /// A problem that says what happened in `detail`.
    pub fn new(code: Code, detail: impl fmt::Display) -> Self {
        Self {
            code,
            detail: detail.to_string(),
            errors: Vec::new(),
            retry_after: None,
            source: None,
        }
    }

    /// A problem with nothing to add to what its code means.
    pub fn plain(code: Code) -> Self {
        Self::new(code, code.meaning())
    }

    /// Why the policy had no answer, if that is what this is about: see
    /// [`PolicyUnavailable::code`].
    pub fn policy_failure(&self) -> Option<&'static str> {
        let source = self.source.as_ref()?;
        source
            .downcast_ref::<PolicyUnavailable>()
            .map(PolicyUnavailable::code)
    }

    /// Too much is being worked on. Who is sent away is asked back after one to four seconds,
    /// drawn by lot, so that those who came together do not come back together.
    pub fn busy() -> Self {
        let mut lot = [0];
        // Without random numbers all are asked back after one second, which is no worse than no lot.
        rand::fill(&mut lot).ok();
        Self::plain(Code::Busy).retry_after(1 + u64::from(lot[0] % 4))
    }

    /// Some field is not acceptable.
    pub fn invalid(
        field: impl Into<String>,
        code: &'static str,
        message: impl Into<String>,
    ) -> Self {
        Self::invalid_fields(vec![FieldError {
            field: field.into(),
            code,
            message: message.into(),
        }])
    }

    /// Some fields are not acceptable.
    pub fn invalid_fields(errors: Vec<FieldError>) -> Self {
        let detail = errors
            .iter()
            .map(|error| match error.field.as_str() {
                "" => error.message.clone(),
                field => format!("{field}: {}", error.message),
            })
            .collect::<Vec<_>>()
            .join("; ");
        Self {
            errors,
            ..Self::new(Code::ValidationFailed, detail)
        }
    }

    /// A failure of ours; the client learns only that it happened.
    pub fn internal(source: impl Into<anyhow::Error>) -> Self {
        Self {
            source: Some(source.into()),
            ..Self::plain(Code::Internal)
        }
    }

    /// Adds what caused it, for the log.
    #[must_use]
    pub fn because(mut self, source: impl Into<anyhow::Error>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Says after how many seconds to try again.
    #[must_use]
    pub fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    /// Its code.
    pub fn code(&self) -> Code {
        self.code
    }

    /// What happened here, for people.
    pub fn detail(&self) -> &str {
        &self.detail
    }
}

/// SQLSTATE of a database error, where the server gave one.
pub fn sqlstate(error: &DbErr) -> Option<String> {
    database_error(error)?
        .code()
        .map(std::borrow::Cow::into_owned)
}

/// Name of the constraint that a database error speaks of.
pub fn constraint(error: &DbErr) -> Option<&str> {
    database_error(error)?.constraint()
}

fn database_error(error: &DbErr) -> Option<&dyn sqlx::error::DatabaseError> {
    match error {
        DbErr::Exec(RuntimeErr::SqlxError(error)) | DbErr::Query(RuntimeErr::SqlxError(error)) => {
            error.as_database_error()
        }
        _ => None,
    }
}

impl From<DbErr> for Problem {
    fn from(error: DbErr) -> Self {
        match sqlstate(&error).as_deref() {
            // A NUL or another character that the database cannot hold.
            Some("22021" | "22P05") => Self::invalid(
                "",
                "invalid_character",
                "holds a character that cannot be stored",
            ),
            Some(code) if !is_passing(code) => Self::internal(error),
            None if !is_connection_fault(&error) => Self::internal(error),
            _ => Self::plain(Code::DatabaseUnavailable)
                .retry_after(2)
                .because(error),
        }
    }
}

/// Whether the same statement may succeed later: connection faults, a server
/// that stops or is read-only, time-outs, full disks, deadlocks.
fn is_passing(code: &str) -> bool {
    code.starts_with("08")
        || code.starts_with("53")
        || code.starts_with("57")
        || matches!(
            code,
            "25006" | "25P03" | "40001" | "40P01" | "42501" | "55P03"
        )
}

fn is_connection_fault(error: &DbErr) -> bool {
    match error {
        DbErr::ConnectionAcquire(_) | DbErr::Conn(_) => true,
        DbErr::Exec(RuntimeErr::SqlxError(error)) | DbErr::Query(RuntimeErr::SqlxError(error)) => {
            matches!(
                error.as_ref(),
                sqlx::Error::Io(_)
                    | sqlx::Error::Tls(_)
                    | sqlx::Error::Protocol(_)
                    | sqlx::Error::PoolTimedOut
                    | sqlx::Error::PoolClosed
                    | sqlx::Error::WorkerCrashed
            )
        }
        _ => false,
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.code.status(), self.code.slug())
    }
}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        self.code.status()
    }

    fn error_response(&self) -> HttpResponse {
        if let Some(source) = &self.source {
            let error = format!("{source:#}");
            if self.code == Code::Internal {
                tracing::error!(code = self.code.slug(), error, "request failed");
            } else {
                tracing::warn!(code = self.code.slug(), error, "request failed");
            }
        }
        let mut response = HttpResponse::build(self.code.status());
        if self.code.status() == StatusCode::UNAUTHORIZED {
            response.insert_header((WWW_AUTHENTICATE, "Bearer realm=\"gatepost\""));
        }
        if let Some(seconds) = self.retry_after {
            response.insert_header((RETRY_AFTER, seconds));
        }
        let current = request_id::current();
        response
            .content_type("application/problem+json")
            .json(ProblemDocument {
                r#type: format!("{}/problems/{}", current.public_url, self.code.slug()),
                title: self.code.title(),
                status: self.code.status().as_u16(),
                detail: self.detail.clone(),
                code: self.code.slug(),
                request_id: current.id,
                errors: self.errors.clone(),
            })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn those_who_are_sent_away_together_do_not_come_back_together() {
        let waits: BTreeSet<_> = (0..500)
            .filter_map(|_| Problem::busy().retry_after)
            .collect();
        assert_eq!(waits, BTreeSet::from([1, 2, 3, 4]));
    }
}
