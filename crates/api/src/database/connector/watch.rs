//! Looks after the pool: where it leads, and whether that is still the right place.

use std::{sync::Arc, time::Duration};

use sqlx::{PgConnection, postgres::PgPool};
use tokio::time::{sleep, timeout};

use super::{Chosen, Connector, PATIENCE};

/// How often the server in use is asked for a sign of life.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often all are asked: two may take themselves for the primary.
const LOOK_ROUND_EVERY: u32 = 5;
/// Between two attempts while none will do.
const PAUSE: Duration = Duration::from_millis(300);

/// Runs until it is aborted. `first` is what the pool leads to now.
pub(in crate::database) async fn watch(connector: Arc<Connector>, pool: PgPool, first: Chosen) {
    let mut current = first.which;
    // One server without a pooler before it can only be come back to.
    let is_alone = connector.places.len() == 1 && !connector.is_pooled();
    let mut own = (!is_alone).then_some(first.connection);
    let mut round = 0;
    let mut is_told = false;
    loop {
        if is_alone {
            connector.nudged.notified().await;
        } else {
            tokio::select! {
                () = sleep(LOOK_EVERY) => {}
                () = connector.nudged.notified() => {}
            }
            round += 1;
            if is_well(&connector, own.as_mut()).await {
                if round % LOOK_ROUND_EVERY != 0 {
                    continue;
                }
            } else {
                own = None;
            }
        }
        match connector.choose().await {
            Ok(chosen) => {
                is_told = false;
                let has_moved = chosen.which != current;
                if has_moved {
                    tracing::warn!(place = chosen.place, "the database is at another place now");
                }
                if has_moved || (!is_alone && own.is_none()) {
                    current = chosen.which;
                    pool.set_connect_options(chosen.options);
                    connector.retire();
                }
                own = (!is_alone).then_some(chosen.connection);
            }
            Err(unreachable) => {
                own = None;
                if !std::mem::replace(&mut is_told, true) {
                    tracing::error!("no server of the database will do: {unreachable}");
                }
                sleep(PAUSE).await;
                if !is_alone {
                    connector.nudge();
                }
            }
        }
    }
}

/// Whether the server in use answers, and is still what it was.
async fn is_well(connector: &Connector, own: Option<&mut PgConnection>) -> bool {
    let Some(connection) = own else { return false };
    let look = async {
        let facts = connector.look(connection).await?;
        connector.admit(connection, &facts).await
    };
    matches!(timeout(PATIENCE, look).await, Ok(Ok(())))
}
