//! A passkey or security key in software, with the browser around it. It does what it is asked to,
//! also what no honest one would.

use aws_lc_rs::{
    digest::{SHA256, digest},
    rand::{self, SystemRandom},
    signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

/// The origin of the instances under test: their `PUBLIC_URL`.
pub const ORIGIN: &str = "http://localhost:8004";

// Flags of authenticator data (WebAuthn Level 3, section 6.1).
const PRESENT: u8 = 0x01;
const VERIFIED: u8 = 0x04;
const ATTESTED: u8 = 0x40;

/// One credential.
pub struct SoftKey {
    key: EcdsaKeyPair,
    id: Vec<u8>,
    /// What it gives back as the user's handle; a security key has none.
    pub user_handle: Option<String>,
    /// Signatures so far; grows with each unless it is held.
    pub counter: u32,
    /// Whether it says that it has verified its user.
    pub verifies: bool,
    /// The page on which the browser is.
    pub origin: String,
}

fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn sha256(bytes: &[u8]) -> Vec<u8> {
    digest(&SHA256, bytes).as_ref().to_vec()
}

impl SoftKey {
    /// A fresh one, with PIN or biometrics if `verifies`.
    pub fn new(verifies: bool) -> Self {
        let mut id = vec![0; 32];
        rand::fill(&mut id).unwrap();
        Self {
            key: EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap(),
            id,
            user_handle: None,
            counter: 0,
            verifies,
            origin: ORIGIN.to_owned(),
        }
    }

    fn client_data(&self, kind: &str, options: &Value) -> Vec<u8> {
        let challenge = &options["challenge"];
        assert!(challenge.is_string(), "{options}");
        json!({"type": kind, "challenge": challenge, "origin": self.origin, "crossOrigin": false})
            .to_string()
            .into_bytes()
    }

    fn authenticator_data(&self, rp_id: &Value, flags: u8) -> Vec<u8> {
        let verified = if self.verifies { VERIFIED } else { 0 };
        let mut data = sha256(rp_id.as_str().unwrap().as_bytes());
        data.push(flags | PRESENT | verified);
        data.extend(self.counter.to_be_bytes());
        data
    }

    /// `navigator.credentials.create()`, with attestation `none`.
    pub fn create(&mut self, options: &Value) -> Value {
        let options = &options["publicKey"];
        if options["authenticatorSelection"]["residentKey"] == "required" {
            self.user_handle = Some(options["user"]["id"].as_str().unwrap().to_owned());
        }
        let mut data = self.authenticator_data(&options["rp"]["id"], ATTESTED);
        data.extend([0; 16]);
        data.extend(u16::try_from(self.id.len()).unwrap().to_be_bytes());
        data.extend(&self.id);
        // A COSE key (RFC 9053, section 7.1.1): {1: 2, 3: -7, -1: 1, -2: x, -3: y}.
        let point = self.key.public_key().as_ref();
        data.extend([0xa5, 0x01, 0x02, 0x03, 0x26, 0x20, 0x01, 0x21, 0x58, 0x20]);
        data.extend(&point[1..33]);
        data.extend([0x22, 0x58, 0x20]);
        data.extend(&point[33..65]);
        // CBOR: {"fmt": "none", "attStmt": {}, "authData": bytes}.
        let mut object = b"\xa3\x63fmt\x64none\x67attStmt\xa0\x68authData\x58".to_vec();
        object.push(u8::try_from(data.len()).unwrap());
        object.extend(data);
        json!({
            "id": encode(&self.id),
            "rawId": encode(&self.id),
            "type": "public-key",
            "response": {
                "clientDataJSON": encode(self.client_data("webauthn.create", options)),
                "attestationObject": encode(object),
                "transports": ["internal", "a-transport-of-tomorrow"],
            },
            "clientExtensionResults": {},
            "authenticatorAttachment": "platform",
        })
    }

    /// `navigator.credentials.get()`.
    pub fn get(&mut self, options: &Value) -> Value {
        self.counter += 1;
        self.sign(options)
    }

    /// The same by a copy that does not count.
    pub fn sign(&self, options: &Value) -> Value {
        let options = &options["publicKey"];
        let client_data = self.client_data("webauthn.get", options);
        let data = self.authenticator_data(&options["rpId"], 0);
        let mut signed = data.clone();
        signed.extend(sha256(&client_data));
        let signature = self.key.sign(&SystemRandom::new(), &signed).unwrap();
        json!({
            "id": encode(&self.id),
            "rawId": encode(&self.id),
            "type": "public-key",
            "response": {
                "clientDataJSON": encode(client_data),
                "authenticatorData": encode(data),
                "signature": encode(signature.as_ref()),
                "userHandle": self.user_handle,
            },
            "clientExtensionResults": {},
        })
    }
}
