//! Answers that take the same time whether or not there was something to do.

use std::time::Duration;

/// Longer than a hash and the queries around it take.
const LEAST: Duration = Duration::from_millis(150);

/// Does `work`, and is done not before 150 ms have passed: who waits for the answer cannot tell
/// from its time whether an address is known.
pub fn even<T>(work: impl Future<Output = T>) -> impl Future<Output = T> {
    even_if(work, |_| true)
}

/// The same for those results that must not tell; others come as soon as they are there.
pub fn even_if<T>(
    work: impl Future<Output = T>,
    is_secret: impl FnOnce(&T) -> bool,
) -> impl Future<Output = T> {
    // Boxed: with what it waits for, it is too large for a stack that others share.
    let work = Box::pin(work);
    async {
        let least = tokio::time::sleep(LEAST);
        let result = work.await;
        if is_secret(&result) {
            least.await;
        }
        result
    }
}
