//! Verifies the access tokens that come on standard input, one on each line.
//!
//! `cargo run -- <PUBLIC_URL of Gatepost> <JWT_AUDIENCE>`

use std::{env, error::Error, io};

use jsonwebtoken::{DecodingKey, Validation, decode, decode_header, jwk::JwkSet};
use serde::Deserialize;

/// The claims of an access token that this program looks at.
#[derive(Deserialize)]
struct Claims {
    sub: String,
}

/// Verifies tokens of one issuer for one audience.
struct Verifier {
    issuer: String,
    audience: String,
    keys: JwkSet,
}

impl Verifier {
    fn new(issuer: String, audience: String) -> Result<Self, Box<dyn Error>> {
        let keys = fetch(&issuer)?;
        Ok(Self {
            issuer,
            audience,
            keys,
        })
    }

    fn verify(&mut self, token: &str) -> Result<Claims, Box<dyn Error>> {
        let header = decode_header(token)?;
        if header.typ.as_deref() != Some("at+jwt") {
            return Err("not an access token".into());
        }
        let kid = header.kid.ok_or("no key is named")?;
        // Keys change seldom. In a server, fetch at most once in some seconds: anybody can send
        // tokens that name keys which do not exist.
        if self.keys.find(&kid).is_none() {
            self.keys = fetch(&self.issuer)?;
        }
        let jwk = self.keys.find(&kid).ok_or("an unknown key is named")?;
        // The algorithm is the key's, whatever the token says.
        let algorithm = jwk.common.key_algorithm.ok_or("a key without algorithm")?;
        let mut rules = Validation::new(algorithm.to_string().parse()?);
        rules.set_issuer(&[&self.issuer]);
        rules.set_audience(&[&self.audience]);
        rules.set_required_spec_claims(&["exp", "nbf", "iss", "aud", "sub"]);
        rules.validate_nbf = true;
        rules.leeway = 5;
        let token = decode::<Claims>(token, &DecodingKey::from_jwk(jwk)?, &rules)?;
        Ok(token.claims)
    }
}

fn fetch(issuer: &str) -> Result<JwkSet, ureq::Error> {
    let mut answer = ureq::get(format!("{issuer}/.well-known/jwks.json")).call()?;
    answer.body_mut().read_json()
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let (Some(issuer), Some(audience)) = (arguments.next(), arguments.next()) else {
        return Err("issuer and audience are needed".into());
    };
    let mut verifier = Verifier::new(issuer, audience)?;
    for token in io::stdin().lines() {
        match verifier.verify(&token?) {
            Ok(claims) => println!("ok {}", claims.sub),
            Err(error) => println!("refused {error}"),
        }
    }
    Ok(())
}
