//! The administrator who is there from the first start on, for the case that
//! nobody else is: made once, with a password that has to be changed.

use aws_lc_rs::rand;
use entity::{user, user_role_assignment};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, DbErr, EntityTrait, PaginatorTrait, QueryFilter,
    sea_query::OnConflict,
};
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use uuid::Uuid;

use crate::{
    access::resource::ResourceType,
    audit::{self, Doer, Entry, Target},
    crypto::password::{HashingError, Password},
    database::tx::{Scope, Tx},
    http::{origin::Origin, text::normalized},
    roles::{self, service::Found},
    state::AppState,
};

/// Letters and digits that cannot be taken for one another.
const ALPHABET: &[u8; 32] = b"abcdefghjkmnpqrstuvwxyzACDEFGH23";
/// Characters of a password that is made here: 120 bits.
const LENGTH: usize = 24;

/// An administrator who was just made.
pub struct BreakGlass {
    /// `ADMIN_EMAIL`.
    pub email: String,
    /// The password, if it was made here and exists nowhere else.
    pub made: Option<SecretString>,
}

/// Makes the administrator if there is none. Several instances at once make one.
///
/// # Errors
///
/// The database's, or that of the hash.
pub async fn ensure(state: &AppState) -> anyhow::Result<Option<BreakGlass>> {
    let exists = user::Entity::find()
        .filter(user::Column::BreakGlass.eq(true))
        .count(&state.db)
        .await?;
    if exists > 0 {
        return Ok(None);
    }
    let admin = &state.config.admin;
    let (text, made) = if let Some(password) = &admin.password {
        (password.clone(), None)
    } else {
        let password = random_password()?;
        (password.clone(), Some(password))
    };
    let password = Password::parse(text.expose_secret())?;
    let hash = state
        .hasher
        .hash(&password)
        .await
        .map_err(|error: HashingError| anyhow::anyhow!(error))?;
    let was_made = insert(state, &admin.email, hash).await?;
    Ok(was_made.then(|| BreakGlass {
        email: admin.email.clone(),
        made,
    }))
}

async fn insert(state: &AppState, email: &str, hash: String) -> Result<bool, DbErr> {
    let (id, now) = (Uuid::now_v7(), state.clock.now());
    let row = user::ActiveModel {
        id: Set(id),
        email: Set(email.to_owned()),
        email_normalized: Set(normalized(email)),
        password_hash: Set(Some(hash)),
        password_must_change: Set(true),
        display_name: Set(Some("Break-glass administrator".to_owned())),
        metadata: Set(json!({})),
        attributes: Set(json!({})),
        status: Set("active".to_owned()),
        break_glass: Set(true),
        approved_at: Set(Some(now)),
        created_at: Set(now),
        updated_at: Set(now),
        version: Set(1),
        ..Default::default()
    };
    let tx = Tx::begin(state, &Scope::System).await?;
    let inserted = user::Entity::insert(row)
        .on_conflict(OnConflict::new().do_nothing().to_owned())
        .exec_without_returning(&*tx)
        .await?;
    if inserted == 0 {
        return Ok(false);
    }
    let Found::Role(role) = roles::service::find(&*tx, "admin", ResourceType::System, None).await?
    else {
        return Err(DbErr::RecordNotFound(
            "the policy's data has no role `admin` for the system".to_owned(),
        ));
    };
    let grant = user_role_assignment::ActiveModel {
        id: Set(Uuid::now_v7()),
        principal_type: Set("user".to_owned()),
        user_id: Set(Some(id)),
        role_id: Set(role.id),
        resource_type: Set("system".to_owned()),
        reason: Set(Some("break-glass administrator".to_owned())),
        created_at: Set(now),
        ..Default::default()
    };
    user_role_assignment::Entity::insert(grant)
        .exec_without_returning(&*tx)
        .await?;
    let entry = Entry {
        doer: Doer::Program,
        action: "user.break_glass_created",
        target: Target::global("user", id),
        details: json!({}),
    };
    audit::record(&*tx, &*state.clock, &Origin::program("start"), entry).await?;
    tx.commit().await?;
    Ok(true)
}

/// A password that is made here, of 120 random bits.
///
/// # Errors
///
/// The system has no random numbers.
pub fn random_password() -> anyhow::Result<SecretString> {
    let mut bytes = [0; LENGTH];
    rand::fill(&mut bytes).map_err(|_| anyhow::anyhow!("the system gives no random numbers"))?;
    let text: String = bytes
        .iter()
        .map(|byte| char::from(ALPHABET[usize::from(byte % 32)]))
        .collect();
    Ok(text.into())
}
