//! The calibrator of logins: the library, the parameters and the number of threads that the
//! program uses, each thread with memory that it uses again, and nothing else.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::anyhow;
use argon2::{Algorithm, Argon2, Block, Params, Version};

/// The bytes of a tag.
const TAG: usize = 32;
/// Any salt of the usual length.
const SALT: &[u8; 16] = b"0123456789abcdef";

/// Hashes a second on `threads` threads.
pub fn rate(threads: usize, time: Duration) -> anyhow::Result<f64> {
    let started = Instant::now();
    let workers: Vec<_> = (0..threads)
        .map(|_| thread::spawn(move || count_until(started + time)))
        .collect();
    let mut total = 0.0;
    for worker in workers {
        let count = worker
            .join()
            .map_err(|_| anyhow!("a hashing thread panicked"))?;
        total += f64::from(count?);
    }
    // The last hashes end after the time is over.
    Ok(total / started.elapsed().as_secs_f64())
}

fn count_until(end: Instant) -> anyhow::Result<u32> {
    let mut memory = vec![Block::new(); Params::default().block_count()];
    let mut count = 0;
    while Instant::now() < end {
        tag(b"walnut ferry 88 cobalt moss", SALT, &mut memory)?;
        count += 1;
    }
    Ok(count)
}

/// One hash with the default parameters.
pub fn tag(password: &[u8], salt: &[u8], memory: &mut [Block]) -> anyhow::Result<[u8; TAG]> {
    let mut tag = [0; TAG];
    Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::default())
        .hash_password_into_with_memory(password, salt, &mut tag, memory)
        .map_err(|error| anyhow!("argon2: {error}"))?;
    Ok(tag)
}
