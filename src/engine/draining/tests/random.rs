//! Random drains of a random node: answers that are lost, requests that arrive late, budgets, others who delete
//! the same pods, kills at any point. A run is repeated by its seed: `RUNBOOK_SIMULATOR_SEED=n`.

use super::*;
use crate::journal::Entry as Written;

/// A pod of the world.
#[derive(Clone)]
struct Real {
    pod: Pod,
    /// Nothing of ours may touch it.
    stays: bool,
    deleted: bool,
    /// A request of ours did it.
    ours: bool,
    gone: bool,
}

struct Scene {
    dice: Dice,
    pods: Vec<Real>,
    /// How many of `app: web` may go now.
    allowed: i64,
    lossy: usize,
    /// The journal as it is on the disk, and what rides in the next commit.
    durable: Vec<Event>,
    pending: Vec<Event>,
    second: u64,
}

impl Scene {
    fn new(seed: u64) -> Self {
        let mut dice = Dice(seed);
        let count = 1 + dice.below(60);
        let mut pods = Vec::new();
        for n in 0..count {
            let name = format!("p{n}");
            let (mut pod, mut stays) = (super::pod(&name), false);
            match dice.below(6) {
                0 => pod = of_labels(&name),
                1 => pod = going(&name),
                2 => {
                    pod.mirror = true;
                    stays = true;
                }
                3 => pod.priority = 5,
                _ => {}
            }
            pods.push(Real {
                deleted: pod.is_going(),
                pod,
                stays,
                ours: false,
                gone: false,
            });
        }
        let allowed = i64::try_from(dice.below(5)).unwrap();
        let lossy = [0, 3, 10][dice.below(3)];
        Self {
            dice,
            pods,
            allowed,
            lossy,
            durable: Vec::new(),
            pending: Vec::new(),
            second: 0,
        }
    }

    fn find(&mut self, uid: &str) -> Option<&mut Real> {
        self.pods
            .iter_mut()
            .find(|real| real.pod.uid() == uid && !real.gone)
    }

    fn list(&self) -> Vec<Pod> {
        let there = self.pods.iter().filter(|real| !real.gone);
        there
            .map(|real| {
                of(&real.pod, |pod| {
                    if real.deleted {
                        pod.ends = Some(Timestamp::UNIX_EPOCH);
                    }
                })
            })
            .collect()
    }

    /// A request arrives.
    fn arrive(&mut self, permit: &Permit) -> Evicted {
        let Effect::EvictPod { pod, deletes, .. } = permit.effect() else {
            panic!("{permit:?}")
        };
        let known = self
            .durable
            .iter()
            .any(|event| matches!(event, Event::Intent { id, .. } if id == permit.id()));
        assert!(known, "sent without a durable intent: {permit:?}");
        let allowed = self.allowed;
        let Some(real) = self.find(&pod.uid) else {
            return Evicted::Gone;
        };
        assert!(!real.stays, "{} was to stay", real.pod.name());
        if real.deleted {
            return Evicted::Begun;
        }
        let web = real.pod.labels.get("app").is_some_and(|app| app == "web");
        if web && !deletes && allowed <= 0 {
            return held("web");
        }
        real.deleted = true;
        real.ours = true;
        if web && !deletes {
            self.allowed -= 1;
        }
        Evicted::Begun
    }

    /// Something happens by itself; gives what the watch tells of it.
    fn live(&mut self) -> Option<(PodUid, bool)> {
        let at = self.dice.below(self.pods.len());
        let others = self.dice.once_in(20);
        let real = &mut self.pods[at];
        if real.gone {
            return None;
        }
        if real.deleted {
            real.gone = true;
            // Another is ready elsewhere.
            self.allowed += 1;
            return Some((real.pod.uid().to_owned(), true));
        }
        if others && !real.stays {
            real.deleted = true;
            return Some((real.pod.uid().to_owned(), false));
        }
        None
    }

    fn commit(&mut self) {
        self.durable.append(&mut self.pending);
    }

    fn record(&self) -> RunRecord {
        let written: Vec<Written> = entries(self.durable.clone());
        RunRecord::fold(written).unwrap()
    }
}

/// One sitting, killed after so many steps; `true`: it came to its end.
fn sit(scene: &mut Scene, of: Evicting, steps: usize) -> bool {
    let begun = scene.record().effects;
    let mut draining = Draining::new(of, &begun, BTreeMap::new());
    let mut flying: Vec<(PodUid, Permit)> = Vec::new();
    let mut listed = false;
    for _ in 0..steps {
        scene.second += u64::from(scene.dice.once_in(3));
        let now = at(scene.second);
        let mut turn = draining.turn(now);
        scene.pending.append(&mut turn.records);
        if let Some(end) = turn.end {
            scene.commit();
            assert_eq!(end, Ok(()), "second {}", scene.second);
            return true;
        }
        flying.append(&mut turn.send);
        assert!(flying.len() <= AT_ONCE, "{} at a time", flying.len());
        if !turn.intend.is_empty() {
            for (id, effect) in &turn.intend {
                scene.pending.push(Event::Intent {
                    id: id.clone(),
                    effect: effect.clone(),
                });
            }
            scene.commit();
            draining.permitted(permits(&mut turn));
        }
        match scene.dice.below(4) {
            0 if !flying.is_empty() => {
                let (uid, permit) = flying.swap_remove(scene.dice.below(flying.len()));
                let lost = scene.dice.once_in(scene.lossy);
                let arrives = !lost || scene.dice.once_in(2);
                let answer = match arrives {
                    true => scene.arrive(&permit),
                    false => Evicted::Busy { seconds: 1 },
                };
                let answer = match lost {
                    // Seldom enough that it never fails for good.
                    true if scene.dice.once_in(3) => {
                        Evicted::Unclear(Fault::indeterminate("api_lost", "lost"))
                    }
                    true if arrives => Evicted::Begun,
                    _ => answer,
                };
                let really = scene.find(&uid).is_none_or(|real| real.deleted);
                // Nobody is told that it has begun where it has not.
                let answer = match answer {
                    Evicted::Begun if !really => Evicted::Busy { seconds: 1 },
                    answer => answer,
                };
                draining.answered(now, &uid, permit, answer);
            }
            1 if listed => {
                if let Some((uid, gone)) = scene.live() {
                    match gone {
                        true => draining.gone(&uid),
                        false => {
                            let pods = scene.list();
                            let pod = pods.iter().find(|pod| pod.uid() == uid).unwrap();
                            draining.is(now, pod.clone());
                        }
                    }
                }
            }
            2 if !listed || scene.dice.once_in(30) => {
                listed = true;
                draining.listed(now, scene.list());
            }
            _ => {}
        }
    }
    // Killed: what was not committed is lost, and requests may still arrive.
    scene.pending.clear();
    for (_, permit) in flying {
        if scene.dice.once_in(2) {
            scene.arrive(&permit);
        }
    }
    false
}

fn run(seed: u64) {
    let mut scene = Scene::new(seed);
    scene.durable.push(start(RunId::generate()));
    let mut of = evicting();
    of.budgets = vec![budget()];
    of.options.by_priority = scene.dice.once_in(3);
    if scene.dice.once_in(4) {
        of.options.on_blocked = OnBlocked::Force;
    }
    // Those that go are late from the beginning.
    let skips = scene.dice.once_in(4);
    if skips {
        let long = scene.dice.below(300);
        of.options.skip_terminating_longer_than = Some(Duration::from_secs(long as u64));
    }
    let mut over = false;
    for sitting in 0..40 {
        let steps = match sitting {
            39 => 200_000,
            _ if scene.dice.once_in(3) => 1 + scene.dice.below(30),
            _ => 1 + scene.dice.below(2000),
        };
        if sit(&mut scene, of.clone(), steps) {
            over = true;
            break;
        }
    }
    assert!(over, "it never ends");
    let record = scene.record();
    for real in &scene.pods {
        let name = real.pod.name();
        let went = real.gone || skips && real.deleted;
        assert_eq!(went, !real.stays, "{name}");
        // Nothing happens that the journal does not know.
        let known = record.effects.iter().any(|known| {
            let Effect::EvictPod { pod, .. } = &known.effect else {
                return false;
            };
            pod.uid == real.pod.uid() && known.state == EffectState::Done
        });
        assert!(known || !real.ours, "{name} was evicted, and nobody knows");
    }
    assert!(!record.has_open_intents(), "{:?}", record.effects);
}

#[test]
fn whatever_happens_it_ends_as_if_nothing_had() {
    if let Ok(seed) = std::env::var("RUNBOOK_SIMULATOR_SEED") {
        return run(seed.parse().unwrap());
    }
    let runs: u64 = std::env::var("RUNBOOK_SIMULATOR_RUNS")
        .ok()
        .and_then(|runs| runs.parse().ok())
        .unwrap_or(500);
    for n in 1..=runs {
        let seed = n.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        if let Err(panic) = std::panic::catch_unwind(|| run(seed)) {
            eprintln!("RUNBOOK_SIMULATOR_SEED={seed}");
            std::panic::resume_unwind(panic);
        }
    }
}
