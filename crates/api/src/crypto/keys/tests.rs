//! Keys without a database.

use aws_lc_rs::hmac;
use proptest::prelude::*;

use super::{pair::Members, store::Row, *};

const NOW: i64 = 1_800_000_000;
const ALL: [Algorithm; 3] = [Algorithm::EdDSA, Algorithm::ES256, Algorithm::RS256];

/// Keys in memory, and the private halves to forge with.
struct Fixture {
    keys: SigningKeys,
    active: KeyPair,
    next: KeyPair,
    retired: KeyPair,
}

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(seconds, 0).expect("a time")
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

fn row(pair: &KeyPair, state: &str, secret: &[u8], expires_at: Option<DateTime<Utc>>) -> Row {
    Row {
        kid: pair.kid().to_owned(),
        algorithm: pair.algorithm().to_string(),
        private_key: sealer().seal(&store::label(pair.kid(), state), secret),
        state: state.to_owned(),
        expires_at,
    }
}

fn keys_of(algorithm: Algorithm, rows: &[Row]) -> Result<SigningKeys, KeysError> {
    let ring = Ring::build(rows, &sealer(), algorithm, &rules())?;
    Ok(SigningKeys(Arc::new(Shared {
        algorithm,
        rules: rules(),
        ring: ArcSwap::from_pointee(ring),
        reading: Mutex::new(()),
    })))
}

/// The retired key is accepted for 100 seconds more.
fn fixture(algorithm: Algorithm) -> Fixture {
    let [(active, secret), (next, next_secret), (retired, _)] =
        [(); 3].map(|()| KeyPair::generate(algorithm).expect("a key"));
    let retired_jwk = retired.jwk().to_string();
    let rows = [
        row(&active, store::ACTIVE, &secret, None),
        row(&next, store::NEXT, &next_secret, None),
        row(
            &retired,
            store::RETIRED,
            retired_jwk.as_bytes(),
            Some(at(NOW + 100)),
        ),
    ];
    Fixture {
        keys: keys_of(algorithm, &rows).expect("good keys"),
        active,
        next,
        retired,
    }
}

fn claims() -> AccessClaims {
    AccessClaims {
        iss: rules().issuer,
        sub: Uuid::from_u128(1),
        aud: rules().audience,
        exp: NOW + 300,
        iat: NOW,
        nbf: NOW,
        jti: "018f".to_owned(),
        sid: Uuid::from_u128(2),
        amr: vec!["pwd".to_owned()],
        auth_time: NOW,
        roles: vec![],
    }
}

fn header(pair: &KeyPair) -> Value {
    json!({ "alg": pair.algorithm().as_str(), "kid": pair.kid(), "typ": "at+jwt" })
}

fn unsigned(header: &Value, claims: &Value) -> String {
    let encode = |part: &Value| URL_SAFE_NO_PAD.encode(part.to_string());
    format!("{}.{}", encode(header), encode(claims))
}

fn forge(signer: &KeyPair, header: &Value, claims: &Value) -> String {
    let message = unsigned(header, claims);
    let signature = signer.sign(message.as_bytes()).expect("a signature");
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
}

impl Fixture {
    fn fault(&self, token: &str) -> Option<TokenFault> {
        self.keys.verify(token, at(NOW)).err()
    }

    /// What becomes of a rightly signed token with these changes.
    fn fault_of(&self, change: impl FnOnce(&mut Value, &mut Value)) -> Option<TokenFault> {
        let (mut header, mut claims) = (header(&self.active), json!(claims()));
        change(&mut header, &mut claims);
        self.fault(&forge(&self.active, &header, &claims))
    }

    fn fault_of_claim(&self, name: &str, value: Value) -> Option<TokenFault> {
        self.fault_of(|_, claims| claims[name] = value)
    }
}

#[test]
fn what_is_signed_is_accepted_with_every_algorithm() {
    for algorithm in ALL {
        let fixture = fixture(algorithm);
        let token = fixture.keys.sign(&claims()).unwrap();
        assert_eq!(fixture.keys.verify(&token, at(NOW)), Ok(claims()));
        let header = jsonwebtoken::decode_header(&token).unwrap();
        assert_eq!(header.typ.as_deref(), Some("at+jwt"));
        assert_eq!(header.kid, Some(fixture.keys.active_kid()));
    }
}

#[test]
fn another_implementation_accepts_our_signatures_by_the_published_keys() {
    for algorithm in ALL {
        let fixture = fixture(algorithm);
        let token = fixture.keys.sign(&claims()).unwrap();
        let jwks: jsonwebtoken::jwk::JwkSet =
            serde_json::from_value(fixture.keys.jwks(at(NOW))).unwrap();
        let jwk = jwks.find(&fixture.keys.active_kid()).unwrap();
        let key = jsonwebtoken::DecodingKey::from_jwk(jwk).unwrap();
        let mut validation = jsonwebtoken::Validation::new(algorithm.into());
        validation.set_audience(&["gatepost"]);
        let decoded = jsonwebtoken::decode::<Value>(&token, &key, &validation);
        assert_eq!(decoded.unwrap().claims["jti"], "018f");
    }
}

#[test]
fn the_next_key_is_accepted_and_a_retired_one_until_its_end() {
    let fixture = fixture(Algorithm::EdDSA);
    let claims = json!(AccessClaims {
        exp: NOW + 1000,
        ..claims()
    });
    let by_next = forge(&fixture.next, &header(&fixture.next), &claims);
    assert_eq!(fixture.fault(&by_next), None);
    let by_retired = forge(&fixture.retired, &header(&fixture.retired), &claims);
    let verify = |seconds| fixture.keys.verify(&by_retired, at(seconds)).err();
    assert_eq!(verify(NOW + 99), None);
    assert_eq!(verify(NOW + 100), Some(TokenFault::UnknownKey));
    let published = |seconds| {
        fixture.keys.jwks(at(seconds))["keys"]
            .as_array()
            .unwrap()
            .len()
    };
    assert_eq!((published(NOW + 99), published(NOW + 100)), (3, 2));
}

#[test]
fn the_algorithm_is_the_keys_and_not_the_headers_choice() {
    for algorithm in ALL {
        let fixture = fixture(algorithm);
        for other in ALL.into_iter().filter(|other| *other != algorithm) {
            let (attacker, _) = KeyPair::generate(other).unwrap();
            let mut header = header(&fixture.active);
            header["alg"] = json!(other.as_str());
            let token = forge(&attacker, &header, &json!(claims()));
            assert_eq!(fixture.fault(&token), Some(TokenFault::WrongAlgorithm));
        }
        for name in ["PS256", "RS384", "ES384", "HS512"] {
            let fault = fixture.fault_of(|header, _| header["alg"] = json!(name));
            assert_eq!(fault, Some(TokenFault::WrongAlgorithm), "{name}");
        }
    }
}

#[test]
fn no_algorithm_is_no_token() {
    let fixture = fixture(Algorithm::EdDSA);
    for name in ["none", "None", "NONE", "nOnE", ""] {
        let mut header = header(&fixture.active);
        header["alg"] = json!(name);
        let message = unsigned(&header, &json!(claims()));
        for token in [format!("{message}."), message.clone()] {
            assert_eq!(fixture.fault(&token), Some(TokenFault::Malformed));
        }
        let signed = fixture.fault_of(|header, _| header["alg"] = json!(name));
        assert_eq!(signed, Some(TokenFault::Malformed));
    }
}

#[test]
fn the_public_key_is_no_hmac_secret() {
    for algorithm in ALL {
        let fixture = fixture(algorithm);
        let jwk = fixture.active.jwk();
        let raw = jwk["x"].as_str().or(jwk["n"].as_str()).unwrap();
        let mut header = header(&fixture.active);
        header["alg"] = json!("HS256");
        let message = unsigned(&header, &json!(claims()));
        let secrets = [
            raw.as_bytes().to_vec(),
            URL_SAFE_NO_PAD.decode(raw).unwrap(),
            jwk.to_string().into_bytes(),
        ];
        for secret in secrets {
            let key = hmac::Key::new(hmac::HMAC_SHA256, &secret);
            let tag = URL_SAFE_NO_PAD.encode(hmac::sign(&key, message.as_bytes()));
            let fault = fixture.fault(&format!("{message}.{tag}"));
            assert_eq!(fault, Some(TokenFault::WrongAlgorithm));
        }
    }
}

#[test]
fn a_key_that_the_token_brings_along_is_not_used() {
    let fixture = fixture(Algorithm::EdDSA);
    let (attacker, _) = KeyPair::generate(Algorithm::EdDSA).unwrap();
    let mut header = header(&attacker);
    header["jwk"] = attacker.jwk();
    let token = forge(&attacker, &header, &json!(claims()));
    assert_eq!(fixture.fault(&token), Some(TokenFault::UnknownKey));
    header["kid"] = json!(fixture.active.kid());
    let token = forge(&attacker, &header, &json!(claims()));
    assert_eq!(fixture.fault(&token), Some(TokenFault::WrongSignature));
}

#[test]
fn other_types_extensions_and_missing_key_ids_are_refused() {
    let fixture = fixture(Algorithm::EdDSA);
    for typ in [json!("JWT"), json!("AT+JWT"), json!("id+jwt"), json!(null)] {
        let fault = fixture.fault_of(|header, _| header["typ"] = typ);
        assert_eq!(fault, Some(TokenFault::WrongType));
    }
    let fault = fixture.fault_of(|header, _| header["crit"] = json!(["b64"]));
    assert_eq!(fault, Some(TokenFault::Malformed));
    for kid in [json!(null), json!(""), json!("other")] {
        let fault = fixture.fault_of(|header, _| header["kid"] = kid);
        assert_eq!(fault, Some(TokenFault::UnknownKey));
    }
}

#[test]
fn tokens_of_others_and_for_others_are_refused() {
    let fixture = fixture(Algorithm::EdDSA);
    for issuer in ["https://auth.example.com", "https://auth.example.org/", ""] {
        let fault = fixture.fault_of_claim("iss", json!(issuer));
        assert_eq!(fault, Some(TokenFault::WrongIssuer), "{issuer}");
    }
    for audience in ["billing", "Gatepost", ""] {
        let fault = fixture.fault_of_claim("aud", json!(audience));
        assert_eq!(fault, Some(TokenFault::WrongAudience), "{audience}");
    }
    let several = fixture.fault_of_claim("aud", json!(["gatepost", "billing"]));
    assert_eq!(several, Some(TokenFault::WrongClaims));
}

#[test]
fn every_claim_is_required_and_of_one_type() {
    let fixture = fixture(Algorithm::EdDSA);
    let names: Vec<String> = json!(claims())
        .as_object()
        .unwrap()
        .keys()
        .cloned()
        .collect();
    assert_eq!(names.len(), 11);
    for name in &names {
        let fault = fixture.fault_of(|_, claims| {
            claims.as_object_mut().unwrap().remove(name);
        });
        assert_eq!(fault, Some(TokenFault::WrongClaims), "without {name}");
        for wrong in [json!(null), json!({}), json!(1.5), json!([[]])] {
            let fault = fixture.fault_of_claim(name, wrong.clone());
            assert_eq!(fault, Some(TokenFault::WrongClaims), "{name}: {wrong}");
        }
    }
    for name in ["exp", "nbf", "iat", "auth_time"] {
        let fault = fixture.fault_of_claim(name, json!(NOW.to_string()));
        assert_eq!(fault, Some(TokenFault::WrongClaims), "{name}");
    }
}

#[test]
fn times_are_taken_with_thirty_seconds_of_leeway_and_no_more() {
    let fixture = fixture(Algorithm::EdDSA);
    let fault = |name, value: i64| fixture.fault_of_claim(name, json!(value));
    assert_eq!(fault("exp", NOW - 29), None);
    assert_eq!(fault("exp", NOW - 30), Some(TokenFault::Expired));
    assert_eq!(fault("exp", 0), Some(TokenFault::Expired));
    for name in ["nbf", "iat"] {
        assert_eq!(fault(name, NOW + 30), None);
        assert_eq!(fault(name, NOW + 31), Some(TokenFault::NotYetValid));
        assert_eq!(fault(name, i64::MAX), Some(TokenFault::NotYetValid));
    }
}

#[test]
fn any_changed_character_is_noticed() {
    let fixture = fixture(Algorithm::EdDSA);
    let token = fixture.keys.sign(&claims()).unwrap();
    for position in 0..token.len() {
        for replacement in ["A", "B", "-", ".", "=", " "] {
            let mut changed = token.clone();
            changed.replace_range(position..=position, replacement);
            if changed != token {
                assert!(
                    fixture.fault(&changed).is_some(),
                    "{replacement} at {position}"
                );
            }
        }
        assert!(fixture.fault(&token[..position]).is_some());
    }
    assert!(fixture.fault(&format!("{token}A")).is_some());
    assert!(fixture.fault(&format!("{token}.{token}")).is_some());
}

#[test]
fn an_endless_token_is_not_read() {
    let fixture = fixture(Algorithm::EdDSA);
    let fault = fixture.fault_of(|_, claims| claims["jti"] = json!("x".repeat(9000)));
    assert_eq!(fault, Some(TokenFault::Malformed));
}

#[test]
fn the_published_keys_hold_nothing_private() {
    for (algorithm, members) in [
        (
            Algorithm::EdDSA,
            vec!["alg", "crv", "kid", "kty", "use", "x"],
        ),
        (
            Algorithm::ES256,
            vec!["alg", "crv", "kid", "kty", "use", "x", "y"],
        ),
        (Algorithm::RS256, vec!["alg", "e", "kid", "kty", "n", "use"]),
    ] {
        let jwks = fixture(algorithm).keys.jwks(at(NOW));
        for key in jwks["keys"].as_array().unwrap() {
            let mut names: Vec<_> = key.as_object().unwrap().keys().collect();
            names.sort();
            assert_eq!(names, members);
        }
    }
}

#[test]
fn key_ids_are_the_thumbprints_of_the_rfcs() {
    // RFC 8037, A.3
    let okp = Members::from([
        ("kty", "OKP".to_owned()),
        ("crv", "Ed25519".to_owned()),
        (
            "x",
            "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo".to_owned(),
        ),
    ]);
    assert_eq!(
        pair::thumbprint(&okp),
        "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
    );
}

#[test]
fn a_private_key_in_another_keys_row_is_noticed() {
    let (one, secret) = KeyPair::generate(Algorithm::EdDSA).unwrap();
    let (other, _) = KeyPair::generate(Algorithm::EdDSA).unwrap();
    // Sealed for the row, so only the thumbprint can tell.
    let swapped = row(&other, store::ACTIVE, &secret, None);
    let built = keys_of(Algorithm::EdDSA, &[swapped]);
    assert!(matches!(built, Err(KeysError::Malformed { .. })));
    // Moved with its seal.
    let mut moved = row(&one, store::ACTIVE, &secret, None);
    other.kid().clone_into(&mut moved.kid);
    let built = keys_of(Algorithm::EdDSA, &[moved]);
    assert!(matches!(built, Err(KeysError::Sealed { .. })));
}

#[test]
fn a_key_written_into_the_table_without_the_secret_is_not_accepted() {
    let (active, secret) = KeyPair::generate(Algorithm::EdDSA).unwrap();
    let (attacker, _) = KeyPair::generate(Algorithm::EdDSA).unwrap();
    let planted = Row {
        private_key: Sealer::new(&[8; 32], None).seal(
            &store::label(attacker.kid(), store::RETIRED),
            attacker.jwk().to_string().as_bytes(),
        ),
        ..row(&attacker, store::RETIRED, &[], Some(at(NOW + 1000)))
    };
    let rows = [row(&active, store::ACTIVE, &secret, None), planted];
    let keys = keys_of(Algorithm::EdDSA, &rows).unwrap();
    let token = forge(&attacker, &header(&attacker), &json!(claims()));
    assert_eq!(keys.verify(&token, at(NOW)), Err(TokenFault::UnknownKey));
}

#[test]
fn keys_without_an_active_one_of_the_algorithm_cannot_sign() {
    let (pair, secret) = KeyPair::generate(Algorithm::ES256).unwrap();
    let rows = [row(&pair, store::ACTIVE, &secret, None)];
    let built = keys_of(Algorithm::EdDSA, &rows);
    assert!(matches!(built, Err(KeysError::NoActiveKey)));
}

proptest! {
    #[test]
    fn no_foreign_text_is_accepted(text in "[A-Za-z0-9_.-]{0,200}") {
        let (pair, secret) = KeyPair::generate(Algorithm::EdDSA).unwrap();
        let keys = keys_of(Algorithm::EdDSA, &[row(&pair, store::ACTIVE, &secret, None)]).unwrap();
        prop_assert!(keys.verify(&text, at(NOW)).is_err());
    }

    #[test]
    fn any_claims_come_back_as_they_were(
        sub in any::<u128>(),
        amr in prop::collection::vec(".{0,10}", 0..4),
        roles in prop::collection::vec(".{0,10}", 0..4),
        jti in ".{0,40}",
    ) {
        let (pair, secret) = KeyPair::generate(Algorithm::EdDSA).unwrap();
        let keys = keys_of(Algorithm::EdDSA, &[row(&pair, store::ACTIVE, &secret, None)]).unwrap();
        let claims = AccessClaims { sub: Uuid::from_u128(sub), amr, roles, jti, ..claims() };
        prop_assert_eq!(keys.verify(&keys.sign(&claims).unwrap(), at(NOW)), Ok(claims));
    }
}
