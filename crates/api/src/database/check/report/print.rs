//! For a terminal.

use std::fmt;

use super::{Finding, Report, Severity, Status, Tls};
use crate::database::check::class::Class;

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<11}{}", "tried", self.tried)?;
        if !self.addresses.is_empty() {
            writeln!(f, "{:<11}{}", "addresses", self.addresses.join(", "))?;
        }
        if let Some(version) = &self.server_version {
            writeln!(f, "{:<11}PostgreSQL {version}", "server")?;
        }
        if let Some(method) = &self.authentication {
            writeln!(f, "{:<11}{method}", "login")?;
        }
        self.tls.write(f)?;
        for host in &self.hosts {
            let what = host.code.map_or("ok", Class::code);
            writeln!(
                f,
                "{:<11}{}:{} {what}: {}",
                "host", host.host, host.port, host.message
            )?;
        }
        for phase in &self.passed {
            writeln!(f, "{:<4} ok    {}", phase.code(), phase.title())?;
        }
        for finding in &self.findings {
            finding.write(f)?;
        }
        let word = match self.status {
            Status::Ok => "OK",
            Status::Error => "FAILED",
        };
        let code = self
            .code
            .map_or_else(String::new, |code| format!(" {code}"));
        writeln!(f, "{word}{code}: {}", self.message)
    }
}

impl Tls {
    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(version) = &self.version else {
            if let Some(offered) = self.offered {
                let how = if offered {
                    "offered, not used"
                } else {
                    "not offered"
                };
                writeln!(f, "{:<11}{how}", "tls")?;
            }
            return Ok(());
        };
        let cipher = self.cipher.as_deref().unwrap_or("?");
        let trust = match &self.problem {
            None if self.trusted => "certificate trusted",
            _ => "certificate NOT trusted",
        };
        writeln!(f, "{:<11}{version}, {cipher}, {trust}", "tls")?;
        if let Some(certificate) = &self.certificate {
            let days = certificate
                .days_left
                .map_or_else(String::new, |days| format!(", {days} days left"));
            let names = certificate.names.join(", ");
            writeln!(f, "{:<11}{} for {names}{days}", "", certificate.subject)?;
            writeln!(f, "{:<11}by {}", "", certificate.issuer)?;
            writeln!(f, "{:<11}SHA-256 {}", "", certificate.sha256)?;
        }
        Ok(())
    }
}

impl Finding {
    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match self.severity {
            Severity::Error => "ERROR",
            Severity::Warning => "warn",
            Severity::Info => "note",
        };
        let code = self
            .code
            .map_or_else(String::new, |code| format!("{code}: "));
        writeln!(
            f,
            "{:<4} {word:<5} {code}{}",
            self.phase.code(),
            self.message
        )?;
        if let Some(error) = &self.server {
            writeln!(f, "           server: {} {}", error.sqlstate, error.message)?;
            for text in [&error.detail, &error.hint].into_iter().flatten() {
                writeln!(f, "                   {text}")?;
            }
        }
        if let Some(fix) = &self.fix {
            let mut word = "fix:";
            for line in fix.lines() {
                writeln!(f, "           {word:<5}{line}")?;
                word = "";
            }
        }
        if let Some(look) = &self.look {
            writeln!(f, "           see: {look}")?;
        }
        Ok(())
    }
}
