//! Whether an answer tells that an account exists: by its status, headers or body, or by the time
//! that it takes.
//!
//! For each case, requests about known and about unknown accounts go out one at a time in random
//! order, each from an address of its own, each about another account. What is known then is one
//! number: how often the longer of two times, one of each kind, is that of the known account (the
//! Mann-Whitney statistic over the number of pairs). 50 % tells nothing. Up to 5 points from it an
//! attacker who sees one time of each guesses right 55 times of a hundred at best, on loopback.

use std::{
    hash::{BuildHasher, RandomState},
    net::Ipv4Addr,
    thread,
    time::{Duration, Instant},
};

use anyhow::ensure;
use serde_json::{Value, json};

use crate::{
    data,
    http::{Answer, Connection},
    stats::as_f64,
};

/// For what goes on after an answer, such as sending a mail, to be over before the next request.
const PAUSE: Duration = Duration::from_millis(10);

/// What is asked about known and unknown accounts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Case {
    /// A login with a wrong password.
    Login,
    /// A request for a link that resets the password.
    Forgot,
    /// A registration with an address that is taken, or is not.
    Register,
}

impl Case {
    pub const ALL: [Self; 3] = [Self::Login, Self::Forgot, Self::Register];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Login => "login with a wrong password",
            Self::Forgot => "forgotten password",
            Self::Register => "registration",
        }
    }

    const fn status(self) -> u16 {
        match self {
            Self::Login => 401,
            Self::Forgot | Self::Register => 202,
        }
    }

    /// `number` is another one for each request.
    fn request(self, known: bool, number: u32) -> Vec<u8> {
        let email = if known {
            data::email(number)
        } else {
            // As long as those that are known, and never asked about before.
            data::email(number).replacen("person", &letters(), 1)
        };
        let (path, body) = match self {
            Self::Login => (
                "login",
                json!({"login": email, "password": "not the password"}),
            ),
            Self::Forgot => ("password/forgot", json!({"email": email})),
            Self::Register => (
                "",
                json!({"email": email, "password": "walnut ferry 88 cobalt moss"}),
            ),
        };
        let path = match self {
            Self::Register => "/api/register".to_owned(),
            _ => format!("/api/auth/{path}"),
        };
        let address = Ipv4Addr::from(0x0a00_0000 + number);
        let body = body.to_string();
        format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: {address}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .into_bytes()
    }
}

/// Six letters, so that an address is its own.
fn letters() -> String {
    let random = RandomState::new().hash_one(0);
    (0..6)
        .map(|place| {
            char::from(b'a' + u8::try_from((random >> (8 * place)) % 26).unwrap_or_default())
        })
        .collect()
}

/// What was seen of a case.
#[derive(Debug)]
pub struct Seen {
    /// How often the longer time was that of the known account, in percent.
    pub known_longer: f64,
    /// Median of the known less that of the unknown, in microseconds.
    pub difference: f64,
}

/// Asks `count` times about known accounts, the first of which is `first`, and as often about
/// unknown ones.
///
/// # Errors
///
/// An answer that is not as it should be, or that differs in more than its time.
pub fn measure(address: &str, case: Case, first: u32, count: u32) -> anyhow::Result<Seen> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let mut connection = runtime.block_on(Connection::open(address))?;
    let (mut known, mut unknown) = (Vec::new(), Vec::new());
    let mut usual = None;
    for (number, is_known) in shuffled(count).into_iter().enumerate() {
        let number = first + u32::try_from(number)?;
        let request = case.request(is_known, number);
        thread::sleep(PAUSE);
        let started = Instant::now();
        let answer = runtime.block_on(connection.send(&request))?;
        let took = started.elapsed();
        let visible = visible(case, &answer)?;
        let usual = usual.get_or_insert_with(|| visible.clone());
        ensure!(*usual == visible, "answers differ: {usual} and {visible}");
        if is_known { &mut known } else { &mut unknown }.push(took);
    }
    Ok(Seen {
        known_longer: 100.0 * superiority(&known, &unknown),
        difference: (median(&mut known) - median(&mut unknown)) * 1e6,
    })
}

/// `count` of each, in random order: what follows a request is as often of one kind as of the
/// other.
fn shuffled(count: u32) -> Vec<bool> {
    let random = RandomState::new();
    let mut order: Vec<_> = (0..2 * count)
        .map(|number| (random.hash_one(number), number % 2 == 0))
        .collect();
    order.sort_unstable();
    order.into_iter().map(|(_, is_known)| is_known).collect()
}

/// Everything that a client sees but what is new in every answer.
fn visible(case: Case, answer: &Answer) -> anyhow::Result<String> {
    ensure!(answer.status == case.status(), "{case:?}: {answer:?}");
    let mut body = if answer.body.is_empty() {
        Value::Null
    } else {
        serde_json::from_slice(&answer.body)?
    };
    if let Some(fields) = body.as_object_mut() {
        fields.remove("request_id");
    }
    let is_new = |line: &&str| {
        let name = line.split(':').next().unwrap_or_default();
        ["date", "x-request-id"]
            .iter()
            .any(|new| name.eq_ignore_ascii_case(new))
    };
    let head: Vec<_> = answer
        .head
        .split("\r\n")
        .filter(|line| !is_new(line))
        .collect();
    Ok(format!("{} {body}", head.join(", ")))
}

/// The share of pairs in which the one of `first` is the longer; equal ones count half.
fn superiority(first: &[Duration], second: &[Duration]) -> f64 {
    let mut all: Vec<_> = first.iter().map(|time| (*time, true)).collect();
    all.extend(second.iter().map(|time| (*time, false)));
    all.sort_unstable();
    let (mut ranks, mut place) = (0.0, 0);
    for group in all.chunk_by(|one, other| one.0 == other.0) {
        // Equal times share the mean of their ranks.
        let rank = as_f64(place) + f64::midpoint(1.0, as_f64(group.len()));
        ranks += rank * as_f64(group.iter().filter(|(_, is_first)| *is_first).count());
        place += group.len();
    }
    let (n, m) = (as_f64(first.len()), as_f64(second.len()));
    (ranks - n * (n + 1.0) / 2.0) / (n * m)
}

/// In seconds.
fn median(times: &mut [Duration]) -> f64 {
    times.sort_unstable();
    times
        .get(times.len() / 2)
        .map_or(0.0, Duration::as_secs_f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(milliseconds: &[u64]) -> Vec<Duration> {
        milliseconds
            .iter()
            .map(|ms| Duration::from_millis(*ms))
            .collect()
    }

    #[test]
    fn the_share_of_longer_times_is_that_of_all_pairs() {
        for (first, second, share) in [
            (&[3, 4][..], &[1, 2][..], 1.0),
            (&[1, 2], &[3, 4], 0.0),
            (&[1, 3], &[2, 4], 0.25),
            (&[5, 5], &[5, 5], 0.5),
            (&[1, 5, 9], &[5], 0.5),
        ] {
            let found = superiority(&times(first), &times(second));
            assert!(
                (found - share).abs() < 1e-9,
                "{first:?} {second:?}: {found}"
            );
        }
    }

    #[test]
    fn both_kinds_are_asked_about_equally_often() {
        let order = shuffled(500);
        assert_eq!(order.iter().filter(|known| **known).count(), 500);
        assert_ne!(order[..20], shuffled(500)[..20]);
    }

    #[test]
    fn known_and_unknown_requests_have_the_same_length() {
        let of = |known, number| Case::Login.request(known, number).len();
        assert_eq!(of(true, 10_000), of(false, 10_000));
    }

    #[test]
    fn answers_that_differ_in_a_header_are_told_apart() {
        let answer = |head: &str| Answer {
            status: 401,
            retry_after: None,
            head: head.to_owned(),
            body: b"{\"code\":\"x\",\"request_id\":\"1\"}".to_vec(),
        };
        let of = |head: &str| visible(Case::Login, &answer(head)).unwrap();
        assert_eq!(of("HTTP/1.1 401\r\nDate: a"), of("HTTP/1.1 401\r\ndate: b"));
        assert_ne!(of("HTTP/1.1 401\r\nX-A: a"), of("HTTP/1.1 401\r\nX-A: b"));
    }
}
