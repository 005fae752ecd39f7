//! How far an import is: a bar on a terminal, now and then a line elsewhere.

use std::{
    io::{IsTerminal, stderr},
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Between two lines where there is no terminal.
const PAUSE: Duration = Duration::from_secs(5);

/// How far one kind of rows is.
pub(super) struct Progress {
    what: String,
    started: Instant,
    told: Instant,
    size: u64,
    rows: u64,
    bar: Option<ProgressBar>,
}

impl Progress {
    /// Of rows called `what`, from a source of `size` bytes or rows.
    pub(super) fn new(what: String, size: u64) -> Self {
        let style = ProgressStyle::with_template("{prefix} [{wide_bar}] {percent}% {msg}");
        let bar = style.ok().filter(|_| stderr().is_terminal()).map(|style| {
            let bar = ProgressBar::with_draw_target(Some(size), ProgressDrawTarget::stderr());
            bar.set_style(style.progress_chars("=> "));
            bar.set_prefix(what.clone());
            bar
        });
        Self {
            what,
            started: Instant::now(),
            told: Instant::now(),
            size,
            rows: 0,
            bar,
        }
    }

    /// So many more rows, up to there.
    pub(super) fn advance(&mut self, rows: usize, position: u64) {
        self.rows += rows as u64;
        let text = self.text(position);
        if let Some(bar) = &self.bar {
            bar.set_message(text);
            bar.set_position(position.min(self.size));
        } else if self.told.elapsed() >= PAUSE {
            self.told = Instant::now();
            let percent = (position * 100).checked_div(self.size).unwrap_or(100);
            eprintln!("{}: {percent} %, {text}", self.what);
        }
    }

    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "an estimate for people"
    )]
    fn text(&self, position: u64) -> String {
        let seconds = self.started.elapsed().as_secs_f64().max(0.001);
        let rate = (self.rows as f64 / seconds) as u64;
        let left = seconds / position.max(1) as f64 * self.size.saturating_sub(position) as f64;
        let left = left as u64;
        format!(
            "{} rows, {rate} a second, {}:{:02} left",
            self.rows,
            left / 60,
            left % 60
        )
    }

    /// Says something beside the bar.
    pub(super) fn say(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.println(text),
            None => eprintln!("{text}"),
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
