use proptest::prelude::*;

use super::*;

fn parse(text: &str) -> DatabaseUrl {
    DatabaseUrl::parse(text).unwrap_or_else(|fault| panic!("{text}: {fault}"))
}

fn fault(text: &str) -> UrlFault {
    DatabaseUrl::parse(text).expect_err(text)
}

fn password(url: &DatabaseUrl) -> Option<&str> {
    url.password().map(secrecy::ExposeSecret::expose_secret)
}

#[test]
fn a_plain_url_is_read() {
    let url = parse("postgresql://app:pw@db.example.com:6432/gatepost");
    assert_eq!(url.host(), &Host::Name("db.example.com".into()));
    assert_eq!(
        (url.port(), url.user(), url.database()),
        (6432, "app", "gatepost")
    );
    assert_eq!(password(&url), Some("pw"));
    assert_eq!((url.ssl(), url.dialect()), (&Ssl::default(), None));
    assert_eq!(url.connect_timeout(), Duration::from_secs(5));
}

#[test]
fn what_is_left_out_has_libpqs_defaults() {
    let url = parse("postgres://app@db");
    assert_eq!(
        (url.port(), url.database(), password(&url)),
        (5432, "app", None)
    );
    assert_eq!(parse("postgres://app@db:/x").port(), 5432);
}

#[test]
fn names_of_other_drivers_in_the_scheme_are_told() {
    assert_eq!(
        parse("postgresql+asyncpg://u@h/d").dialect(),
        Some("asyncpg")
    );
    assert_eq!(
        parse("postgres+psycopg2://u@h/d").dialect(),
        Some("psycopg2")
    );
    assert_eq!(
        parse("postgresql+psycopg://u@h/d").dialect(),
        Some("psycopg")
    );
    for text in [
        "postgresql+mysql://u@h/d",
        "mysql://u@h/d",
        "u@h/d",
        "",
        "postgres:/u@h/d",
    ] {
        assert_eq!(fault(text), UrlFault::Scheme, "{text}");
    }
}

#[test]
fn credentials_are_percent_decoded() {
    let url = parse("postgres://us%40er:p%23a%2Fs%3As%25%20w%C3%B6rd+@h/my%20db");
    assert_eq!((url.user(), url.database()), ("us@er", "my db"));
    assert_eq!(password(&url), Some("p#a/s:s% wörd+"));
}

#[test]
fn an_unescaped_character_in_the_password_is_explained() {
    for text in [
        "postgres://u:pa#ss@h/db",
        "postgres://u:pa/ss@h/db",
        "postgres://u:12/ss@h/db",
        "postgres://u:12?ss@h/db",
        "postgres://u:pa@ss@h/db",
        "postgres://u:pa ss@h/db",
    ] {
        let message = fault(text).to_string();
        assert!(message.contains("percent-encode"), "{text}: {message}");
    }
    assert!(
        fault("postgres://u:pa?ss@h/db")
            .to_string()
            .contains("percent-encode")
    );
    assert_eq!(
        fault("postgres://u:100%@h/db"),
        UrlFault::Encoding("password")
    );
    assert_eq!(
        fault("postgres://u:%zz@h/db"),
        UrlFault::Encoding("password")
    );
    assert_eq!(
        fault("postgres://u:%00@h/db"),
        UrlFault::Encoding("password")
    );
    assert_eq!(
        fault("postgres://u:%ff@h/db"),
        UrlFault::Encoding("password")
    );
}

#[test]
fn sockets_are_found_in_the_host_and_in_the_parameters() {
    for text in [
        "postgres://u@%2Frun%2Fpostgresql/d",
        "postgres://u@/d?host=/run/postgresql",
    ] {
        let url = parse(text);
        assert_eq!(url.host(), &Host::Socket("/run/postgresql".into()));
        assert!(url.is_local());
        let options = url.to_connect_options(false);
        assert_eq!(
            options.get_socket(),
            Some(&PathBuf::from("/run/postgresql"))
        );
    }
}

#[test]
fn a_parameter_wins_over_the_part_of_the_url() {
    let url = parse("postgres://a:b@h1:1/d?host=h2&port=2&user=c&password=e%26f&dbname=g");
    assert_eq!(
        url.to_secret_text().expose_secret(),
        "postgres://c:e%26f@h2:2/g"
    );
}

#[test]
fn addresses_of_both_families_are_read() {
    assert_eq!(
        parse("postgres://u@[::1]:1/d").host(),
        &Host::Name("::1".into())
    );
    assert_eq!(
        parse("postgres://u@[2001:db8::1]/d").to_string(),
        "postgres://u@[2001:db8::1]:5432/d"
    );
    for local in ["localhost", "127.0.0.1", "[::1]"] {
        assert!(
            parse(&format!("postgres://u@{local}/d")).is_local(),
            "{local}"
        );
    }
    for remote in ["10.0.0.1", "db", "localhost.example.com", "[::2]"] {
        assert!(
            !parse(&format!("postgres://u@{remote}/d")).is_local(),
            "{remote}"
        );
    }
}

#[test]
fn what_makes_no_sense_is_refused() {
    for (text, expected) in [
        ("postgres://u@h1,/d", UrlFault::Missing("host")),
        ("postgres://u@h1:1,h2:0/d", UrlFault::Port),
        (
            "postgres://u@/d?host=h1,h2,h3&port=1,2",
            UrlFault::Ports { hosts: 3, ports: 2 },
        ),
        (
            "postgres://u@h1,h2/d?target_session_attrs=any",
            UrlFault::AnyOfSeveral,
        ),
        (
            "postgres://u@h/d?target_session_attrs=prefer-standby",
            UrlFault::CannotWrite("prefer-standby"),
        ),
        (
            "postgres://u@h/d?statement-cache-capacity=0&options=-c%20work_mem%3D8MB",
            UrlFault::OptionsThroughPooler,
        ),
        ("postgres://u@/d", UrlFault::Missing("host")),
        ("postgres://", UrlFault::Missing("host")),
        ("postgres://h/d", UrlFault::Missing("user")),
        ("postgres://:p@h/d", UrlFault::Missing("user")),
        ("postgres://u@h:0/d", UrlFault::Port),
        ("postgres://u@h:+1/d", UrlFault::Port),
        ("postgres://u@h:65536/d", UrlFault::Port),
        ("postgres://u@h:1:2/d", UrlFault::Port),
        ("postgres://u@[::1/d", UrlFault::Host),
        ("postgres://u@[h]/d", UrlFault::Host),
        ("postgres://u@[::1]x/d", UrlFault::Host),
        ("postgres://u@h$x/d", UrlFault::Host),
        ("postgres://u@h/d?sslmode=verify_full", UrlFault::SslMode),
        ("postgres://u@h/d?sslmode=", UrlFault::SslMode),
        (
            "postgres://u@h/d?sslmode=require&sslmode=disable",
            UrlFault::RepeatedParameter("sslmode"),
        ),
        ("postgres://u@h/d?sslcert=/c", UrlFault::HalfACertificate),
        (
            "postgres://u@h/d?keepalives=1",
            UrlFault::UnsupportedParameter("keepalives"),
        ),
        (
            "postgres://u@h/d?options=-c%20app.scope%3Dsystem",
            UrlFault::ReservedSetting,
        ),
        (
            "postgres://u@h/d?options=-cAPP.user_id=1",
            UrlFault::ReservedSetting,
        ),
        (
            "postgres://u@h/d?options=--app.scope=system",
            UrlFault::ReservedSetting,
        ),
    ] {
        assert_eq!(fault(text), expected, "{text}");
    }
    for query in [
        "connect_timeout=0",
        "connect_timeout=soon",
        "application_name=",
        "application_name=a%0Ab",
        "target_session_attrs=writable",
        "channel_binding=require",
        "options=-c",
        "options=work_mem",
        "options=-c%20work_mem",
        "options=-c%20a=b%0A",
    ] {
        let fault = fault(&format!("postgres://u@h/d?{query}"));
        assert!(matches!(fault, UrlFault::Value { .. }), "{query}: {fault}");
    }
}

#[test]
fn a_misspelt_parameter_is_refused_with_what_was_meant() {
    for (given, meant) in [
        ("ssl_mode", "sslmode"),
        ("sslMode", "sslmode"),
        ("ssl-mode", "sslmode"),
        ("sslmod", "sslmode"),
        ("ssl", "sslmode"),
        ("ssl_root_cert", "sslrootcert"),
        ("applicationname", "application_name"),
        ("database", "dbname"),
    ] {
        let message = fault(&format!("postgres://u@h/d?{given}=x")).to_string();
        assert!(
            message.ends_with(&format!("`{given}`; did you mean `{meant}`?")),
            "{message}"
        );
    }
    assert_eq!(
        fault("postgres://u@h/d?wholly_else=x"),
        UrlFault::UnknownParameter(None)
    );
}

#[test]
fn the_driver_gets_what_the_url_says() {
    let options = parse(
        "postgres://u:p@db:6000/d?sslmode=verify-full&options=-c%20work_mem%3D8MB%20-cgeqo%3Doff\
         &connect_timeout=9&target_session_attrs=any&channel_binding=prefer",
    )
    .to_connect_options(false);
    assert_eq!((options.get_host(), options.get_port()), ("db", 6000));
    assert_eq!(
        (options.get_username(), options.get_database()),
        ("u", Some("d"))
    );
    assert_eq!(options.get_application_name(), Some("gatepost"));
    assert_eq!(options.get_options(), Some("-c work_mem=8MB -c geqo=off"));
    assert!(matches!(options.get_ssl_mode(), PgSslMode::VerifyFull));
}

#[test]
fn no_mode_is_weaker_than_libpqs() {
    let mode = |query: &str| {
        format!(
            "{:?}",
            parse(&format!("postgres://u@h/d?{query}"))
                .to_connect_options(false)
                .get_ssl_mode()
        )
    };
    assert_eq!(mode(""), "Prefer");
    assert_eq!(mode("sslmode=disable"), "Disable");
    assert_eq!(mode("sslmode=allow"), "Disable");
    assert_eq!(mode("sslmode=require"), "Require");
    assert_eq!(mode("sslmode=require&sslrootcert=/ca.pem"), "VerifyCa");
    assert_eq!(mode("sslmode=verify-ca"), "VerifyCa");
    assert_eq!(mode("sslmode=verify-full&host=/run/postgresql"), "Disable");
}

#[test]
fn what_was_refused_is_tried_in_the_other_mode() {
    let modes = |query: &str| {
        parse(&format!("postgres://u@h/d?{query}"))
            .attempts(false)
            .iter()
            .map(|(options, _)| format!("{:?}", options.get_ssl_mode()))
            .collect::<Vec<_>>()
    };
    assert_eq!(modes(""), ["Prefer", "Disable"]);
    assert_eq!(modes("sslmode=prefer"), ["Prefer", "Disable"]);
    assert_eq!(modes("sslmode=allow"), ["Disable", "Require"]);
    for strict in ["disable", "require", "verify-ca", "verify-full"] {
        assert_eq!(modes(&format!("sslmode={strict}")).len(), 1, "{strict}");
    }
    assert_eq!(modes("host=/run/postgresql"), ["Disable"]);
}

#[test]
fn an_authority_goes_with_a_mode_that_asks_it() {
    let check = |query: &str| parse(&format!("postgres://u@h/d?{query}")).check_ssl();
    assert_eq!(
        check("sslmode=verify-ca"),
        Err(UrlFault::NoRootCert("verify-ca"))
    );
    assert_eq!(
        check("sslmode=verify-ca&sslrootcert=system"),
        Err(UrlFault::WeakWithSystem("verify-ca"))
    );
    assert_eq!(
        check("sslmode=require&sslrootcert=system"),
        Err(UrlFault::WeakWithSystem("require"))
    );
    for good in [
        "sslmode=verify-full",
        "sslmode=verify-full&sslrootcert=system",
        "sslmode=verify-ca&sslrootcert=/ca.pem",
        "sslmode=verify-ca&host=/run",
    ] {
        assert_eq!(check(good), Ok(()), "{good}");
    }
}

#[test]
fn echo_turns_the_statement_log_on() {
    let url = parse("postgres://u@h/d");
    let settings = |echo| format!("{:?}", url.to_connect_options(echo));
    assert!(
        settings(true).contains("statements_level: Info"),
        "{}",
        settings(true)
    );
    assert!(
        settings(false).contains("statements_level: Off"),
        "{}",
        settings(false)
    );
}

/// Any text that the server takes: everything but NUL.
fn any_text() -> impl Strategy<Value = String> {
    "[^\u{0}]{1,24}".prop_map(String::from)
}

fn any_host() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z][a-z0-9-]{0,20}(\\.[a-z]{2,5})?",
        any::<std::net::Ipv4Addr>().prop_map(|address| address.to_string()),
        any::<std::net::Ipv6Addr>().prop_map(|address| address.to_string()),
        "/[^\u{0}]{0,20}".prop_map(String::from),
    ]
}

prop_compose! {
    fn any_url()(
        (host, port) in (any_host(), 1..=u16::MAX),
        (user, password, database) in (any_text(), proptest::option::of(any_text()), any_text()),
        mode in proptest::option::of(proptest::sample::select(SslMode::ALL.to_vec())),
        (root_cert, client) in (proptest::option::of(any_text()), proptest::option::of((any_text(), any_text()))),
        options in proptest::collection::vec(("[a-z_]{1,9}(\\.[a-z]{1,5})?", "[^\\p{Cc}]{0,12}"), 0..3),
        (name, timeout) in (proptest::option::of("[ -~]{1,63}"), proptest::option::of(1..=600_u64)),
    ) -> DatabaseUrl {
        let mut url =
            DatabaseUrl::from_parts(&host, port, &user, password.map(Into::into), &database).unwrap();
        let (cert, key) = client.map(|(cert, key)| (cert.into(), key.into())).unzip();
        url.ssl = Ssl { mode, root_cert: root_cert.map(Into::into), cert, key };
        url.options = options.into_iter().filter(|(name, _)| !name.starts_with("app.")).collect();
        url.application_name = name;
        url.connect_timeout = timeout.map(Duration::from_secs);
        url
    }
}

proptest! {
    #[test]
    fn reading_never_panics(text in "(postgres(ql)?(\\+[a-z]*)?://)?\\PC{0,60}") {
        let _ = DatabaseUrl::parse(&text);
    }

    #[test]
    fn reading_near_urls_never_panics(
        text in "postgres://[a:%@/?#&=\\[\\],.0-9é-]{0,40}(\\?[a-z_]{0,9}=[%0-9a-z/,-]{0,9}){0,3}",
    ) {
        let _ = DatabaseUrl::parse(&text);
    }

    #[test]
    fn what_is_written_is_read_back(url in any_url()) {
        let text = url.to_secret_text();
        let again = DatabaseUrl::parse(text.expose_secret()).unwrap();
        let rewritten = again.to_secret_text();
        prop_assert_eq!(rewritten.expose_secret(), text.expose_secret());
        prop_assert_eq!((again.host(), again.port()), (url.host(), url.port()));
        prop_assert_eq!((again.user(), again.database()), (url.user(), url.database()));
        prop_assert_eq!(password(&again), password(&url));
        prop_assert_eq!((again.ssl(), &again.options), (url.ssl(), &url.options));
        prop_assert_eq!(again.connect_timeout(), url.connect_timeout());
    }

    #[test]
    fn the_password_never_prints(
        before in "\\PC{0,8}", after in "\\PC{0,8}", tail in "(\\?[a-z]{1,9}(=[a-z]{1,5})?)?",
    ) {
        let secret = format!("{before}Zq7Kx{after}");
        let encoded = parse::encode(&secret);
        for text in [
            format!("postgres://user:{encoded}@host/db{tail}"),
            format!("postgres://user@host/db?password={encoded}"),
            format!("postgres://user:{secret}@host/db{tail}"),
            format!("postgres://user@host/db?password={secret}"),
            secret,
        ] {
            let printed = match DatabaseUrl::parse(&text) {
                Ok(url) => format!("{url} {url:?}"),
                Err(fault) => format!("{fault} {fault:?}"),
            };
            prop_assert!(!printed.contains("Zq7Kx"), "{}", printed);
        }
    }
}

fn places(text: &str) -> Vec<String> {
    let url = parse(text);
    let places = url.addresses().iter().map(ToString::to_string).collect();
    assert_eq!(
        parse(secrecy::ExposeSecret::expose_secret(&url.to_secret_text())).addresses(),
        url.addresses()
    );
    places
}

#[test]
fn several_hosts_are_read_as_libpq_reads_them() {
    for (text, expected) in [
        ("postgres://u@h1:1,h2:2/d", ["h1:1", "h2:2"]),
        ("postgres://u@h1,h2:5433/d", ["h1:5432", "h2:5433"]),
        ("postgres://u@[::1]:1,h2/d", ["::1:1", "h2:5432"]),
        ("postgres://u@/d?host=h1,h2", ["h1:5432", "h2:5432"]),
        ("postgres://u@/d?host=h1,h2&port=7", ["h1:7", "h2:7"]),
        ("postgres://u@/d?host=h1,h2&port=7,8", ["h1:7", "h2:8"]),
        (
            "postgres://u@/d?host=h1,/run&port=,8",
            ["h1:5432", "/run:8"],
        ),
    ] {
        assert_eq!(places(text), expected, "{text}");
    }
    let url = parse("postgres://u:p@h1,h2:2/d?target_session_attrs=primary");
    assert_eq!(
        url.to_string(),
        "postgres://u:***@h1:5432,h2:2/d?target_session_attrs=primary"
    );
    assert!(url.needs_primary() && !url.is_local());
    let each: Vec<_> = url.each().iter().map(ToString::to_string).collect();
    assert_eq!(
        each,
        [
            "postgres://u:***@h1:5432/d?target_session_attrs=primary",
            "postgres://u:***@h2:2/d?target_session_attrs=primary"
        ]
    );
}

#[test]
fn only_a_session_that_writes_is_asked_for() {
    for (text, needs_primary) in [
        ("postgres://u@h/d", false),
        ("postgres://u@h/d?target_session_attrs=any", false),
        ("postgres://u@h/d?target_session_attrs=read-write", true),
        ("postgres://u@h/d?target_session_attrs=primary", true),
        ("postgres://u@h1,h2/d", true),
    ] {
        assert_eq!(parse(text).needs_primary(), needs_primary, "{text}");
    }
}

#[test]
fn a_cache_of_nothing_means_a_pooler() {
    assert!(parse("postgres://u@h/d?statement-cache-capacity=0").is_pooled());
    assert!(!parse("postgres://u@h/d?statement-cache-capacity=50").is_pooled());
    assert!(!parse("postgres://u@h/d").is_pooled());
}
