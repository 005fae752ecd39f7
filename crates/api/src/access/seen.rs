//! Who was seen when: what `users.last_seen_at` is written from.
//!
//! A request leaves a note in memory, and every minute one statement writes the notes down, so a
//! busy user costs one write in ten minutes and no request waits for it. What is written is at
//! most eleven minutes too early; a process that is killed loses the last minute.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use chrono::{DateTime, TimeDelta, Utc};
use sea_orm::{ConnectionTrait, DbErr, Statement};
use uuid::Uuid;

use crate::database::db::Db;

/// A user who was noted is not noted again for this long.
const PAUSE: TimeDelta = TimeDelta::minutes(10);
/// Locks, so that requests of different users seldom wait for each other.
const SHARDS: usize = 16;

#[derive(Clone, Copy)]
struct Note {
    at: DateTime<Utc>,
    written: bool,
}

/// The notes of one process. Holds the users of the last ten minutes.
#[derive(Default)]
pub struct Seen {
    shards: [Mutex<HashMap<Uuid, Note>>; SHARDS],
}

impl Seen {
    /// Notes that a user shows a sign of life.
    pub fn note(&self, user: Uuid, now: DateTime<Utc>) {
        // The last byte of a UUID of version 7 is random.
        let shard = &self.shards[usize::from(user.as_bytes()[15]) % SHARDS];
        let mut notes = shard.lock().unwrap_or_else(PoisonError::into_inner);
        let note = notes.entry(user).or_insert(Note {
            at: DateTime::UNIX_EPOCH,
            written: true,
        });
        if now - note.at >= PAUSE {
            *note = Note {
                at: now,
                written: false,
            };
        }
    }

    /// Writes down what was noted since the last time, and forgets what is old.
    ///
    /// # Errors
    ///
    /// The database's; the notes are tried again the next time.
    pub async fn write(&self, db: &Db, now: DateTime<Utc>) -> Result<(), DbErr> {
        let (users, times): (Vec<_>, Vec<_>) = self.unwritten().into_iter().unzip();
        if !users.is_empty() {
            // A row that somebody else is writing is left to the next note: nobody waits for this.
            let sql = "WITH free AS (SELECT u.id, n.at FROM users u \
                         JOIN unnest($1::uuid[], $2::timestamptz[]) AS n (id, at) ON n.id = u.id \
                         WHERE u.last_seen_at IS NULL OR u.last_seen_at < n.at \
                         ORDER BY u.id FOR NO KEY UPDATE OF u SKIP LOCKED) \
                       UPDATE users SET last_seen_at = free.at FROM free WHERE users.id = free.id";
            let values = [users.clone().into(), times.clone().into()];
            let backend = db.get_database_backend();
            db.execute_raw(Statement::from_sql_and_values(backend, sql, values))
                .await?;
        }
        self.settle(&users.into_iter().zip(times).collect(), now);
        Ok(())
    }

    fn unwritten(&self) -> HashMap<Uuid, DateTime<Utc>> {
        let mut unwritten = HashMap::new();
        for shard in &self.shards {
            let notes = shard.lock().unwrap_or_else(PoisonError::into_inner);
            for (user, note) in notes.iter().filter(|(_, note)| !note.written) {
                unwritten.insert(*user, note.at);
            }
        }
        unwritten
    }

    fn settle(&self, written: &HashMap<Uuid, DateTime<Utc>>, now: DateTime<Utc>) {
        for shard in &self.shards {
            let mut notes = shard.lock().unwrap_or_else(PoisonError::into_inner);
            notes.retain(|user, note| {
                note.written |= written.get(user) == Some(&note.at);
                !note.written || now - note.at < PAUSE
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_user_is_noted_once_in_a_while_and_forgotten_in_the_end() {
        let (seen, user, start) = (Seen::default(), Uuid::now_v7(), DateTime::UNIX_EPOCH);
        let begin = start + PAUSE;
        for second in 0..599 {
            seen.note(user, begin + TimeDelta::seconds(second));
        }
        let first = HashMap::from([(user, begin)]);
        assert_eq!(seen.unwritten(), first);
        seen.settle(&first, begin);
        assert!(seen.unwritten().is_empty());
        seen.note(user, begin + PAUSE);
        let second = HashMap::from([(user, begin + PAUSE)]);
        seen.settle(&first, begin + PAUSE);
        assert_eq!(
            seen.unwritten(),
            second,
            "a newer note is not the written one"
        );
        seen.settle(&second, begin + PAUSE + PAUSE);
        assert!(
            seen.shards
                .iter()
                .all(|shard| shard.lock().unwrap().is_empty())
        );
    }
}
