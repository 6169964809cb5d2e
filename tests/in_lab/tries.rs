//! Machines that are real ones are now and then slower than anybody thought. A case that fails is tried
//! once more, a few of them in a run; what passed only then is told at the end, with what it said first.
//! What holds only sometimes is not kept, though: cases that kill, cut or race are tried once, and so is
//! whoever has found that something was written, which a second try would find there already.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How a failure begins for which nobody is tried again.
pub const WRITTEN: &str = "something was written";

/// What names cases that are about what may happen at any instant.
const ONCE: &[&str] = &[
    "claims::",
    "cut::",
    "promises::",
    "signals::",
    "sweep::",
    "switch::",
    "killed",
    "breaks",
];

/// Who is tried again; more of them are no accident.
const MOST: usize = 2;

pub struct Tries {
    left: AtomicUsize,
    /// The name of each that passed only when it was tried again, and how it had failed.
    passed_later: Mutex<Vec<(&'static str, String)>>,
}

impl Tries {
    pub fn new() -> Self {
        Self {
            left: AtomicUsize::new(MOST),
            passed_later: Mutex::new(Vec::new()),
        }
    }

    pub fn run(
        &self,
        name: &'static str,
        case: impl Fn() -> Result<(), String>,
    ) -> Result<(), String> {
        let Err(first) = case() else {
            return Ok(());
        };
        let take = |left: usize| left.checked_sub(1);
        let order = Ordering::Relaxed;
        let once = first.starts_with(WRITTEN) || ONCE.iter().any(|part| name.contains(part));
        if once || self.left.fetch_update(order, order, take).is_err() {
            return Err(first);
        }
        println!("\n{name} failed and is tried once more; it said: {first}");
        case().map_err(|second| format!("{second}\n--- at its first try: {first}"))?;
        if let Ok(mut passed) = self.passed_later.lock() {
            passed.push((name, first));
        }
        Ok(())
    }

    /// A line for each that passed only when it was tried again.
    pub fn tell(&self) {
        for (name, first) in self
            .passed_later
            .lock()
            .iter()
            .flat_map(|passed| passed.iter())
        {
            let first: Vec<&str> = first.split_whitespace().take(60).collect();
            println!(
                "passed only when tried again: {name}, after: {}",
                first.join(" ")
            );
        }
    }
}
