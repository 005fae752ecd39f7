//! A circuit breaker: a server that keeps failing is left alone for a while, so that
//! requests fail at once instead of each waiting out its budget.
use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// Failures in a row that open the circuit.
const TOLERATED: u32 = 5;
/// How long it stays open at first; it doubles with every failed trial.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// And at most.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Counts failures and says who may still try.
#[derive(Debug)]
pub(super) struct Breaker(Mutex<State>);

#[derive(Clone, Copy, Debug)]
enum State {
    Closed {
        failures: u32,
    },
    Open {
        until: Instant,
        pause: Duration,
    },
    /// One request is out to see whether the server is back.
    Trying {
        since: Instant,
        pause: Duration,
    },
}

/// Leave to send one request. Dropped without a result, because its caller went away,
/// it says nothing about the server, and the next request may try.
pub(super) struct Pass<'a> {
    breaker: &'a Breaker,
    trial: bool,
}

impl Breaker {
    pub(super) fn new() -> Self {
        Self(Mutex::new(State::Closed { failures: 0 }))
    }

    /// Leave to send a request, unless the circuit is open.
    pub(super) fn admit(&self, now: Instant) -> Option<Pass<'_>> {
        let mut state = self.state();
        let trial = match *state {
            State::Closed { .. } => false,
            State::Open { until, pause } if now >= until => {
                *state = State::Trying { since: now, pause };
                true
            }
            State::Open { .. } | State::Trying { .. } => return None,
        };
        Some(Pass {
            breaker: self,
            trial,
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // The state is a plain value: whoever panicked left it whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pass<'_> {
    /// The server did its part.
    pub(super) fn succeeded(mut self) {
        let mut state = self.breaker.state();
        if self.trial || matches!(*state, State::Closed { .. }) {
            *state = State::Closed { failures: 0 };
        }
        self.trial = false;
    }

    /// The server did not answer, or not in time.
    pub(super) fn failed(mut self, now: Instant) {
        let mut state = self.breaker.state();
        *state = match *state {
            State::Closed { failures } if failures + 1 < TOLERATED => State::Closed {
                failures: failures + 1,
            },
            State::Closed { .. } => State::Open {
                until: now + FIRST_PAUSE,
                pause: FIRST_PAUSE,
            },
            State::Trying { pause, .. } if self.trial => {
                let pause = (pause * 2).min(LONGEST_PAUSE);
                State::Open {
                    until: now + pause,
                    pause,
                }
            }
            // The late result of a request that was sent before the circuit opened.
            other => other,
        };
        self.trial = false;
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        if !self.trial {
            return;
        }
        let mut state = self.breaker.state();
        if let State::Trying { since, pause } = *state {
            *state = State::Open {
                until: since,
                pause,
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened(now: Instant) -> Breaker {
        let breaker = Breaker::new();
        for _ in 0..TOLERATED {
            breaker.admit(now).unwrap().failed(now);
        }
        breaker
    }

    #[test]
    fn failures_in_a_row_open_it_and_a_success_between_does_not() {
        let now = Instant::now();
        let breaker = Breaker::new();
        for _ in 0..3 {
            for _ in 1..TOLERATED {
                breaker.admit(now).unwrap().failed(now);
            }
            breaker.admit(now).unwrap().succeeded();
        }
        assert!(breaker.admit(now).is_some());
        assert!(opened(now).admit(now).is_none());
    }

    #[test]
    fn after_the_pause_one_request_tries_and_closes_it() {
        let now = Instant::now();
        let breaker = opened(now);
        let later = now + FIRST_PAUSE;
        let trial = breaker.admit(later).unwrap();
        assert!(breaker.admit(later).is_none());
        trial.succeeded();
        assert!(breaker.admit(later).is_some());
    }

    #[test]
    fn a_failed_trial_doubles_the_pause_up_to_a_bound() {
        let mut now = Instant::now();
        let breaker = opened(now);
        let mut pause = FIRST_PAUSE;
        for _ in 0..10 {
            now += pause;
            breaker.admit(now).unwrap().failed(now);
            pause = (pause * 2).min(LONGEST_PAUSE);
            let early = now + pause.checked_sub(Duration::from_millis(1)).unwrap();
            assert!(breaker.admit(early).is_none());
        }
        assert_eq!(pause, LONGEST_PAUSE);
    }

    #[test]
    fn a_trial_whose_caller_goes_away_leaves_the_next_one_to_try() {
        let now = Instant::now();
        let breaker = opened(now);
        let later = now + FIRST_PAUSE;
        drop(breaker.admit(later).unwrap());
        assert!(breaker.admit(later).is_some());
    }

    #[test]
    fn late_results_of_older_requests_change_nothing() {
        let now = Instant::now();
        let breaker = Breaker::new();
        let (late_failure, late_success) =
            (breaker.admit(now).unwrap(), breaker.admit(now).unwrap());
        for _ in 0..TOLERATED {
            breaker.admit(now).unwrap().failed(now);
        }
        late_success.succeeded();
        late_failure.failed(now + FIRST_PAUSE);
        assert!(breaker.admit(now).is_none());
        assert!(breaker.admit(now + FIRST_PAUSE).is_some());
    }
}
