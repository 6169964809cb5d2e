//! Random runs of the machine against a random world: crashes at any point, answers that are lost,
//! effects that arrive late, others who write to the same objects, a clock that jumps. Whatever
//! happens, what the product promises must hold.
//!
//! A run is repeated by its seed: `RUNBOOK_SIMULATOR_SEED=n cargo test simulator`. More of them:
//! `RUNBOOK_SIMULATOR_RUNS=n`.

use super::super::dice::Dice;
use super::*;
use crate::fault::PUT_BACK;
use crate::journal::Entry;
use crate::journal::test_events::{change, host, plan, programs, start_of, step};
use crate::model::{
    Digest, FieldChange, FieldPath, FileNow, FileRef, FileState, Now, ObjectRef, OnFailure,
    Program, ProgramNow, Programs, Propagation, Retry, RunId, Setting, SettingRef, SettingState,
    Target,
};
use crate::plan::{after, take_back};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// What goes wrong how often: once in so many times, 0 for never.
#[derive(Clone, Copy)]
struct Weather {
    crash: usize,
    lost: usize,
    rejected: usize,
    unreachable: usize,
    timeout: usize,
    /// Somebody touches an object that we change, though no field of ours.
    neighbour: usize,
    /// Somebody writes a field or a file of ours.
    intruder: usize,
}

const QUIET: Weather = Weather {
    crash: 0,
    lost: 0,
    rejected: 0,
    unreachable: 0,
    timeout: 0,
    neighbour: 0,
    intruder: 0,
};

/// An effect that is still on its way, with the state that it rests on.
#[derive(Clone)]
struct Late {
    id: EffectId,
    effect: Effect,
    version: Option<u64>,
}

/// What a run may change.
#[derive(Debug, PartialEq, Eq)]
struct Owned {
    objects: BTreeMap<String, BTreeMap<String, String>>,
    files: BTreeMap<String, FileState>,
    settings: BTreeMap<String, SettingState>,
    programs: BTreeMap<String, bool>,
    made: BTreeMap<String, String>,
}

struct World {
    /// Objects by name: version, and the values of their annotations.
    objects: BTreeMap<String, (u64, BTreeMap<String, String>)>,
    files: BTreeMap<String, FileState>,
    settings: BTreeMap<String, SettingState>,
    /// Whether what an author's program does is done, by the program's name.
    programs: BTreeMap<String, bool>,
    /// The attempts whose switches are armed, each with its effect, and those whose switches have fired.
    armed: Vec<(EffectId, Effect)>,
    fired: Vec<EffectId>,
    /// The UID of each pod that there is, by name.
    pods: BTreeMap<String, String>,
    /// What is made and deleted as a whole, by name: what tells each from all that bore its name, and
    /// its content.
    made: BTreeMap<String, (u64, String)>,
    births: u64,
    late: Vec<Late>,
    /// How often each effect was carried out, by its text.
    applied: BTreeMap<String, usize>,
    /// What somebody else has written: objects' fields and files.
    intruded: Vec<String>,
    /// Intents that are durable: nothing else may be carried out.
    intended: Vec<String>,
    /// What a step turns out to be that is decided only when its turn comes.
    later: BTreeMap<StepId, Vec<PlannedStep>>,
}

fn key(effect: &Effect) -> String {
    serde_json::to_string(effect).unwrap()
}

fn file(text: &str) -> FileState {
    match text {
        "" => FileState::Absent,
        text => FileState::Present {
            mode: 0o644,
            uid: 0,
            gid: 0,
            size: text.len() as u64,
            content: Digest::of(text.as_bytes()),
        },
    }
}

/// One whose arguments are its name.
fn program(name: &str) -> Programs {
    let of = |part: Program| Program {
        args: vec![name.to_owned()],
        ..part
    };
    let all = programs();
    Programs {
        apply: of(all.apply),
        undo: all.undo.map(of),
        ..all
    }
}

fn put_back() -> Fault {
    Fault::definite(PUT_BACK, "x")
}

fn has_switch(effect: &Effect) -> bool {
    matches!(effect, Effect::RunProgram { programs } if programs.switch().is_some())
}

fn name_of(programs: &Programs) -> &str {
    &programs.apply.args[0]
}

fn object(kind: &str, name: &str, uid: &str) -> ObjectRef {
    ObjectRef {
        api_version: "v1".into(),
        kind: kind.into(),
        resource: "x".into(),
        namespace: None,
        name: name.into(),
        uid: uid.into(),
    }
}

impl World {
    fn now(&self, effect: &Effect) -> Now {
        match effect {
            Effect::SetFields { object, .. } => {
                let (version, annotations) = &self.objects[&object.name];
                Now::Object(Some(json!({"metadata": {
                    "uid": object.uid, "resourceVersion": version.to_string(), "annotations": annotations,
                }})))
            }
            Effect::PutFile { file, .. } => Now::File(FileNow::Is(self.files[&file.path].clone())),
            Effect::PutSetting { setting, .. } => {
                Now::Setting(self.settings[&setting.setting.place()].clone())
            }
            Effect::RunProgram { programs } => Now::Program(ProgramNow::Is {
                done: self.programs[name_of(programs)],
            }),
            // These have a simulator of their own.
            Effect::EvictPod { .. } => Now::Object(None),
            Effect::ReplacePod { pod, .. } => Now::Object(
                self.pods
                    .get(&pod.name)
                    .map(|uid| json!({"metadata": {"uid": uid}})),
            ),
            Effect::PutObject { object, .. } => Now::Object(self.made.get(&object.name).map(
                |(uid, content)| json!({"metadata": {"uid": uid.to_string()}, "data": content}),
            )),
        }
    }

    fn version(&self, effect: &Effect) -> Option<u64> {
        match effect {
            Effect::SetFields { object, .. } => Some(self.objects[&object.name].0),
            Effect::PutObject { object, .. } => self.made.get(&object.name).map(|(uid, _)| *uid),
            _ => None,
        }
    }

    /// As a server or a host does it: only where everything is still as the writer saw it.
    fn apply(&mut self, effect: &Effect, version: Option<u64>) -> Result<(), Fault> {
        assert!(
            self.intended.contains(&key(effect)),
            "carried out without a durable intent: {effect:?}"
        );
        let conflict = || Fault::definite("api_conflict", "somebody was faster");
        if self.version(effect) != version {
            return Err(conflict());
        }
        match effect.standing(&self.now(effect)) {
            Standing::Before => {}
            // The frame on a host finds it done.
            Standing::After if effect.on_host().is_some() => return Ok(()),
            _ => return Err(conflict()),
        }
        *self.applied.entry(key(effect)).or_default() += 1;
        match effect {
            Effect::SetFields { object, fields } => {
                let (version, annotations) = self.objects.get_mut(&object.name).unwrap();
                *version += 1;
                for change in fields {
                    let Some(Segment::Key(name)) = change.path.segments().last() else {
                        panic!()
                    };
                    match &change.after {
                        Some(after) => {
                            annotations.insert(name.clone(), after.as_str().unwrap().into());
                        }
                        None => {
                            annotations.remove(name);
                        }
                    }
                }
            }
            Effect::PutFile { file, after, .. } => {
                self.files.insert(file.path.clone(), after.clone());
            }
            Effect::PutSetting { setting, after, .. } => {
                self.settings.insert(setting.setting.place(), after.clone());
            }
            Effect::RunProgram { programs } => {
                self.programs
                    .insert(name_of(programs).to_owned(), !programs.back);
            }
            Effect::EvictPod { .. } => {}
            Effect::ReplacePod { pod, .. } => {
                self.pods.insert(pod.name.clone(), format!("{}'", pod.uid));
            }
            Effect::PutObject { object, after, .. } => match after {
                Some(after) => {
                    self.births += 1;
                    let content = after["data"].as_str().unwrap().to_owned();
                    self.made
                        .insert(object.name.clone(), (self.births, content));
                }
                None => {
                    self.made.remove(&object.name);
                }
            },
        }
        Ok(())
    }

    /// The same on a host that puts back by itself what is armed there.
    fn apply_armed(
        &mut self,
        id: &EffectId,
        effect: &Effect,
        version: Option<u64>,
    ) -> Result<(), Fault> {
        let begins = effect.standing(&self.now(effect)) == Standing::Before;
        self.apply(effect, version)?;
        if begins && has_switch(effect) {
            self.armed.push((id.clone(), effect.clone()));
        }
        Ok(())
    }

    /// The host runs the undo of what is armed, by itself.
    fn fire(&mut self, id: &EffectId) {
        let Some(at) = self.armed.iter().position(|(armed, _)| armed == id) else {
            return;
        };
        let (id, effect) = self.armed.remove(at);
        let Effect::RunProgram { programs } = &effect else {
            panic!()
        };
        self.programs.insert(name_of(programs).to_owned(), false);
        self.applied.remove(&key(&effect));
        self.fired.push(id);
    }

    /// Somebody comes back, and decides what is armed.
    fn settle_switch(&mut self, id: &EffectId, stays: bool) -> Option<Fault> {
        match stays {
            true => self.armed.retain(|(armed, _)| armed != id),
            false => self.fire(id),
        }
        self.fired.contains(id).then(put_back)
    }

    /// Whoever looks on a host what became of an attempt keeps it from beginning still.
    fn fence(&mut self, id: &EffectId) {
        self.late
            .retain(|late| late.id != *id || late.effect.on_host().is_none());
    }

    /// One of the effects that are on their way arrives, or is lost for good.
    fn arrive(&mut self, dice: &mut Dice) {
        if self.late.is_empty() {
            return;
        }
        let late = self.late.remove(dice.below(self.late.len()));
        if dice.once_in(2) {
            // What it does not find as it was, it leaves.
            let _ = self.apply_armed(&late.id, &late.effect, late.version);
        }
    }

    fn others(&mut self, weather: Weather, dice: &mut Dice) {
        if !self.armed.is_empty() && dice.once_in(3) {
            let (id, _) = self.armed[dice.below(self.armed.len())].clone();
            self.fire(&id);
        }
        if dice.once_in(weather.neighbour) {
            let at = dice.below(self.objects.len());
            self.objects.values_mut().nth(at).unwrap().0 += 1;
        }
        if dice.once_in(weather.intruder) {
            let names = ["m0", "m1", "m2"];
            if dice.once_in(3) {
                let name = names[dice.below(3)];
                self.births += 1;
                self.made
                    .insert(name.into(), (self.births, "intruder".into()));
                self.intruded.push(name.into());
            } else if dice.once_in(2) {
                let at = dice.below(self.objects.len());
                let (name, (version, annotations)) = self.objects.iter_mut().nth(at).unwrap();
                *version += 1;
                let field = ["a", "b"][dice.below(2)];
                annotations.insert(field.into(), "intruder".into());
                self.intruded.push(format!("{name}/{field}"));
            } else {
                let at = dice.below(self.files.len());
                let (path, state) = self.files.iter_mut().nth(at).unwrap();
                *state = file("intruder");
                self.intruded.push(path.clone());
            }
        }
    }

    /// All that a run owns.
    fn owned(&self) -> Owned {
        let objects = self
            .objects
            .iter()
            .map(|(name, (_, annotations))| (name.clone(), annotations.clone()))
            .collect();
        Owned {
            objects,
            files: self.files.clone(),
            settings: self.settings.clone(),
            programs: self.programs.clone(),
            made: self
                .made
                .iter()
                .map(|(name, (_, content))| (name.clone(), content.clone()))
                .collect(),
        }
    }
}

/// A journal that loses what was not committed.
#[derive(Default)]
struct Disk {
    durable: Vec<Event>,
    pending: Vec<Event>,
}

impl Disk {
    fn commit(&mut self) {
        self.durable.append(&mut self.pending);
    }

    /// As it is read after a crash; the clock stood anywhere when each event was written.
    fn record(&self, dice: &mut Dice) -> RunRecord {
        let entries = (1..).zip(&self.durable).map(|(seq, event)| Entry {
            seq,
            at: Timestamp::from_second(i64::try_from(dice.below(1_000_000)).unwrap()).unwrap(),
            event: event.clone(),
        });
        RunRecord::fold(entries).unwrap()
    }
}

/// Runs the machine until its end; `None` where it crashed before.
fn sit(
    machine: &mut Machine,
    world: &mut World,
    disk: &mut Disk,
    weather: Weather,
    dice: &mut Dice,
) -> Option<End> {
    let mut input = Input::Begin;
    let mut version = None;
    loop {
        if dice.once_in(weather.crash) {
            disk.pending.clear();
            return None;
        }
        let turn = machine.on(input);
        for event in &turn.records {
            if let Event::Outcome { id, outcome } = event {
                let done = matches!(outcome, Outcome::Done | Outcome::AlreadySo);
                let fired = world.fired.contains(id);
                assert!(!(done && fired), "{id} was put back, and said to be done");
            }
        }
        disk.pending.extend(turn.records);
        world.others(weather, dice);
        if dice.once_in(4) {
            world.arrive(dice);
        }
        if dice.once_in(weather.crash) {
            disk.pending.clear();
            return None;
        }
        input = match turn.ask {
            Ask::Drain(..) => panic!("no step of these evicts"),
            Ask::Look(_) | Ask::Find(..) if dice.once_in(weather.unreachable) => {
                Input::Looked(Err(Fault::unreachable("api_unreachable", "x")))
            }
            Ask::Find(id, effect) => {
                world.fence(&id);
                version = world.version(&effect);
                let put_back = world.settle_switch(&id, !dice.once_in(4));
                let now = put_back.map_or_else(
                    || world.now(&effect),
                    |fault| Now::Program(ProgramNow::PutBack(fault)),
                );
                Input::Looked(Ok(effect.standing(&now)))
            }
            Ask::Look(effect) => {
                version = world.version(&effect);
                Input::Looked(Ok(effect.standing(&world.now(&effect))))
            }
            Ask::Intend(id, effect) => {
                disk.pending.push(Event::Intent {
                    id: id.clone(),
                    effect: effect.clone(),
                });
                disk.commit();
                world.intended.push(key(&effect));
                Input::Permitted(Box::new(Permit::for_test(id, effect)))
            }
            Ask::Perform(permit) => {
                assert!(
                    matches!(disk.durable.last(), Some(Event::Intent { id, .. }) if id == permit.id()),
                    "the intent of {} is not durable",
                    permit.id()
                );
                let effect = permit.effect().clone();
                let id = permit.id().clone();
                let code = match effect.on_host() {
                    Some(_) => "host_lost",
                    None => "api_lost",
                };
                let lost = || Err(Fault::indeterminate(code, "x"));
                Input::Performed(if dice.once_in(weather.rejected) {
                    Err(Fault::definite("api_rejected", "x"))
                } else if dice.once_in(weather.lost) {
                    match dice.below(3) {
                        0 => lost(),
                        1 => {
                            let _ = world.apply_armed(&id, &effect, version);
                            // Killed while it waits for a host that is cut off.
                            if has_switch(&effect) && dice.once_in(weather.crash) {
                                disk.pending.clear();
                                return None;
                            }
                            lost()
                        }
                        _ => {
                            world.late.push(Late {
                                id,
                                effect,
                                version,
                            });
                            lost()
                        }
                    }
                } else {
                    // Where it cuts the host off, that puts it back; else somebody comes back in time.
                    let stays = !dice.once_in(weather.lost);
                    let applied = world.apply_armed(&id, &effect, version);
                    applied.and_then(|()| world.settle_switch(&id, stays).map_or(Ok(()), Err))
                })
            }
            Ask::Settle(effect) => {
                disk.commit();
                let timeout = dice.once_in(weather.timeout);
                Input::Settled(match effect.standing(&world.now(&effect)) {
                    Standing::After if timeout => Err(Fault::definite("timeout", "x")),
                    Standing::After => Ok(()),
                    Standing::Before => Err(Fault::definite("taken_back", "x")),
                    Standing::Other { .. }
                    | Standing::PutBack { .. }
                    | Standing::Unclear { .. } => Err(Fault::definite("overwritten", "x")),
                })
            }
            Ask::Watch(_) => {
                disk.commit();
                Input::Settled(match dice.once_in(weather.timeout) {
                    true => Err(Fault::definite("timeout", "x")),
                    false => Ok(()),
                })
            }
            Ask::Decide(_) if dice.once_in(weather.unreachable) => {
                Input::Decided(Err(Fault::unreachable("api_unreachable", "x")))
            }
            Ask::Decide(at) => {
                let id = machine.plan().steps[at].id.clone();
                Input::Decided(Ok(world.later[&id].clone()))
            }
            Ask::Confirm(_) => {
                disk.commit();
                Input::Answered(Ok(!dice.once_in(weather.rejected)))
            }
            Ask::Rest(_) => Input::Rested(match dice.once_in(weather.timeout) {
                true => Err(Fault::definite("timeout", "x")),
                false => Ok(()),
            }),
            Ask::End(end) => {
                disk.commit();
                return Some(end);
            }
        };
    }
}

/// Sits again and again, as an operator who resumes whatever was cut short, and at last in quiet.
fn carry_through(
    start: Event,
    world: &mut World,
    weather: Weather,
    dice: &mut Dice,
) -> (RunRecord, End) {
    let mut disk = Disk {
        durable: vec![start],
        pending: vec![],
    };
    let plan = disk.record(dice).plan;
    let mut end = sit(
        &mut Machine::new(plan, vec![]),
        world,
        &mut disk,
        weather,
        dice,
    );
    for sitting in 0..12 {
        if end.as_ref().is_some_and(|end| end.ending == Ending::Done) {
            break;
        }
        let weather = if sitting < 6 { weather } else { QUIET };
        disk.pending.push(Event::RunResumed {
            actor: plan_actor(),
            engine: "0".into(),
            reason: None,
        });
        let mut machine = Machine::resume(&disk.record(dice));
        end = sit(&mut machine, world, &mut disk, weather, dice);
    }
    let record = disk.record(dice);
    let end = end.expect("in quiet, every sitting comes to an end");
    assert_eq!(
        End::of(&record).as_ref(),
        Some(&end),
        "the journal tells another end"
    );
    (record, end)
}

fn plan_actor() -> crate::model::Actor {
    plan().actor
}

/// A world with a few objects, files and pods, and a plan that changes some of them.
fn begin(dice: &mut Dice) -> (World, Plan) {
    let mut world = World {
        objects: BTreeMap::new(),
        files: BTreeMap::new(),
        settings: (0..3)
            .map(|n| (format!("m{n}"), SettingState::new("not_loaded")))
            .collect(),
        programs: (0..3).map(|n| (format!("g{n}"), false)).collect(),
        armed: vec![],
        fired: vec![],
        pods: BTreeMap::new(),
        made: BTreeMap::new(),
        births: 10,
        late: vec![],
        applied: BTreeMap::new(),
        intruded: vec![],
        intended: vec![],
        later: BTreeMap::new(),
    };
    for n in 0..3 {
        let mut annotations = BTreeMap::new();
        if dice.once_in(2) {
            annotations.insert("a".to_owned(), format!("old{n}"));
        }
        world.objects.insert(format!("o{n}"), (1, annotations));
        let text = if dice.once_in(2) { "" } else { "old" };
        world.files.insert(format!("/f{n}"), file(text));
        world.pods.insert(format!("p{n}"), format!("pod-{n}"));
        if dice.once_in(2) {
            world.made.insert(format!("m{n}"), (n, "old".to_owned()));
        }
    }
    let mut plan = plan();
    let (mut objects, mut files, mut pods, mut programs, mut made) = (0, 0, 0, 0, 0);
    let mut settings = 0;
    for n in 0..1 + dice.below(6) {
        let scope = match dice.below(3) {
            0 => Scope::Run,
            n => Scope::Target(Target::node(&format!("n{n}"), &format!("n{n}"))),
        };
        let mut effects = Vec::new();
        for _ in 0..1 + dice.below(2) {
            match dice.below(6) {
                0 if objects < 3 => {
                    let name = format!("o{objects}");
                    objects += 1;
                    let before = world.objects[&name].1.get("a").cloned().map(Value::String);
                    let after = match (&before, dice.once_in(3)) {
                        (Some(_), true) => None,
                        _ => Some(json!("new")),
                    };
                    let mut fields = vec![FieldChange {
                        path: FieldPath::annotation("a"),
                        before,
                        after,
                    }];
                    if dice.once_in(2) {
                        fields.push(FieldChange {
                            path: FieldPath::annotation("b"),
                            before: None,
                            after: Some(json!("new")),
                        });
                    }
                    let written = fields[0].clone();
                    effects.push(Effect::SetFields {
                        object: object("Node", &name, &name),
                        fields,
                    });
                    // The same field once more, as cordon and uncordon do it.
                    if dice.once_in(3) {
                        effects.push(Effect::SetFields {
                            object: object("Node", &name, &name),
                            fields: vec![FieldChange {
                                path: written.path,
                                before: written.after,
                                after: Some(json!("newer")),
                            }],
                        });
                    }
                }
                1 if files < 3 => {
                    let path = format!("/f{files}");
                    files += 1;
                    let before = world.files[&path].clone();
                    let after = match before == FileState::Absent || dice.once_in(2) {
                        true => file("new"),
                        false => FileState::Absent,
                    };
                    effects.push(Effect::PutFile {
                        file: FileRef { host: host(), path },
                        before,
                        after,
                    });
                }
                5 if settings < 3 => {
                    let name = format!("m{settings}");
                    settings += 1;
                    effects.push(Effect::PutSetting {
                        setting: SettingRef {
                            host: host(),
                            setting: Setting::Module { name },
                        },
                        before: SettingState::new("not_loaded"),
                        after: SettingState::new("loaded"),
                    });
                }
                3 if programs < 3 => {
                    effects.push(Effect::RunProgram {
                        programs: Box::new(Programs {
                            put_back_after: dice.once_in(2).then_some(60),
                            ..program(&format!("g{programs}"))
                        }),
                    });
                    programs += 1;
                }
                4 if made < 3 => {
                    let name = format!("m{made}");
                    made += 1;
                    let was = world.made.get(&name);
                    let uid = was.map_or_else(String::new, |(uid, _)| uid.to_string());
                    let content = |text: &str| json!({"data": text});
                    effects.push(Effect::PutObject {
                        object: object("ConfigMap", &name, &uid),
                        before: was.map(|(_, text)| content(text)),
                        after: was.is_none().then(|| content("new")),
                        propagation: Propagation::Background,
                    });
                }
                2 if pods < 3 => {
                    effects.push(Effect::ReplacePod {
                        pod: object("Pod", &format!("p{pods}"), &format!("pod-{pods}")),
                        owner: "x".into(),
                        node: "n".into(),
                    });
                    pods += 1;
                }
                _ => {}
            }
        }
        let verdict = match effects.is_empty() {
            true if dice.once_in(2) => Verdict::Check {
                expects: String::new(),
                except: vec![],
            },
            true => Verdict::NoChange { why: String::new() },
            false => change(effects),
        };
        let mut planned = step(&format!("s{n}"), scope, verdict);
        if dice.once_in(3) {
            planned.retry = Some(Retry {
                attempts: 3,
                every: 1,
            });
        }
        if dice.once_in(5) {
            planned.on_failure = OnFailure::Continue;
        }
        if dice.once_in(4) {
            let late = PlannedStep {
                verdict: Verdict::Late,
                ..planned.clone()
            };
            let id = planned.id.clone();
            planned.id = id.item("x");
            let idle = Verdict::NoChange { why: String::new() };
            let other = PlannedStep {
                id: id.item("y"),
                verdict: idle,
                ..planned.clone()
            };
            world.later.insert(id, vec![planned, other]);
            planned = late;
        }
        plan.steps.push(planned);
        if dice.once_in(6) {
            let message = String::new();
            let gate = step(&format!("g{n}"), Scope::Run, Verdict::Gate { message });
            plan.steps.push(gate);
        }
    }
    (world, plan)
}

/// The plan of taking a run back, decided by the product's own rule.
fn undo_of(record: &RunRecord, world: &World) -> Plan {
    let mut undo = plan();
    undo.kind = PlanKind::Undo {
        of: record.run,
        only: None,
    };
    for (n, done) in record.to_take_back().enumerate() {
        if let Some(inverse) = done.effect.inverse() {
            let now = after(world.now(&inverse), &inverse, &undo.steps);
            for (part, verdict) in take_back(done, inverse, None, &now).into_iter().enumerate() {
                let id = format!("u{n}_{part}");
                undo.steps.push(step(&id, done.id.scope.clone(), verdict));
            }
        }
    }
    undo
}

fn simulate(seed: u64, weather: Weather) {
    let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let (mut world, plan) = begin(&mut dice);
    let before = world.owned();
    let wanted = {
        let (mut undisturbed, _) = begin(&mut Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1));
        let start = start_of(RunId::generate(), plan.clone());
        let (_, end) = carry_through(start, &mut undisturbed, QUIET, &mut Dice(7));
        assert_eq!(end.ending, Ending::Done);
        undisturbed.owned()
    };

    let start = start_of(RunId::generate(), plan.clone());
    let (record, end) = carry_through(start, &mut world, weather, &mut dice);

    // Resumed after any crash, it ends as if nothing had happened; where somebody else has written
    // what is ours, it says so and stops.
    let intruded = !world.intruded.is_empty();
    assert!(
        end.ending == Ending::Done || intruded,
        "nobody disturbed it, and it ended {end:?}"
    );
    if !intruded {
        assert_eq!(world.owned(), wanted, "it ended in another state");
    }
    // What reached the world is in the journal as done, or as not known.
    for (effect, times) in &world.applied {
        let known = record.effects.iter().find(|e| key(&e.effect) == *effect);
        let known = known.expect("carried out, and not in the journal");
        assert_ne!(
            known.state,
            EffectState::NotOurs,
            "done, and said not to be: {effect}"
        );
        // Each rests on the state before: it cannot be done twice, unless somebody puts that back.
        assert_eq!(*times, 1, "done {times} times: {effect}");
    }
    for done in record
        .effects
        .iter()
        .filter(|e| e.state == EffectState::Done)
    {
        let theirs = intruded || done.effect.on_host().is_some();
        assert!(
            world.applied.contains_key(&key(&done.effect)) || theirs,
            "said to be done, and it was not: {:?}",
            done.effect
        );
    }

    // A request that is on its way ends sooner than a person decides to take a run back.
    // On a host there is no need to wait: who looks keeps away what is still on its way.
    for done in record.to_take_back() {
        world.fence(&done.id);
        world.settle_switch(&done.id, false);
    }
    let on_hosts = |late: &Late| late.effect.on_host().is_some();
    let (hosts, requests) = world.late.drain(..).partition(on_hosts);
    world.late = requests;
    while !world.late.is_empty() {
        world.arrive(&mut dice);
    }
    world.late = hosts;
    let left = world.owned();
    world.intruded.clear();
    world.applied.clear();
    let undo = undo_of(&record, &world);
    let start = start_of(RunId::generate(), undo);
    let (_, undone) = carry_through(start, &mut world, weather, &mut dice);
    if world.intruded.is_empty() && !intruded {
        assert_eq!((&undone.ending, undone.left), (&Ending::Done, 0));
        assert_eq!(
            world.owned(),
            before,
            "taken back, and not as it was before"
        );
    }
    // What somebody else had written stays as they wrote it.
    let after = world.owned();
    for (path, state) in &left.files {
        if *state == file("intruder") {
            assert_eq!(after.files[path], *state, "{path} was written over");
        }
    }
    for (name, content) in &left.made {
        if content == "intruder" {
            assert_eq!(after.made.get(name), Some(content), "{name} was deleted");
        }
    }
    for (name, annotations) in &left.objects {
        for (field, value) in annotations {
            if value == "intruder" {
                assert_eq!(
                    after.objects[name].get(field),
                    Some(value),
                    "{name}/{field} was written over"
                );
            }
        }
    }
}

use crate::model::Segment;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

fn storms(weather: Weather) {
    if let Some(seed) = number("RUNBOOK_SIMULATOR_SEED") {
        simulate(seed, weather);
        return;
    }
    for seed in 1..=number("RUNBOOK_SIMULATOR_RUNS").unwrap_or(3000) {
        let run = std::panic::catch_unwind(|| simulate(seed, weather));
        if let Err(panic) = run {
            eprintln!("repeat it with RUNBOOK_SIMULATOR_SEED={seed}");
            std::panic::resume_unwind(panic);
        }
    }
}

const STORM: Weather = Weather {
    crash: 12,
    lost: 4,
    rejected: 10,
    unreachable: 10,
    timeout: 8,
    neighbour: 3,
    intruder: 0,
};

#[test]
fn crashes_and_lost_answers_change_nothing_about_the_end() {
    storms(STORM);
}

#[test]
fn two_controllers_never_write_over_each_other() {
    storms(Weather {
        intruder: 15,
        ..STORM
    });
}

#[test]
fn only_crashes_at_every_turn() {
    storms(Weather { crash: 4, ..QUIET });
}
