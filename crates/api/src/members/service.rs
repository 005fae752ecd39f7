//! The use cases of members. Transactions begin and end here.

use super::{
    model::{Member, MemberError, ReadMembers},
    repo,
};
use crate::{
    access::permit::Permit,
    database::tx::{Scope, Tx},
    http::page::{Cut, Page},
    state::AppState,
};

/// Who has access to the resource of the permit: by a role on it or on anything above it, given to
/// them or to a group that they are in.
///
/// # Errors
///
/// The database's.
pub async fn list<A: ReadMembers>(
    state: &AppState,
    permit: &Permit<A>,
    cut: &Cut<Member>,
) -> Result<Page<Member>, MemberError> {
    // Those who hold a role on the system have access, too, and no tenant sees those rows.
    let tx = Tx::begin(state, &Scope::System).await?;
    let members = repo::of(&*tx, permit.located(), state.clock.now(), cut).await?;
    tx.commit().await?;
    Ok(cut.page(members, |member| member.principal.id, |member| member))
}
