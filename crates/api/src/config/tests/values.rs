use std::fs;
use std::time::Duration;

use chrono::TimeDelta;
use secrecy::{ExposeSecret as _, SecretString};

use super::*;

#[test]
fn addresses_are_proven_where_mail_is_set_up_unless_said_otherwise() {
    let server = ("SMTP_URL", "smtps://u:p@mail.example.com");
    for (settings, expected) in [
        (vec![], false),
        (vec![server], true),
        (vec![server, ("EMAIL_VERIFICATION", "off")], false),
        (vec![("EMAIL_VERIFICATION", "required")], true),
    ] {
        let config = usable(&settings).config;
        let found = config.registration.email_verification;
        assert_eq!(found, expected, "{settings:?}");
    }
}

#[test]
fn development_needs_nothing() {
    let reading = usable(&[]);
    let config = &reading.config;
    assert_eq!(config.environment, Environment::Development);
    assert_eq!(config.public_url.as_str(), "http://localhost:8004/");
    assert!(config.database.url.is_none() && config.secrets.secret_key.is_none());
    assert_eq!((config.http.port, config.http.metrics_port), (8004, 9464));
    assert_eq!(config.sessions.access_ttl, TimeDelta::minutes(5));
    assert_eq!(
        config.throttle,
        ThrottleConfig {
            per_account_and_address: 10,
            per_address: 100
        }
    );
    assert_eq!(config.mail.from, "gatepost@localhost");
    assert_eq!(config.log.format, LogFormat::Json);
    assert_eq!(reading.warnings, []);
}

#[test]
fn production_tells_everything_that_is_missing_at_once() {
    let faults = faulty(read_all(&[("ENVIRONMENT", "production")]));
    assert_eq!(
        faults,
        [
            "PUBLIC_URL",
            "SECRET_KEY",
            "CSRF_SECRET_KEY",
            "DATABASE_URL"
        ]
    );
}

#[test]
fn production_starts_with_the_five_that_it_needs() {
    let reading = production_with(&[]).unwrap();
    assert_eq!(warned(&reading), ["SMTP_URL"]);
    assert_eq!(reading.config.mail.from, "gatepost@auth.example.com");
}

#[test]
fn a_fault_names_the_variable_the_value_and_an_example() {
    let report = read_all(&[("APP_PORT", "eighty"), ("AUTO_MIGRATE", "maybe")]).unwrap_err();
    let text = report.to_string();
    assert!(
        text.starts_with("2 settings have to be changed:\n"),
        "{text}"
    );
    assert!(text.contains("APP_PORT is `eighty`; it has to be a number from 0 to 65535; for example APP_PORT=8004\n"), "{text}");
    assert!(text.contains("for example AUTO_MIGRATE=true\n"), "{text}");
}

#[test]
fn weak_and_equal_keys_are_refused() {
    assert_eq!(
        faulty(production_with(&[("SECRET_KEY", "changeme")])),
        ["SECRET_KEY"]
    );
    assert_eq!(
        faulty(production_with(&[("CSRF_SECRET_KEY", &"0".repeat(64))])),
        ["CSRF_SECRET_KEY"]
    );
    assert_eq!(
        faulty(production_with(&[("CSRF_SECRET_KEY", KEY)])),
        ["CSRF_SECRET_KEY"]
    );
    assert_eq!(
        faulty(production_with(&[("CSRF_SECRET_KEY", &KEY.to_uppercase())])),
        ["CSRF_SECRET_KEY"]
    );
    assert_eq!(
        faulty(production_with(&[("SECRET_KEY_PREVIOUS", KEY)])),
        ["SECRET_KEY_PREVIOUS"]
    );
    assert_eq!(
        faulty(read_all(&[("SECRET_KEY", KEY), ("CSRF_SECRET_KEY", KEY)])),
        ["CSRF_SECRET_KEY"]
    );
}

#[test]
fn the_public_url_follows_the_port_until_it_is_set() {
    let public_url = |set: &[(&str, &str)]| read_all(set).unwrap().config.public_url.to_string();
    assert_eq!(public_url(&[]), "http://localhost:8004/");
    assert_eq!(
        public_url(&[("APP_PORT", "9000")]),
        "http://localhost:9000/"
    );
    let both = [
        ("APP_PORT", "9000"),
        ("PUBLIC_URL", "https://a.example.com"),
    ];
    assert_eq!(public_url(&both), "https://a.example.com/");
}

#[test]
fn production_refuses_what_is_not_encrypted_or_easy_to_guess() {
    assert_eq!(
        faulty(production_with(&[(
            "PUBLIC_URL",
            "http://auth.example.com"
        )])),
        ["PUBLIC_URL"]
    );
    assert_eq!(
        faulty(production_with(&[("SMTP_URL", "smtp://mail.example.com")])),
        ["SMTP_URL"]
    );
    assert_eq!(
        faulty(production_with(&[("ARGON2_MEMORY_KIB", "8")])),
        ["ARGON2_MEMORY_KIB"]
    );
    assert_eq!(
        faulty(production_with(&[("ARGON2_TIME", "1")])),
        ["ARGON2_MEMORY_KIB"]
    );
    for (memory, time) in [("47104", "1"), ("12288", "3"), ("7168", "5")] {
        production_with(&[("ARGON2_MEMORY_KIB", memory), ("ARGON2_TIME", time)]).unwrap();
    }
}

#[test]
fn an_empty_value_counts_as_not_set() {
    let reading = usable(&[("APP_PORT", ""), ("SECRET_KEY", " "), ("OPA_URL", "")]);
    assert_eq!(reading.config.http.port, 8004);
    assert_eq!(source_of(&reading, "APP_PORT"), Source::Default);
    assert!(reading.config.secrets.secret_key.is_none());
}

#[test]
fn a_secret_may_come_from_a_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("key");
    fs::write(&path, format!("{KEY}\r\n")).unwrap();
    let file = path.to_str().unwrap();
    let reading = usable(&[("SECRET_KEY_FILE", file)]);
    let key = reading.config.secrets.secret_key.as_ref().unwrap();
    assert!(key.equals(&SecretKey::parse(KEY).unwrap()));
    assert_eq!(
        source_of(&reading, "SECRET_KEY"),
        Source::File(path.clone())
    );

    assert_eq!(
        faulty(read_all(&[("SECRET_KEY_FILE", file), ("SECRET_KEY", KEY)])),
        ["SECRET_KEY"]
    );
    assert_eq!(
        faulty(read_all(&[("SECRET_KEY_FILE", "/nonexistent/key")])),
        ["SECRET_KEY_FILE"]
    );
    fs::write(&path, "\n").unwrap();
    assert_eq!(
        faulty(read_all(&[("SECRET_KEY_FILE", file)])),
        ["SECRET_KEY_FILE"]
    );
}

#[test]
fn what_a_secret_file_holds_is_taken_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("password");
    fs::write(&path, " ${HOME} $x \n").unwrap();
    let reading = usable(&[
        ("DB_HOST", "db"),
        ("DB_USER", "app"),
        ("DB_PASSWORD_FILE", path.to_str().unwrap()),
    ]);
    let url = reading.config.database.url.unwrap();
    assert_eq!(url.password().unwrap().expose_secret(), " ${HOME} $x ");
}

#[test]
fn a_value_takes_in_others() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("token");
    fs::write(&path, "t0ken\n").unwrap();
    let token = |value: &str| {
        let reading = read_all(&[
            ("OPA_TOKEN", value),
            ("OPA_URL", "http://opa"),
            ("ONE", "1"),
            ("NESTED", "<${ONE}>"),
            ("FROM_FILE", path.to_str().unwrap()),
            ("FILED_FILE", path.to_str().unwrap()),
        ]);
        reading.map(|reading| {
            reading
                .config
                .policy
                .token
                .unwrap()
                .expose_secret()
                .to_owned()
        })
    };
    for (value, expected) in [
        ("a${ONE}b${ONE}", "a1b1"),
        ("${NESTED}", "<1>"),
        ("${FILED}", "t0ken"),
        ("$ONE$", "$ONE$"),
        ("$${ONE}", "${ONE}"),
        ("pa$$word", "pa$$word"),
    ] {
        assert_eq!(token(value).unwrap(), expected, "{value}");
    }
    for value in ["${NOBODY}", "${ONE", "${}", "${ONE:-2}", "${OPA_TOKEN}"] {
        assert_eq!(
            faulty(read_all(&[("OPA_TOKEN", value)])),
            ["OPA_TOKEN"],
            "{value}"
        );
    }
}

#[test]
fn values_that_refer_to_each_other_are_told() {
    let report = read_all(&[("MAIL_FROM", "${A}"), ("A", "${B}"), ("B", "${A}")]).unwrap_err();
    assert_eq!(
        report.faults[0].problem,
        "refers to itself: MAIL_FROM -> A -> B -> A"
    );
}

#[test]
fn a_reference_that_doubles_itself_does_not_fill_the_memory() {
    let variables: Vec<(String, String)> = (0..40)
        .map(|at| (format!("V{at}"), format!("${{V{0}}}${{V{0}}}", at + 1)))
        .collect();
    let mut all: Vec<(&str, &str)> = variables
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    all.extend([("V40", "0123456789abcdef"), ("OPA_TOKEN", "${V0}")]);
    assert_eq!(faulty(read_all(&all)), ["OPA_TOKEN"]);
}

#[test]
fn a_misspelt_name_is_warned_about() {
    let reading = usable(&[
        ("SECERT_KEY", "x"),
        ("DATABASE_URL_FLIE", "x"),
        ("GATEPOST_COLOUR", "x"),
        ("ADMIN_PASSWORD", "x"),
        ("HOME", "/home/app"),
        ("PATH", "/bin"),
        ("APP_URL", "x"),
        ("GATEPOST_PORT", "tcp://10.0.0.1:80"),
        ("GATEPOST_SERVICE_HOST", "10.0.0.1"),
        ("GATEPOST_PORT_80_TCP_ADDR", "10.0.0.1"),
    ]);
    assert_eq!(
        warned(&reading),
        [
            "ADMIN_PASSWORD",
            "DATABASE_URL_FLIE",
            "GATEPOST_COLOUR",
            "SECERT_KEY"
        ]
    );
    assert!(
        reading.warnings[3]
            .message
            .ends_with("did you mean SECRET_KEY?")
    );
}

#[test]
fn a_misspelt_name_is_told_beside_the_fault_that_it_causes() {
    let mut variables = PRODUCTION;
    variables[3].0 = "SECRET_KYE";
    let report = read_all(&variables).unwrap_err();
    assert_eq!(report.faults.len(), 1);
    assert!(
        report
            .to_string()
            .contains("warning: SECRET_KYE is not read; did you mean SECRET_KEY?")
    );
}

#[test]
fn a_name_that_a_value_refers_to_is_not_misspelt() {
    let reading = usable(&[
        ("MAIL_FROMM", "a@example.com"),
        ("MAIL_FROM", "${MAIL_FROMM}"),
    ]);
    assert_eq!(reading.warnings, []);
    assert_eq!(reading.config.mail.from, "a@example.com");
}

#[test]
fn the_administrators_password_comes_from_a_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("admin");
    let file = path.to_str().unwrap();
    fs::write(&path, "correct horse battery\n").unwrap();
    let reading = usable(&[("ADMIN_PASSWORD_FILE", file)]);
    let password: Option<SecretString> = reading.config.admin.password;
    assert_eq!(password.unwrap().expose_secret(), "correct horse battery");

    fs::write(&path, "short").unwrap();
    assert_eq!(
        faulty(production_with(&[("ADMIN_PASSWORD_FILE", file)])),
        ["ADMIN_PASSWORD_FILE"]
    );
    let missing = [("ADMIN_PASSWORD_FILE", "/nonexistent/admin")];
    assert_eq!(faulty(read_all(&missing)), ["ADMIN_PASSWORD_FILE"]);
    assert_eq!(
        faulty(read_all(&[("ADMIN_EMAIL", "admin")])),
        ["ADMIN_EMAIL"]
    );
}

#[test]
fn the_blocklist_is_normalized() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("list");
    fs::write(&path, "Correct Horse\r\n\n#1 fan\nﬁligree\n").unwrap();
    let reading = usable(&[("PASSWORD_BLOCKLIST_FILE", path.to_str().unwrap())]);
    let mut list: Vec<_> = reading.config.password.blocklist.into_iter().collect();
    list.sort();
    assert_eq!(list, ["#1 fan", "correct horse", "filigree"]);
}

#[test]
fn lifetimes_have_to_nest() {
    let lifetime = |name, value| faulty(read_all(&[(name, value)]));
    assert_eq!(lifetime("ACCESS_TOKEN_TTL", "2h"), ["ACCESS_TOKEN_TTL"]);
    assert_eq!(lifetime("SESSION_IDLE_TTL", "25h"), ["SESSION_IDLE_TTL"]);
    assert_eq!(lifetime("SESSION_REMEMBER_TTL", "1h"), ["SESSION_MAX_TTL"]);
    assert_eq!(lifetime("SESSION_IDLE_TTL", "2m"), ["ACCESS_TOKEN_TTL"]);
    assert_eq!(
        lifetime("REFRESH_REUSE_GRACE", "61"),
        ["REFRESH_REUSE_GRACE"]
    );
    assert_eq!(
        lifetime("TRUSTED_DEVICE_TTL", "91d"),
        ["TRUSTED_DEVICE_TTL"]
    );
}

#[test]
fn ports_must_differ_unless_the_system_chooses() {
    assert_eq!(
        faulty(read_all(&[("METRICS_PORT", "8004")])),
        ["METRICS_PORT"]
    );
    usable(&[("METRICS_PORT", "0"), ("APP_PORT", "0")]);
}

#[test]
fn policy_settings_without_effect_are_told() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().to_str().unwrap();
    let reading = usable(&[("OPA_URL", "http://opa:8181"), ("POLICY_DIR", folder)]);
    // Sidecars get their bundles from the folder, whoever decides here.
    let none: [&str; 0] = [];
    assert_eq!(warned(&reading), none);
    assert_eq!(reading.config.policy.timeout, Duration::from_millis(250));
    assert_eq!(warned(&usable(&[("OPA_TOKEN", "t")])), ["OPA_TOKEN"]);
    assert_eq!(
        faulty(read_all(&[("POLICY_DIR", "/nonexistent")])),
        ["POLICY_DIR"]
    );
    assert_eq!(
        faulty(read_all(&[("OPA_URL", "http://u:p@opa")])),
        ["OPA_URL"]
    );
}

#[test]
fn a_terminal_gets_pretty_logs() {
    let format = |is_terminal| read(&|_| None, &[], is_terminal).unwrap().config.log.format;
    assert_eq!(format(true), LogFormat::Pretty);
    assert_eq!(format(false), LogFormat::Json);
}

#[test]
fn no_secret_is_printed() {
    let secrets = [
        ("DATABASE_URL", "postgres://app:hunter2@localhost/db"),
        (
            "MIGRATION_DATABASE_URL",
            "postgres://owner:hunter2@localhost/db",
        ),
        ("SECRET_KEY", KEY),
        ("CSRF_SECRET_KEY", OTHER_KEY),
        ("SMTP_URL", "smtps://u:hunter2@mail.example.com"),
        ("OPA_URL", "http://opa:8181"),
        ("OPA_TOKEN", "hunter2"),
    ];
    let reading = usable(&secrets);
    let mut printed = format!("{reading:?}").into_bytes();
    command::show(&reading, &mut printed).unwrap();
    let printed = String::from_utf8(printed).unwrap();
    for secret in ["hunter2", KEY, OTHER_KEY] {
        assert!(!printed.contains(secret), "{printed}");
    }
    assert_eq!(
        shown(&reading, "DATABASE_URL"),
        "postgres://app:***@localhost:5432/db?sslmode=prefer"
    );
    assert_eq!(shown(&reading, "OPA_TOKEN"), "[secret]");
}

#[test]
fn no_secret_is_in_a_fault() {
    for (name, value) in [
        ("DATABASE_URL", "postgres://app:hunter2/@localhost/db"),
        ("DATABASE_URL", "hunter2"),
        (
            "MIGRATION_DATABASE_URL",
            "postgres://app:hun#hunter2@localhost/db",
        ),
        ("SECRET_KEY", "hunter2"),
        ("SMTP_URL", "smtps://u:hunter2/@mail.example.com"),
        ("OPA_TOKEN", "hunter2 ä"),
        ("OPA_TOKEN", "${hunter2!}"),
        ("OPA_URL", "http://u:hunter2@opa"),
        ("PUBLIC_URL", "http://u:hunter2@host"),
    ] {
        let report = read_all(&[(name, value)]).unwrap_err();
        assert!(
            !format!("{report} {report:?}").contains("hunter2"),
            "{report}"
        );
    }
}
