//! `gatepost db tls`: certificates for a PostgreSQL of one's own.

use std::{io::Write, path::PathBuf, process::ExitCode, time::Duration};

use clap::{Args, Subcommand};
use sqlx::{Connection, PgConnection};
use tokio::time::timeout;

use crate::{
    clock::{Clock, SystemClock},
    database::{
        tls::{self, Certificate, Folder, Renewed, TlsError},
        url::DatabaseUrl,
    },
};

/// A certificate cannot be used: expired, or the key is another's.
const UNUSABLE: u8 = 3;
/// Refused because of what is there.
const REFUSED: u8 = 4;
/// The settings cannot be used.
const CONFIG: u8 = 78;
/// How long a server may take to reload.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Subcommand)]
pub enum Tls {
    Init(Init),
    Show(Show),
    Renew(Renew),
}

/// Make an authority, and a server certificate by it. Exit status 0: made; 1: failed; 4: there is
/// one already.
#[derive(Args)]
pub struct Init {
    /// Host names and addresses by which clients reach the server [default: localhost, 127.0.0.1
    /// and `::1`].
    names: Vec<String>,
    /// Where the files are.
    #[arg(long, default_value = "ssl")]
    dir: PathBuf,
    /// How long the server certificate is good.
    #[arg(long, default_value_t = 90, value_parser = clap::value_parser!(u32).range(1..=825))]
    days: u32,
    /// Replace what is there, the authority too.
    #[arg(long)]
    force: bool,
}

/// Tell what the certificates say, and whether the keys are theirs. Exit status 0: usable; 1:
/// failed; 3: expired, or not with this key.
#[derive(Args)]
pub struct Show {
    /// A certificate; else those of --dir.
    file: Option<PathBuf>,
    /// Its key.
    #[arg(long, requires = "file")]
    key: Option<PathBuf>,
    /// Where the files are.
    #[arg(long, default_value = "ssl")]
    dir: PathBuf,
    /// Answer in JSON, for programs.
    #[arg(long)]
    json: bool,
}

/// Make a new server certificate by the same authority, so that no client has to be told. Exit
/// status 0: made, or not needed yet; 1: failed.
#[derive(Args)]
pub struct Renew {
    /// Host names and addresses [default: those of the certificate that is there].
    names: Vec<String>,
    /// Where the files are.
    #[arg(long, default_value = "ssl")]
    dir: PathBuf,
    /// How long the new certificate is good.
    #[arg(long, default_value_t = 90, value_parser = clap::value_parser!(u32).range(1..=825))]
    days: u32,
    /// Only if fewer days are left; for cron.
    #[arg(long, value_name = "DAYS")]
    if_fewer_than: Option<u32>,
    /// Make a new key too.
    #[arg(long)]
    new_key: bool,
    /// Tell the server to read the files, by a role that may (a superuser, or one with EXECUTE on
    /// `pg_reload_conf`); `-` reads the URL from standard input.
    #[arg(long, value_name = "URL")]
    reload: Option<String>,
}

/// Runs one of them.
///
/// # Errors
///
/// Standard input or output cannot be used.
pub(super) async fn run(what: Tls, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let result = match what {
        Tls::Init(what) => init(&what, out)?,
        Tls::Show(what) => show(&what, out)?,
        Tls::Renew(what) => return renew(&what, out).await,
    };
    Ok(result.unwrap_or_else(|error| told(&error)))
}

fn told(error: &TlsError) -> ExitCode {
    eprintln!("gatepost: {error}");
    match error {
        TlsError::Exists(_) => ExitCode::from(REFUSED),
        _ => ExitCode::FAILURE,
    }
}

type Outcome = Result<ExitCode, TlsError>;

fn init(what: &Init, out: &mut dyn Write) -> std::io::Result<Outcome> {
    let folder = Folder::new(&what.dir);
    let now = SystemClock.now();
    let made = match tls::init(&folder, &what.names, what.days, what.force, now) {
        Ok(made) => made,
        Err(error) => return Ok(Err(error)),
    };
    for path in [
        folder.root(),
        folder.root_key(),
        folder.server(),
        folder.server_key(),
    ] {
        writeln!(out, "wrote    {}", path.display())?;
    }
    tell(&made, out)?;
    writeln!(
        out,
        "\nThe server (postgresql.conf):\n\n  ssl = on\n  ssl_cert_file = '{}'\n  ssl_key_file = '{}'\n\n\
         Clients:\n\n  DATABASE_SSL_MODE=verify-full\n  DATABASE_SSL_ROOT_CERT={}\n\n\
         Give server.key to the server's user (`chown postgres`), and keep root.key elsewhere: it is \
         needed for `renew` only.",
        absolute(&folder.server()),
        absolute(&folder.server_key()),
        absolute(&folder.root())
    )?;
    Ok(Ok(ExitCode::SUCCESS))
}

fn absolute(path: &std::path::Path) -> String {
    let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    path.display().to_string()
}

fn tell(made: &Renewed, out: &mut dyn Write) -> std::io::Result<()> {
    writeln!(
        out,
        "for      {}\nuntil    {}",
        made.names.join(", "),
        made.not_after.format("%Y-%m-%d %H:%M UTC")
    )?;
    if made.cut {
        writeln!(
            out,
            "The authority ends then: make a new one with `init --force` in time."
        )?;
    }
    Ok(())
}

fn show(what: &Show, out: &mut dyn Write) -> std::io::Result<Outcome> {
    let folder = Folder::new(&what.dir);
    let now = SystemClock.now();
    let places = match &what.file {
        Some(file) => vec![(file.clone(), what.key.clone())],
        None => vec![
            (folder.server(), Some(folder.server_key())),
            // Its key may be kept elsewhere.
            (
                folder.root(),
                Some(folder.root_key()).filter(|key| key.exists()),
            ),
        ],
    };
    let mut shown = Vec::new();
    for (file, key) in places {
        match tls::look(&file, key.as_deref(), now) {
            Ok(certificate) => shown.push((file, certificate)),
            Err(error) => return Ok(Err(error)),
        }
    }
    if what.json {
        let list: Vec<_> = shown
            .iter()
            .map(
                |(file, certificate)| serde_json::json!({"file": file, "certificate": certificate}),
            )
            .collect();
        writeln!(out, "{:#}", serde_json::Value::from(list))?;
    } else {
        for (file, certificate) in &shown {
            describe(&file.display().to_string(), certificate, out)?;
        }
    }
    let usable = shown
        .iter()
        .all(|(_, certificate)| certificate.is_usable(now));
    Ok(Ok(if usable {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(UNUSABLE)
    }))
}

fn describe(file: &str, certificate: &Certificate, out: &mut dyn Write) -> std::io::Result<()> {
    let Certificate {
        subject,
        issuer,
        not_before,
        not_after,
        days_left,
        fingerprint,
        ..
    } = certificate;
    let key = match (certificate.key_matches, certificate.key_is_open) {
        (None, _) => "not looked at",
        (Some(false), _) => "DOES NOT MATCH: it is that of another certificate",
        (Some(true), Some(true)) => "matches, but OTHERS MAY READ IT: chmod 600",
        (Some(true), _) => "matches",
    };
    let time = |time: &chrono::DateTime<chrono::Utc>| time.format("%Y-%m-%d %H:%M UTC").to_string();
    let left = match days_left {
        days if *days < 0 => format!("EXPIRED {} days ago", -days),
        days => format!("{days} days left"),
    };
    writeln!(out, "{file}")?;
    writeln!(out, "  subject      {subject}")?;
    writeln!(out, "  issuer       {issuer}")?;
    if !certificate.names.is_empty() {
        writeln!(out, "  names        {}", certificate.names.join(", "))?;
    }
    writeln!(out, "  valid from   {}", time(not_before))?;
    writeln!(out, "  valid until  {} ({left})", time(not_after))?;
    writeln!(out, "  SHA-256      {fingerprint}")?;
    writeln!(out, "  key          {key}")
}

async fn renew(what: &Renew, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let folder = Folder::new(&what.dir);
    let now = SystemClock.now();
    let server = match what.reload.as_deref().map(super::given_url).transpose()? {
        None => None,
        Some(Ok(url)) => Some(url),
        Some(Err(fault)) => {
            eprintln!("gatepost: the URL of --reload {fault}");
            return Ok(ExitCode::from(CONFIG));
        }
    };
    if let Some(days) = what.if_fewer_than {
        match tls::look(&folder.server(), None, now) {
            Ok(found) if found.days_left >= i64::from(days) => {
                writeln!(out, "Not needed yet: {} days are left.", found.days_left)?;
                return Ok(ExitCode::SUCCESS);
            }
            Ok(_) => {}
            Err(error) => return Ok(told(&error)),
        }
    }
    let made = match tls::renew(&folder, &what.names, what.days, what.new_key, now) {
        Ok(made) => made,
        Err(error) => return Ok(told(&error)),
    };
    writeln!(out, "wrote    {}", folder.server().display())?;
    tell(&made, out)?;
    let Some(url) = server else {
        writeln!(
            out,
            "The server goes on with the old one until it reads the files: `pg_ctl reload`, or \
             SELECT pg_reload_conf(). Connections live on."
        )?;
        return Ok(ExitCode::SUCCESS);
    };
    match reload(&url).await {
        Ok(()) => writeln!(out, "reloaded {}", url.place())?,
        Err(error) => {
            eprintln!("gatepost: the certificate is made, but the server was not told: {error:#}");
            return Ok(ExitCode::FAILURE);
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn reload(url: &DatabaseUrl) -> anyhow::Result<()> {
    let work = async {
        let options = url.to_connect_options(false);
        let mut connection = PgConnection::connect_with(&options).await?;
        sqlx::query("SELECT pg_reload_conf()")
            .execute(&mut connection)
            .await?;
        connection.close().await
    };
    timeout(PATIENCE, work)
        .await
        .map_err(|_| anyhow::anyhow!("no answer within {PATIENCE:?}"))??;
    Ok(())
}
