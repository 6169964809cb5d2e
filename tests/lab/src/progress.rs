//! Says what is being done and how long each part took.

use std::time::Instant;

use crate::error::Result;

pub struct Progress {
    start: Instant,
    quiet: bool,
}

impl Progress {
    pub fn new() -> Self {
        Self {
            start: Instant::now(),
            quiet: std::env::var_os("LAB_QUIET").is_some(),
        }
    }

    pub fn seconds(&self) -> f64 {
        self.start.elapsed().as_secs_f64()
    }

    pub fn say(&self, text: &str) {
        if !self.quiet {
            println!("{:7.1} s  {text}", self.seconds());
        }
    }

    /// Does a part and says how long it took; a slow one is announced by the caller.
    pub fn part<T>(&self, name: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let start = Instant::now();
        let done = work()?;
        self.say(&format!("{name} ({:.1} s)", start.elapsed().as_secs_f64()));
        Ok(done)
    }
}

impl Default for Progress {
    fn default() -> Self {
        Self::new()
    }
}
