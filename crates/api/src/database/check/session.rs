//! P6: what kind of session it is.

use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use serde::Deserialize;

use super::{
    Target, ask,
    class::{Class, Phase},
    login,
    report::{Finding, Report, Stopped},
    text::{identifier, printable},
    wire::{Fault, Wire},
};
use crate::database::url::Host;

/// The oldest major version that the schema works on.
const OLDEST: i32 = 14;
/// Clocks that differ by more are told.
const DRIFT: f64 = 5.0;
/// A certificate that holds for less is told.
const DAYS_LEFT: i64 = 30;

const FACTS: &str = "SELECT json_build_object(
    'user', current_user,
    'process', pg_backend_pid(), 'client', host(inet_client_addr()),
    'standby', pg_is_in_recovery(),
    'read_only', current_setting('transaction_read_only') = 'on',
    'encoding', (SELECT pg_encoding_to_char(encoding) FROM pg_database WHERE datname = current_database()),
    'locale', (SELECT datcollate FROM pg_database WHERE datname = current_database()),
    'schema', current_schema(), 'search_path', current_setting('search_path'),
    'closed_schemas', (SELECT coalesce(json_agg(nspname), '[]') FROM pg_namespace
        WHERE nspname = ANY (string_to_array(replace(replace(current_setting('search_path'), '\"', ''), ' ', ''), ','))
          AND NOT has_schema_privilege(oid, 'USAGE')),
    'may_create', CASE WHEN current_schema() IS NULL THEN false
        ELSE has_schema_privilege(current_schema(), 'CREATE') END,
    'superuser', r.rolsuper, 'bypasses_rls', r.rolbypassrls, 'creates_databases', r.rolcreatedb,
    'creates_roles', r.rolcreaterole, 'replicates', r.rolreplication,
    'role_limit', r.rolconnlimit, 'valid_until', r.rolvaliduntil,
    'messages', current_setting('lc_messages'),
    'certificate_file', current_setting('ssl_cert_file', true),
    'seconds', extract(epoch FROM clock_timestamp())
  )::text FROM pg_roles r WHERE r.rolname = current_user";

/// What the session says about itself.
#[derive(Debug, Deserialize)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "the attributes of a role, as the server has them"
)]
pub struct Facts {
    /// The role in effect.
    pub user: String,
    /// The server's process.
    pub process: i32,
    /// Our address as the server sees it.
    pub client: Option<String>,
    standby: bool,
    read_only: bool,
    encoding: String,
    locale: String,
    /// The first schema of the search path that there is.
    pub schema: Option<String>,
    search_path: String,
    closed_schemas: Vec<String>,
    /// Whether tables may be made there.
    pub may_create: bool,
    superuser: bool,
    bypasses_rls: bool,
    creates_databases: bool,
    creates_roles: bool,
    replicates: bool,
    /// The role's own limit of connections; -1 is none.
    pub role_limit: i64,
    valid_until: Option<String>,
    messages: String,
    certificate_file: Option<String>,
    seconds: f64,
    /// Whether each transaction may get another session.
    #[serde(skip)]
    pub pooled: bool,
}

/// Asks the session about itself, and judges what it says.
pub async fn look(
    wire: &mut Wire,
    target: &Target<'_>,
    report: &mut Report,
) -> Result<Facts, Stopped> {
    report.server_version = wire.parameters.get("server_version").cloned();
    judge_version(wire, report)?;
    let rows = wire.query("SELECT 1").await;
    match rows {
        Ok(_) => report.details.test_query_result = Some(1),
        Err(fault) => return Err(report.stop(failure(Phase::Session, fault))),
    }
    let before = target.clock.now();
    let facts: Facts = ask(wire, Phase::Session, FACTS, report).await?;
    let after = target.clock.now();
    let here = i64::midpoint(before.timestamp_micros(), after.timestamp_micros());
    #[expect(clippy::cast_precision_loss, reason = "seconds are compared")]
    judge_clock(facts.seconds - here as f64 / 1e6, report);
    judge_writes(&facts, report);
    judge_schema(&facts, report);
    judge_role(&facts, report);
    judge_certificate(&facts, target, report);
    if facts.encoding != "UTF8" {
        let finding = Finding::error(Phase::Session, Class::Encoding);
        report.add(finding.because(format!("its encoding is {}", facts.encoding)));
    }
    let is_english = ["", "C", "POSIX"].contains(&facts.messages.as_str())
        || facts.messages.starts_with("en")
        || facts.messages.starts_with("C.");
    if !is_english {
        let mut finding = Finding::warning(Phase::Session, Class::ForeignText);
        finding.severity = super::Severity::Info;
        report.add(finding.because(format!("lc_messages is {}", facts.messages)));
    }
    report.add(Finding::info(Phase::Session, describe(&facts)));
    Ok(facts)
}

fn describe(facts: &Facts) -> String {
    let attributes: Vec<_> = [
        (facts.superuser, "superuser"),
        (facts.bypasses_rls, "bypasses row-level security"),
        (facts.creates_databases, "creates databases"),
        (facts.creates_roles, "creates roles"),
        (facts.replicates, "replication"),
    ]
    .into_iter()
    .filter_map(|(has, name)| has.then_some(name))
    .collect();
    let attributes = if attributes.is_empty() {
        "no special attributes".to_owned()
    } else {
        attributes.join(", ")
    };
    let until = facts.valid_until.as_ref().map_or_else(String::new, |end| {
        format!(", password valid until {}", printable(end))
    });
    let from = facts.client.as_ref().map_or_else(String::new, |client| {
        format!("; the server sees this client at {client}")
    });
    format!(
        "role {} ({attributes}{until}), schema {}, encoding {}, locale {}{from}",
        printable(&facts.user),
        facts
            .schema
            .as_deref()
            .map_or_else(|| "none".to_owned(), printable),
        printable(&facts.encoding),
        printable(&facts.locale),
    )
}

fn judge_version(wire: &Wire, report: &mut Report) -> Result<(), Stopped> {
    let Some(version) = wire.parameters.get("server_version") else {
        return Ok(());
    };
    let major: String = version.chars().take_while(char::is_ascii_digit).collect();
    match major.parse::<i32>() {
        Ok(major) if major < OLDEST => {
            let what = format!("it is {version}, and {OLDEST} is needed");
            Err(report.stop(Finding::error(Phase::Session, Class::TooOld).because(what)))
        }
        _ => Ok(()),
    }
}

fn judge_clock(difference: f64, report: &mut Report) {
    let which = if difference > 0.0 { "ahead" } else { "behind" };
    let size = difference.abs();
    report.add(if size > DRIFT {
        let what = format!("the server's is {size:.0} s {which}");
        Finding::warning(Phase::Session, Class::ClockDrift).because(what)
    } else {
        let text = format!("the server's clock is {size:.1} s {which}");
        Finding::info(Phase::Session, text)
    });
}

fn judge_writes(facts: &Facts, report: &mut Report) {
    if facts.standby {
        report.add(Finding::error(Phase::Session, Class::Standby));
    } else if facts.read_only {
        let user = identifier(&facts.user);
        report.add(Finding::error(Phase::Session, Class::ReadOnly).with_fix(format!(
            "Take the setting back: ALTER ROLE {user} RESET default_transaction_read_only; or the same of the \
             database, in postgresql.conf, or in the URL's options. Managed services set it when the disk is full."
        )));
    }
}

fn judge_schema(facts: &Facts, report: &mut Report) {
    if facts.schema.is_some() {
        return;
    }
    let user = identifier(&facts.user);
    match facts.closed_schemas.first() {
        Some(schema) => report.add(
            Finding::error(Phase::Session, Class::SchemaClosed).with_fix(format!(
                "As the schema's owner: GRANT USAGE ON SCHEMA {} TO {user};",
                identifier(schema)
            )),
        ),
        None => report.add(
            Finding::error(Phase::Session, Class::NoSchema)
                .because(format!("search_path is {}", facts.search_path)),
        ),
    }
}

fn judge_role(facts: &Facts, report: &mut Report) {
    if !facts.superuser && !facts.bypasses_rls {
        return;
    }
    let user = identifier(&facts.user);
    let mut finding = Finding::info(
        Phase::Session,
        format!("row-level security does not bind {user}: a fault of the service could cross tenants"),
    )
    .with_fix(format!(
        "Serve as a role of few rights (`gatepost-migrate up` gives them to DATABASE_API_ROLE), or: ALTER ROLE {user} NOSUPERUSER NOBYPASSRLS;"
    ));
    finding.severity = super::Severity::Warning;
    report.add(finding);
}

fn judge_certificate(facts: &Facts, target: &Target<'_>, report: &mut Report) {
    let Some(shown) = report.tls.certificate.clone() else {
        return;
    };
    if let Some(days) = shown.days_left.filter(|days| *days < DAYS_LEFT) {
        let text = format!("the server's certificate holds for {days} more days");
        report.add(Finding::warning(Phase::Tls, Class::CertificateExpired).saying(text));
    }
    // Only here is the server's file ours too.
    let is_here = target.url.is_local() && matches!(target.url.host(), Host::Name(_));
    let Some(path) = facts.certificate_file.as_ref().filter(|_| is_here) else {
        return;
    };
    let Ok(bytes) = std::fs::read(path) else {
        return;
    };
    if let Ok(in_file) = CertificateDer::from_pem_slice(&bytes)
        && in_file.as_ref() != shown.der
    {
        let what = printable(path);
        report.add(Finding::warning(Phase::Tls, Class::CertificateNotReloaded).because(what));
    }
}

/// The failure that a fault within a session is.
pub fn failure(phase: Phase, fault: Fault) -> Finding {
    match fault {
        Fault::Silent => Finding::error(phase, Class::Silent),
        Fault::Io(error) => Finding::error(phase, Class::ConnectionLost).because(error.kind()),
        Fault::NotPostgres(what) => Finding::error(phase, Class::NotPostgres).because(what),
        Fault::Method(method) => Finding::error(phase, Class::MethodUnsupported).because(method),
        Fault::NoPassword => Finding::error(phase, Class::PasswordMissing),
        Fault::Server(error) => {
            let class = login::of_sqlstate(&error.sqlstate).unwrap_or(match phase {
                Phase::Migrations => Class::MigrationState,
                _ => Class::ConnectionLost,
            });
            Finding::error(phase, class).with_server(*error)
        }
    }
}
