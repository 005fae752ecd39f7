//! `gatepost admin users`.

use std::{
    io::{self, BufRead, IsTerminal, Write},
    process::ExitCode,
};

use chrono::{DateTime, Utc};
use clap::{Args, Subcommand, ValueEnum};
use entity::user;
use secrecy::SecretString;

use super::{REFUSED, USAGE, output::Out, reason};
use crate::{
    access::{authority::Authority, permit::Action, resource::ResourceRef},
    admin::{
        known, list,
        model::{AdminUserView, NewUser, Status, UpdateUser, UserFilter},
        people,
        steps::{self, Step},
    },
    command::shell::Shell,
    http::{
        etag::IfMatch,
        idempotency::Once,
        page::{Limit, Order, Paging},
        text::{DisplayName, Email, Locale, Reason, Username},
    },
    sessions::model::SessionView,
    state::AppState,
    users::model::Metadata,
};

#[derive(Subcommand)]
pub(super) enum Users {
    /// All users, or those that the filters pick, oldest first.
    List(Box<Filter>),
    /// Make a user: with the password that comes on standard input, or with a link in a mail to
    /// set one.
    Create(Box<Create>),
    /// Let in a user who waits for approval, or who was turned away.
    Approve(Who),
    /// Turn away a user who waits for approval. The mail says why, if a reason is given.
    Reject(WithReason),
    /// Close an account and end its sessions.
    Disable(WithReason),
    /// Open a closed account again.
    Enable(Who),
    /// Lift the lock that wrong passwords brought.
    Unlock(Who),
    /// Have the next login set a new password; ends sessions and open links.
    RequirePasswordChange(WithReason),
    /// Remove all second factors and recovery codes of someone who has lost them; ends sessions.
    ResetMfa(WithReason),
    /// Erase a user: the account and all that belongs to it.
    Delete {
        #[command(flatten)]
        who: Who,
        /// Do not ask.
        #[arg(long)]
        yes: bool,
    },
    /// A user's live sessions.
    Sessions(Who),
    /// End a user's sessions.
    EndSessions(Who),
}

#[derive(Args)]
pub(super) struct Who {
    /// Id, address or username.
    user: String,
}

#[derive(Args)]
pub(super) struct WithReason {
    /// Id, address or username.
    user: String,
    /// Why; kept in the audit log.
    #[arg(long, value_parser = reason)]
    reason: Option<Reason>,
}

#[derive(Args)]
pub(super) struct Filter {
    /// Exactly this address.
    #[arg(long)]
    email: Option<String>,
    /// Start of the address, the username or the name on the screen.
    #[arg(long)]
    q: Option<String>,
    /// In this state.
    #[arg(long)]
    status: Option<Status>,
    /// Holds the role with this key, on the system or on any other resource.
    #[arg(long)]
    role: Option<String>,
    /// Has shown no sign of life since this time, such as 2026-01-31T00:00:00Z.
    #[arg(long)]
    inactive_since: Option<DateTime<Utc>>,
    /// Users at most.
    #[arg(long, default_value_t = 1000)]
    limit: usize,
}

#[derive(Args)]
pub(super) struct Create {
    /// Where mail reaches the person.
    #[arg(long, value_parser = |text: &str| Email::try_from(text.to_owned()))]
    email: Email,
    /// For logging in.
    #[arg(long, value_parser = |text: &str| Username::try_from(text.to_owned()))]
    username: Option<Username>,
    /// What the person is called on the screen.
    #[arg(long, value_parser = |text: &str| DisplayName::try_from(text.to_owned()))]
    display_name: Option<DisplayName>,
    /// The language of their mails, such as en or pt-BR.
    #[arg(long, value_parser = |text: &str| Locale::try_from(text.to_owned()))]
    locale: Option<Locale>,
    /// What policies see of them: a JSON object.
    #[arg(long, value_parser = object)]
    attributes: Option<Metadata>,
    /// What applications keep about them: a JSON object.
    #[arg(long, value_parser = object)]
    metadata: Option<Metadata>,
    /// Read the first password from standard input; it is good for one login. Without it, the
    /// person gets a mail.
    #[arg(long)]
    password_stdin: bool,
}

fn object(text: &str) -> Result<Metadata, String> {
    serde_json::from_str(text).map_err(|error| error.to_string())
}

impl ValueEnum for Status {
    fn value_variants<'a>() -> &'a [Self] {
        &[
            Self::PendingVerification,
            Self::PendingApproval,
            Self::Active,
            Self::Rejected,
            Self::Disabled,
        ]
    }

    fn to_possible_value(&self) -> Option<clap::builder::PossibleValue> {
        Some(clap::builder::PossibleValue::new(self.as_str()))
    }
}

pub(super) async fn act(state: &AppState, users: Users, out: Out) -> anyhow::Result<ExitCode> {
    let any = &IfMatch::Any;
    match users {
        Users::List(filter) => out.users(&find(state, *filter).await?)?,
        Users::Create(create) => {
            let shell = Shell::of("admin users create");
            let by = Authority::of_shell(&shell, ResourceRef::SYSTEM);
            let new = create.read()?;
            out.user(&people::create(state, &by, new, &Once::each_time()).await?)?;
        }
        Users::Approve(who) => step(state, &who.user, Step::Approve, None, out).await?,
        Users::Reject(who) => step(state, &who.user, Step::Reject, who.reason, out).await?,
        Users::Disable(who) => step(state, &who.user, Step::Disable, who.reason, out).await?,
        Users::Enable(who) => step(state, &who.user, Step::Enable, None, out).await?,
        Users::Unlock(who) => {
            let (shell, user) = called(state, "admin users unlock", &who.user).await?;
            out.user(
                &steps::unlock(state, &over(&shell, &user), any)
                    .await?
                    .into(),
            )?;
        }
        Users::RequirePasswordChange(who) => {
            let command = "admin users require-password-change";
            let (shell, user) = called(state, command, &who.user).await?;
            let by = over(&shell, &user);
            let user = steps::require_password_change(state, &by, any, who.reason).await?;
            out.user(&user.into())?;
        }
        Users::ResetMfa(who) => {
            let (shell, user) = called(state, "admin users reset-mfa", &who.user).await?;
            let by = over(&shell, &user);
            let user = steps::reset_mfa(state, &by, any, who.reason).await?;
            out.user(&user.into())?;
        }
        Users::Delete { who, yes } => return delete(state, &who.user, yes, out).await,
        Users::Sessions(who) => out.sessions(&sessions(state, &who.user).await?)?,
        Users::EndSessions(who) => {
            let (shell, user) = called(state, "admin users end-sessions", &who.user).await?;
            let ended = steps::end_sessions(state, &over(&shell, &user)).await?;
            out.ended(ended)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

impl Create {
    fn read(self) -> anyhow::Result<NewUser> {
        let password = if self.password_stdin {
            let mut line = String::new();
            io::stdin().lock().read_line(&mut line)?;
            Some(SecretString::from(line.trim_end_matches(['\r', '\n'])))
        } else {
            None
        };
        Ok(NewUser {
            email: self.email,
            username: self.username,
            display_name: self.display_name,
            locale: self.locale,
            attributes: self.attributes,
            metadata: self.metadata,
            password,
        })
    }
}

/// The shell of a command, and the user that it is about.
async fn called(
    state: &AppState,
    command: &str,
    name: &str,
) -> anyhow::Result<(Shell, user::Model)> {
    Ok((Shell::of(command), people::find(state, name).await?))
}

fn over<'a, A: Action>(shell: &'a Shell, user: &user::Model) -> Authority<'a, A> {
    Authority::of_shell(shell, steps::user(user.id))
}

async fn step(
    state: &AppState,
    name: &str,
    step: Step,
    reason: Option<Reason>,
    out: Out,
) -> anyhow::Result<()> {
    let command = match step {
        Step::Approve => "admin users approve",
        Step::Reject => "admin users reject",
        Step::Disable => "admin users disable",
        Step::Enable => "admin users enable",
    };
    let (shell, user) = called(state, command, name).await?;
    let by: Authority<'_, UpdateUser> = over(&shell, &user);
    let user = steps::take(state, &by, step, &IfMatch::Any, reason).await?;
    out.user(&user.into())
}

async fn find(state: &AppState, filter: Filter) -> anyhow::Result<Vec<AdminUserView>> {
    let shell = Shell::of("admin users list");
    let by = Authority::of_shell(&shell, ResourceRef::SYSTEM);
    let most = filter.limit;
    let mut filter = UserFilter {
        limit: Limit::MOST,
        cursor: None,
        order: Order::Oldest,
        email: filter.email,
        status: filter.status,
        q: filter.q,
        role: filter.role,
        inactive_since: filter.inactive_since,
    };
    let mut users = Vec::new();
    loop {
        let cut = filter
            .paging()
            .cut()
            .map_err(|problem| anyhow::anyhow!("{problem}"))?;
        let rows = list::users(state, &by, &filter, &cut).await?;
        let page = cut.page(rows, |row| row.id, AdminUserView::from);
        users.extend(page.items);
        filter.cursor = page.next_cursor;
        if filter.cursor.is_none() || users.len() >= most {
            users.truncate(most);
            return Ok(users);
        }
    }
}

async fn sessions(state: &AppState, name: &str) -> anyhow::Result<Vec<SessionView>> {
    let (shell, user) = called(state, "admin users sessions", name).await?;
    let by = over(&shell, &user);
    let mut paging = Paging {
        limit: Limit::MOST,
        ..Paging::default()
    };
    let mut sessions = Vec::new();
    loop {
        let cut = paging
            .cut()
            .map_err(|problem| anyhow::anyhow!("{problem}"))?;
        let rows = known::sessions(state, &by, &cut).await?;
        let page = cut.page(rows, |row| row.id, |row| SessionView::of(row, None));
        sessions.extend(page.items);
        paging.cursor = page.next_cursor;
        if paging.cursor.is_none() {
            return Ok(sessions);
        }
    }
}

async fn delete(state: &AppState, name: &str, yes: bool, out: Out) -> anyhow::Result<ExitCode> {
    let (shell, user) = called(state, "admin users delete", name).await?;
    if !yes {
        if !io::stdin().is_terminal() {
            eprintln!("gatepost: nobody is there to be asked; say --yes to erase all the same");
            return Ok(ExitCode::from(USAGE));
        }
        if !is_meant(&user)? {
            eprintln!("gatepost: not erased");
            return Ok(ExitCode::from(REFUSED));
        }
    }
    people::delete(state, &over(&shell, &user), &IfMatch::Any).await?;
    out.done(&format!("{} was erased", user.email))?;
    Ok(ExitCode::SUCCESS)
}

fn is_meant(user: &user::Model) -> io::Result<bool> {
    eprint!(
        "This erases {} ({}) and all that belongs to the account. Type the address to go on: ",
        user.email, user.id
    );
    io::stderr().flush()?;
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line)?;
    Ok(line.trim() == user.email)
}
