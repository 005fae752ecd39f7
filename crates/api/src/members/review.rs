//! The access review of an organization: who has what, since when, by whom, and whether they use it.

use actix_web::{
    HttpRequest, HttpResponse,
    http::header::{ACCEPT, CONTENT_DISPOSITION, CONTENT_TYPE},
    web::{Bytes, Data, Query},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, Utc};
use futures_util::stream;
use sea_orm::{ConnectionTrait, DbErr, FromQueryResult, Statement};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::csv;
use crate::{
    access::{
        actor::Principal,
        permit::{Action, Permit, Target},
        resource::ResourceType,
    },
    database::tx::{Scope, Tx},
    http::page::{Limit, Page},
    policy::Place,
    problem::{Code, Problem},
    role_assignments::model::{GroupName, ResourceName},
    state::AppState,
};

/// Lines that are read from the database at once for CSV.
const BLOCK: i64 = 1000;

/// Action `audit:read` on an organization.
pub struct Review;
impl Action for Review {
    const NAME: &'static str = "audit:read";
    const TARGET: Target = Target::Path(ResourceType::Organization, "organization_id");
}

/// The forms of an access review.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// A page of items.
    Json,
    /// All lines, as RFC 4180 has them.
    Csv,
}

/// The query of an access review.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct ReviewQuery {
    /// Items a page has at most. CSV is not cut.
    #[serde(default)]
    #[param(value_type = Option<u8>, minimum = 1, maximum = 200, default = 50)]
    pub limit: Limit,
    /// `next_cursor` of the page before.
    #[param(max_length = 200)]
    pub cursor: Option<String>,
    /// `csv`, as `Accept: text/csv` asks for, too; JSON if not said.
    #[param(inline)]
    pub format: Option<Format>,
}

/// One role that somebody holds in an organization, and by which way.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AccessReviewItem)]
pub struct ReviewItem {
    /// The role assignment.
    pub role_assignment_id: Uuid,
    /// Who.
    pub principal: Principal,
    /// What they are called.
    pub name: Option<String>,
    /// The address of a user.
    pub email: Option<String>,
    /// `active`, or why they cannot act at present.
    pub status: String,
    /// The role's key.
    #[schema(example = "editor")]
    pub role: String,
    /// Whether the organization made the role.
    pub custom: bool,
    /// Where it holds: there and on all below.
    pub resource: ResourceName,
    /// What that is called.
    pub resource_name: Option<String>,
    /// The group that holds it; `null`: it was given to them.
    pub group: Option<GroupName>,
    /// Since when they have it: it was given, or they came into the group.
    pub since: DateTime<Utc>,
    /// Who gave it to them, or put them into the group.
    pub granted_by: Option<Uuid>,
    /// What that user is called.
    pub granted_by_name: Option<String>,
    /// Why it was given.
    pub reason: Option<String>,
    /// It holds until, and not at, this time; `null`: for good.
    pub expires_at: Option<DateTime<Utc>>,
    /// When they were seen last: a user at any request, a service account by its keys.
    pub last_seen_at: Option<DateTime<Utc>>,
}

/// Who has what in an organization, oldest first. As CSV it comes whole.
#[utoipa::path(get, path = "/api/organizations/{organization_id}/access-review",
    tag = "Organizations, accounts, projects", operation_id = "review_access",
    params(("organization_id" = uuid::Uuid, Path), ReviewQuery),
    responses((status = 200, content(
        (Page<ReviewItem> = "application/json"), (String = "text/csv")))))]
pub async fn handler(
    permit: Permit<Review>,
    state: Data<AppState>,
    query: Query<ReviewQuery>,
    req: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let after = query.cursor.as_deref().map(decode).transpose()?;
    let format = query.format.unwrap_or_else(|| accepted(&req));
    if format == Format::Csv {
        return csv_of(state, permit.id(), after).await;
    }
    let limit = query.limit.items();
    let fetched = i64::try_from(limit).unwrap_or(i64::MAX) + 1;
    let mut rows = page(&state, permit.id(), after, fetched).await?;
    let more = rows.len() > limit;
    rows.truncate(limit);
    let next_cursor = more.then(|| rows.last().map(encode)).flatten();
    let items = rows
        .into_iter()
        .map(item)
        .collect::<Result<Vec<_>, DbErr>>()?;
    Ok(HttpResponse::Ok().json(Page { items, next_cursor }))
}

/// What `Accept` asks for first, of the two.
fn accepted(req: &HttpRequest) -> Format {
    let accept = req
        .headers()
        .get(ACCEPT)
        .and_then(|text| text.to_str().ok());
    let first = accept.unwrap_or_default().split([',', ';']).next();
    if first.is_some_and(|kind| kind.trim().eq_ignore_ascii_case("text/csv")) {
        Format::Csv
    } else {
        Format::Json
    }
}

/// Streams all lines, block by block: neither memory nor a transaction grows with them.
async fn csv_of(
    state: Data<AppState>,
    organization_id: Uuid,
    after: Option<Key>,
) -> Result<HttpResponse, Problem> {
    // What fails here is still a problem document; what fails later breaks the connection off.
    let first = page(&state, organization_id, after, BLOCK).await?;
    let mut text = csv::line(&COLUMNS.map(str::to_owned));
    let next = append(&mut text, first)?;
    let rest = stream::try_unfold(next, move |next| {
        let state = Data::clone(&state);
        async move {
            let Some(after) = next else {
                return Ok::<_, DbErr>(None);
            };
            let rows = page(&state, organization_id, Some(after), BLOCK).await?;
            let mut text = String::new();
            let next = append(&mut text, rows)?;
            Ok(Some((Bytes::from(text), next)))
        }
    });
    let head = stream::once(async move { Ok::<_, DbErr>(Bytes::from(text)) });
    let disposition = format!("attachment; filename=\"access-review-{organization_id}.csv\"");
    Ok(HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, "text/csv; charset=utf-8; header=present"))
        .insert_header((CONTENT_DISPOSITION, disposition))
        .streaming(futures_util::StreamExt::chain(head, rest)))
}

/// Writes a block; says where the next one begins, if there may be one.
fn append(text: &mut String, rows: Vec<Row>) -> Result<Option<Key>, DbErr> {
    let full = i64::try_from(rows.len()).is_ok_and(|count| count == BLOCK);
    let next = full.then(|| rows.last().map(key)).flatten();
    for row in rows {
        text.push_str(&csv::line(&fields(item(row)?)));
    }
    Ok(next)
}

const COLUMNS: [&str; 19] = [
    "role_assignment_id",
    "principal_type",
    "principal_id",
    "name",
    "email",
    "status",
    "role",
    "custom",
    "resource_type",
    "resource_id",
    "resource_name",
    "group_id",
    "group_name",
    "since",
    "granted_by",
    "granted_by_name",
    "reason",
    "expires_at",
    "last_seen_at",
];

fn fields(item: ReviewItem) -> [String; 19] {
    let instant = |at: DateTime<Utc>| at.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true);
    let id = |id: Option<Uuid>| id.map(|id| id.to_string()).unwrap_or_default();
    let group = item.group;
    [
        item.role_assignment_id.to_string(),
        item.principal.r#type.as_str().to_owned(),
        item.principal.id.to_string(),
        item.name.unwrap_or_default(),
        item.email.unwrap_or_default(),
        item.status,
        item.role,
        item.custom.to_string(),
        item.resource.r#type,
        item.resource.id.unwrap_or_default(),
        item.resource_name.unwrap_or_default(),
        id(group.as_ref().map(|group| group.id)),
        group.map(|group| group.name).unwrap_or_default(),
        instant(item.since),
        id(item.granted_by),
        item.granted_by_name.unwrap_or_default(),
        item.reason.unwrap_or_default(),
        item.expires_at.map(instant).unwrap_or_default(),
        item.last_seen_at.map(instant).unwrap_or_default(),
    ]
}

/// Where a page begins: after this assignment as this principal holds it.
type Key = (Uuid, Uuid);

fn key(row: &Row) -> Key {
    (row.role_assignment_id, row.principal_id)
}

fn encode(row: &Row) -> String {
    let (assignment, principal) = key(row);
    URL_SAFE_NO_PAD.encode([assignment.into_bytes(), principal.into_bytes()].concat())
}

fn decode(cursor: &str) -> Result<Key, Problem> {
    let wrong = || Problem::plain(Code::InvalidCursor);
    let bytes = URL_SAFE_NO_PAD.decode(cursor).map_err(|_| wrong())?;
    let (assignment, principal) = bytes.split_at_checked(16).ok_or_else(wrong)?;
    let id = |bytes| Uuid::from_slice(bytes).map_err(|_| wrong());
    Ok((id(assignment)?, id(principal)?))
}

#[derive(FromQueryResult)]
struct Row {
    role_assignment_id: Uuid,
    principal_type: String,
    principal_id: Uuid,
    name: Option<String>,
    email: Option<String>,
    status: String,
    role: String,
    custom: bool,
    resource_type: String,
    resource_id: Option<Uuid>,
    resource_name: Option<String>,
    thing_type: Option<String>,
    thing_id: Option<String>,
    group_id: Option<Uuid>,
    group_name: Option<String>,
    since: DateTime<Utc>,
    granted_by: Option<Uuid>,
    granted_by_name: Option<String>,
    reason: Option<String>,
    expires_at: Option<DateTime<Utc>>,
    last_seen_at: Option<DateTime<Utc>>,
}

fn item(row: Row) -> Result<ReviewItem, DbErr> {
    let id = row.role_assignment_id;
    let unknown = |()| DbErr::Type(format!("role assignment {id} names an unknown type"));
    Ok(ReviewItem {
        role_assignment_id: id,
        principal: Principal {
            r#type: row.principal_type.parse().map_err(unknown)?,
            id: row.principal_id,
        },
        name: row.name,
        email: row.email,
        status: row.status,
        role: row.role,
        custom: row.custom,
        resource: match row.thing_type.zip(row.thing_id) {
            Some((kind, id)) => Place::new(kind, id).into(),
            None => ResourceName::stored(&row.resource_type, row.resource_id, None)?,
        },
        resource_name: row.resource_name,
        group: row
            .group_id
            .zip(row.group_name)
            .map(|(id, name)| GroupName { id, name }),
        since: row.since,
        granted_by: row.granted_by,
        granted_by_name: row.granted_by_name,
        reason: row.reason,
        expires_at: row.expires_at,
        last_seen_at: row.last_seen_at,
    })
}

/// What is held in an organization, from `after` on.
async fn page(
    state: &AppState,
    organization_id: Uuid,
    after: Option<Key>,
    limit: i64,
) -> Result<Vec<Row>, DbErr> {
    let sql = "SELECT a.id AS role_assignment_id, \
            CASE WHEN a.service_account_id IS NULL THEN 'user' ELSE 'service_account' END AS principal_type, \
            h.id AS principal_id, COALESCE(u.display_name, u.username, s.name) AS name, u.email, \
            COALESCE(u.status, s.status) AS status, r.key AS role, \
            r.organization_id IS NOT NULL AS custom, a.resource_type, a.resource_id, \
            COALESCE(p.name, c.name, o.name) AS resource_name, \
            t.type AS thing_type, t.external_id AS thing_id, \
            g.id AS group_id, g.name AS group_name, GREATEST(a.created_at, m.created_at) AS since, \
            COALESCE(m.added_by, a.granted_by) AS granted_by, \
            (SELECT COALESCE(b.display_name, b.username) FROM users b \
                WHERE b.id = COALESCE(m.added_by, a.granted_by)) AS granted_by_name, \
            a.reason, a.expires_at, COALESCE(GREATEST(u.last_seen_at, u.last_login_at), \
                (SELECT max(k.last_used_at) FROM api_keys k \
                    WHERE k.service_account_id = a.service_account_id)) AS last_seen_at \
        FROM user_role_assignments a \
        JOIN roles r ON r.id = a.role_id \
        LEFT JOIN groups g ON g.id = a.group_id \
        LEFT JOIN group_members m ON m.group_id = a.group_id \
        CROSS JOIN LATERAL (SELECT COALESCE(a.user_id, a.service_account_id, m.user_id) AS id) h \
        LEFT JOIN users u ON u.id = h.id \
        LEFT JOIN service_accounts s ON s.id = h.id \
        LEFT JOIN projects p ON a.resource_type = 'project' AND p.id = a.resource_id \
        LEFT JOIN accounts c ON a.resource_type = 'account' AND c.id = a.resource_id \
        LEFT JOIN organizations o ON a.resource_type = 'organization' AND o.id = a.resource_id \
        LEFT JOIN resources t ON a.resource_type = 'resource' AND t.id = a.resource_id \
        WHERE a.organization_id = $1 AND h.id IS NOT NULL \
          AND (a.expires_at IS NULL OR a.expires_at > $2) \
          AND ($3::uuid IS NULL OR (a.id >= $3 AND (a.id, h.id) > ($3, $4::uuid))) \
        ORDER BY a.id, h.id LIMIT $5";
    let (assignment, principal) = after.unzip();
    let values = [
        organization_id.into(),
        state.clock.now().into(),
        assignment.into(),
        principal.into(),
        limit.into(),
    ];
    let tx = Tx::begin(state, &Scope::Organizations(vec![organization_id])).await?;
    let statement = Statement::from_sql_and_values(tx.get_database_backend(), sql, values);
    let rows = Row::find_by_statement(statement).all(&*tx).await?;
    tx.commit().await?;
    Ok(rows)
}
