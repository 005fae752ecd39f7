//! What commands print: tables for people, JSON for programs.

use std::io::{self, Write};

use chrono::{DateTime, Utc};
use secrecy::ExposeSecret;
use serde::Serialize;
use serde_json::json;

use crate::{
    admin::{model::AdminUserView, recovery::Recovered},
    dormancy::service::{Dormant, Fate},
    sessions::model::SessionView,
};

/// How to print.
#[derive(Clone, Copy)]
pub(super) struct Out {
    pub(super) json: bool,
}

impl Out {
    pub(super) fn users(self, users: &[AdminUserView]) -> anyhow::Result<()> {
        let head = ["ID", "ADDRESS", "USERNAME", "STATUS", "LAST SEEN"];
        self.list(users, head, |user| {
            [
                user.user.id.to_string(),
                user.user.email.clone(),
                user.user.username.clone().unwrap_or_default(),
                user.user.status.clone(),
                time(user.last_seen_at.max(user.user.last_login_at)),
            ]
        })
    }

    pub(super) fn user(self, user: &AdminUserView) -> anyhow::Result<()> {
        if self.json {
            return print_json(user);
        }
        let yes = |is: bool| if is { "yes" } else { "no" }.to_owned();
        let lines = [
            ("id", user.user.id.to_string()),
            ("address", user.user.email.clone()),
            ("username", user.user.username.clone().unwrap_or_default()),
            ("status", user.user.status.clone()),
            ("has a password", yes(user.has_password)),
            ("has to change it", yes(user.password_must_change)),
            ("last login", time(user.user.last_login_at)),
        ];
        let mut out = io::stdout().lock();
        for (name, value) in lines {
            writeln!(out, "{name:<16}  {}", plain(&value))?;
        }
        Ok(())
    }

    pub(super) fn sessions(self, sessions: &[SessionView]) -> anyhow::Result<()> {
        let head = ["ID", "LOGIN", "LAST USED", "ENDS", "ADDRESS", "CLIENT"];
        self.list(sessions, head, |session| {
            [
                session.id.to_string(),
                time(Some(session.created_at)),
                time(Some(session.last_used_at)),
                time(Some(session.expires_at)),
                session.ip.clone().unwrap_or_default(),
                session.user_agent.clone().unwrap_or_default(),
            ]
        })
    }

    pub(super) fn dormant(self, accounts: &[Dormant]) -> anyhow::Result<()> {
        let head = ["ID", "ADDRESS", "LAST ACTIVE", "WARNED", "NEXT", "CLOSES"];
        self.list(accounts, head, |account| {
            let next = match account.next {
                Fate::Warn => "warn",
                Fate::Wait => "wait",
                Fate::Disable => "disable",
            };
            [
                account.id.to_string(),
                account.email.clone(),
                time(Some(account.last_active_at)),
                time(account.warned_at),
                next.to_owned(),
                time(Some(account.closes_at)),
            ]
        })
    }

    pub(super) fn ended(self, ended: u64) -> anyhow::Result<()> {
        if self.json {
            return print_json(&json!({ "ended": ended }));
        }
        writeln!(io::stdout(), "{ended} sessions were ended.")?;
        Ok(())
    }

    pub(super) fn recovered(self, recovered: &Recovered) -> anyhow::Result<()> {
        let password = recovered.password.expose_secret();
        if self.json {
            return print_json(&json!({
                "id": recovered.id,
                "login": recovered.email,
                "password": password,
                "expires_at": recovered.expires_at,
            }));
        }
        let mut out = io::stdout().lock();
        writeln!(out, "login     {}", recovered.email)?;
        writeln!(
            out,
            "password  {password}  (shown once; has to be changed at the first login)"
        )?;
        writeln!(
            out,
            "role      admin, until {}",
            time(Some(recovered.expires_at))
        )?;
        Ok(())
    }

    /// Says that something was done.
    pub(super) fn done(self, what: &str) -> anyhow::Result<()> {
        if self.json {
            return print_json(&json!({ "done": what }));
        }
        writeln!(io::stdout(), "{}.", plain(what))?;
        Ok(())
    }

    fn list<T: Serialize, const N: usize>(
        self,
        items: &[T],
        head: [&str; N],
        row: impl Fn(&T) -> [String; N],
    ) -> anyhow::Result<()> {
        if self.json {
            return print_json(&items);
        }
        let rows: Vec<[String; N]> = items
            .iter()
            .map(|item| row(item).map(|cell| plain(&cell)))
            .collect();
        let mut widths = head.map(str::len);
        for row in &rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        let mut out = io::stdout().lock();
        for row in std::iter::once(&head.map(str::to_owned)).chain(&rows) {
            let cells: Vec<_> = row
                .iter()
                .zip(widths)
                .map(|(cell, width)| format!("{cell:width$}"))
                .collect();
            writeln!(out, "{}", cells.join("  ").trim_end())?;
        }
        Ok(())
    }
}

fn print_json(value: &impl Serialize) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    serde_json::to_writer_pretty(&mut out, value)?;
    writeln!(out)?;
    Ok(())
}

fn time(at: Option<DateTime<Utc>>) -> String {
    at.map(|at| at.format("%Y-%m-%d %H:%M:%SZ").to_string())
        .unwrap_or_default()
}

/// What people typed, without what would steer a terminal.
fn plain(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}
