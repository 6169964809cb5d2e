//! The plan of taking a run back: each change by its own fields, newest first, where the state is
//! still what the run left.

use crate::actions::{Look, World};
use crate::fault::{Class, Fault};
use crate::journal::{EffectRecord, EffectState, RunRecord, StateDir};
use crate::model::{
    Blobs, Detail, Digest, Effect, EffectId, FieldChange, Now, ObjectRef, Plan, PlanKind,
    PlannedStep, ProgramNow, RunId, Scope, Standing, StepId, Subject, Target, UndoClass, Verdict,
    indented,
};
use crate::transport::OwnerNames;
use serde_json::Value;

/// The plan of taking a run back.
#[derive(Debug)]
pub struct UndoPlan {
    pub plan: Plan,
    pub blobs: Blobs,
    /// The faults that come back with what is put back.
    pub faults: Vec<String>,
}

/// How much of a run is taken back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Extent {
    All,
    /// What it did at one target.
    Of(Target),
}

impl Extent {
    fn has(&self, scope: &Scope) -> bool {
        match self {
            Self::All => true,
            Self::Of(target) => matches!(scope, Scope::Target(at) if at == target),
        }
    }
}

/// Looks at what the run did and decides, change by change, how to take it back. With `force`, what
/// is no longer as the run left it is overwritten too.
pub async fn undo_plan(
    world: &World,
    state: &StateDir,
    record: &RunRecord,
    extent: &Extent,
    force: bool,
) -> Result<UndoPlan, Fault> {
    let cluster = super::same_cluster(&world.cluster, record).await?;
    let look = Look::new(world);
    let mut steps: Vec<PlannedStep> = Vec::new();
    let mut blobs = Blobs::default();
    let mut faults: Vec<String> = Vec::new();
    for done in record.to_take_back().filter(|e| extent.has(&e.id.scope)) {
        let Some(inverse) = done.effect.inverse() else {
            if let Effect::RunProgram { programs } = &done.effect {
                steps.push(taking_back(
                    &steps,
                    record,
                    done,
                    Verdict::Refused {
                        why: format!(
                            "{programs} has no `undo`: what it did stays, and `--force` changes nothing about that"
                        ),
                        next: None,
                    },
                ));
            }
            continue;
        };
        for digest in inverse.contents() {
            blobs.insert(state.blob(record.run, digest)?);
        }
        let planned = planned(&record.plan, &done.id);
        let owner = match (inverse.rolls_pods(), inverse.subject()) {
            (true, Subject::Object(object)) => Some(object.clone()),
            _ => None,
        };
        if let Some(by) = taken_back_before(state, record.run, done) {
            let why = format!("run {by} has taken it back");
            steps.push(taking_back(&steps, record, done, Verdict::NoChange { why }));
            continue;
        }
        let verdicts = match left_by(world, record, done).await {
            // One host that is away, or that is not as it should be, keeps nobody from taking back the
            // rest.
            Err(fault) if fault.class == Class::Unreachable || inverse.on_host().is_some() => {
                vec![Verdict::Refused {
                    why: format!("nobody knows how it stands: {}", fault.message),
                    next: fault.next,
                }]
            }
            Err(fault) => return Err(fault),
            Ok(Now::Program(ProgramNow::Begun)) => {
                let now = Now::Program(ProgramNow::Begun);
                let blind = done.effect.blind_inverse().into_iter();
                blind
                    .map(|effect| change(effect, &now, "some of it may be done"))
                    .collect()
            }
            Ok(now) => {
                let now = after(now, &inverse, &steps);
                let forced = match (force, inverse.standing(&now)) {
                    (true, Standing::Other { .. } | Standing::Unclear { .. }) => inverse.over(&now),
                    _ => None,
                };
                if let Some(over) = &forced {
                    keep_what_is_there(&look, over, &mut blobs).await?;
                }
                take_back(done, inverse, forced, &now)
            }
        };
        let restored = verdicts.iter().any(Verdict::changes);
        if verdicts
            .iter()
            .any(|v| !matches!(v, Verdict::Refused { .. }))
        {
            faults.extend(planned.and_then(|p| p.verdict.heals()).map(str::to_owned));
        }
        for verdict in verdicts {
            steps.push(taking_back(&steps, record, done, verdict));
        }
        // What the run started anew must start again from what was put back.
        if let Some(owner) = owner.filter(|_| restored) {
            for mut step in restarts(&look, &record.plan, &owner).await? {
                step.id = unused(&steps, &step.id, &step.scope);
                steps.push(step);
            }
        }
    }
    let plan = Plan {
        schema: Plan::SCHEMA.to_owned(),
        engine: env!("CARGO_PKG_VERSION").to_owned(),
        kind: PlanKind::Undo {
            of: record.run,
            only: match extent {
                Extent::All => None,
                Extent::Of(target) => Some(target.clone()),
            },
        },
        runbook: record.plan.runbook.clone(),
        summary: format!("Take run {} back", record.run),
        runbook_digest: record.plan.runbook_digest.clone(),
        params: record.plan.params.clone(),
        risk: record.plan.risk,
        cluster,
        actor: super::actor(),
        targets: record.plan.targets.clone(),
        steps,
    };
    Ok(UndoPlan {
        plan,
        blobs,
        faults,
    })
}

/// How the world stands to an effect of the run.
async fn left_by(world: &World, record: &RunRecord, done: &EffectRecord) -> Result<Now, Fault> {
    let Effect::RunProgram { programs } = &done.effect else {
        return world.at_rest(&done.effect, &done.id.key(record.run)).await;
    };
    let is_done = done.state == EffectState::Done;
    let as_done = Now::Program(ProgramNow::Is {
        done: !programs.back,
    });
    if is_done && programs.check.is_none() {
        // The journal knows, and nothing on the host knows better.
        return Ok(as_done);
    }
    match world.at_rest(&done.effect, &done.id.key(record.run)).await {
        // It was done, and somebody has put it back since.
        Ok(Now::Program(ProgramNow::Begun)) if is_done => Ok(Now::Program(ProgramNow::Is {
            done: programs.back,
        })),
        Err(fault) if fault.code == "check_failed" => {
            Ok(Now::Program(ProgramNow::Unclear(fault.message)))
        }
        other => other,
    }
}

/// The earlier undo that took a program back of which nothing on the host tells how it stands.
fn taken_back_before(state: &StateDir, run: RunId, done: &EffectRecord) -> Option<RunId> {
    match &done.effect {
        Effect::RunProgram { programs } if programs.check.is_none() => {}
        _ => return None,
    }
    let runs = state.list().ok()?;
    let records: Vec<RunRecord> = runs
        .into_iter()
        .filter_map(|r| state.read(r).ok())
        .collect();
    let undoes = |record: &RunRecord, of: RunId| {
        let kind = matches!(record.plan.kind, PlanKind::Undo { of: undone, .. } if undone == of);
        kind && record.effects.iter().any(|effect| {
            effect.state == EffectState::Done
                && (&effect.id.step, &effect.id.scope) == (&done.id.step, &done.id.scope)
        })
    };
    records
        .iter()
        .filter(|record| undoes(record, run))
        .find(|undo| !records.iter().any(|again| undoes(again, undo.run)))
        .map(|undo| undo.run)
}

/// The step that takes one effect back.
fn taking_back(
    earlier: &[PlannedStep],
    record: &RunRecord,
    done: &EffectRecord,
    verdict: Verdict,
) -> PlannedStep {
    let name = planned(&record.plan, &done.id).map_or("", |step| step.name.as_str());
    PlannedStep {
        identity: crate::model::Identity::root(),
        id: unused(earlier, &done.id.step, &done.id.scope),
        name: format!("Take back: {name}"),
        uses: "undo".to_owned(),
        with: Value::Null,
        scope: done.id.scope.clone(),
        verdict,
        notes: Vec::new(),
    }
}

/// What is there once the earlier steps of the undo are done: a run may have written the same field
/// twice, and each is taken back from what the other leaves.
pub(crate) fn after(now: Now, inverse: &Effect, earlier: &[PlannedStep]) -> Now {
    earlier
        .iter()
        .flat_map(|step| step.verdict.effects())
        .filter(|effect| effect.subject() == inverse.subject())
        .fold(now, |now, effect| effect.done_to(now))
}

/// What is overwritten by force can be put back as well.
async fn keep_what_is_there(
    look: &Look<'_>,
    over: &Effect,
    blobs: &mut Blobs,
) -> Result<(), Fault> {
    let Effect::PutFile { file, before, .. } = over else {
        return Ok(());
    };
    let reading = look.file(file, &OwnerNames::default()).await?;
    let same = |content: &Vec<u8>| before.content() == Some(&Digest::of(content));
    match (before.content(), reading.content) {
        (None, _) => Ok(()),
        (Some(_), Some(content)) if same(&content) => {
            blobs.insert(content);
            Ok(())
        }
        _ => Err(Fault::refused(
            "not_kept",
            format!(
                "{file} is too large to be kept, or is being written just now: it is not overwritten"
            ),
        )
        .next("put that one right by hand, and take the rest back without --force")),
    }
}

/// A step's id that no earlier step at the same place has: one step may have had several effects,
/// and each is taken back by itself.
fn unused(steps: &[PlannedStep], id: &StepId, scope: &Scope) -> StepId {
    let taken = |name: &StepId| {
        steps
            .iter()
            .any(|step| step.id == *name && step.scope == *scope)
    };
    let mut name = id.clone();
    let mut n = 2;
    while taken(&name) {
        name = StepId::new(&format!("{id}_{n}")).unwrap_or(name);
        n += 1;
    }
    name
}

/// The planned step of which an effect was.
fn planned<'p>(plan: &'p Plan, id: &EffectId) -> Option<&'p PlannedStep> {
    plan.steps
        .iter()
        .find(|step| step.id == id.step && step.scope == id.scope)
}

/// `inverse` puts back what was before the run; `forced` does so over a state that nobody expected.
/// Fields that others have written since are left alone, and the rest is put back.
pub(crate) fn take_back(
    done: &EffectRecord,
    inverse: Effect,
    forced: Option<Effect>,
    now: &Now,
) -> Vec<Verdict> {
    let left = |why: String| Verdict::Refused {
        why: format!("it is no longer what the run left, so it is left alone: {why}"),
        next: None,
    };
    let narrowed = inverse.narrowed(now);
    let verdict = match (inverse.standing(now), forced, narrowed) {
        (Standing::After, ..) if done.state == EffectState::Open => Verdict::NoChange {
            why: "it is as it was before the run, which never learned whether it had changed it"
                .to_owned(),
        },
        (Standing::After, ..) => Verdict::NoChange {
            why: "it is already as it was before the run".to_owned(),
        },
        (Standing::Other { .. } | Standing::Unclear { .. }, Some(forced), _) => {
            change(forced, now, "as somebody left it")
        }
        (Standing::Unclear { why }, None, _) => Verdict::Refused {
            why: format!("nobody can tell how much of it was done: {why}"),
            next: Some("look there; `--force` runs its `undo` whatever there is".to_owned()),
        },
        (Standing::Other { now: why }, None, Some((part, strange))) => {
            let named: Vec<String> = strange.iter().map(ToString::to_string).collect();
            let why = left(format!("{why} (left alone: {})", named.join(", ")));
            return match &part {
                Effect::SetFields { fields, .. } if !fields.is_empty() => {
                    vec![change(part, now, "as the run left it"), why]
                }
                _ => vec![why],
            };
        }
        (Standing::Other { now: why }, None, None) => left(why),
        (Standing::Before, ..) => change(inverse, now, "as the run left it"),
    };
    vec![verdict]
}

fn change(effect: Effect, now: &Now, before_is: &str) -> Verdict {
    let pods = match now {
        Now::Object(Some(object)) => object
            .pointer("/status/desiredNumberScheduled")
            .and_then(Value::as_i64),
        _ => None,
    };
    let follows = match (effect.rolls_pods(), pods) {
        (true, Some(pods)) => vec![format!(
            "its controller replaces up to {pods} pods; that is not waited for, as a fault that comes back may hold it up"
        )],
        _ => Vec::new(),
    };
    Verdict::Change {
        details: details(&effect, before_is),
        predicted: match effect {
            Effect::RunProgram { .. } => Some("what it does is its author's word".to_owned()),
            _ => None,
        },
        undo: match effect {
            Effect::RunProgram { .. } => UndoClass::BestEffort {
                lost: "it is done again by running its `apply`".to_owned(),
            },
            _ => UndoClass::Exact,
        },
        effects: vec![effect],
        follows,
        heals: None,
    }
}

fn details(effect: &Effect, before_is: &str) -> Vec<Detail> {
    let detail = |subject: String, before: Option<String>, after: Option<String>| Detail {
        subject,
        before,
        before_is: before_is.to_owned(),
        after,
        after_is: "as it was before the run".to_owned(),
        lines: Vec::new(),
    };
    match effect {
        Effect::SetFields { object, fields } => {
            let shown =
                |value: &Option<Value>| value.as_ref().map(|v| crate::model::value_text(Some(v)));
            fields
                .iter()
                .map(
                    |FieldChange {
                         path,
                         before,
                         after,
                     }| {
                        detail(format!("{object}: {path}"), shown(before), shown(after))
                    },
                )
                .collect()
        }
        Effect::PutFile {
            file,
            before,
            after,
        } => {
            vec![detail(file.to_string(), before.words(), after.words())]
        }
        Effect::RunProgram { programs } => vec![Detail {
            subject: format!("its `undo` is run on {}", programs.host.node),
            lines: indented(&programs.apply),
            ..Detail::default()
        }],
        Effect::ReplacePod { .. } => Vec::new(),
    }
}

/// Starts anew what the run had started anew, where the template of its controller was put back.
async fn restarts(
    look: &Look<'_>,
    plan: &Plan,
    owner: &ObjectRef,
) -> Result<Vec<PlannedStep>, Fault> {
    let mut steps = Vec::new();
    for step in &plan.steps {
        for effect in step.verdict.effects() {
            let Effect::ReplacePod {
                owner: uid, node, ..
            } = effect
            else {
                continue;
            };
            if *uid != owner.uid {
                continue;
            }
            if let Some(pod) = look.pod_of(owner, node).await? {
                steps.push(restart(step, pod, owner, node));
            }
        }
    }
    Ok(steps)
}

fn restart(step: &PlannedStep, pod: ObjectRef, owner: &ObjectRef, node: &str) -> PlannedStep {
    PlannedStep {
        identity: crate::model::Identity::root(),
        id: step.id.clone(),
        name: "Start it anew with what was put back".to_owned(),
        uses: "undo".to_owned(),
        with: Value::Null,
        scope: step.scope.clone(),
        verdict: Verdict::Change {
            details: vec![Detail {
                subject: pod.to_string(),
                before: Some("runs".to_owned()),
                before_is: String::new(),
                after: Some("replaced by a new one".to_owned()),
                ..Detail::default()
            }],
            effects: vec![Effect::ReplacePod {
                pod,
                owner: owner.uid.clone(),
                node: node.to_owned(),
            }],
            follows: Vec::new(),
            undo: UndoClass::None {
                why: "a start leaves nothing behind that could be put back".to_owned(),
            },
            predicted: Some(
                "the controller may have replaced the pod by then; only if it has not, this does"
                    .to_owned(),
            ),
            heals: None,
        },
        notes: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::test_events::{effect, entries, start, step};
    use crate::journal::{Event, Outcome};
    use crate::model::FieldPath;
    use serde_json::json;

    fn daemonset() -> ObjectRef {
        ObjectRef {
            api_version: "apps/v1".into(),
            kind: "DaemonSet".into(),
            resource: "daemonsets".into(),
            namespace: Some("kube-system".into()),
            name: "calico-node".into(),
            uid: "ds".into(),
        }
    }

    fn inverse() -> Effect {
        let entry = |value: &str| json!({"name": "METHOD", "value": value});
        Effect::SetFields {
            object: daemonset(),
            fields: vec![FieldChange {
                path: FieldPath::container_env("calico-node", "METHOD"),
                before: Some(entry("by the run")),
                after: Some(entry("before")),
            }],
        }
    }

    fn done() -> EffectRecord {
        let (id, _) = effect("method");
        let events = vec![
            start(crate::model::RunId::generate()),
            Event::Intent {
                id: id.clone(),
                effect: inverse().inverse().unwrap(),
            },
            Event::Outcome {
                id,
                outcome: Outcome::Done,
            },
        ];
        RunRecord::fold(entries(events)).unwrap().effects[0].clone()
    }

    fn now(value: &str) -> Now {
        Now::Object(Some(json!({
            "metadata": {"uid": "ds"},
            "spec": {"template": {"spec": {"containers": [
                {"name": "calico-node", "env": [{"name": "METHOD", "value": value}]},
            ]}}},
            "status": {"desiredNumberScheduled": 3},
        })))
    }

    #[test]
    fn what_is_as_the_run_left_it_is_put_back() {
        let verdicts = take_back(&done(), inverse(), None, &now("by the run"));
        let [
            Verdict::Change {
                effects,
                details,
                follows,
                ..
            },
        ] = verdicts.as_slice()
        else {
            panic!()
        };
        assert_eq!(*effects, [inverse()]);
        insta::assert_json_snapshot!(details, @r#"
        [
          {
            "subject": "DaemonSet kube-system/calico-node: spec.template.spec.containers[name=calico-node].env[name=METHOD]",
            "before": "`by the run`",
            "before_is": "as the run left it",
            "after": "`before`",
            "after_is": "as it was before the run"
          }
        ]
        "#);
        insta::assert_snapshot!(follows.join("\n"), @"its controller replaces up to 3 pods; that is not waited for, as a fault that comes back may hold it up");
    }

    #[test]
    fn what_is_as_before_needs_nothing_and_what_is_neither_is_left_alone() {
        assert!(matches!(
            take_back(&done(), inverse(), None, &now("before")).as_slice(),
            [Verdict::NoChange { .. }]
        ));
        let verdicts = take_back(&done(), inverse(), None, &now("by someone"));
        let [Verdict::Refused { why, .. }] = verdicts.as_slice() else {
            panic!()
        };
        insta::assert_snapshot!(why, @"it is no longer what the run left, so it is left alone: spec.template.spec.containers[name=calico-node].env[name=METHOD] is `by someone` (left alone: spec.template.spec.containers[name=calico-node].env[name=METHOD])");
        assert!(matches!(
            take_back(&done(), inverse(), None, &Now::Object(None)).as_slice(),
            [Verdict::Refused { .. }]
        ));
    }

    #[test]
    fn an_effect_belongs_to_the_step_of_its_id_and_its_place() {
        let mut plan = crate::journal::test_events::plan();
        let places = [Scope::Run, Scope::Target(Target::node("n1", "1"))];
        for (id, scope) in [("a", &places[0]), ("a", &places[1]), ("b", &places[1])] {
            let mut step = earlier();
            step.id = StepId::new(id).unwrap();
            step.scope = scope.clone();
            step.name = format!("{id} of {scope}");
            plan.steps.push(step);
        }
        let name = |id: &str, scope: &Scope| {
            let (mut effect_id, _) = effect(id);
            effect_id.scope = scope.clone();
            planned(&plan, &effect_id).map(|step| step.name.clone())
        };
        assert_eq!(name("a", &places[0]).as_deref(), Some("a of the run"));
        assert_eq!(name("a", &places[1]).as_deref(), Some("a of n1"));
        assert_eq!(name("b", &places[1]).as_deref(), Some("b of n1"));
        assert_eq!(name("b", &places[0]), None);
    }

    #[test]
    fn the_undo_of_one_target_has_nothing_of_the_others_nor_of_the_run() {
        let (one, two) = (Target::node("n1", "1"), Target::node("n2", "2"));
        let of = Extent::Of(one.clone());
        assert!(of.has(&Scope::Target(one)));
        assert!(!of.has(&Scope::Target(two.clone())));
        assert!(!of.has(&Scope::Run));
        assert!(Extent::All.has(&Scope::Target(two)) && Extent::All.has(&Scope::Run));
    }

    /// Of two labels somebody has changed one: the other is put back.
    #[test]
    fn a_field_that_others_wrote_keeps_none_of_the_rest() {
        let field = |name: &str| FieldChange {
            path: FieldPath::annotation(name),
            before: Some("run".into()),
            after: Some("old".into()),
        };
        let inverse = Effect::SetFields {
            object: daemonset(),
            fields: vec![field("a"), field("b"), field("c")],
        };
        let now = Now::Object(Some(json!({"metadata": {
            "uid": "ds", "annotations": {"a": "run", "b": "theirs", "c": "old"}}})));
        let verdicts = take_back(&done(), inverse.clone(), None, &now);
        let [
            Verdict::Change { effects, .. },
            Verdict::Refused { why, .. },
        ] = verdicts.as_slice()
        else {
            panic!("{verdicts:?}")
        };
        let Effect::SetFields { fields, .. } = &effects[0] else {
            panic!()
        };
        assert_eq!(*fields, [field("a")]);
        insta::assert_snapshot!(why);
        // All of it by others: nothing is put back.
        let now = Now::Object(Some(json!({"metadata": {
            "uid": "ds", "annotations": {"a": "x", "b": "y", "c": "z"}}})));
        assert!(matches!(
            take_back(&done(), inverse, None, &now).as_slice(),
            [Verdict::Refused { .. }]
        ));
    }

    /// Cordoned and uncordoned again: each is taken back from what the other leaves.
    #[test]
    fn what_was_written_twice_is_taken_back_twice() {
        let path = || FieldPath::root().key("spec").key("unschedulable");
        let set = |before: Option<bool>, after: Option<bool>| Effect::SetFields {
            object: daemonset(),
            fields: vec![FieldChange {
                path: path(),
                before: before.map(Value::Bool),
                after: after.map(Value::Bool),
            }],
        };
        let now = || Now::Object(Some(json!({"metadata": {"uid": "ds"}, "spec": {}})));
        let second = set(Some(true), None).inverse().unwrap();
        let first = set(None, Some(true)).inverse().unwrap();
        let mut steps = Vec::new();
        for inverse in [second, first] {
            let now = after(now(), &inverse, &steps);
            let verdicts = take_back(&done(), inverse.clone(), None, &now);
            let [verdict @ Verdict::Change { effects, .. }] = verdicts.as_slice() else {
                panic!("{verdicts:?}")
            };
            assert_eq!(*effects, [inverse]);
            let mut step = restart(&earlier(), daemonset(), &daemonset(), "n");
            step.verdict = verdict.clone();
            steps.push(step);
        }
    }

    fn earlier() -> PlannedStep {
        step(
            "again",
            Scope::Run,
            Verdict::NoChange { why: String::new() },
        )
    }

    #[test]
    fn a_restart_is_that_of_the_successor_under_the_same_step() {
        let step = earlier();
        let pod = ObjectRef {
            kind: "Pod".into(),
            uid: "p2".into(),
            ..daemonset()
        };
        let restarted = restart(&step, pod.clone(), &daemonset(), "node02");
        assert_eq!(restarted.id, step.id);
        assert_eq!(
            restarted.verdict.effects(),
            [Effect::ReplacePod {
                pod,
                owner: "ds".into(),
                node: "node02".into()
            }]
        );
    }
}
