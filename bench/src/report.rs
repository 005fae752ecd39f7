//! The table.

use std::fmt;

use crate::stats::Rounds;

/// What a figure has to be.
#[derive(Clone, Copy)]
pub enum Wanted {
    /// Less than this.
    Below(f64),
    /// This or more.
    From(f64),
    /// Not further away from the first than the second.
    Near(f64, f64),
    /// Anything: it is there to judge others by.
    Nothing,
}

impl Wanted {
    fn show(self) -> String {
        match self {
            Self::Below(limit) => format!("< {limit}"),
            Self::From(limit) => format!(">= {limit}"),
            Self::Near(middle, distance) => format!("{middle} ± {distance}"),
            Self::Nothing => String::new(),
        }
    }

    fn verdict(self, figure: f64) -> &'static str {
        let met = match self {
            Self::Below(limit) => figure < limit,
            Self::From(limit) => figure >= limit,
            Self::Near(middle, distance) => (figure - middle).abs() <= distance,
            Self::Nothing => return "",
        };
        if met { "met" } else { "**missed**" }
    }
}

/// Rows and remarks, as Markdown.
#[derive(Default)]
pub struct Report {
    rows: Vec<String>,
    notes: Vec<String>,
}

impl Report {
    pub fn add(&mut self, name: &str, wanted: Wanted, rounds: &Rounds, digits: usize) {
        let (goal, figures) = (wanted.show(), rounds.show(digits));
        let (verdict, count) = (wanted.verdict(rounds.median()), rounds.count());
        let row = format!("| {name} | {figures} | {count} | {goal} | {verdict} |");
        self.rows.push(row);
    }

    pub fn note(&mut self, text: &str) {
        self.notes.push(format!("- {text}"));
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| what | median (range) | rounds | goal | |")?;
        writeln!(f, "|---|---|---|---|---|")?;
        for row in &self.rows {
            writeln!(f, "{row}")?;
        }
        writeln!(f)?;
        for note in &self.notes {
            writeln!(f, "{note}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_measured_meets_no_goal() {
        for wanted in [
            Wanted::Below(1.0),
            Wanted::From(1.0),
            Wanted::Near(1.0, 1.0),
        ] {
            assert_eq!(wanted.verdict(Rounds::new().median()), "**missed**");
        }
    }

    #[test]
    fn a_goal_is_judged_by_the_median() {
        let mut rounds = Rounds::new();
        for figure in [1.0, 2.0, 9.0] {
            rounds.add(figure);
        }
        let mut report = Report::default();
        report.add("a", Wanted::Below(3.0), &rounds, 0);
        report.add("b", Wanted::From(3.0), &rounds, 0);
        assert_eq!(
            report.rows,
            [
                "| a | 2 (1 to 9) | 3 | < 3 | met |",
                "| b | 2 (1 to 9) | 3 | >= 3 | **missed** |"
            ]
        );
    }
}
