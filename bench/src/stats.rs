//! From samples to figures.

use std::{fmt, time::Duration};

/// How long things took.
#[derive(Debug, Default)]
pub struct Samples(Vec<Duration>);

impl Samples {
    pub fn add(&mut self, sample: Duration) {
        self.0.push(sample);
    }

    pub fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    pub const fn count(&self) -> usize {
        self.0.len()
    }

    /// The time that `percent` of the samples did not exceed, in milliseconds; 0 without samples.
    pub fn percentile(&self, percent: f64) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let share = percent / 100.0;
        let rank = rounded(as_f64(sorted.len()) * share).clamp(1, sorted.len().max(1));
        sorted
            .get(rank - 1)
            .map_or(0.0, |sample| sample.as_secs_f64() * 1000.0)
    }
}

impl fmt::Display for Samples {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [median, most, worst] = [50.0, 99.0, 100.0].map(|percent| self.percentile(percent));
        let count = self.count();
        write!(
            f,
            "{count}, p50 {median:.1} ms, p99 {most:.1} ms, longest {worst:.1} ms"
        )
    }
}

/// The same figure of several rounds.
#[derive(Debug)]
pub struct Rounds(Vec<f64>);

impl Rounds {
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    pub fn add(&mut self, figure: f64) {
        self.0.push(figure);
    }

    pub const fn count(&self) -> usize {
        self.0.len()
    }

    /// The middle one, or the mean of the two in the middle; `NaN` without rounds, which meets no
    /// goal.
    pub fn median(&self) -> f64 {
        let sorted = self.sorted();
        let middle = sorted.len() / 2;
        match sorted.len() {
            0 => f64::NAN,
            count if count % 2 == 1 => sorted[middle],
            _ => f64::midpoint(sorted[middle - 1], sorted[middle]),
        }
    }

    fn sorted(&self) -> Vec<f64> {
        let mut sorted = self.0.clone();
        sorted.sort_unstable_by(f64::total_cmp);
        sorted
    }

    /// Median and range with `digits` behind the point.
    pub fn show(&self, digits: usize) -> String {
        let sorted = self.sorted();
        match (sorted.first(), sorted.last()) {
            (Some(low), Some(high)) => {
                let median = self.median();
                format!("{median:.digits$} ({low:.digits$} to {high:.digits$})")
            }
            _ => "not measured".to_owned(),
        }
    }
}

/// Whether the machine did not change in between: `before` and `after` differ by a fifth at most.
pub fn agree(before: f64, after: f64) -> bool {
    (before - after).abs() <= 0.2 * before.max(after)
}

/// A count as a number to calculate with.
#[expect(clippy::cast_precision_loss, reason = "counts here are far below 2^52")]
pub const fn as_f64(count: usize) -> f64 {
    count as f64
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a rank: not negative, and not above the number of samples"
)]
fn rounded(rank: f64) -> usize {
    rank.ceil() as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_a_sample_that_so_many_do_not_exceed() {
        let mut samples = Samples::default();
        assert!(samples.percentile(99.0).abs() < f64::EPSILON);
        for milliseconds in (1..=200).rev() {
            samples.add(Duration::from_millis(milliseconds));
        }
        for (percent, wanted) in [(0.0, 1.0), (50.0, 100.0), (99.0, 198.0), (100.0, 200.0)] {
            assert!(
                (samples.percentile(percent) - wanted).abs() < 1e-9,
                "{percent}"
            );
        }
    }

    #[test]
    fn rounds_are_summed_up_by_their_median_and_range() {
        let mut rounds = Rounds::new();
        assert!(rounds.median().is_nan());
        for figure in [3.0, 1.0, 2.0] {
            rounds.add(figure);
        }
        assert_eq!(rounds.show(1), "2.0 (1.0 to 3.0)");
        rounds.add(10.0);
        assert_eq!(rounds.show(1), "2.5 (1.0 to 10.0)");
    }

    #[test]
    fn calibrators_agree_up_to_a_fifth() {
        assert!(agree(100.0, 80.0) && agree(80.0, 100.0));
        assert!(!agree(100.0, 79.0) && !agree(79.0, 100.0));
    }
}
