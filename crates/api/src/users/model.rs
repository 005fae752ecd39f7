//! What a user looks like from outside.

use chrono::{DateTime, Utc};
use sea_orm::DbErr;
use secrecy::SecretString;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    access::permit::{Action, Target},
    crypto::password::{HashingError, PasswordFault},
    http::{
        answer::Versioned,
        text::{DisplayName, Email, Locale, PictureUrl, Username},
    },
    problem::{Code, Problem},
    users::metadata::Unfit,
};

/// Reading the own profile.
pub struct ReadOwn;
impl Action for ReadOwn {
    const NAME: &'static str = "self:read";
    const TARGET: Target = Target::Own;
    const BY_KEY: bool = true;
}

/// Changing the own profile or password.
pub struct UpdateOwn;
impl Action for UpdateOwn {
    const NAME: &'static str = "self:update";
    const TARGET: Target = Target::Own;
}

/// A user as they see themselves, and as administrators see them.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct UserView {
    /// Their id.
    pub id: Uuid,
    /// Their address, as written by them.
    pub email: String,
    /// Whether it was proven to be theirs.
    pub email_verified: bool,
    /// For logging in.
    pub username: Option<String>,
    /// What they are called on the screen.
    pub display_name: Option<String>,
    /// A picture of them.
    pub profile_picture_url: Option<String>,
    /// The language of their mails.
    pub locale: Option<String>,
    /// What applications keep about them; they may change it.
    pub metadata: Value,
    /// `pending_verification`, `pending_approval`, `active`, `rejected` or `disabled`.
    pub status: String,
    /// When they last logged in.
    pub last_login_at: Option<DateTime<Utc>>,
    /// When they registered.
    pub created_at: DateTime<Utc>,
    /// When something of this last changed.
    pub updated_at: DateTime<Utc>,
    #[serde(skip, default = "first")]
    version: i64,
}

/// What is read back is the answer that made the user.
const fn first() -> i64 {
    1
}

impl From<entity::user::Model> for UserView {
    fn from(user: entity::user::Model) -> Self {
        Self {
            id: user.id,
            email: user.email,
            email_verified: user.email_verified_at.is_some(),
            username: user.username,
            display_name: user.display_name,
            profile_picture_url: user.profile_picture_url,
            locale: user.locale,
            metadata: user.metadata,
            status: user.status,
            last_login_at: user.last_login_at,
            created_at: user.created_at,
            updated_at: user.updated_at,
            version: user.version,
        }
    }
}

impl Versioned for UserView {
    fn version(&self) -> i64 {
        self.version
    }
}

/// Bytes that `metadata` may have as JSON.
const METADATA_LIMIT: usize = 16 * 1024;

/// An object for applications: up to 16 KiB of JSON.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(try_from = "Map<String, Value>")]
#[schema(value_type = Object)]
pub struct Metadata(pub Value);

impl TryFrom<Map<String, Value>> for Metadata {
    type Error = String;

    fn try_from(map: Map<String, Value>) -> Result<Self, String> {
        let value = Value::Object(map);
        if value.to_string().len() > METADATA_LIMIT {
            return Err(format!("must have at most {METADATA_LIMIT} bytes"));
        }
        Ok(Self(value))
    }
}

/// Body of `PUT /api/users/me`: any subset; `null` clears what can be cleared.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateMe {
    /// New name on the screen.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<DisplayName>)]
    pub display_name: Option<Option<DisplayName>>,
    /// New username.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<Username>)]
    pub username: Option<Option<Username>>,
    /// New picture.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<PictureUrl>)]
    pub profile_picture_url: Option<Option<PictureUrl>>,
    /// New language.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<Locale>)]
    pub locale: Option<Option<Locale>>,
    /// New address: asks for its proof by mail, and tells the old one.
    pub email: Option<Email>,
    /// Takes the place of all that was there.
    pub metadata: Option<Metadata>,
    /// The password until now; needed with `new_password`.
    #[schema(value_type = Option<String>, format = "password", max_length = 1024)]
    pub current_password: Option<SecretString>,
    /// The password from now on. All other sessions end.
    #[schema(value_type = Option<String>, format = "password", max_length = 1024)]
    pub new_password: Option<SecretString>,
}

/// Tells a field that was sent as `null` from one that was not sent.
pub fn given<'de, T, D>(deserializer: D) -> Result<Option<Option<T>>, D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    Option::deserialize(deserializer).map(Some)
}

/// Why a user was not changed.
#[derive(Debug, thiserror::Error)]
pub enum UserError {
    /// No such user.
    #[error("user not found")]
    NotFound,
    /// Another user has this username.
    #[error("the username is in use")]
    UsernameTaken,
    /// Addresses of this domain may not register here, so nobody moves to one.
    #[error("the domain is not allowed")]
    DomainNotAllowed,
    /// The last proof of identity is too old, or too weak.
    #[error("{0}")]
    StepUp(Problem),
    /// The current password is not that.
    #[error("the current password is wrong")]
    WrongPassword,
    /// The new password is the one that has to be changed.
    #[error("the new password is the old one")]
    SamePassword,
    /// One of the two passwords is missing.
    #[error("current_password and new_password belong together")]
    HalfPasswordChange,
    /// Too many wrong passwords.
    #[error("too many attempts")]
    Throttled {
        /// Seconds to wait.
        seconds: u64,
    },
    /// The new password breaks a rule.
    #[error(transparent)]
    Password(#[from] PasswordFault),
    /// Too many hashes at once.
    #[error(transparent)]
    Hashing(#[from] HashingError),
    /// The metadata does not fit the schema.
    #[error(transparent)]
    Metadata(#[from] Unfit),
    /// It was changed in the meantime.
    #[error("changed in the meantime")]
    Stale,
    /// The database failed.
    #[error("database failure")]
    Database(#[from] DbErr),
}

impl From<UserError> for Problem {
    fn from(error: UserError) -> Self {
        match error {
            UserError::NotFound => Self::plain(Code::NotFound),
            UserError::UsernameTaken => Self::plain(Code::UsernameTaken),
            UserError::DomainNotAllowed => {
                Self::invalid("email", "domain_not_allowed", "is not of an allowed domain")
            }
            UserError::StepUp(problem) => problem,
            UserError::WrongPassword => {
                Self::invalid("current_password", "wrong_password", "is wrong")
            }
            UserError::SamePassword => {
                Self::invalid("new_password", "same_password", "is the password until now")
            }
            UserError::HalfPasswordChange => Self::invalid(
                "current_password",
                "missing_field",
                "current_password and new_password belong together",
            ),
            UserError::Throttled { seconds } => {
                Self::plain(Code::TooManyAttempts).retry_after(seconds)
            }
            UserError::Password(fault) => {
                Self::invalid("new_password", fault.code(), fault.to_string())
            }
            UserError::Hashing(error) => error.into(),
            UserError::Metadata(unfit) => unfit.into(),
            UserError::Stale => Self::plain(Code::PreconditionFailed),
            UserError::Database(source) => source.into(),
        }
    }
}

impl From<HashingError> for Problem {
    fn from(error: HashingError) -> Self {
        Self::busy().because(error)
    }
}
