//! Where the policy comes from, and how a new one takes the place of the old.
use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use arc_swap::ArcSwap;
use chrono::{DateTime, Utc};
use tokio::sync::watch;

use super::{
    bundle::{Bundle, BundleFault},
    embedded::{Embedded, custom_actions, try_policy},
    files,
};

/// The files of the policy, watched.
///
/// Every change of them is tried on an engine of its own first: it must compile, give known
/// answers and pass its own tests. What fails changes nothing but what [`Self::status`] says.
pub struct Source {
    dir: Option<PathBuf>,
    /// Nothing if an OPA server decides: then the files are only handed on to OPA servers.
    engine: Option<Arc<Embedded>>,
    current: watch::Sender<Arc<Bundle>>,
    actions: ArcSwap<Vec<(String, String)>>,
    status: Mutex<Status>,
    /// One at a time, so that an older reading never replaces a newer one.
    reading: tokio::sync::Mutex<()>,
}

/// How the last attempts to take in the files went.
#[derive(Clone, Debug)]
pub struct Status {
    /// When the policy in force was taken in.
    pub loaded_at: DateTime<Utc>,
    /// When the files were last found changed and tried, well or not.
    pub tried_at: DateTime<Utc>,
    /// Why what the files hold now is not in force, each fault in a line with file and line.
    pub fault: Option<String>,
    /// The fingerprint of what was tried last.
    tried: String,
}

/// What a look at the files came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reload {
    /// Nothing has changed since the last look.
    Unchanged,
    /// Another policy is in force now.
    Replaced {
        /// The digest of the one before.
        before: String,
        /// The digest of the new one.
        now: String,
    },
    /// The tests changed, or the files are again what is in force.
    Same,
    /// The files cannot be used; the policy in force stays.
    Refused(String),
}

impl Source {
    /// The policy that is in force at the start.
    pub fn new(
        dir: Option<PathBuf>,
        bundle: Bundle,
        engine: Option<Arc<Embedded>>,
        now: DateTime<Utc>,
    ) -> Self {
        Self {
            dir,
            engine,
            status: Mutex::new(Status {
                loaded_at: now,
                tried_at: now,
                fault: None,
                tried: bundle.fingerprint().to_owned(),
            }),
            actions: ArcSwap::from_pointee(custom_actions(&bundle)),
            current: watch::Sender::new(Arc::new(bundle)),
            reading: tokio::sync::Mutex::new(()),
        }
    }

    /// `POLICY_DIR`, if there is one to watch.
    pub fn dir(&self) -> Option<&Path> {
        self.dir.as_deref()
    }

    /// Where the files come from, for people.
    pub fn shown(&self) -> PathBuf {
        files::shown(self.dir())
    }

    /// The policy in force.
    pub fn current(&self) -> Arc<Bundle> {
        Arc::clone(&self.current.borrow())
    }

    /// What operators' rules say there is to ask: types of resources, and names of actions on
    /// them (`actions contains {"type": …, "name": …}`).
    pub fn actions(&self) -> Arc<Vec<(String, String)>> {
        self.actions.load_full()
    }

    /// Tells of each policy that comes into force from now on.
    pub fn changes(&self) -> watch::Receiver<Arc<Bundle>> {
        self.current.subscribe()
    }

    /// How the last attempts went.
    pub fn status(&self) -> Status {
        self.lock().clone()
    }

    /// Whether the files hold something that cannot be used.
    pub fn is_refused(&self) -> bool {
        self.lock().fault.is_some()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Status> {
        // A plain value: whoever panicked left it whole.
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at the files, and takes them in if they have changed and are fit.
    pub async fn reload(&self, now: DateTime<Utc>) -> Reload {
        let _one = self.reading.lock().await;
        let Some(dir) = self.dir.clone() else {
            return Reload::Unchanged;
        };
        let before = self.current();
        let (tried, is_refused) = {
            let status = self.lock();
            (status.tried.clone(), status.fault.is_some())
        };
        let engine = self.engine.clone();
        let look = move || look(&dir, &tried, is_refused, &before, engine.as_deref());
        let seen = tokio::task::spawn_blocking(look).await;
        let seen = seen.unwrap_or_else(|error| Seen::Refused(None, error.to_string()));
        self.note(seen, now)
    }

    fn note(&self, seen: Seen, now: DateTime<Utc>) -> Reload {
        let mut status = self.lock();
        match seen {
            Seen::Unchanged => Reload::Unchanged,
            Seen::Same(tried) => {
                status.tried = tried;
                (status.tried_at, status.fault) = (now, None);
                Reload::Same
            }
            Seen::New(bundle) => {
                bundle.fingerprint().clone_into(&mut status.tried);
                (status.tried_at, status.loaded_at, status.fault) = (now, now, None);
                self.actions.store(Arc::new(custom_actions(&bundle)));
                let before = self.current.send_replace(Arc::new(*bundle));
                Reload::Replaced {
                    before: before.digest().to_owned(),
                    now: self.current.borrow().digest().to_owned(),
                }
            }
            // A folder that cannot be read is tried again each time, and told of once.
            Seen::Refused(None, fault) if status.fault.as_ref() == Some(&fault) => {
                Reload::Unchanged
            }
            Seen::Refused(tried, fault) => {
                status.tried = tried.unwrap_or_default();
                status.tried_at = now;
                status.fault = Some(fault.clone());
                Reload::Refused(fault)
            }
        }
    }
}

enum Seen {
    Unchanged,
    Same(String),
    New(Box<Bundle>),
    /// With the fingerprint, if the files could be read as far as that.
    Refused(Option<String>, String),
}

fn look(
    dir: &Path,
    tried: &str,
    is_refused: bool,
    before: &Bundle,
    engine: Option<&Embedded>,
) -> Seen {
    let bundle = match Bundle::load(Some(dir)) {
        Ok(bundle) => bundle,
        Err(fault) => return Seen::Refused(None, fault.to_string()),
    };
    let fingerprint = bundle.fingerprint().to_owned();
    if fingerprint == tried {
        return Seen::Unchanged;
    }
    if fingerprint == before.fingerprint() && is_refused {
        return Seen::Same(fingerprint);
    }
    if let Err(fault) = fit(&bundle, before) {
        return Seen::Refused(Some(fingerprint), fault.to_string());
    }
    if bundle.digest() == before.digest() {
        return Seen::Same(fingerprint);
    }
    match engine.map(|engine| engine.replace(&bundle)) {
        Some(Err(fault)) => Seen::Refused(Some(fingerprint), fault.to_string()),
        _ => Seen::New(Box::new(bundle)),
    }
}

fn fit(bundle: &Bundle, before: &Bundle) -> Result<(), BundleFault> {
    // Built-in roles stand in the database and in the memory of every instance.
    if bundle.catalog() != before.catalog() {
        return Err(BundleFault::Refused(
            "data/gatepost/catalog/data.json: roles and permissions are read at the start only; \
             restart to change them"
                .to_owned(),
        ));
    }
    try_policy(bundle)
}
