//! `gatepost db verify`: whether what the constraints and triggers hold together still holds. They
//! see every change that the program makes; they do not see what a restored backup, a switched-off
//! trigger or a damaged disk brings.

use std::time::Duration;

use sea_orm::{ConnectionTrait, DbErr, FromQueryResult, Statement};
use serde::Serialize;

use super::db::Db;
use crate::audit::verify::{self, Position};

/// How long one question may take: some look at every row there is.
const QUESTION: Duration = Duration::from_hours(1);

/// How many cases of one kind are told.
const TOLD: usize = 20;

/// Something that should not be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What kind: `orphan`, `cycle`, `owner`, `administrator`, `state` or `audit`.
    pub kind: &'static str,
    /// Which, for people.
    pub text: String,
}

/// A question that has an answer for each case of something that should not be.
struct Question {
    kind: &'static str,
    text: &'static str,
    sql: &'static str,
}

const QUESTIONS: [Question; 8] = [
    Question {
        kind: "orphan",
        text: "role assignment of something that is gone",
        sql: "SELECT a.id::text AS found FROM user_role_assignments a WHERE CASE a.resource_type
                WHEN 'organization' THEN NOT EXISTS (SELECT FROM organizations WHERE id = a.resource_id)
                WHEN 'account' THEN NOT EXISTS (SELECT FROM accounts
                    WHERE id = a.resource_id AND organization_id = a.organization_id)
                WHEN 'project' THEN NOT EXISTS (SELECT FROM projects
                    WHERE id = a.resource_id AND organization_id = a.organization_id)
                ELSE false END",
    },
    Question {
        kind: "orphan",
        text: "invitation to something that is gone",
        sql: "SELECT i.id::text AS found FROM invitations i WHERE CASE i.resource_type
                WHEN 'organization' THEN NOT EXISTS (SELECT FROM organizations WHERE id = i.resource_id)
                WHEN 'account' THEN NOT EXISTS (SELECT FROM accounts
                    WHERE id = i.resource_id AND organization_id = i.organization_id)
                WHEN 'project' THEN NOT EXISTS (SELECT FROM projects
                    WHERE id = i.resource_id AND organization_id = i.organization_id)
                ELSE false END",
    },
    Question {
        kind: "orphan",
        text: "role request for something that is gone",
        sql: "SELECT q.id::text AS found FROM role_requests q WHERE CASE q.resource_type
                WHEN 'organization' THEN NOT EXISTS (SELECT FROM organizations WHERE id = q.resource_id)
                WHEN 'account' THEN NOT EXISTS (SELECT FROM accounts
                    WHERE id = q.resource_id AND organization_id = q.organization_id)
                WHEN 'project' THEN NOT EXISTS (SELECT FROM projects
                    WHERE id = q.resource_id AND organization_id = q.organization_id)
                ELSE false END",
    },
    Question {
        kind: "cycle",
        text: "resource that is above itself",
        sql: "WITH RECURSIVE up AS (
                SELECT id AS start, parent_id AS id, 1 AS steps FROM resources
                    WHERE parent_id IS NOT NULL
                UNION ALL
                SELECT up.start, r.parent_id, up.steps + 1 FROM up JOIN resources r ON r.id = up.id
                    WHERE r.parent_id IS NOT NULL AND up.id <> up.start AND up.steps < 100)
              SELECT DISTINCT start::text AS found FROM up WHERE id = start",
    },
    Question {
        kind: "orphan",
        text: "resource whose list of ancestors is not that of its parent",
        sql: "SELECT r.id::text AS found FROM resources r LEFT JOIN resources p ON p.id = r.parent_id
              WHERE r.parent_id IS NOT NULL
                AND r.ancestors IS DISTINCT FROM p.ancestors || r.parent_id",
    },
    Question {
        kind: "owner",
        text: "organization without an active owner",
        sql: "SELECT o.id::text AS found FROM organizations o WHERE NOT EXISTS (
                SELECT FROM user_role_assignments a
                    JOIN roles r ON r.id = a.role_id AND r.key = 'owner' AND r.organization_id IS NULL
                    LEFT JOIN users u ON u.id = a.user_id
                    LEFT JOIN service_accounts s ON s.id = a.service_account_id
                WHERE a.resource_type = 'organization' AND a.resource_id = o.id
                  AND a.expires_at IS NULL AND 'active' IN (u.status, s.status))",
    },
    Question {
        kind: "administrator",
        text: "no active administrator of the system",
        sql: "SELECT 'make one with `gatepost admin recover`' AS found WHERE NOT EXISTS (
                SELECT FROM user_role_assignments a
                    JOIN roles r ON r.id = a.role_id AND r.key = 'admin' AND r.organization_id IS NULL
                    JOIN users u ON u.id = a.user_id AND u.status = 'active'
                WHERE a.resource_type = 'system' AND a.expires_at IS NULL)",
    },
    Question {
        kind: "state",
        text: "the row of authz_state",
        sql: "SELECT 'is missing' AS found WHERE NOT EXISTS (SELECT FROM authz_state)",
    },
];

/// For every foreign key the rows that refer to nothing. The server checks each change, but not what
/// came in while triggers were off.
const FOREIGN_KEYS: &str = "
    SELECT conname::text AS name, conrelid::regclass::text AS child,
        confrelid::regclass::text AS parent,
        (SELECT string_agg(format('c.%I IS NOT NULL', a.attname), ' AND ')
            FROM unnest(conkey) AS k JOIN pg_attribute a ON a.attrelid = conrelid AND a.attnum = k)
            AS set,
        (SELECT string_agg(format('p.%I = c.%I', b.attname, a.attname), ' AND ')
            FROM unnest(conkey, confkey) AS k (c, p)
            JOIN pg_attribute a ON a.attrelid = conrelid AND a.attnum = k.c
            JOIN pg_attribute b ON b.attrelid = confrelid AND b.attnum = k.p) AS same
    FROM pg_constraint WHERE contype = 'f' AND conparentid = 0
        AND connamespace = current_schema()::regnamespace
    ORDER BY 1";

#[derive(FromQueryResult)]
struct ForeignKey {
    name: String,
    child: String,
    parent: String,
    set: String,
    same: String,
}

#[derive(FromQueryResult)]
struct Found {
    found: String,
}

/// Looks at everything, in one snapshot, and returns what should not be.
///
/// # Errors
///
/// The database's.
pub async fn verify(db: &Db) -> Result<Vec<Finding>, DbErr> {
    let snapshot = db.begin_within(QUESTION).await?;
    snapshot
        .execute_unprepared(
            "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY;
             SET LOCAL app.scope = 'system'",
        )
        .await?;
    let mut findings = Vec::new();
    for question in QUESTIONS {
        let Question { kind, text, sql } = question;
        findings.extend(cases(ask(&snapshot, sql).await?, kind, text));
    }
    let statement = Statement::from_string(snapshot.get_database_backend(), FOREIGN_KEYS);
    for key in ForeignKey::find_by_statement(statement)
        .all(&snapshot)
        .await?
    {
        let ForeignKey {
            name,
            child,
            parent,
            set,
            same,
        } = key;
        let sql = format!(
            "SELECT count(*)::text AS found FROM {child} c
             WHERE {set} AND NOT EXISTS (SELECT FROM {parent} p WHERE {same})"
        );
        for count in ask(&snapshot, &sql).await? {
            if count != "0" {
                findings.push(Finding {
                    kind: "orphan",
                    text: format!("{child}: {count} rows refer to nothing in {parent} ({name})"),
                });
            }
        }
    }
    findings.extend(chain(&snapshot).await?);
    snapshot.rollback().await?;
    Ok(findings)
}

async fn ask(db: &impl ConnectionTrait, sql: &str) -> Result<Vec<String>, DbErr> {
    let statement = Statement::from_string(db.get_database_backend(), sql);
    let found = Found::find_by_statement(statement).all(db).await?;
    Ok(found.into_iter().map(|row| row.found).collect())
}

fn cases(found: Vec<String>, kind: &'static str, text: &str) -> Vec<Finding> {
    let more = found.len().saturating_sub(TOLD);
    let told = found.into_iter().take(TOLD);
    let told = told.map(|case| Finding {
        kind,
        text: format!("{text}: {case}"),
    });
    let rest = (more > 0).then(|| Finding {
        kind,
        text: format!("{text}: and {more} more"),
    });
    told.chain(rest).collect()
}

/// The first link of the audit chain that does not hold.
async fn chain(db: &impl ConnectionTrait) -> Result<Option<Finding>, DbErr> {
    let broken = |broken: verify::Break| Finding {
        kind: "audit",
        text: format!("the chain is broken at {}: {broken}", broken.seq),
    };
    let mut position = Position::START;
    loop {
        let step = verify::step(db, position).await?;
        if let Some(found) = step.broken {
            return Ok(Some(broken(found)));
        }
        if step.is_end {
            return Ok(verify::stray(db).await?.map(broken));
        }
        position = step.position;
    }
}
