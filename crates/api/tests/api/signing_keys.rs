//! The keys that sign access tokens, in a database that several instances share.

use chrono::{DateTime, TimeDelta, Utc};
use gatepost::{
    crypto::{
        keys::{AccessClaims, Algorithm, KeysError, SigningKeys, TokenFault, TokenRules},
        seal::{Sealer, UnsealError},
    },
    database::db::Db,
};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, EntityTrait, IntoActiveModel, PaginatorTrait, QueryFilter, Set,
};
use uuid::Uuid;

use crate::databases::TestDatabase;
use entity::signing_key::{self, Entity as Keys};

const TTL: TimeDelta = TimeDelta::seconds(300);

fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000, 0).expect("a time")
}

fn sealer() -> Sealer {
    Sealer::new(&[7; 32], None)
}

fn rules() -> TokenRules {
    TokenRules {
        issuer: "https://auth.example.org".to_owned(),
        audience: "gatepost".to_owned(),
    }
}

async fn load(db: &Db) -> Result<SigningKeys, KeysError> {
    SigningKeys::load_or_create(db, &sealer(), Algorithm::EdDSA, rules(), now()).await
}

async fn count(db: &Db, state: &str) -> u64 {
    let found = Keys::find().filter(signing_key::Column::State.eq(state));
    found.count(db).await.expect("a count")
}

fn claims(at: DateTime<Utc>) -> AccessClaims {
    AccessClaims {
        iss: rules().issuer,
        sub: Uuid::from_u128(1),
        aud: rules().audience,
        exp: (at + TTL).timestamp(),
        iat: at.timestamp(),
        nbf: at.timestamp(),
        jti: "1".to_owned(),
        sid: Uuid::from_u128(2),
        amr: vec!["pwd".to_owned()],
        auth_time: at.timestamp(),
        roles: vec![],
    }
}

/// Rotates, as a service does it.
async fn rotate(keys: &SigningKeys, db: &Db, now: DateTime<Utc>) {
    let tx = db.begin().await.unwrap();
    keys.rotate(&tx, &sealer(), now, TTL).await.unwrap();
    tx.commit().await.unwrap();
    keys.reload(db, &sealer()).await.unwrap();
}

#[tokio::test]
async fn instances_that_start_at_once_agree_on_one_key() {
    let database = TestDatabase::create().await;
    let mut instances = Vec::new();
    for _ in 0..4 {
        instances.push(database.another().await);
    }
    let loaded = futures_util::future::join_all(instances.iter().map(load)).await;
    let kids: Vec<String> = loaded
        .into_iter()
        .map(|keys| keys.unwrap().active_kid())
        .collect();
    assert!(kids.iter().all(|kid| *kid == kids[0]), "{kids:?}");
    assert_eq!(count(&database.db, "active").await, 1);
    assert_eq!(count(&database.db, "next").await, 1);
}

#[tokio::test]
async fn a_restart_keeps_the_keys() {
    let database = TestDatabase::create().await;
    let before = load(&database.db).await.unwrap();
    let token = before.sign(&claims(now())).unwrap();
    let after = load(&database.another().await).await.unwrap();
    assert!(after.verify(&token, now()).is_ok());
    assert_eq!(after.jwks(now()), before.jwks(now()));
}

#[tokio::test]
async fn a_rotation_surprises_no_instance_and_ends_no_token() {
    let database = TestDatabase::create().await;
    let one = load(&database.db).await.unwrap();
    let other_db = database.another().await;
    let other = load(&other_db).await.unwrap();
    let old_token = one.sign(&claims(now())).unwrap();
    let old_kid = one.active_kid();

    rotate(&one, &database.db, now()).await;
    assert_ne!(one.active_kid(), old_kid);
    assert!(one.verify(&old_token, now() + TTL).is_ok());
    // The other has not heard of it: it accepts the new key's tokens, and its own still count.
    let new_token = one.sign(&claims(now())).unwrap();
    assert!(other.verify(&new_token, now()).is_ok());
    assert_eq!(other.active_kid(), old_kid);
    let late = now() + TimeDelta::seconds(50);
    let late_token = other.sign(&claims(late)).unwrap();
    assert!(one.verify(&late_token, late + TTL).is_ok());

    other.reload(&other_db, &sealer()).await.unwrap();
    assert_eq!(other.active_kid(), one.active_kid());
    assert_eq!(count(&database.db, "active").await, 1);
    assert_eq!(count(&database.db, "next").await, 1);
    assert_eq!(count(&database.db, "retired").await, 1);
}

#[tokio::test]
async fn a_retired_key_is_unknown_and_deleted_after_its_last_token() {
    let database = TestDatabase::create().await;
    let keys = load(&database.db).await.unwrap();
    let long = AccessClaims {
        exp: (now() + TimeDelta::days(1)).timestamp(),
        ..claims(now())
    };
    let token = keys.sign(&long).unwrap();
    rotate(&keys, &database.db, now()).await;
    let end = now() + TTL + TimeDelta::seconds(90);
    assert!(keys.verify(&token, end - TimeDelta::seconds(1)).is_ok());
    assert_eq!(keys.verify(&token, end), Err(TokenFault::UnknownKey));
    assert_eq!(keys.jwks(end)["keys"].as_array().unwrap().len(), 2);

    rotate(&keys, &database.db, end).await;
    assert_eq!(count(&database.db, "retired").await, 1);
    assert_eq!(Keys::find().count(&database.db).await.unwrap(), 3);
}

#[tokio::test]
async fn rotations_at_once_leave_one_active_and_one_next_key() {
    let database = TestDatabase::create().await;
    let one = load(&database.db).await.unwrap();
    let other_db = database.another().await;
    let other = load(&other_db).await.unwrap();
    tokio::join!(
        rotate(&one, &database.db, now()),
        rotate(&other, &other_db, now()),
    );
    one.reload(&database.db, &sealer()).await.unwrap();
    other.reload(&other_db, &sealer()).await.unwrap();
    assert_eq!(one.active_kid(), other.active_kid());
    assert_eq!(count(&database.db, "active").await, 1);
    assert_eq!(count(&database.db, "next").await, 1);
    assert_eq!(count(&database.db, "retired").await, 2);
}

#[tokio::test]
async fn another_algorithm_takes_over_and_tokens_of_the_old_one_stay_good() {
    let database = TestDatabase::create().await;
    let old = load(&database.db).await.unwrap();
    let token = old.sign(&claims(now())).unwrap();
    for algorithm in [Algorithm::ES256, Algorithm::RS256] {
        let keys =
            SigningKeys::load_or_create(&database.db, &sealer(), algorithm, rules(), now()).await;
        let keys = keys.unwrap();
        assert!(keys.verify(&token, now()).is_ok());
        let own = keys.sign(&claims(now())).unwrap();
        assert!(keys.verify(&own, now()).is_ok());
        rotate(&keys, &database.db, now()).await;
        assert!(keys.verify(&token, now()).is_ok());
        assert!(keys.verify(&own, now()).is_ok());
        assert_eq!(count(&database.db, "active").await, 1);
        assert_eq!(count(&database.db, "next").await, 1);
    }
}

#[tokio::test]
async fn a_new_secret_seals_the_keys_anew_and_a_lost_one_is_told() {
    let database = TestDatabase::create().await;
    let before = load(&database.db).await.unwrap();
    rotate(&before, &database.db, now()).await;
    let token = before.sign(&claims(now())).unwrap();

    let load_with = async |sealer: &Sealer| {
        SigningKeys::load_or_create(&database.db, sealer, Algorithm::EdDSA, rules(), now()).await
    };
    let lost = load_with(&Sealer::new(&[8; 32], None)).await;
    assert!(matches!(
        lost,
        Err(KeysError::Sealed {
            source: UnsealError::UnknownKey,
            ..
        })
    ));
    load_with(&Sealer::new(&[8; 32], Some(&[7; 32])))
        .await
        .unwrap();
    let after = load_with(&Sealer::new(&[8; 32], None)).await.unwrap();
    assert!(after.verify(&token, now()).is_ok());
    assert_eq!(after.jwks(now()), before.jwks(now()));
}

#[tokio::test]
async fn a_retired_key_has_no_private_half() {
    let database = TestDatabase::create().await;
    let keys = load(&database.db).await.unwrap();
    let kid = keys.active_kid();
    rotate(&keys, &database.db, now()).await;
    let row = Keys::find_by_id(&kid)
        .one(&database.db)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(row.state, "retired");
    let kept = sealer()
        .open(&format!("retired signing key {kid}"), &row.private_key)
        .unwrap();
    let kept: serde_json::Value = serde_json::from_slice(&kept).unwrap();
    assert_eq!(kept, row.public_jwk);
    assert!(kept.get("d").is_none());
}

#[tokio::test]
async fn what_is_written_into_the_table_without_the_secret_is_no_key() {
    let database = TestDatabase::create().await;
    let keys = load(&database.db).await.unwrap();
    let attacker_database = TestDatabase::create().await;
    let attacker_sealer = Sealer::new(&[9; 32], None);
    let attacker = SigningKeys::load_or_create(
        &attacker_database.db,
        &attacker_sealer,
        Algorithm::EdDSA,
        rules(),
        now(),
    )
    .await
    .unwrap();
    let forged = attacker.sign(&claims(now())).unwrap();
    let row = Keys::find_by_id(attacker.active_kid())
        .one(&attacker_database.db)
        .await
        .unwrap()
        .unwrap();
    let mut planted = row.into_active_model();
    planted.state = Set("retired".to_owned());
    planted.expires_at = Set(Some(now() + TimeDelta::days(1)));
    planted.reset_all().insert(&database.db).await.unwrap();

    keys.reload(&database.db, &sealer()).await.unwrap();
    assert_eq!(keys.verify(&forged, now()), Err(TokenFault::UnknownKey));
    // Nor does the public column speak for a key that is ours.
    let own = Keys::find_by_id(keys.active_kid()).one(&database.db).await;
    let mut own = own.unwrap().unwrap().into_active_model();
    own.public_jwk = Set(attacker.jwks(now())["keys"][0].clone());
    own.update(&database.db).await.unwrap();
    keys.reload(&database.db, &sealer()).await.unwrap();
    let token = keys.sign(&claims(now())).unwrap();
    assert!(keys.verify(&token, now()).is_ok());
}
