//! `runbook history`

use super::carry::{Undone, Undos};
use super::exit::Exit;
use super::private_file::write_private;
use super::{Global, say};
use crate::fault::Fault;
use crate::journal::{Imported, RunRecord, StateDir};
use crate::model::{Effect, PlanKind, RunId};
use crate::runbook::parse_duration;
use crate::views::{State, inform, render_history, render_run};
use clap::{Args, Subcommand};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long a run is kept unless it is said otherwise.
const KEPT: &str = "2160h";

#[derive(Debug, Args)]
pub struct History {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show a run as it happened
    Show {
        #[arg(value_name = "RUN")]
        run: String,
    },
    /// Write a run to a file, with all that a colleague needs to resume it or take it back
    Export {
        #[arg(value_name = "RUN")]
        run: String,
        /// The file (RUN.runbook-run in this folder if left out)
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Take in a run that was exported
    Import {
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Remove old runs; what they did can then no longer be taken back
    Prune {
        /// Remove runs that ended longer ago than this, such as 720h
        #[arg(long, value_name = "DURATION", default_value = KEPT)]
        older_than: String,
        /// Only say which they are
        #[arg(long)]
        dry_run: bool,
        /// Do not ask
        #[arg(short, long)]
        yes: bool,
    },
}

impl History {
    pub fn run(&self, global: &Global) -> Result<Exit, Fault> {
        let state = global.state()?;
        match &self.command {
            None => list(&state),
            Some(Command::Show { run }) => show(&state, run),
            Some(Command::Export { run, out }) => export(&state, run, out.as_deref()),
            Some(Command::Import { file }) => import(&state, file),
            Some(Command::Prune {
                older_than,
                dry_run,
                yes,
            }) => prune(&state, older_than, *dry_run, *yes),
        }
    }
}

fn list(state: &StateDir) -> Result<Exit, Fault> {
    let runs = state.list()?;
    if runs.is_empty() {
        inform!("There are no runs yet.");
    }
    let records: Vec<(RunId, Option<RunRecord>)> = runs
        .into_iter()
        .map(|run| (run, state.read(run).ok()))
        .collect();
    let undos = Undos::among(records.iter().filter_map(|(_, record)| record.as_ref()));
    for (run, record) in &records {
        let line = render_run(*run, record.as_ref(), standing(state, &undos, *run));
        say(&format!("{line}\n"));
    }
    Ok(Exit::Done)
}

fn standing(state: &StateDir, undos: &Undos, run: RunId) -> State {
    if state.is_under_way(run) {
        return State::UnderWay;
    }
    match undos.of_run(run) {
        Some(Undone {
            by,
            done: true,
            whole,
        }) => State::TakenBack { by, whole },
        _ => State::Ended,
    }
}

fn show(state: &StateDir, run: &str) -> Result<Exit, Fault> {
    let run = state.find(run)?;
    let entries = state.entries(run)?;
    let record = state.read(run)?;
    // Here the run is what was asked for, and so it is what goes to standard output.
    console::set_colors_enabled_stderr(console::colors_enabled());
    let undos = Undos::of(state)?;
    let standing = standing(state, &undos, run);
    say(&render_history(&record, &entries, standing));
    let remains = match standing {
        State::UnderWay | State::TakenBack { whole: true, .. } => false,
        State::Ended | State::TakenBack { .. } => record.to_take_back().next().is_some(),
    };
    match undos.of_run(run) {
        Some(Undone {
            by, done: false, ..
        }) if standing == State::Ended => {
            say(&format!("It is being taken back: runbook resume {by}\n"));
        }
        None if standing == State::Ended && !record.is_done() => {
            say(&format!("Go on with it:  runbook resume {run}\n"));
        }
        _ => {}
    }
    if remains {
        say(&format!("Take it back:   runbook undo {run}\n"));
    }
    Ok(Exit::Done)
}

fn export(state: &StateDir, run: &str, out: Option<&Path>) -> Result<Exit, Fault> {
    let run = state.find(run)?;
    let text = state.export(run)?;
    let path = match out {
        Some(path) => path.to_owned(),
        None => PathBuf::from(format!("{run}.runbook-run")),
    };
    write_private(&path, &text)?;
    inform!(
        "Run {run} is in {}. It holds what was in the files that it changed: keep it to yourselves.",
        path.display()
    );
    Ok(Exit::Done)
}

fn import(state: &StateDir, file: &Path) -> Result<Exit, Fault> {
    let text = std::fs::read_to_string(file).map_err(|e| {
        Fault::input(
            "export_unreadable",
            format!("{} cannot be read: {e}", file.display()),
        )
    })?;
    let (run, imported) = state.import(&text, file)?;
    inform!(
        "{}",
        match imported {
            Imported::New => format!("Run {run} is here now: runbook history show {run}"),
            Imported::Longer =>
                format!("Run {run} went on since it was here last: runbook history show {run}"),
            Imported::Known => format!("Run {run} was here already."),
        }
    );
    let programs = |effect: &Effect| matches!(effect, Effect::RunProgram { .. });
    if state.read(run)?.plan.effects().any(programs) {
        inform!(
            "Its plan has programs that its author wrote. To resume it or to take it back runs them, \
             and their checks run already to show what would be done."
        );
    }
    Ok(Exit::Done)
}

fn prune(state: &StateDir, older_than: &str, dry_run: bool, yes: bool) -> Result<Exit, Fault> {
    let age = parse_duration(older_than).ok_or_else(|| {
        Fault::input(
            "duration",
            format!("--older-than is a duration such as 720h, and `{older_than}` is not"),
        )
    })?;
    state.sweep()?;
    let runs = state.list()?;
    let mut records: Vec<RunRecord> = Vec::new();
    for run in &runs {
        match state.read(*run) {
            Ok(record) => records.push(record),
            Err(_) => inform!("{run} stays: it cannot be read"),
        }
    }
    let undos = Undos::among(&records);
    let mut going: Vec<&RunRecord> = Vec::new();
    // The oldest first: a run stands before those that take it back.
    for record in records.iter().rev() {
        let gone = |run: RunId| going.iter().any(|r| r.run == run) || !runs.contains(&run);
        // One that cannot be read has not settled.
        let settled = |run: RunId| {
            let record = records.iter().find(|record| record.run == run);
            record.is_some_and(|record| record.is_done() && is_older(record, age))
        };
        match stays(state, &undos, record, age, gone, settled) {
            None => going.push(record),
            Some(Stays::Young) => {}
            Some(Stays::Because(why)) => inform!("{} stays: {why}", record.run),
        }
    }
    for record in &going {
        say(&format!(
            "{}\n",
            render_run(record.run, Some(record), State::Ended)
        ));
    }
    let many = match going.len() {
        0 => {
            inform!("No run is older than that. Nothing was removed.");
            return Ok(Exit::Done);
        }
        1 => "1 run".to_owned(),
        n => format!("{n} runs"),
    };
    if dry_run {
        inform!("{many} would be removed. Nothing was.");
        return Ok(Exit::Done);
    }
    if !yes && !confirmed(&many)? {
        return Err(Fault::refused(
            "declined",
            "not confirmed: nothing was removed",
        ));
    }
    let mut removed = 0;
    for record in &going {
        match state.remove(record)? {
            true => removed += 1,
            false => inform!("{} stays: it went on meanwhile", record.run),
        }
    }
    inform!("{removed} of {many} removed.");
    Ok(Exit::Done)
}

/// Whether nothing was written to its journal for so long. A clock that went back says nothing.
fn is_older(record: &RunRecord, age: Duration) -> bool {
    Duration::try_from(jiff::Timestamp::now().duration_since(record.latest))
        .is_ok_and(|since| since >= age)
}

/// Why a run is not removed.
enum Stays {
    Young,
    Because(&'static str),
}

/// `gone` says which runs are not there, or will not be; `settled` which have ended well long ago.
fn stays(
    state: &StateDir,
    undos: &Undos,
    record: &RunRecord,
    age: Duration,
    gone: impl Fn(RunId) -> bool,
    settled: impl Fn(RunId) -> bool,
) -> Option<Stays> {
    if !is_older(record, age) {
        return Some(Stays::Young);
    }
    if state.is_under_way(record.run) {
        return Some(Stays::Because("it is under way"));
    }
    // Without the run that took it back, it would look as if it could be gone on with.
    if let PlanKind::Undo { of, .. } = record.plan.kind
        && !gone(of)
    {
        return Some(Stays::Because("it took back a run that stays"));
    }
    let taken_back = undos
        .of_run(record.run)
        .is_some_and(|undone| undone.done && undone.whole);
    if !undos.all_of(record.run).all(settled) {
        return Some(Stays::Because(
            "a run that takes it back is younger, or has not ended",
        ));
    }
    if record.has_open_intents() && !taken_back {
        return Some(Stays::Because(
            "it is not known of all of its changes whether they happened; resume it or undo it first",
        ));
    }
    if record.claim.is_some() {
        return Some(Stays::Because(
            "its targets may still be claimed by it; resume it or undo it first",
        ));
    }
    (record.ending.is_none() && !taken_back).then_some(Stays::Because(
        "it was cut short; resume it or undo it first",
    ))
}

fn confirmed(many: &str) -> Result<bool, Fault> {
    if !super::confirm::on_terminal() {
        return Err(Fault::refused(
            "not_confirmed",
            "this must be confirmed, and there is no terminal to ask on: nothing was removed",
        )
        .next("add --yes"));
    }
    Ok(super::confirm::yes(&format!(
        "Remove {many}? What they did can then no longer be taken back."
    )))
}
