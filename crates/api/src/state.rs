//! What a handler may reach.

use std::{
    collections::HashSet,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use actix_web::{HttpRequest, web::Data};
use tokio::sync::{Semaphore, mpsc};

use crate::{
    access::{cache::Caches, seen::Seen},
    api_keys::usage::Use,
    audit::verify::Position,
    clock::Clock,
    config::Config,
    crypto::{
        keys::SigningKeys,
        password::{Decoys, PasswordHasher},
        seal::Sealer,
    },
    database::db::Db,
    decisions::queue::DecisionLog,
    mail::Outbox,
    policy::{Catalog, Policy, opa_bundle::BundleKey, source::Source},
};

/// Shared by all requests of one process.
pub struct AppState {
    /// The pool that requests use.
    pub db: Db,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The settings.
    pub config: Config,
    /// `PUBLIC_URL` without a slash at its end.
    pub public_url: Arc<str>,
    /// What decides.
    pub policy: Arc<dyn Policy>,
    /// The files that the policy comes from.
    pub policy_source: Source,
    /// What signs the policy's bundles.
    pub bundle_key: BundleKey,
    /// Where decisions are written down.
    pub decisions: DecisionLog,
    /// The permissions that are asked for, and the roles that come with the policy.
    pub catalog: Catalog,
    /// What signs and checks access tokens.
    pub keys: SigningKeys,
    /// What hashes passwords.
    pub hasher: PasswordHasher,
    /// What the password check of an unknown login costs.
    pub decoys: Decoys,
    /// A place for each login that is worked on or waits; nobody queues for one.
    pub login_slots: Semaphore,
    /// Passwords that nobody may choose, besides those that are easy to guess.
    pub blocklist: Arc<HashSet<String>>,
    /// What seals secrets in the database, and derives the keys of HMACs.
    pub sealer: Sealer,
    /// The key of CSRF tokens.
    pub csrf_key: [u8; 32],
    /// Who was seen since it was last written down.
    pub seen: Seen,
    /// What is known without asking the database.
    pub cache: Arc<Caches>,
    /// Uses of API keys that are to be written down.
    pub key_uses: mpsc::Sender<Use>,
    /// How mail leaves: `smtp`, `log` or `not configured`.
    pub mail_status: &'static str,
    /// What sends mail; woken after a commit that left some.
    pub mail: Outbox,
    /// How far this instance has checked the audit log's chain.
    pub audit_checked: Mutex<Position>,
    /// Set once the process was told to stop: no new traffic then.
    pub stopping: Arc<AtomicBool>,
}

impl AppState {
    /// The state that serves `request`.
    ///
    /// # Panics
    ///
    /// In an application that [`crate::app`] did not build.
    pub fn of(request: &HttpRequest) -> &Data<Self> {
        request.app_data().expect("app.rs registers AppState")
    }

    /// How far this instance has checked the audit log's chain.
    pub fn audit_position(&self) -> Position {
        *self
            .audit_checked
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes how far it was checked.
    pub fn set_audit_position(&self, position: Position) {
        *self
            .audit_checked
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = position;
    }

    /// Whether the process was told to stop.
    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }
}
