//! Actions that may be found: those that the catalog, the roles and the operator's rules name.

use std::collections::BTreeSet;

use sea_orm::{ConnectionTrait, DbErr, FromQueryResult, Statement};
use uuid::Uuid;

use crate::{
    access::{actor::Subject, resource::ResourceType},
    database::tx::{Scope, Tx},
    policy::TYPES,
    state::AppState,
};

/// What applications mostly do with their things.
const COMMON: [&str; 5] = ["create", "read", "update", "delete", "list"];

#[derive(FromQueryResult)]
struct Row {
    permission: String,
}

/// The names by which actions on a resource of type `kind` can be asked for: verbs of its own type,
/// and permissions of what stands below it.
pub(super) async fn names(
    state: &AppState,
    kind: &str,
    subject: Option<&Subject>,
    organization: Option<Uuid>,
) -> Result<BTreeSet<String>, DbErr> {
    let mut names = BTreeSet::new();
    let catalog = &state.catalog;
    for verb in catalog.permissions.get(kind).into_iter().flatten() {
        names.insert(verb.clone());
    }
    let by_rules = state.policy_source.actions();
    let by_rules = by_rules.iter().filter(|(of, _)| of == kind);
    names.extend(by_rules.map(|(_, name)| name.clone()));
    match kind.parse::<ResourceType>() {
        Ok(ours) => {
            let is_own = matches!(ours, ResourceType::User | ResourceType::ServiceAccount);
            let further = catalog.permissions.iter().filter(|(other, _)| {
                *other != kind
                    && if is_own {
                        *other == "self"
                    } else {
                        *other != "self"
                    }
            });
            for (other, verbs) in further {
                names.extend(verbs.iter().map(|verb| format!("{other}:{verb}")));
            }
        }
        Err(()) if !TYPES.contains(&kind) => {
            names.extend(COMMON.map(ToOwned::to_owned));
            let held = subject.iter().flat_map(|subject| subject.grants.iter());
            let held = held.flat_map(|grant| grant.permissions.iter());
            let built_in = catalog.roles.iter().flat_map(|role| &role.permissions);
            let custom = match organization {
                Some(id) => custom(state, id).await?,
                None => Vec::new(),
            };
            let verbs = held.chain(built_in).chain(&custom);
            names.extend(verbs.filter_map(|permission| verb(permission, kind)));
        }
        Err(()) => {}
    }
    Ok(names)
}

/// The verb of a permission that counts for things of an application's type.
fn verb(permission: &str, kind: &str) -> Option<String> {
    let (of, verb) = permission.split_once(':')?;
    (verb != "*" && (of == kind || of == "resource" || of == "*")).then(|| verb.to_owned())
}

/// What the organization's own roles carry.
async fn custom(state: &AppState, organization: Uuid) -> Result<Vec<String>, DbErr> {
    let sql =
        "SELECT DISTINCT unnest(permissions) AS permission FROM roles WHERE organization_id = $1";
    let tx = Tx::begin(state, &Scope::Organizations(vec![organization])).await?;
    let values = [organization.into()];
    let statement = Statement::from_sql_and_values(tx.get_database_backend(), sql, values);
    let rows = Row::find_by_statement(statement).all(&*tx).await?;
    tx.commit().await?;
    Ok(rows.into_iter().map(|row| row.permission).collect())
}
