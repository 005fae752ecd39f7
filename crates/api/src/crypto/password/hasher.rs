//! Argon2id, and what other systems hashed with, on threads of their own.
//!
//! A hash takes some 20 ms and 19 MiB. On the threads that serve requests it would stop them; on
//! as many threads as there are requests it would take all memory. So there are a few threads, each
//! with memory that it uses again, a queue with an end, and an answer at once when that is reached.

use std::{
    fmt, io,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
    thread::{self, JoinHandle},
};

use argon2::{
    Algorithm, Argon2, Block, Params, Version,
    password_hash::phc::{Output, ParamsString, PasswordHash, Salt},
};
use aws_lc_rs::{constant_time::verify_slices_are_equal, rand};
use tokio::sync::oneshot;
use zeroize::Zeroizing;

use super::{
    Password,
    foreign::{Argon2Hash, Format, MAX_MEMORY_KIB, MAX_TIME},
};

/// Added to the nice value of the hashing threads (`nice(2)`). While all cores hash, requests that
/// need no hash, and the database on the same machine, still get a core as soon as they want one.
const NICENESS: i32 = 10;
const SALT_BYTES: usize = 16;
const TAG_BYTES: usize = 32;

/// The work that one hash takes (RFC 9106).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Argon2Params {
    /// Memory in KiB, 8 times `parallelism` to 262144; 19456 unless set.
    pub memory_kib: u32,
    /// Passes, 1 to 10; 2 unless set.
    pub time: u32,
    /// Lanes, 1 unless set. They are computed one after the other.
    pub parallelism: u32,
}

impl Default for Argon2Params {
    /// OWASP's Password Storage Cheat Sheet, first choice.
    fn default() -> Self {
        Self {
            memory_kib: Params::DEFAULT_M_COST,
            time: Params::DEFAULT_T_COST,
            parallelism: Params::DEFAULT_P_COST,
        }
    }
}

/// Why there is no hash and no verdict.
#[derive(Debug, thiserror::Error)]
pub enum HashingError {
    /// The queue is full. Trying again in a second or two makes sense.
    #[error("too many passwords are being hashed; try again in a moment")]
    Busy,
    /// A hashing thread ended; a defect of ours.
    #[error("the hashing threads have ended")]
    Stopped,
    /// The settings are out of bounds.
    #[error("ARGON2_* settings: {0}")]
    Parameters(String),
    /// The system gave no thread.
    #[error("cannot start a hashing thread: {0}")]
    Thread(#[from] io::Error),
    /// Argon2 refused; a defect of ours.
    #[error("argon2: {0}")]
    Argon2(argon2::Error),
}

/// What a check found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verification {
    /// Whether it is the password.
    pub matches: bool,
    /// Whether the stored hash was made with other parameters than today's, and should be made
    /// anew now that the password is at hand. Only ever true if `matches`.
    pub outdated: bool,
}

impl Verification {
    const NO: Self = Self {
        matches: false,
        outdated: false,
    };
}

/// A handle to the hashing threads; clones share them. They end when the last handle goes.
#[derive(Clone)]
pub struct PasswordHasher(Arc<Handle>);

struct Handle {
    /// `None` only while it is dropped.
    jobs: Option<SyncSender<Job>>,
    threads: Vec<JoinHandle<()>>,
    shared: Arc<Shared>,
}

struct Shared {
    params: Params,
    completed: AtomicU64,
    told_of_unusable: AtomicBool,
}

enum Job {
    Hash {
        password: Password,
        reply: oneshot::Sender<Result<String, HashingError>>,
    },
    Verify {
        password: Password,
        stored: Subject,
        reply: oneshot::Sender<Result<Verification, HashingError>>,
    },
    /// Keeps a thread busy until the other end of `end` is dropped.
    #[cfg(test)]
    Wait {
        started: std::sync::mpsc::Sender<()>,
        end: Receiver<()>,
    },
}

/// Whose password is checked.
enum Subject {
    /// Somebody's, by the stored text.
    Somebody(String),
    /// Nobody's: takes the time of such a hash, or of one with today's parameters.
    Nobody(Option<Arc<Format>>),
}

impl PasswordHasher {
    /// Starts `threads` threads (as many as cores is right) with a queue of `queue` places.
    ///
    /// # Errors
    ///
    /// [`HashingError::Parameters`] if no hash could be made or checked with `params`, or without
    /// a thread; [`HashingError::Thread`] if the system gives none.
    pub fn start(params: Argon2Params, threads: usize, queue: usize) -> Result<Self, HashingError> {
        let shared = Arc::new(Shared {
            params: checked(params, threads)?,
            completed: AtomicU64::new(0),
            told_of_unusable: AtomicBool::new(false),
        });
        let (jobs, waiting) = sync_channel(queue);
        let waiting = Arc::new(Mutex::new(waiting));
        let mut handle = Handle {
            jobs: Some(jobs),
            threads: Vec::with_capacity(threads),
            shared: shared.clone(),
        };
        for number in 0..threads {
            let (shared, waiting) = (shared.clone(), waiting.clone());
            let thread = thread::Builder::new()
                .name(format!("argon2-{number}"))
                .spawn(move || Worker::new(shared).run(&waiting))?;
            handle.threads.push(thread);
        }
        Ok(Self(Arc::new(handle)))
    }

    /// Hashes with today's parameters and a new salt, to a PHC string `$argon2id$v=19$…`.
    ///
    /// If the caller goes away before its turn, nothing is computed.
    ///
    /// # Errors
    ///
    /// [`HashingError::Busy`], at once, if the queue is full.
    pub async fn hash(&self, password: &Password) -> Result<String, HashingError> {
        let (reply, answer) = oneshot::channel();
        self.submit(Job::Hash {
            password: password.clone(),
            reply,
        })?;
        answer.await.unwrap_or(Err(HashingError::Stopped))
    }

    /// Checks `password` against `stored`, which may be a hash of any kind that
    /// [`Format::identify`] knows.
    ///
    /// `None` is for a user who does not exist or has no password: it takes the work of a hash
    /// with today's parameters and never matches. So does a stored text that is no known hash, or
    /// one beyond its bounds.
    ///
    /// # Errors
    ///
    /// [`HashingError::Busy`], at once, if the queue is full.
    pub async fn verify(
        &self,
        password: &Password,
        stored: Option<&str>,
    ) -> Result<Verification, HashingError> {
        let stored = stored.map_or(Subject::Nobody(None), |text| {
            Subject::Somebody(text.to_owned())
        });
        self.check(password, stored).await
    }

    /// Checks the password of nobody: takes the work of a hash like `like`
    /// ([`super::Decoys::pick`]), and never matches.
    ///
    /// # Errors
    ///
    /// [`HashingError::Busy`], at once, if the queue is full.
    pub async fn verify_nobody(
        &self,
        password: &Password,
        like: Option<Arc<Format>>,
    ) -> Result<Verification, HashingError> {
        self.check(password, Subject::Nobody(like)).await
    }

    async fn check(
        &self,
        password: &Password,
        stored: Subject,
    ) -> Result<Verification, HashingError> {
        let (reply, answer) = oneshot::channel();
        self.submit(Job::Verify {
            password: password.clone(),
            stored,
            reply,
        })?;
        answer.await.unwrap_or(Err(HashingError::Stopped))
    }

    /// How the text of every hash with today's parameters begins.
    #[must_use]
    pub fn current_prefix(&self) -> String {
        let params = &self.0.shared.params;
        let (memory, time, lanes) = (params.m_cost(), params.t_cost(), params.p_cost());
        format!("$argon2id$v=19$m={memory},t={time},p={lanes}$")
    }

    /// Hashes computed since the start, for metrics.
    #[must_use]
    pub fn completed(&self) -> u64 {
        self.0.shared.completed.load(Ordering::Relaxed)
    }

    fn submit(&self, job: Job) -> Result<(), HashingError> {
        let jobs = self.0.jobs.as_ref().ok_or(HashingError::Stopped)?;
        jobs.try_send(job).map_err(|error| match error {
            TrySendError::Full(_) => HashingError::Busy,
            TrySendError::Disconnected(_) => HashingError::Stopped,
        })
    }
}

impl fmt::Debug for PasswordHasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PasswordHasher")
            .field("params", &self.0.shared.params)
            .field("threads", &self.0.threads.len())
            .finish_non_exhaustive()
    }
}

impl Drop for Handle {
    /// Waits for the hashes in work, one per thread at most: callers borrow the handle, so whatever
    /// is still in the queue has lost its caller and is not computed.
    fn drop(&mut self) {
        self.jobs = None;
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a hashing thread had panicked");
            }
        }
    }
}

fn checked(params: Argon2Params, threads: usize) -> Result<Params, HashingError> {
    let fault = |text: String| Err(HashingError::Parameters(text));
    let Argon2Params {
        memory_kib,
        time,
        parallelism,
    } = params;
    if threads == 0 {
        return fault("at least one hashing thread is needed".to_owned());
    }
    if memory_kib > MAX_MEMORY_KIB || time > MAX_TIME {
        return fault(format!(
            "memory {memory_kib} KiB and {time} passes: at most {MAX_MEMORY_KIB} and {MAX_TIME}"
        ));
    }
    Params::new(memory_kib, time, parallelism, Some(TAG_BYTES))
        .or_else(|error| fault(format!("{params:?}: {error}")))
}

struct Worker {
    shared: Arc<Shared>,
    /// Taken at the first hash: 19 MiB per thread are much for a service that is idle.
    memory: Vec<Block>,
}

impl Worker {
    const fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            memory: Vec::new(),
        }
    }

    fn run(mut self, waiting: &Mutex<Receiver<Job>>) {
        // On Linux this is the thread's own. Where it is refused, hashing is merely less polite.
        if let Err(error) = rustix::process::nice(NICENESS) {
            tracing::warn!(%error, "hashing threads keep the priority of the others");
        }
        loop {
            // The lock is held only while waiting, so the threads take turns.
            let job = waiting
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .recv();
            match job {
                Ok(Job::Hash { password, reply }) if !reply.is_closed() => {
                    let hash = self.hash(&password);
                    drop(reply.send(hash));
                }
                Ok(Job::Verify {
                    password,
                    stored,
                    reply,
                }) if !reply.is_closed() => {
                    let verification = self.verify(&password, stored);
                    drop(reply.send(verification));
                }
                #[cfg(test)]
                Ok(Job::Wait { started, end }) => {
                    started.send(()).expect("the test waits for it");
                    end.recv().expect_err("nothing is sent");
                }
                Ok(_) => {}
                Err(_) => return,
            }
        }
    }

    fn hash(&mut self, password: &Password) -> Result<String, HashingError> {
        let params = self.shared.params.clone();
        let salt = random_salt();
        let made = (Algorithm::Argon2id, Version::V0x13, &params);
        let tag = self.tag(made, password.expose(), &salt, TAG_BYTES)?;
        let phc = |error: argon2::password_hash::phc::Error| {
            HashingError::Parameters(format!("cannot be written as a PHC string: {error}"))
        };
        Ok(PasswordHash {
            algorithm: argon2::ARGON2ID_IDENT,
            version: Some(Version::V0x13.into()),
            params: ParamsString::try_from(&params)
                .map_err(|error| HashingError::Parameters(error.to_string()))?,
            salt: Some(Salt::new(&salt).map_err(phc)?),
            hash: Some(Output::new(&tag).map_err(phc)?),
        }
        .to_string())
    }

    fn verify(
        &mut self,
        password: &Password,
        stored: Subject,
    ) -> Result<Verification, HashingError> {
        let format = match stored {
            Subject::Nobody(like) => {
                self.work(password, like.as_deref())?;
                return Ok(Verification::NO);
            }
            Subject::Somebody(text) => Format::identify(&text),
        };
        match format {
            Ok(format) => self.work(password, Some(&format)),
            Err(fault) => {
                if !self.shared.told_of_unusable.swap(true, Ordering::Relaxed) {
                    tracing::warn!(%fault, "a stored password hash never matches (told once)");
                }
                self.work(password, None)
            }
        }
    }

    /// Computes what `stored` asks for, or a hash with today's parameters that matches nothing.
    fn work(
        &mut self,
        password: &Password,
        stored: Option<&Format>,
    ) -> Result<Verification, HashingError> {
        match stored {
            Some(Format::Argon2(hash)) => self.verify_argon2(password, hash),
            Some(other) => {
                let matches = other.matches(password.expose_typed().as_bytes());
                self.shared.completed.fetch_add(1, Ordering::Relaxed);
                Ok(Verification {
                    matches: matches.unwrap_or_default(),
                    outdated: matches.unwrap_or_default(),
                })
            }
            None => {
                let params = self.shared.params.clone();
                for text in password.forms() {
                    let made = (Algorithm::Argon2id, Version::V0x13, &params);
                    self.tag(made, text, &random_salt(), TAG_BYTES)?;
                }
                Ok(Verification::NO)
            }
        }
    }

    /// Ours are made of the normalized text, those of others of what was typed; nothing tells
    /// them apart. A second hash is computed only for what was typed in another form, whoever it
    /// is for.
    fn verify_argon2(
        &mut self,
        password: &Password,
        stored: &Argon2Hash,
    ) -> Result<Verification, HashingError> {
        let made = (stored.algorithm, stored.version, &stored.params);
        let mut found = None;
        for (number, text) in password.forms().enumerate() {
            let tag = self.tag(made, text, &stored.salt, stored.tag.len())?;
            if verify_slices_are_equal(&tag, &stored.tag).is_ok() {
                found = found.or(Some(number));
            }
        }
        let is_current = stored.algorithm == Algorithm::Argon2id
            && stored.version == Version::V0x13
            && has_cost(&stored.params, &self.shared.params)
            && stored.tag.len() == TAG_BYTES
            && stored.salt.len() >= SALT_BYTES
            && found == Some(0);
        Ok(found.map_or(Verification::NO, |_| Verification {
            matches: true,
            outdated: !is_current,
        }))
    }

    fn tag(
        &mut self,
        (algorithm, version, params): (Algorithm, Version, &Params),
        text: &str,
        salt: &[u8],
        length: usize,
    ) -> Result<Zeroizing<Vec<u8>>, HashingError> {
        let blocks = params.block_count();
        let usual = self.shared.params.block_count();
        if self.memory.len() < blocks.max(usual) {
            self.memory.resize(blocks.max(usual), Block::new());
        }
        let mut tag = Zeroizing::new(vec![0; length]);
        let result = Argon2::new(algorithm, version, params.clone())
            .hash_password_into_with_memory(text.as_bytes(), salt, &mut tag, &mut self.memory);
        // A hash with larger parameters than today's must not hold its memory for ever.
        self.memory.truncate(usual);
        self.memory.shrink_to_fit();
        result.map_err(HashingError::Argon2)?;
        self.shared.completed.fetch_add(1, Ordering::Relaxed);
        Ok(tag)
    }
}

fn has_cost(stored: &Params, today: &Params) -> bool {
    let cost = |params: &Params| (params.m_cost(), params.t_cost(), params.p_cost());
    cost(stored) == cost(today)
}

fn random_salt() -> [u8; SALT_BYTES] {
    let mut salt = [0; SALT_BYTES];
    rand::fill(&mut salt).expect("the system has random numbers");
    salt
}

#[cfg(test)]
mod tests;
