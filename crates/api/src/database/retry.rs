//! What has to be written even if a connection breaks just then.

use std::time::Duration;

use sea_orm::DbErr;

/// Tries after the first one.
const MORE: u32 = 9;
const PAUSE: Duration = Duration::from_millis(50);

/// Does `work` until it succeeds, ten times at most within about half a second. It must do no harm to do
/// it twice: the database may have done it and lost the answer.
///
/// Above all for the time of stopping: connections that a server's thread has opened end with that
/// thread, also while they are in use.
///
/// # Errors
///
/// That of the last try.
pub async fn retried<T, F>(work: impl Fn() -> F) -> Result<T, DbErr>
where
    F: Future<Output = Result<T, DbErr>>,
{
    for _ in 0..MORE {
        match work().await {
            Ok(value) => return Ok(value),
            Err(error) => tracing::debug!(%error, "trying again"),
        }
        tokio::time::sleep(PAUSE).await;
    }
    work().await
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[tokio::test]
    async fn ten_tries_are_all() {
        for (failures, result) in [(0, Ok(1)), (9, Ok(10)), (10, Err(10))] {
            let tries = Cell::new(0);
            let work = async || {
                tries.set(tries.get() + 1);
                if tries.get() > failures {
                    Ok(tries.get())
                } else {
                    Err(DbErr::Custom(String::new()))
                }
            };
            assert_eq!(retried(work).await.map_err(|_| tries.get()), result);
        }
    }
}
