//! Everything that is stored about a user, as one JSON document.
//!
//! Each part names the columns that it tells, so that a column that is added later, which may
//! hold a secret, is not told by accident. Parts are read page by page while the answer is sent:
//! neither the length of the document nor the memory that it takes here has to be known before.

use std::{collections::VecDeque, sync::Arc};

use actix_web::web::{Bytes, Data};
use futures_util::{Stream, stream};
use sea_orm::{ConnectionTrait, DbErr, FromQueryResult, Statement};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    access::permit::{Action, Permit, Target},
    activity,
    audit::{self, Entry},
    database::tx::{Scope, Tx},
    state::AppState,
};

/// Reading all that is stored about oneself.
pub struct ExportOwn;
impl Action for ExportOwn {
    const NAME: &'static str = "self:export";
    const TARGET: Target = Target::Own;
}

/// Rows of one page.
const PAGE: usize = 500;

/// A part of the document: its name, and the query of one page of it, `$1` the user, `$2` the last
/// id of the page before.
struct Part {
    name: &'static str,
    /// Whether it is a list; else it is one object.
    many: bool,
    sql: &'static str,
}

/// What concerns others stays out: of an entry that somebody else caused, their address; of a key
/// or a factor, what it is checked with.
const PARTS: &[Part] = &[
    Part {
        name: "profile",
        many: false,
        sql: "SELECT id, jsonb_build_object('id', id, 'email', email, 'email_verified_at', email_verified_at, \
                'username', username, 'display_name', display_name, 'profile_picture_url', profile_picture_url, \
                'locale', locale, 'metadata', metadata, 'attributes', attributes, 'status', status, \
                'has_password', password_hash IS NOT NULL, 'password_changed_at', password_changed_at, \
                'password_must_change', password_must_change, 'last_login_at', last_login_at, \
                'last_seen_at', last_seen_at, 'approved_by', approved_by, 'approved_at', approved_at, \
                'enabled_at', enabled_at, 'locked_down_at', locked_down_at, 'dormancy_warned_at', dormancy_warned_at, \
                'break_glass', break_glass, 'created_at', created_at, 'updated_at', updated_at) AS item \
              FROM users WHERE id = $1",
    },
    Part {
        name: "sessions",
        many: true,
        sql: "SELECT id, jsonb_build_object('id', id, 'created_at', created_at, 'last_used_at', last_used_at, \
                'expires_at', expires_at, 'idle_expires_at', idle_expires_at, 'auth_time', auth_time, \
                'amr', amr, 'auth_factor', auth_factor, 'ip', host(ip), 'user_agent', user_agent, 'device_id', device_id, \
                'remember', remember, 'revoked_at', revoked_at, 'revoke_reason', revoke_reason) AS item \
              FROM sessions WHERE user_id = $1",
    },
    Part {
        name: "devices",
        many: true,
        sql: "SELECT id, jsonb_build_object('id', id, 'name', name, 'fingerprint', fingerprint, \
                'trusted_until', trusted_until, 'first_seen_at', first_seen_at, 'last_seen_at', last_seen_at, \
                'ip', host(ip), 'user_agent', user_agent, 'revoked_at', revoked_at) AS item \
              FROM device_fingerprints WHERE user_id = $1",
    },
    Part {
        name: "api_keys",
        many: true,
        sql: "SELECT id, jsonb_build_object('id', id, 'name', name, 'prefix', prefix, \
                'permissions', permissions, 'expires_at', expires_at, 'last_used_at', last_used_at, \
                'last_used_ip', host(last_used_ip), 'revoked_at', revoked_at, 'created_at', created_at) AS item \
              FROM api_keys WHERE user_id = $1",
    },
    Part {
        name: "factors",
        many: true,
        sql: "SELECT id, jsonb_build_object('id', id, 'kind', kind, 'label', label, \
                'confirmed_at', confirmed_at, 'last_used_at', last_used_at, \
                'failed_attempts', failed_attempts, 'locked_at', locked_at, 'created_at', created_at) AS item \
              FROM mfa_factors WHERE user_id = $1",
    },
    Part {
        name: "recovery_codes",
        many: true,
        sql: "SELECT id, jsonb_build_object('id', id, 'number', number, 'used_at', used_at, \
                'created_at', created_at) AS item \
              FROM recovery_codes WHERE user_id = $1",
    },
    Part {
        name: "links",
        many: true,
        sql: "SELECT id, jsonb_build_object('id', id, 'kind', kind, 'created_at', created_at, \
                'expires_at', expires_at, 'consumed_at', consumed_at) AS item \
              FROM one_time_tokens WHERE user_id = $1",
    },
    Part {
        name: "verifications",
        many: true,
        sql: "SELECT id, jsonb_build_object('id', id, 'purpose', purpose, 'factor', factor, \
                'attempts', attempts, 'created_at', created_at, 'expires_at', expires_at, \
                'consumed_at', consumed_at) AS item \
              FROM mfa_verifications WHERE user_id = $1",
    },
    Part {
        name: "roles",
        many: true,
        sql: "SELECT id, jsonb_build_object('id', id, \
                'role', (SELECT key FROM roles WHERE roles.id = role_id), \
                'resource', COALESCE((SELECT jsonb_build_object('type', t.type, 'id', t.external_id) \
                  FROM resources t WHERE resource_type = 'resource' AND t.id = resource_id), \
                  jsonb_build_object('type', resource_type, 'id', resource_id)), \
                'organization_id', organization_id, 'granted_by', granted_by, 'reason', reason, \
                'expires_at', expires_at, 'created_at', created_at) AS item \
              FROM user_role_assignments WHERE user_id = $1",
    },
    Part {
        name: "groups",
        many: true,
        sql: "SELECT m.group_id AS id, jsonb_build_object('id', m.group_id, 'name', g.name, \
                'organization_id', m.organization_id, 'added_by', m.added_by, \
                'created_at', m.created_at) AS item \
              FROM group_members m JOIN groups g ON g.id = m.group_id WHERE m.user_id = $1",
    },
    Part {
        name: "role_requests",
        many: true,
        sql: "SELECT id, jsonb_build_object('id', id, \
                'role', (SELECT key FROM roles WHERE roles.id = role_id), \
                'resource', COALESCE((SELECT jsonb_build_object('type', t.type, 'id', t.external_id) \
                  FROM resources t WHERE resource_type = 'resource' AND t.id = resource_id), \
                  jsonb_build_object('type', resource_type, 'id', resource_id)), \
                'duration_seconds', duration_seconds, 'reason', reason, 'state', state, \
                'decided_by', decided_by, 'decided_at', decided_at, \
                'decision_reason', decision_reason, 'created_at', created_at) AS item \
              FROM role_requests WHERE user_id = $1",
    },
    Part {
        name: "projects",
        many: true,
        sql: "SELECT id, jsonb_build_object('id', id, 'name', name, 'organization_id', organization_id, \
                'account_id', account_id, 'created_at', created_at) AS item \
              FROM projects WHERE owner_id = $1",
    },
    Part {
        name: "invitations",
        many: true,
        sql: "SELECT id, jsonb_build_object('id', id, 'organization_id', organization_id, 'email', email, \
                'role', (SELECT key FROM roles WHERE roles.id = role_id), \
                'resource', COALESCE((SELECT jsonb_build_object('type', t.type, 'id', t.external_id) \
                  FROM resources t WHERE resource_type = 'resource' AND t.id = resource_id), \
                  jsonb_build_object('type', resource_type, 'id', resource_id)), \
                'invited_by', invited_by, 'created_at', created_at, 'expires_at', expires_at, \
                'accepted_at', accepted_at, 'revoked_at', revoked_at) AS item \
              FROM invitations WHERE (accepted_by = $1 \
                OR email_normalized = (SELECT email_normalized FROM users WHERE users.id = $1))",
    },
    Part {
        name: "invitations_sent",
        many: true,
        sql: "SELECT id, jsonb_build_object('id', id, 'organization_id', organization_id, \
                'created_at', created_at, 'expires_at', expires_at, 'accepted_at', accepted_at, \
                'revoked_at', revoked_at) AS item \
              FROM invitations WHERE invited_by = $1",
    },
    Part {
        name: "activity",
        many: true,
        sql: "SELECT id, jsonb_build_object('id', id, 'kind', kind, 'created_at', created_at, \
                'ip', host(ip), 'user_agent', user_agent, 'session_id', session_id, \
                'request_id', request_id, 'details', details) AS item \
              FROM user_activity WHERE user_id = $1",
    },
    Part {
        name: "audit",
        many: true,
        sql: "SELECT id, jsonb_build_object('id', id, 'at', at, 'actor_type', actor_type, \
                'actor_id', actor_id, 'action', action, 'target_type', target_type, 'target_id', target_id, \
                'organization_id', organization_id, 'request_id', request_id, 'outcome', outcome, \
                'ip', CASE WHEN actor_id = $1 THEN host(ip) END, 'details', details) AS item \
              FROM audit_log WHERE (actor_id = $1 \
                OR (target_type = 'user' AND target_id = $1::text))",
    },
];

#[derive(FromQueryResult)]
struct Item {
    id: Uuid,
    item: Value,
}

/// The document, in pieces, as they are read.
///
/// # Errors
///
/// The database's, before the first piece. What fails later cuts the answer off, so that nobody
/// takes half a document for a whole one.
pub async fn export(
    state: Data<AppState>,
    permit: &Permit<ExportOwn>,
) -> Result<impl Stream<Item = Result<Bytes, DbErr>> + use<>, DbErr> {
    note(&state, permit).await?;
    let begin = format!(
        "{{\"exported_at\":{},\"format\":1",
        json!(state.clock.now())
    );
    let reading = Reading {
        state: state.into_inner(),
        user: permit.id(),
        parts: PARTS.iter().collect(),
        after: None,
        pending: Some(begin),
    };
    Ok(stream::unfold(Some(reading), |reading| async {
        let mut reading = reading?;
        match reading.next().await {
            Ok(Some(piece)) => Some((Ok(Bytes::from(piece)), Some(reading))),
            Ok(None) => None,
            Err(error) => {
                tracing::warn!(%error, "an export was cut off");
                Some((Err(error), None))
            }
        }
    }))
}

async fn note(state: &AppState, permit: &Permit<ExportOwn>) -> Result<(), DbErr> {
    let (clock, origin) = (&*state.clock, permit.origin());
    let tx = Tx::begin(state, &Scope::None).await?;
    let (user, session) = (permit.id(), permit.actor().session_id());
    activity::record(&*tx, clock, origin, user, session, "exported", json!({})).await?;
    let entry = Entry {
        doer: permit.into(),
        action: "user.exported",
        target: audit::Target::global("user", user),
        details: json!({}),
    };
    audit::record(&*tx, clock, origin, entry).await?;
    tx.commit().await
}

/// How far the reading is.
struct Reading {
    state: Arc<AppState>,
    user: Uuid,
    parts: VecDeque<&'static Part>,
    /// Within the first of the parts: the last id that was read.
    after: Option<Uuid>,
    /// What goes out before anything is read.
    pending: Option<String>,
}

impl Reading {
    /// The next piece of the document.
    async fn next(&mut self) -> Result<Option<String>, DbErr> {
        if let Some(piece) = self.pending.take() {
            return Ok(Some(piece));
        }
        let Some(part) = self.parts.front() else {
            return Ok(None);
        };
        let items = page(&self.state, part, self.user, self.after).await?;
        let mut piece = match self.after {
            None if part.many => format!(",\"{}\":[", part.name),
            None => format!(",\"{}\":", part.name),
            Some(_) if items.is_empty() => String::new(),
            Some(_) => ",".to_owned(),
        };
        let texts: Vec<_> = items.iter().map(|item| item.item.to_string()).collect();
        piece.push_str(&texts.join(","));
        if items.len() < PAGE {
            if part.many {
                piece.push(']');
            }
            self.parts.pop_front();
            self.after = None;
            if self.parts.is_empty() {
                piece.push('}');
            }
        } else {
            self.after = items.last().map(|item| item.id);
        }
        Ok(Some(piece))
    }
}

async fn page(
    state: &AppState,
    part: &Part,
    user: Uuid,
    after: Option<Uuid>,
) -> Result<Vec<Item>, DbErr> {
    let sql = format!(
        "{} AND ($2::uuid IS NULL OR id > $2) ORDER BY id LIMIT {PAGE}",
        part.sql
    );
    // One's own rows, of whatever tenant.
    let tx = Tx::begin(state, &Scope::System).await?;
    let backend = tx.get_database_backend();
    let statement = Statement::from_sql_and_values(backend, sql, [user.into(), after.into()]);
    let items = Item::find_by_statement(statement).all(&*tx).await?;
    tx.commit().await?;
    Ok(items)
}
