use std::sync::mpsc::{Sender, channel};

use futures_util::FutureExt as _;

use super::*;

/// Quick, and still Argon2id.
const CHEAP: Argon2Params = Argon2Params {
    memory_kib: 64,
    time: 1,
    parallelism: 1,
};

fn start(params: Argon2Params) -> PasswordHasher {
    PasswordHasher::start(params, 1, 4).expect("valid parameters")
}

fn password(text: &str) -> Password {
    Password::parse(text).expect("a password")
}

/// Keeps the only thread busy until the returned sender is dropped.
fn occupy(hasher: &PasswordHasher) -> Sender<()> {
    let (end, wait) = channel();
    let (started, has_started) = channel();
    hasher
        .submit(Job::Wait { started, end: wait })
        .expect("an empty queue");
    has_started.recv().expect("the thread takes the job");
    end
}

#[tokio::test]
async fn a_hash_verifies_its_password_and_no_other() {
    let hasher = start(CHEAP);
    let stored = hasher.hash(&password("correct horse")).await.unwrap();
    assert!(
        stored.starts_with("$argon2id$v=19$m=64,t=1,p=1$"),
        "{stored}"
    );
    let right = hasher
        .verify(&password("correct horse"), Some(&stored))
        .await;
    assert_eq!(
        right.unwrap(),
        Verification {
            matches: true,
            outdated: false
        }
    );
    let wrong = hasher
        .verify(&password("correct Horse"), Some(&stored))
        .await;
    assert_eq!(wrong.unwrap(), Verification::NO);
}

#[tokio::test]
async fn the_same_password_is_never_hashed_the_same() {
    let hasher = start(CHEAP);
    let first = hasher.hash(&password("correct horse")).await.unwrap();
    let second = hasher.hash(&password("correct horse")).await.unwrap();
    assert_ne!(first, second);
}

#[tokio::test]
async fn two_ways_to_type_a_letter_are_one_password() {
    let hasher = start(CHEAP);
    let stored = hasher.hash(&password("gr\u{fc}ne Katze")).await.unwrap();
    let decomposed = password("gru\u{308}ne Katze");
    let verification = hasher.verify(&decomposed, Some(&stored)).await.unwrap();
    assert!(verification.matches);
}

#[tokio::test]
async fn hashes_of_the_reference_implementation_verify() {
    // By libargon2's argon2id_hash_encoded.
    let hasher = start(CHEAP);
    for stored in [
        "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$K13EBUiG7JV+9ZxztmHFTdb7J0WQsnj2V8bZaqyPptE",
        "$argon2id$v=19$m=4096,t=3,p=4$c29tZXNhbHRzb21lc2FsdA$yvKKzEjHWhSbUQUSeat6dyFfoycu1T5O/zahhmYuGLw",
        "$argon2id$v=19$m=256,t=1,p=2$c29tZXNhbHQ$cKde9qahYjVDImuETuuwA9DMmLam2kFe",
    ] {
        let right = hasher.verify(&password("password"), Some(stored)).await;
        assert_eq!(
            right.unwrap(),
            Verification {
                matches: true,
                outdated: true
            }
        );
        let wrong = hasher.verify(&password("passwore"), Some(stored)).await;
        assert_eq!(wrong.unwrap(), Verification::NO);
    }
}

#[tokio::test]
async fn hashes_of_older_parameters_match_and_are_outdated() {
    let old = start(CHEAP).hash(&password("correct horse")).await.unwrap();
    for params in [
        Argon2Params { time: 2, ..CHEAP },
        Argon2Params {
            memory_kib: 128,
            ..CHEAP
        },
        Argon2Params {
            memory_kib: 32,
            ..CHEAP
        },
        Argon2Params {
            parallelism: 2,
            ..CHEAP
        },
    ] {
        let hasher = start(params);
        let verification = hasher.verify(&password("correct horse"), Some(&old)).await;
        assert_eq!(
            verification.unwrap(),
            Verification {
                matches: true,
                outdated: true
            }
        );
        let new = hasher.hash(&password("correct horse")).await.unwrap();
        let verification = hasher.verify(&password("correct horse"), Some(&new)).await;
        assert!(!verification.unwrap().outdated);
    }
}

#[tokio::test]
async fn an_unknown_user_costs_a_hash_and_never_matches() {
    let hasher = start(CHEAP);
    let verification = hasher.verify(&password("anything"), None).await.unwrap();
    assert_eq!(verification, Verification::NO);
    assert_eq!(hasher.completed(), 1);
}

#[tokio::test]
async fn hashes_of_other_systems_match_what_was_typed_and_are_outdated() {
    let hasher = start(CHEAP);
    let yes = Verification {
        matches: true,
        outdated: true,
    };
    // By argon2-cffi 25.1 and bcrypt 4.0, of the composed form of an umlaut.
    for stored in [
        "$argon2id$v=19$m=7168,t=3,p=4$c29tZXNhbHRzb21lc2FsdA$+qVWYy4Fi5uFcqElD0Z5PA",
        "$2b$04$JbVpZcZjqLc0Gt3i9R.9OOSEhwddsVOIU2yevkJP35I3q87P8TbPC",
    ] {
        for (typed, verdict) in [
            ("gr\u{fc}ne Katze", yes),
            ("gr\u{fc}ne Katzen", Verification::NO),
        ] {
            let typed = password(typed);
            let found = hasher.verify(&typed, Some(stored)).await.unwrap();
            assert_eq!(found, verdict, "{stored}");
        }
    }
    // By argon2-cffi 25.1, of a ligature that NFKC takes apart: \u{fb01}n, then a space, then 12345.
    let ligature = password("\u{fb01}n 12345");
    let bcrypt = Format::identify("$2b$04$JbVpZcZjqLc0Gt3i9R.9OOSEhwddsVOIU2yevkJP35I3q87P8TbPC");
    let nobody = hasher.verify_nobody(&ligature, Some(Arc::new(bcrypt.unwrap())));
    assert_eq!(nobody.await.unwrap(), Verification::NO);
    let stored = "$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHRzb21lc2FsdA$Z9MoXX5AKLBlPU5ph32KMPyetlOFAn5jvdFmufSSbEo";
    let typed = hasher.verify(&ligature, Some(stored)).await.unwrap();
    assert_eq!(typed, yes);
    let apart = hasher
        .verify(&password("fin 12345"), Some(stored))
        .await
        .unwrap();
    assert_eq!(
        apart,
        Verification::NO,
        "another password to the system that made it"
    );
}

#[tokio::test]
async fn nobodys_password_never_matches_whatever_it_costs() {
    let hasher = start(CHEAP);
    let stored = "$2b$04$OqyGUXeXeQyx.jx2GgVH2O8CmXWfShXJHosmbfYZXUpkO5RuOjQja";
    let right = password("correct horse");
    assert!(hasher.verify(&right, Some(stored)).await.unwrap().matches);
    let like = Arc::new(Format::identify(stored).unwrap());
    let nobody = hasher.verify_nobody(&right, Some(like)).await.unwrap();
    assert_eq!(nobody, Verification::NO);
}

#[tokio::test]
async fn what_is_no_acceptable_hash_costs_a_hash_and_never_matches() {
    let hasher = start(CHEAP);
    let hash = hasher.hash(&password("password")).await.unwrap();
    let salt_and_tag = &hash["$argon2id$v=19$m=64,t=1,p=1".len()..];
    let unusable = [
        String::new(),
        "password".to_owned(),
        "$2x$12$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy".to_owned(),
        "$argon2id$v=19$m=64,t=1,p=1".to_owned(),
        "$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHRzb21lc2FsdA".to_owned(),
        "$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHRzb21lc2FsdA$AAAAAAA".to_owned(),
        format!("$argon2id$m=64,t=1,p=1{salt_and_tag}"),
        format!("$argon2id$v=16$m=64,t=1,p=1{salt_and_tag}"),
        format!("$argon2d$v=19$m=64,t=1,p=1{salt_and_tag}"),
        format!("$argon2id$v=19$m=1,t=1,p=1{salt_and_tag}"),
        format!("$argon2id$v=19$m=262145,t=1,p=1{salt_and_tag}"),
        format!("$argon2id$v=19$m=64,t=11,p=1{salt_and_tag}"),
        format!("$argon2id$v=19$m=4294967295,t=1,p=1{salt_and_tag}"),
        format!("$argon2id$v=19$m=64,t=1,p=99999999{salt_and_tag}"),
        format!("{hash}$"),
    ];
    let before = hasher.completed();
    for stored in &unusable {
        let verification = hasher.verify(&password("password"), Some(stored)).await;
        assert_eq!(verification.unwrap(), Verification::NO, "{stored}");
    }
    assert_eq!(hasher.completed() - before, unusable.len() as u64);
}

#[tokio::test]
async fn a_full_queue_answers_at_once() {
    let hasher = PasswordHasher::start(CHEAP, 1, 2).unwrap();
    let end = occupy(&hasher);
    let typed = password("correct horse");
    let mut first = Box::pin(hasher.hash(&typed));
    let mut second = Box::pin(hasher.verify(&typed, None));
    assert!((&mut first).now_or_never().is_none());
    assert!((&mut second).now_or_never().is_none());
    let third = hasher.hash(&typed).now_or_never();
    assert!(matches!(third, Some(Err(HashingError::Busy))));
    drop(end);
    assert!(first.await.is_ok());
    assert!(second.await.is_ok());
}

#[tokio::test]
async fn work_whose_caller_has_gone_is_not_done() {
    let hasher = start(CHEAP);
    let end = occupy(&hasher);
    let typed = password("correct horse");
    for _ in 0..2 {
        let mut gone = Box::pin(hasher.hash(&typed));
        assert!((&mut gone).now_or_never().is_none());
    }
    let mut stays = Box::pin(hasher.hash(&typed));
    assert!((&mut stays).now_or_never().is_none());
    drop(end);
    assert!(stays.await.is_ok());
    assert_eq!(hasher.completed(), 1);
}

#[tokio::test]
async fn the_threads_end_with_the_last_handle() {
    let hasher = PasswordHasher::start(CHEAP, 3, 4).unwrap();
    let other = hasher.clone();
    let shared = Arc::downgrade(&hasher.0.shared);
    drop(hasher);
    assert!(other.hash(&password("correct horse")).await.is_ok());
    drop(other);
    assert_eq!(shared.strong_count(), 0);
}

#[tokio::test]
async fn a_stored_hash_that_takes_more_memory_does_not_keep_it() {
    let large = start(Argon2Params {
        memory_kib: 4096,
        ..CHEAP
    });
    let stored = large.hash(&password("correct horse")).await.unwrap();
    let Ok(Format::Argon2(stored)) = Format::identify(&stored) else {
        panic!("{stored}");
    };
    let mut worker = Worker::new(start(CHEAP).0.shared.clone());
    assert_eq!(worker.memory.capacity(), 0);
    let made = (stored.algorithm, stored.version, &stored.params);
    let tag = worker.tag(made, "correct horse", &stored.salt, TAG_BYTES);
    assert_eq!(*tag.unwrap(), stored.tag);
    assert_eq!(worker.memory.len(), 64);
    assert!(worker.memory.capacity() < 4096);
}

#[test]
fn settings_whose_hashes_could_not_be_checked_are_refused() {
    for (params, threads) in [
        (CHEAP, 0),
        (
            Argon2Params {
                memory_kib: MAX_MEMORY_KIB + 1,
                ..CHEAP
            },
            1,
        ),
        (Argon2Params { time: 11, ..CHEAP }, 1),
        (Argon2Params { time: 0, ..CHEAP }, 1),
        (
            Argon2Params {
                parallelism: 9,
                ..CHEAP
            },
            1,
        ),
    ] {
        let started = PasswordHasher::start(params, threads, 4);
        assert!(matches!(started, Err(HashingError::Parameters(_))));
    }
}

#[test]
fn the_default_is_what_owasp_says() {
    let params = Argon2Params::default();
    assert_eq!(
        (params.memory_kib, params.time, params.parallelism),
        (19456, 2, 1)
    );
}
