//! Vectors of other implementations, with the programs that made them. Passwords are
//! `correct horse`, `grüne Katze` (11 characters, 12 bytes), or [`long`].

use serde_json::json;

use super::*;

const HORSE: &str = "correct horse";
const CAT: &str = "grüne Katze";

/// 76 bytes: bcrypt sees the first 72.
fn long() -> String {
    "a".repeat(71) + "bcdef"
}

/// The published example of github.com/firebase/scrypt.
const FIREBASE: &str = "$firebase-scrypt$ln=14,r=8,sep=Bw==,\
    key=jxspr8Ki0RYycVU8zykbdLGjFQ3McFUH0uiiTvC8pVMXAn210wjLNmdZJzxUECKbm0QsEmYUSDzZvpjeJ9WmXA==\
    $42xEC+ixf3L2lw==\
    $lSrfV15cpx95/sZS2W9c9Kp6i/LVgQNDNC/qzrCnh1SAyZvqmZqAjTdn3aoItz+VHjoZilo78198JAdRuid5lQ==";

/// Name, text, password.
#[expect(clippy::too_many_lines, reason = "a table")]
fn vectors() -> Vec<(&'static str, &'static str, String)> {
    let (horse, cat, long) = (HORSE.to_owned(), CAT.to_owned(), long());
    vec![
        // The Python package bcrypt 4.0.1; $2y$ by crypt(3) of libxcrypt 4.4.
        (
            "bcrypt",
            "$2a$04$jjqUgygzXzBZirV2UwDeIOCuU7kv1RCkZWOiiIxyjmmgDCO7MBR.6",
            horse.clone(),
        ),
        (
            "bcrypt",
            "$2b$04$OqyGUXeXeQyx.jx2GgVH2O8CmXWfShXJHosmbfYZXUpkO5RuOjQja",
            horse.clone(),
        ),
        (
            "bcrypt",
            "$2b$04$JbVpZcZjqLc0Gt3i9R.9OOSEhwddsVOIU2yevkJP35I3q87P8TbPC",
            cat.clone(),
        ),
        (
            "bcrypt",
            "$2b$12$ISGditaEm81VTVya6WIpaOZ8suow4w7wuWtydExfVtlUIuOk8IStW",
            horse.clone(),
        ),
        (
            "bcrypt",
            "$2b$04$i/kwDeVo5SDaW6hNVhTYXOSTcj1jUwChN9oJX..9mrlWS55VO4GWG",
            long.clone(),
        ),
        (
            "bcrypt",
            "$2y$04$abcdefghijklmnopqrstuujydOTSfIH/d5oUHpsygqV5X9xJLQc6e",
            horse.clone(),
        ),
        (
            "bcrypt",
            "$2y$04$abcdefghijklmnopqrstuutZdyw9TUH0xTjrz870v.NGiZFoROG7W",
            cat.clone(),
        ),
        // Django 5.2.
        (
            "PBKDF2-SHA256",
            "pbkdf2_sha256$1000000$KR9n98NP3FtY6jcw9WAocY$aIa3Bw/9TkLAbR3uMPogassig2/bMVEKMthGATJ9NxQ=",
            horse.clone(),
        ),
        (
            "PBKDF2-SHA256",
            "pbkdf2_sha256$1000$seasalt2seasalt2seasal$wJaW8exZY3ksJOJMaDoMJ2liPaatuzyQ1zCMlgDwgKE=",
            cat.clone(),
        ),
        (
            "PBKDF2-SHA1",
            "pbkdf2_sha1$1000$lightsalt1$wrDRL1pli2ww8DvUdjAqIdhgfek=",
            horse.clone(),
        ),
        (
            "bcrypt",
            "bcrypt_sha256$$2b$04$GiIkuAuqLTGv/NZn5w6DV.xYI9XxfUWAOmqzz.ZKR9hlfH/ewR5Su",
            long.clone(),
        ),
        (
            "bcrypt",
            "bcrypt$$2b$04$cb/Yp7vCPsP0ynFaU3.YM.FnILPyHr1/Yz5ss5rTq0mAo5j1SwaY2",
            horse.clone(),
        ),
        (
            "scrypt",
            "scrypt$16384$seasalt$8$5$nXachnDoZ26UFUF1o3PD3FjYfKq/mD4nZm22d5L0rp+Bi3DZTjkayk+fTW77FlT+2IelThLoihBYgWjZHfwh3Q==",
            horse.clone(),
        ),
        // passlib 1.7.4.
        (
            "scrypt",
            "$scrypt$ln=4,r=8,p=1$0hrD+H8PgXAO4fwfA6DU+g$mDBkDuNuqT/JqzcMO0abesRT84pkoSzPQC+4NhKEXKM",
            horse.clone(),
        ),
        (
            "scrypt",
            "$scrypt$ln=14,r=8,p=1$sTbmHOPcm1PKWYtxjvG+lw$mULLUgseqKghniocCK6Jrn+opY2FewfWrPuyB9/wyGo",
            cat.clone(),
        ),
        (
            "PBKDF2-SHA1",
            "$pbkdf2$1000$i/HeW0tJ6d07h1CqdS4FwA$5TZW6JLiP9wuxk6P6T8Kf6v/5/A",
            horse.clone(),
        ),
        (
            "PBKDF2-SHA256",
            "$pbkdf2-sha256$1000$EeI85/xfaw0hBGAMAWAsZQ$JrvWQY0Op5yaBKIMYqJ.FRrDgdt2WMLNxsobKNFREOk",
            horse.clone(),
        ),
        (
            "PBKDF2-SHA512",
            "$pbkdf2-sha512$1000$5VzLWatVqvW.l9IaAyAEIA$E1tydZQPNSRajfl8LPtUidELaK9R0jiKdZtRoaptixUb7K7tJ98I8ry8NVpjSQygRgfcfQizw2SNkqdMIR1vtg",
            cat.clone(),
        ),
        (
            "SHA-256-crypt",
            "$5$t1uZU.SNrSRrQ8M5$wUXUb/zVgfAvypCs5Y4L06dSpe1O.Wg106kYuRS354/",
            horse.clone(),
        ),
        (
            "SHA-512-crypt",
            "$6$uieo3xfhjoyabrIA$puAhHfjlAjjovMMUSWXaOzKJ9W4Ss.Efs.UFxZxHW4ApSLxidL/X3fCGivTGF/v.z3.xcohKgZKE/GuMkmKK0/",
            horse.clone(),
        ),
        (
            "SHA-512-crypt",
            "$6$rounds=1000$j3bPqh1tlQ6exM0n$GPbXAoTT/MlYawCVQ7v66Q.qiY5LBKWaQv6UNp9vgTayYiu5Doe2rXDxPqEokwfHggkvXShTYvSf50yd6GJyt.",
            cat.clone(),
        ),
        (
            "SHA-256-crypt",
            "$5$rounds=1234$cavQpQnYFC3ovxMe$f5qmPY/LXRFiWeJHcSdikzaelOb.s.7pehngxrta9/C",
            long,
        ),
        // openssl passwd 3.0.
        (
            "SHA-512-crypt",
            "$6$saltsalt$hRM5XZ86KXEw9UOmjigeVqFgULtFB2sgpC9lXQDfMib3Zgw7mEiUvBJI2EplzfAqxL5Vvwp2scFtv/uamSo5z0",
            horse.clone(),
        ),
        (
            "SHA-256-crypt",
            "$5$saltsalt$VtlgzOi3zbe96XiYSxgFNcfoxUb4d1jWndGcgw1AbZ9",
            cat.clone(),
        ),
        // The published example; the second by hashlib.scrypt and the package cryptography.
        ("Firebase scrypt", FIREBASE, "user1password".to_owned()),
        (
            "Firebase scrypt",
            "$firebase-scrypt$ln=14,r=8,sep=Bw,key=jxspr8Ki0RYycVU8zykbdLGjFQ3McFUH0uiiTvC8pVMXAn210wjLNmdZJzxUECKbm0QsEmYUSDzZvpjeJ9WmXA$42xEC-ixf3L2lw$4IdsI94rM56W2-60qIXOLOuQUoI_WsipFiVIIckPV-WRXHkFvB2ndBv3snAAbM888kUsxgEmBCtWDbj5SuROYQ",
            cat,
        ),
    ]
}

#[test]
fn hashes_of_other_systems_match_their_password_and_no_other() {
    for (name, text, password) in vectors() {
        let format = Format::identify(text).unwrap_or_else(|fault| panic!("{text}: {fault}"));
        assert_eq!(format.name(), name, "{text}");
        assert_eq!(format.matches(password.as_bytes()), Some(true), "{text}");
        let kept = format.to_text();
        assert!(kept.len() <= MAX_TEXT, "{kept}");
        assert_eq!(Format::identify(&kept).as_ref(), Ok(&format), "{kept}");
        let is_costly = text.starts_with("$2b$12$") || text.contains("$1000000$");
        if !is_costly {
            assert_eq!(format.matches(b"correct Horse"), Some(false), "{text}");
        }
    }
}

/// By hashlib and argon2-cffi 25.1, in the form of Keycloak's exports: the defaults of Keycloak
/// 3, 23, 24 and 26.
fn keycloak(
    algorithm: &str,
    iterations: u32,
    more: &serde_json::Value,
    value: &str,
) -> serde_json::Value {
    let data =
        json!({"hashIterations": iterations, "algorithm": algorithm, "additionalParameters": more});
    let secret =
        json!({"value": value, "salt": "AAECAwQFBgcICQoLDA0ODw==", "additionalParameters": {}});
    json!({
        "id": "c2b0c1ff-7f0c-4f6b-8d3b-5a4a1c1b8f5e", "type": "password", "createdDate": 1_600_000_000_000_i64,
        "secretData": secret.to_string(), "credentialData": data.to_string(),
    })
}

#[test]
fn credentials_of_keycloak_match_their_password() {
    let none = json!({});
    let argon2 = json!({"hashLength": ["32"], "memory": ["7168"], "type": ["id"], "version": ["1.3"], "parallelism": ["1"]});
    let cases = [
        (
            "PBKDF2-SHA1",
            keycloak(
                "pbkdf2",
                20_000,
                &none,
                "fniHe4wujMvABtTa8nlrXUNDmQbEVpEAOGSrBOKjUxr8fq0EhOTrbtwxv0kDHkCeZpDFXImqFMKFND2GDrIqXQ==",
            ),
        ),
        (
            "PBKDF2-SHA256",
            keycloak(
                "pbkdf2-sha256",
                27_500,
                &none,
                "qnA427fe69fAjkevcHZvnm7vp3MewnxKL4g2WLfI7U6teQVH1eR2L5DfcV0psPIfjGPtlZbkpnogYX+2TaSl6w==",
            ),
        ),
        (
            "PBKDF2-SHA512",
            keycloak(
                "pbkdf2-sha512",
                210_000,
                &none,
                "l4pqr0UVqxiWEnbGDBV//hzeVcB7ZgsFnr5Z+SZYIYjhXWCECCVC/oKM2WWMwBzQGCBfe2yb+20zK3Rr1rkPjg==",
            ),
        ),
    ];
    for (name, credential) in cases {
        let format = Format::of_keycloak(&credential).unwrap();
        assert_eq!(format.name(), name);
        assert_eq!(format.matches(HORSE.as_bytes()), Some(true), "{name}");
        assert_eq!(format.matches(b"correct Horse"), Some(false), "{name}");
        assert_eq!(Format::identify(&format.to_text()), Ok(format), "{name}");
    }
    let value = "I9aBicNnH49yuiIjQJC85giAQWszITIjdobXf3FdYMg=";
    let format = Format::of_keycloak(&keycloak("argon2", 5, &argon2, value)).unwrap();
    assert_eq!(
        format.to_text(),
        "$argon2id$v=19$m=7168,t=5,p=1$AAECAwQFBgcICQoLDA0ODw$I9aBicNnH49yuiIjQJC85giAQWszITIjdobXf3FdYMg"
    );
    let old = json!({
        "type": "password", "algorithm": "pbkdf2-sha256", "hashIterations": 27_500, "salt": "AAECAwQFBgcICQoLDA0ODw==",
        "hashedSaltedValue": "qnA427fe69fAjkevcHZvnm7vp3MewnxKL4g2WLfI7U6teQVH1eR2L5DfcV0psPIfjGPtlZbkpnogYX+2TaSl6w==",
    });
    let format = Format::of_keycloak(&old).unwrap();
    assert_eq!(format.matches(HORSE.as_bytes()), Some(true));
    for wrong in [
        json!({}),
        json!("x"),
        json!({"type": "otp", "algorithm": "pbkdf2"}),
        keycloak("pbkdf2-sha384", 1, &none, value),
        keycloak("pbkdf2-sha256", 0, &none, value),
        keycloak("pbkdf2-sha256", 100_000_000, &none, value),
        keycloak("argon2", 5, &none, value),
    ] {
        assert!(Format::of_keycloak(&wrong).is_err(), "{wrong}");
    }
}

#[test]
fn bcrypt_sees_72_bytes_and_nothing_from_a_nul_on() {
    let text = "$2b$04$i/kwDeVo5SDaW6hNVhTYXOSTcj1jUwChN9oJX..9mrlWS55VO4GWG";
    let format = Format::identify(text).unwrap();
    let seen = "a".repeat(71) + "b";
    assert_eq!(format.matches(seen.as_bytes()), Some(true));
    assert_eq!(format.matches((seen + "other").as_bytes()), Some(true));
    assert_eq!(format.matches("a".repeat(71).as_bytes()), Some(false));
    let horse =
        Format::identify("$2b$04$OqyGUXeXeQyx.jx2GgVH2O8CmXWfShXJHosmbfYZXUpkO5RuOjQja").unwrap();
    assert_eq!(horse.matches(b"correct horse\0tail"), Some(true));
    // What is hashed before has no such limits.
    let text = "bcrypt_sha256$$2b$04$GiIkuAuqLTGv/NZn5w6DV.xYI9XxfUWAOmqzz.ZKR9hlfH/ewR5Su";
    let format = Format::identify(text).unwrap();
    assert_eq!(
        format.matches(("a".repeat(71) + "b").as_bytes()),
        Some(false)
    );
}

#[test]
fn what_is_not_supported_is_refused_by_its_name() {
    for (text, name) in [
        ("$1$saltsalt$qjXMvbEw8oaL.CzflDtaK/", "md5crypt ($1$)"),
        ("$apr1$x$y", "Apache's md5crypt ($apr1$)"),
        (
            "$2x$04$OqyGUXeXeQyx.jx2GgVH2O8CmXWfShXJHosmbfYZXUpkO5RuOjQja",
            "bcrypt $2x$",
        ),
        ("$y$j9T$x$y", "yescrypt ($y$)"),
        ("$P$B12345678", "phpass ($P$)"),
        ("{SSHA}abc", "an LDAP password"),
        ("sha1$a$b", "Django's SHA-1"),
        ("pbkdf2:sha256:600000$a$b", "Werkzeug's PBKDF2"),
        ("$pbkdf2-sha384$1$a$b", "PBKDF2 with another digest"),
        ("5f4dcc3b5aa765d61d8327deb882cf99", "a bare MD5 or NT hash"),
        ("hunter2", "a text that is no known hash"),
        ("", "an empty text"),
        ("!", "an unusable password"),
        ("$new$x", "this form of hash"),
    ] {
        let fault = Format::identify(text).unwrap_err();
        assert_eq!(fault.code(), "hash_unsupported", "{text}");
        assert!(fault.to_string().starts_with(name), "{text}: {fault}");
        assert!(
            text.len() < 8 || !fault.to_string().contains(text),
            "{fault}"
        );
    }
}

#[test]
fn half_a_hash_is_refused() {
    for (_, text, _) in vectors() {
        let last = text.rfind('$').unwrap();
        for cut in [last + 6, last - 2] {
            let fault = Format::identify(&text[..cut]).unwrap_err();
            assert_ne!(fault.code(), "hash_too_costly", "{text} {cut}: {fault}");
        }
    }
    for text in [
        "$2b$4$OqyGUXeXeQyx.jx2GgVH2O8CmXWfShXJHosmbfYZXUpkO5RuOjQja",
        "$2b$03$OqyGUXeXeQyx.jx2GgVH2O8CmXWfShXJHosmbfYZXUpkO5RuOjQja",
        "$pbkdf2-sha256$0$EeI85/xfaw0hBGAMAWAsZQ$JrvWQY0Op5yaBKIMYqJ.FRrDgdt2WMLNxsobKNFREOk",
        "$pbkdf2-sha256$i=1000,l=16$EeI85/xfaw0hBGAMAWAsZQ$JrvWQY0Op5yaBKIMYqJ.FRrDgdt2WMLNxsobKNFREOk",
        "$scrypt$ln=0,r=8,p=1$0hrD+H8PgXAO4fwfA6DU+g$mDBkDuNuqT/JqzcMO0abesRT84pkoSzPQC+4NhKEXKM",
        "scrypt$16383$seasalt$8$1$nXachnDoZ26UFUF1o3PD3FjYfKq/mD4nZm22d5L0rp+Bi3DZTjkayk+fTW77FlT+2IelThLoihBYgWjZHfwh3Q==",
        "$6$rounds=999$j3bPqh1tlQ6exM0n$GPbXAoTT/MlYawCVQ7v66Q.qiY5LBKWaQv6UNp9vgTayYiu5Doe2rXDxPqEokwfHggkvXShTYvSf50yd6GJyt.",
        "$argon2id$v=18$m=64,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$uL2hQzJmxaz0Tfm2KK6uNjA0+UvbrHBEBwVmJYrNXCE",
        "$argon2id$v=19$m=7,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$uL2hQzJmxaz0Tfm2KK6uNjA0+UvbrHBEBwVmJYrNXCE",
    ] {
        assert_eq!(
            Format::identify(text).unwrap_err().code(),
            "hash_malformed",
            "{text}"
        );
    }
}

#[test]
fn what_would_take_the_machine_is_refused() {
    for text in [
        "$2b$15$OqyGUXeXeQyx.jx2GgVH2O8CmXWfShXJHosmbfYZXUpkO5RuOjQja",
        "$pbkdf2-sha256$4294967295$EeI85/xfaw0hBGAMAWAsZQ$JrvWQY0Op5yaBKIMYqJ.FRrDgdt2WMLNxsobKNFREOk",
        "$scrypt$ln=19,r=8,p=1$0hrD+H8PgXAO4fwfA6DU+g$mDBkDuNuqT/JqzcMO0abesRT84pkoSzPQC+4NhKEXKM",
        "$scrypt$ln=14,r=8,p=1000$0hrD+H8PgXAO4fwfA6DU+g$mDBkDuNuqT/JqzcMO0abesRT84pkoSzPQC+4NhKEXKM",
        "$scrypt$ln=63,r=4294967295,p=4294967295$0hrD+H8PgXAO4fwfA6DU+g$mDBkDuNuqT/JqzcMO0abesRT84pkoSzPQC+4NhKEXKM",
        "$6$rounds=999999999$j3bPqh1tlQ6exM0n$GPbXAoTT/MlYawCVQ7v66Q.qiY5LBKWaQv6UNp9vgTayYiu5Doe2rXDxPqEokwfHggkvXShTYvSf50yd6GJyt.",
        "$argon2id$v=19$m=262145,t=1,p=1$c29tZXNhbHRzb21lc2FsdA$uL2hQzJmxaz0Tfm2KK6uNjA0+UvbrHBEBwVmJYrNXCE",
        "$argon2id$v=19$m=64,t=11,p=1$c29tZXNhbHRzb21lc2FsdA$uL2hQzJmxaz0Tfm2KK6uNjA0+UvbrHBEBwVmJYrNXCE",
    ] {
        let fault = Format::identify(text).unwrap_err();
        assert_eq!(fault.code(), "hash_too_costly", "{text}: {fault}");
    }
}

#[test]
fn the_longest_texts_fit_their_column() {
    let (salt, tag) = (text::encode(&[255; 64]), text::encode(&[255; 64]));
    let firebase_salt = text::encode(&[255; 24]);
    for text in [
        format!("$pbkdf2-sha512$i=2500000,l=64${salt}${tag}"),
        format!("$scrypt$ln=18,r=8,p=2${salt}${tag}"),
        format!(
            "$argon2id$v=19$m=262144,t=10,p=255${}${tag}",
            text::encode(&[255; 48])
        ),
        format!("$firebase-scrypt$ln=17,r=16,sep=//////////8,key={tag}${firebase_salt}${tag}"),
    ] {
        let format = Format::identify(&text).unwrap();
        let kept = format.to_text();
        assert!(kept.len() <= MAX_TEXT, "{}: {kept}", kept.len());
    }
}
