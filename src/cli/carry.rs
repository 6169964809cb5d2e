//! Carrying a plan out, from the confirmation to the last word: what apply, undo and resume share.

use super::claims::Claims;
use super::confirm::Gates;
use super::exit::Exit;
use super::signals::{run_begins, run_is_over, stop};
use super::undo::say_what_is_left;
use crate::actions::{World, kinds};
use crate::engine::{Claim, End, Machine, Observer, Question, Waiting, run};
use crate::fault::{CLAIM_LOST, Fault};
use crate::journal::{Ending, Event, Journal, RunRecord, StateDir};
use crate::model::{Blobs, OnFailure, Plan, PlanKind, PlannedStep, RunId, StepId};
use crate::plan::{Automatic, Extent, UndoPlan, actor, automatic, undo_plan};
use crate::runbook::{Runbook, read_kept};
use crate::views::{
    Live, Words, clean, inform, render_end, render_fault, to_people, what_was_seen,
};
use async_trait::async_trait;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// What a new run starts from.
pub struct Start<'s> {
    pub plan: Plan,
    pub blobs: &'s Blobs,
    pub allowed: Vec<StepId>,
    pub reason: Option<String>,
    pub runbook_text: &'s str,
    pub included: BTreeMap<String, String>,
    /// What is decided only on the way is decided by it; an undo has none.
    pub runbook: Option<&'s Runbook>,
    pub gates: &'s Gates,
}

/// A sitting of a run that is over.
pub struct Carried {
    pub run: RunId,
    pub end: End,
    /// As it was in the end, with what was decided on the way.
    pub plan: Plan,
    took: Duration,
}

/// What a sitting holds until all is said and done.
pub struct Holding {
    /// Nobody goes on with the run meanwhile.
    journal: Journal,
    /// Nobody else works on its targets.
    claim: Option<Claim>,
}

impl Holding {
    pub async fn close(mut self, world: &World, carried: &Carried) {
        let Some(claim) = self.claim.take() else {
            return;
        };
        let run = self.journal.run();
        let end = carried.end.fault.as_ref();
        let said = end.is_some_and(|fault| fault.code == CLAIM_LOST);
        run_is_over(run);
        match claim.let_go(world, &mut self.journal).await {
            Ok(()) => {}
            // Its end has said so.
            Err(fault) if fault.code == CLAIM_LOST && said => {}
            Err(fault) if fault.code == CLAIM_LOST => {
                inform!(
                    "After its last change others have taken its targets: {}.",
                    clean(&fault.message)
                );
            }
            Err(fault) => inform!(
                "Its targets may stay claimed: {}. `runbook resume {run}` and `runbook undo {run}` let them go.",
                clean(&fault.message)
            ),
        }
    }
}

/// Opens a journal, claims the targets and carries the plan out.
pub async fn begin(
    world: &World,
    state: &StateDir,
    start: Start<'_>,
    claims: &Claims<'_>,
) -> Result<(Carried, Holding), Fault> {
    let reason = start.reason.clone();
    let mut journal = open(state, &start)?;
    let machine = Machine::new(start.plan, start.allowed);
    let claim = match take(world, &mut journal, &machine, reason.as_deref(), claims).await {
        Ok(claim) => claim,
        // It has ended before it began.
        Err(fault) => {
            journal.record(Event::RunEnded {
                ending: Ending::Failed,
                fault: Some(fault.clone()),
            });
            journal.flush()?;
            return Err(fault);
        }
    };
    let work = (world, claim.as_ref());
    let carried = carry(work, &mut journal, machine, start.runbook, start.gates).await;
    Ok((carried, Holding { journal, claim }))
}

/// Claims what a run works on.
async fn take(
    world: &World,
    journal: &mut Journal,
    machine: &Machine,
    reason: Option<&str>,
    claims: &Claims<'_>,
) -> Result<Option<Claim>, Fault> {
    let claim = Claim::take(world, journal, machine.plan(), reason, &claims.terms()).await?;
    for run in claims.given_up() {
        inform!("Takes over from run {run}, which is given up: what it did stays as it is.");
    }
    Ok(claim)
}

/// Opens the journal of a new run.
fn open(state: &StateDir, start: &Start<'_>) -> Result<Journal, Fault> {
    let id = RunId::generate();
    run_begins(id);
    let event = Event::RunStarted {
        run: id,
        plan: Box::new(start.plan.clone()),
        reason: start.reason.clone(),
        runbook_text: start.runbook_text.to_owned(),
        included: start.included.clone(),
        allowed: start.allowed.clone(),
    };
    Ok(Journal::create(state, id, event, start.blobs)?)
}

/// Goes on with a run that was cut short.
pub async fn go_on(
    world: &World,
    journal: Journal,
    record: &RunRecord,
    reason: Option<&str>,
    gates: &Gates,
    claims: &Claims<'_>,
) -> Result<(Carried, Holding), Fault> {
    let runbook = runbook_of(record)?;
    run_begins(record.run);
    let mut journal = journal;
    let machine = Machine::resume(record);
    let why = reason.or(record.reason.as_deref());
    let claim = take(world, &mut journal, &machine, why, claims).await?;
    journal.record(Event::RunResumed {
        actor: actor(),
        engine: env!("CARGO_PKG_VERSION").to_owned(),
        reason: reason.map(str::to_owned),
    });
    let work = (world, claim.as_ref());
    let carried = carry(work, &mut journal, machine, runbook.as_ref(), gates).await;
    Ok((carried, Holding { journal, claim }))
}

/// The runbook of a run that is gone on with, where something is yet to be decided by it.
fn runbook_of(record: &RunRecord) -> Result<Option<Runbook>, Fault> {
    // Where a step may be passed over, what rests on it is decided anew.
    let open =
        |step: &PlannedStep| step.verdict.is_open() || step.on_failure == OnFailure::Continue;
    if !record.plan.steps.iter().any(open) {
        return Ok(None);
    }
    let (text, name) = (&record.runbook_text, &record.plan.runbook);
    read_kept(text, name, &record.included, &kinds()).map(Some)
}

/// Who watches a run at the terminal, and answers its questions.
struct Sitting<'s> {
    live: Live,
    gates: &'s Gates,
}

#[async_trait]
impl Observer for Sitting<'_> {
    fn event(&mut self, event: &Event) {
        // Whoever was asked has just read it.
        if !matches!(event, Event::Asked { .. }) {
            self.live.event(event);
        }
    }

    fn waiting(&mut self, waiting: &Waiting) {
        self.live.waiting(waiting);
    }

    async fn ask(&mut self, question: &Question) -> Result<bool, Fault> {
        self.live.make_room();
        self.gates.ask(question, stop()).await
    }
}

async fn carry(
    work: (&World, Option<&Claim>),
    journal: &mut Journal,
    machine: Machine,
    runbook: Option<&Runbook>,
    gates: &Gates,
) -> Carried {
    let started = Instant::now();
    let live = Live::new(machine.plan());
    let mut sitting = Sitting { live, gates };
    inform!("\nRun {}", journal.run());
    let (end, plan) = run(work, journal, machine, runbook, &mut sitting, stop()).await;
    Carried {
        run: journal.run(),
        end,
        plan,
        took: started.elapsed(),
    }
}

impl Carried {
    pub fn succeeded(&self) -> bool {
        self.end.ending == Ending::Done
    }

    /// What the journal tells of a run that did not succeed.
    pub fn record(&self, state: &StateDir) -> Option<RunRecord> {
        (!self.succeeded())
            .then(|| state.read(self.run).ok())
            .flatten()
    }

    /// The last words. `done` says what a success means; what earlier sittings left open, only the journal knows.
    pub fn summary(&self, record: Option<&RunRecord>, done: &str) {
        let words = Words {
            seen: &what_was_seen(&self.plan),
            done,
            taken_back: false,
            unclear: record.is_some_and(|record| record.has_open_intents()),
        };
        to_people(&format!(
            "\n{}",
            render_end(&self.end, Some(self.took), words)
        ));
    }

    /// The commands by which to go on, or back.
    pub fn ways(&self) {
        if !self.succeeded() {
            inform!("Go on with it:  runbook resume {}", self.run);
        }
        if self.end.made > 0 {
            inform!("Take it back:   runbook undo {}", self.run);
        }
    }
}

/// The end of a run of a runbook: its last words, what is taken back by itself, the ways on, and the
/// exit code.
pub async fn conclude(
    world: &World,
    state: &StateDir,
    (carried, holding): (Carried, Holding),
) -> Result<Exit, Fault> {
    let exit = end(world, state, &carried, &holding).await;
    holding.close(world, &carried).await;
    exit
}

async fn end(
    world: &World,
    state: &StateDir,
    carried: &Carried,
    holding: &Holding,
) -> Result<Exit, Fault> {
    let plan = &carried.plan;
    let mut done = Vec::new();
    let heals = plan.heals().join("; ");
    if !heals.is_empty() {
        done.push(format!("No longer so: {heals}."));
    }
    let except: Vec<String> = plan
        .steps
        .iter()
        .flat_map(|step| step.verdict.except())
        .map(ToString::to_string)
        .collect();
    if !except.is_empty() {
        done.push(format!("Not looked at: {}.", except.join(", ")));
    }
    let record = carried.record(state);
    carried.summary(record.as_ref(), &done.join(" "));
    let exit = Exit::of_run(&carried.end);
    // Where the journal has failed, nothing more is done without it.
    let record = record.filter(|record| carried.end.made > 0 && record.ending.is_some());
    let Some((extent, record)) = record.and_then(|record| Some((by_itself(&record)?, record)))
    else {
        carried.ways();
        return Ok(exit);
    };
    if *stop().borrow() {
        inform!("It is not taken back by itself: you stopped it.");
        carried.ways();
        return Ok(Exit::Interrupted);
    }
    match take_back(world, state, &record, &extent, holding).await {
        Ok(TakenBack::Whole { stays }) if !stays.is_empty() => {
            inform!("What stays, as its plan said: {}.", stays.join(", "));
            Ok(Exit::Remains)
        }
        Ok(TakenBack::Whole { .. }) if extent == Extent::All => {
            inform!("Nothing of run {} remains.", carried.run);
            Ok(Exit::Failed)
        }
        Ok(TakenBack::Whole { .. }) => {
            inform!("What was done at the other nodes stays.");
            inform!("Take it back:   runbook undo {}", carried.run);
            Ok(Exit::Remains)
        }
        // Its own words have said how to go on.
        Ok(TakenBack::InPart(exit)) => Ok(exit),
        Ok(TakenBack::NotBegun) => {
            carried.ways();
            Ok(Exit::Remains)
        }
        Err(fault) => {
            inform!(
                "It could not be taken back by itself.\n{}",
                render_fault(&fault)
            );
            carried.ways();
            Ok(Exit::Remains)
        }
    }
}

/// How much of a failed run is taken back without asking; where nothing is, it is said why.
fn by_itself(record: &RunRecord) -> Option<Extent> {
    match automatic(record) {
        Automatic::All => Some(Extent::All),
        Automatic::Of(target) => Some(Extent::Of(target)),
        Automatic::Nothing => None,
        Automatic::Not { why } => {
            inform!("It is not taken back by itself: {}.", clean(&why));
            None
        }
    }
}

/// The steps of an undo that leave what was done as it is meant to stay.
pub fn lasting(plan: &Plan) -> impl Iterator<Item = &PlannedStep> {
    plan.steps.iter().filter(|step| step.keep.is_some())
}

/// What came of taking a run back by itself.
enum TakenBack {
    Whole {
        /// Steps whose doing is not meant to be taken back.
        stays: Vec<String>,
    },
    InPart(Exit),
    NotBegun,
}

/// Takes a run back without asking.
async fn take_back(
    world: &World,
    state: &StateDir,
    record: &RunRecord,
    extent: &Extent,
    holding: &Holding,
) -> Result<TakenBack, Fault> {
    let UndoPlan { plan, blobs, .. } = undo_plan(world, state, record, extent, false).await?;
    if let Some((step, why, _)) = plan.refusal() {
        inform!(
            "It is not taken back by itself: what `{}` did: {}.",
            step.id,
            clean(why)
        );
        return Ok(TakenBack::NotBegun);
    }
    let stays: Vec<String> = lasting(&plan)
        .map(|step| format!("`{}`", step.id))
        .collect();
    match stays.is_empty() {
        true => inform!("\nTaking it back, as every change can be put back exactly:"),
        false => inform!("\nTaking it back, but for what is meant to stay:"),
    }
    let start = Start {
        plan: plan.clone(),
        blobs: &blobs,
        allowed: Vec::new(),
        reason: Some(format!("run {} failed", record.run)),
        runbook_text: &record.runbook_text,
        included: record.included.clone(),
        runbook: None,
        gates: &Gates::default(),
    };
    let mut journal = open(state, &start)?;
    let machine = Machine::new(start.plan, start.allowed);
    let work = (world, holding.claim.as_ref());
    let carried = carry(work, &mut journal, machine, None, start.gates).await;
    carried.summary(carried.record(state).as_ref(), "");
    if carried.succeeded() {
        return Ok(TakenBack::Whole { stays });
    }
    say_what_is_left(world, state, carried.run, record.run, &plan).await;
    inform!("Go on with it:  runbook resume {}", carried.run);
    Ok(TakenBack::InPart(match carried.end.ending {
        Ending::Stopped => Exit::Interrupted,
        _ => Exit::Remains,
    }))
}

/// Which runs take others back.
pub struct Undos(Vec<Undo>);

struct Undo {
    run: RunId,
    of: RunId,
    done: bool,
    /// It took all of it back, and left nothing alone.
    whole: bool,
}

/// Which run takes another back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Undone {
    pub by: RunId,
    pub done: bool,
    pub whole: bool,
}

impl Undos {
    /// A broken journal blocks no other run: it is passed over.
    pub fn of(state: &StateDir) -> Result<Self, Fault> {
        let runs = state.list()?.into_iter();
        let records: Vec<RunRecord> = runs.filter_map(|run| state.read(run).ok()).collect();
        Ok(Self::among(&records))
    }

    /// `records` are those of all runs, newest first.
    pub fn among<'r>(records: impl IntoIterator<Item = &'r RunRecord>) -> Self {
        Self(
            records
                .into_iter()
                .filter_map(|record| match record.plan.kind {
                    PlanKind::Apply => None,
                    PlanKind::Undo { of, ref only } => Some(Undo {
                        run: record.run,
                        of,
                        done: record.is_done(),
                        whole: only.is_none() && End::of(record).is_some_and(|end| end.left == 0),
                    }),
                })
                .collect(),
        )
    }

    /// The runs that take `run` back, whether they were taken back themselves or not.
    pub fn all_of(&self, run: RunId) -> impl Iterator<Item = RunId> {
        self.0
            .iter()
            .filter(move |undo| undo.of == run)
            .map(|undo| undo.run)
    }

    /// The run that takes `run` back, if there is one that was not taken back itself, and whether it
    /// has come to its end.
    pub fn of_run(&self, run: RunId) -> Option<Undone> {
        self.0
            .iter()
            .filter(|undo| undo.of == run)
            .find(|undo| !self.of_run(undo.run).is_some_and(|undone| undone.done))
            .map(|undo| Undone {
                by: undo.run,
                done: undo.done,
                whole: undo.whole,
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::test_events::{entries, plan, start_of, step};
    use crate::model::{Scope, Verdict};

    #[test]
    fn a_run_that_may_decide_something_anew_has_its_runbook() {
        let text = "apiVersion: runbook/v1\nname: x\nsummary: x\nrisk: low\ntargets: nodes\nsteps:\n  - {id: a, uses: calico.node_restart}\n";
        let of = |on_failure| {
            let idle = Verdict::NoChange { why: String::new() };
            let mut plan = plan();
            plan.steps = vec![PlannedStep {
                on_failure,
                ..step("a", Scope::Run, idle)
            }];
            let start = start_of(RunId::generate(), plan);
            let mut record = RunRecord::fold(entries(vec![start])).unwrap();
            record.runbook_text = text.to_owned();
            runbook_of(&record).unwrap().is_some()
        };
        assert!(of(OnFailure::Continue));
        assert!(!of(OnFailure::Undo));
    }

    #[test]
    fn an_undo_that_was_taken_back_itself_takes_nothing_back() {
        let (a, b, c) = (RunId::generate(), RunId::generate(), RunId::generate());
        let undo = |run, of, done| Undo {
            run,
            of,
            done,
            whole: true,
        };
        let of = |undos: &Undos, run| undos.of_run(run).map(|undone| (undone.by, undone.done));
        assert_eq!(of(&Undos(vec![]), a), None);
        assert_eq!(of(&Undos(vec![undo(b, a, true)]), a), Some((b, true)));
        assert_eq!(of(&Undos(vec![undo(b, a, false)]), a), Some((b, false)));
        assert_eq!(of(&Undos(vec![undo(b, a, true)]), b), None);
        let twice = Undos(vec![undo(c, b, true), undo(b, a, true)]);
        assert_eq!(of(&twice, a), None);
        assert_eq!(of(&twice, b), Some((c, true)));
        // One that has only begun has not taken it back yet.
        let begun = Undos(vec![undo(c, b, false), undo(b, a, true)]);
        assert_eq!(of(&begun, a), Some((b, true)));
    }
}
