//! Progress on stderr: a bar on a terminal, plain lines elsewhere.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::{IsTerminal, Write};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Seconds between two plain lines.
const LINE_SECONDS: u64 = 5;

/// Shows how far an audit is.
pub struct Progress {
    total: AtomicU64,
    done: AtomicU64,
    started: Instant,
    shown: Shown,
}

enum Shown {
    Bar(ProgressBar),
    Lines(Mutex<Instant>),
    Nothing,
}

impl Progress {
    /// A progress that is shown if `wanted`.
    pub fn new(wanted: bool) -> Self {
        let shown = match (wanted, std::io::stderr().is_terminal()) {
            (false, _) => Shown::Nothing,
            (true, false) => Shown::Lines(Mutex::new(Instant::now())),
            (true, true) => Shown::Bar(bar()),
        };
        Self {
            total: AtomicU64::new(0),
            done: AtomicU64::new(0),
            started: Instant::now(),
            shown,
        }
    }

    /// More bytes to read have been found.
    pub fn expect(&self, bytes: u64) {
        let total = self.total.fetch_add(bytes, Ordering::Relaxed) + bytes;
        if let Shown::Bar(bar) = &self.shown {
            bar.set_length(total);
        }
    }

    /// Bytes have been read.
    pub fn advance(&self, bytes: u64) {
        let done = self.done.fetch_add(bytes, Ordering::Relaxed) + bytes;
        match &self.shown {
            Shown::Bar(bar) => bar.set_position(done),
            Shown::Lines(last) => {
                if let Ok(mut last) = last.try_lock()
                    && last.elapsed() >= Duration::from_secs(LINE_SECONDS)
                {
                    *last = Instant::now();
                    self.line(done);
                }
            }
            Shown::Nothing => {}
        }
    }

    /// One plain line.
    fn line(&self, done: u64) {
        const MIB: u64 = 1 << 20;
        let total = self.total.load(Ordering::Relaxed).max(done);
        let seconds = self.started.elapsed().as_secs().max(1);
        let rate = done / seconds;
        let left = (total - done).checked_div(rate).unwrap_or(0);
        let _ = writeln!(
            std::io::stderr().lock(),
            "pgfsck: {} of {} MiB ({}%), {} MiB/s, {left} s left",
            done / MIB,
            total / MIB,
            done.saturating_mul(100).checked_div(total).unwrap_or(0),
            rate / MIB,
        );
    }

    /// Takes the bar away.
    pub fn finish(&self) {
        match &self.shown {
            Shown::Bar(bar) => bar.finish_and_clear(),
            Shown::Lines(_) => self.line(self.done.load(Ordering::Relaxed)),
            Shown::Nothing => {}
        }
    }
}

fn bar() -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr_with_hz(10));
    let template = "{bar:30} {bytes} of {total_bytes} ({percent}%), {bytes_per_sec}, {eta} left";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar
}
