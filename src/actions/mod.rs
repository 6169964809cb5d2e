//! The kinds of steps: one file each, and one line in the table below.

mod calico_address_change;
mod calico_autodetection;
mod calico_bgp;
mod calico_bgp_path;
mod calico_node_address;
mod calico_node_restart;
mod calico_node_status;
mod file_change;
mod file_lines;
mod host_assert;
mod host_binary;
mod host_command;
mod host_conntrack;
mod host_file;
mod host_fstab;
mod host_line;
mod host_module;
mod host_program;
mod host_script;
mod host_service;
mod host_swap;
mod host_sysctl;
mod host_template;
mod host_unmanaged_devices;
mod kube_apply;
mod kube_assert;
mod kube_cordon;
mod kube_delete;
mod kube_drain;
mod kube_evict;
mod kube_eviction;
mod kube_fields;
mod kube_keepers;
mod kube_node_metadata;
mod kube_object;
mod kube_patch;
mod kube_proxy_conntrack;
mod kube_replaced;
mod kube_rollout;
mod kube_state;
mod kube_wait;
mod line_difference;
mod look;
mod rights;
mod served;
#[cfg(test)]
mod told;
mod unit_restart;
mod world;

pub use kube_object::Of;
pub use look::{Look, calicoctl_fact};
use rights::ANY as ANY_NAMESPACE;
pub use rights::{Need, Needs, Purpose, is_any};
pub use served::{Served, all_built_in, built_in};
pub use unit_restart::start_anew;
pub use world::World;

use crate::drain::Options;
use crate::fault::{Fault, nearest};
use crate::model::{
    Ask, Blobs, Detail, Effect, Exception, Identity, Prior, Risk, Scope, SettingRef, SettingState,
    Settled, Target, UndoClass, Verdict,
};
use crate::runbook::{Kind, Kinds, Record, Rendering, StepScope, parse_duration};
use crate::transport::PodsOf;
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use std::time::Duration;

/// Where a step happens, and which targets its run has.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    pub scope: &'a Scope,
    pub targets: &'a [Target],
    /// As whom hosts are read and changed.
    pub identity: &'a Identity,
    /// Why programs of the runbook are not run in a plan, although they only read; `None`: they are.
    pub untrusted: Option<&'a str>,
}

impl<'a> Place<'a> {
    /// The one target of a step that is not the run's.
    fn target(self) -> Result<&'a Target, Fault> {
        match self.scope {
            Scope::Target(target) => Ok(target),
            Scope::Run => Err(Fault::input(
                "scope",
                "this kind of step belongs to a target: leave out `scope: run`",
            )),
        }
    }

    fn run(self) -> Result<(), Fault> {
        match self.scope {
            Scope::Run => Ok(()),
            Scope::Target(_) => Err(Fault::input(
                "scope",
                "this kind of step belongs to the whole run: add `scope: run`",
            )),
        }
    }
}

#[cfg(test)]
impl<'a> Place<'a> {
    /// As root, by a runbook that is trusted.
    pub(crate) fn for_test(scope: &'a Scope, targets: &'a [Target]) -> Self {
        static ROOT: std::sync::LazyLock<Identity> = std::sync::LazyLock::new(Identity::root);
        Self {
            scope,
            targets,
            identity: &ROOT,
            untrusted: None,
        }
    }
}

/// How long a check may take, and how long it must hold without a break.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    pub within: Duration,
    pub settle: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            within: Duration::from_secs(600),
            settle: Duration::ZERO,
        }
    }
}

/// What an argument is that is `true` where it is left out.
const fn yes() -> bool {
    true
}

/// An argument that is a duration; `usual` where it is left out.
fn duration(name: &str, text: Option<&str>, usual: Duration) -> Result<Duration, String> {
    match text {
        None => Ok(usual),
        Some(text) => parse_duration(text)
            .ok_or_else(|| format!("`{name}` is a duration such as 90s, and `{text}` is not")),
    }
}

/// What a step would do, as a pure function of what was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision<C> {
    NoChange {
        why: String,
    },
    Change(C),
    /// Read until the world is as expected, but for the exceptions.
    Check {
        expects: String,
        except: Vec<Exception>,
    },
    /// `otherwise` is what is done where the operator allows what cannot be known.
    Unknown {
        why: String,
        otherwise: Option<Box<Decision<C>>>,
    },
    /// It cannot be known yet: where the operator allows it, it is decided when its turn comes.
    Late {
        why: String,
    },
    /// What it comes to is known, and the notes say it; what is there before it is seen only after an earlier
    /// step. It is decided when its turn comes, and needs no leave.
    Foreseen,
    Refuse {
        why: String,
        next: Option<String>,
    },
}

/// A change, ready to be carried out and shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compiled {
    pub effects: Vec<Effect>,
    /// The bytes that the effects and their inverses need.
    pub blobs: Blobs,
    pub details: Vec<Detail>,
    pub follows: Vec<String>,
    pub undo: UndoClass,
    pub predicted: Option<String>,
    pub heals: Option<String>,
}

impl Compiled {
    /// Nothing yet.
    fn nothing() -> Self {
        Self {
            effects: Vec::new(),
            blobs: Blobs::default(),
            details: Vec::new(),
            follows: Vec::new(),
            undo: UndoClass::Exact,
            predicted: None,
            heals: None,
        }
    }

    /// A setting of a host is put into another state.
    fn put(&mut self, setting: SettingRef, before: SettingState, after: SettingState) {
        self.details.push(Detail {
            subject: setting.to_string(),
            before: Some(before.to_string()),
            after: Some(after.to_string()),
            ..Detail::default()
        });
        if let Some(lost) = setting.setting.lost(&after) {
            let lost = lost.to_owned();
            self.undo = worst(self.undo.clone(), UndoClass::BestEffort { lost });
        }
        self.effects.push(Effect::PutSetting {
            setting,
            before,
            after,
        });
    }

    /// What is done besides; all of it can be taken back as well as the worst of it.
    fn and(mut self, more: Self) -> Self {
        self.effects.extend(more.effects);
        self.blobs.extend(more.blobs);
        self.details.extend(more.details);
        self.follows.extend(more.follows);
        self.undo = worst(self.undo, more.undo);
        self
    }
}

/// How two changes are taken back together.
fn worst(one: UndoClass, other: UndoClass) -> UndoClass {
    match (one, other) {
        (UndoClass::Exact, other) | (other, UndoClass::Exact) => other,
        (none @ UndoClass::None { .. }, _) | (_, none @ UndoClass::None { .. }) => none,
        (UndoClass::BestEffort { lost }, UndoClass::BestEffort { lost: more }) => {
            UndoClass::BestEffort {
                lost: match lost.split("; ").any(|part| part == more) {
                    true => lost,
                    false => format!("{lost}; {more}"),
                },
            }
        }
    }
}

/// A kind of step. Reading (`observe`) and deciding are apart, so that what is decided can be
/// tested without a host, and nothing in here can write: only the engine carries effects out.
#[async_trait]
pub trait Action: Sized + Send + Sync {
    /// What runbooks call it.
    const USES: &'static str;
    /// What journals of earlier versions call it.
    const FORMERLY: Option<&'static str> = None;
    /// Arguments that are literal: scripts, in which no template may stand.
    const LITERAL: &'static [&'static str] = &[];
    /// Arguments that name earlier steps; what they become is whether these change something.
    const CHANGES: &'static [&'static str] = &[];
    /// Whether `source` names a file beside the runbook, whose text it gets as `template`, rendered.
    const BESIDE: bool = false;
    /// Whether it evicts pods after its other effects.
    const EVICTS: bool = false;
    /// Whether it is about pods that come later, too.
    const NEWCOMERS: bool = false;
    /// What authors read about the kind, where several share their arguments' type.
    const ABOUT: Option<&'static str> = None;
    /// Their description, and that of each of them, is the reference that authors read.
    type Args: DeserializeOwned + JsonSchema;
    type Seen: Send + Sync;
    type Change;

    fn new(args: Self::Args) -> Result<Self, String>;

    /// What it gives to later steps, besides whether it changed something.
    fn outputs() -> Record {
        Record::default()
    }

    /// What an undo does not bring back, as far as the arguments tell, which are not rendered yet.
    fn lost(_with: &Value) -> Option<&'static str> {
        None
    }

    /// What it needs in the cluster, by its arguments, in which templates still stand: all that
    /// [`Self::observe`] asks for, and what its effects, their waits and their undo do.
    fn needs(with: &Value) -> Needs;

    /// Reads what the decision rests on. `prior` is what earlier steps of the same plan do.
    async fn observe(
        &self,
        look: &Look<'_>,
        place: Place<'_>,
        prior: Prior<'_>,
    ) -> Result<Self::Seen, Fault>;

    /// Decides what to do.
    fn decide(
        &self,
        seen: &Self::Seen,
        place: Place<'_>,
        prior: Prior<'_>,
    ) -> Decision<Self::Change>;

    fn compile(&self, change: Self::Change) -> Compiled;

    /// What the operator should know besides.
    fn notes(&self, _seen: &Self::Seen, _decision: &Decision<Self::Change>) -> Vec<String> {
        Vec::new()
    }

    /// What people can choose, where it cannot tell.
    fn ask(&self, _seen: &Self::Seen, _decision: &Decision<Self::Change>) -> Option<Ask> {
        None
    }

    /// For checks: whether the world is as expected now, but for the exceptions.
    fn verify(&self, _seen: &Self::Seen, _prior: Prior<'_>, _except: &[Exception]) -> Settled {
        Settled::Yes
    }

    fn patience(&self) -> Patience {
        Patience::default()
    }

    /// What was found, by the names of [`Self::outputs`]; empty where it is not to be kept.
    fn found(&self, _seen: &Self::Seen) -> Map<String, Value> {
        Map::new()
    }

    /// How long the world may stand still after its change; `None`: as long as after any other.
    fn settling(&self) -> Option<Duration> {
        None
    }

    /// Which pods it evicts, and how.
    fn eviction(&self, _place: Place<'_>) -> Result<Eviction, Fault> {
        Err(Fault::internal("this evicts nothing"))
    }

    /// How it must be confirmed, where that is more than its runbook says.
    fn risk(&self) -> Option<Risk> {
        None
    }
}

/// Which pods a step evicts, and how.
#[derive(Debug, Clone)]
pub struct Eviction {
    pub pods: PodsOf,
    /// Where, for people.
    pub place: String,
    pub options: Options,
    /// Whether those that come later go, too.
    pub newcomers: bool,
    /// How long it may take; `None`: without end.
    pub within: Option<Duration>,
}

/// What a step would do, with all that is needed to do it.
#[derive(Debug)]
pub struct Made {
    pub verdict: Verdict,
    /// What the operator should know besides.
    pub notes: Vec<String>,
    pub blobs: Blobs,
    /// What it found, where that is what it will find when its turn comes.
    pub outputs: Map<String, Value>,
    /// What people can choose, where it is refused for want of that.
    pub ask: Option<Ask>,
}

/// How a check stands, and what it found.
#[derive(Debug)]
pub struct Verified {
    pub settled: Settled,
    pub outputs: Map<String, Value>,
}

/// An [`Action`] of which the engine knows nothing but this.
#[async_trait]
pub trait Step: Send + Sync {
    async fn plan(
        &self,
        look: &Look<'_>,
        place: Place<'_>,
        prior: Prior<'_>,
    ) -> Result<Made, Fault>;

    async fn verify(
        &self,
        look: &Look<'_>,
        place: Place<'_>,
        prior: Prior<'_>,
        except: &[Exception],
    ) -> Result<Verified, Fault>;

    fn patience(&self) -> Patience;

    fn settling(&self) -> Option<Duration>;

    fn eviction(&self, place: Place<'_>) -> Result<Eviction, Fault>;

    fn risk(&self) -> Option<Risk>;
}

#[async_trait]
impl<A: Action> Step for A {
    async fn plan(
        &self,
        look: &Look<'_>,
        place: Place<'_>,
        prior: Prior<'_>,
    ) -> Result<Made, Fault> {
        let seen = self.observe(look, place, prior).await?;
        let decision = self.decide(&seen, place, prior);
        let notes = self.notes(&seen, &decision);
        let ask = self.ask(&seen, &decision);
        let mut blobs = Blobs::default();
        let certain = matches!(decision, Decision::NoChange { .. }) && !prior.changes_anything();
        Ok(Made {
            outputs: match certain {
                true => self.found(&seen),
                false => Map::new(),
            },
            verdict: verdict(self, decision, &mut blobs),
            notes,
            blobs,
            ask,
        })
    }

    async fn verify(
        &self,
        look: &Look<'_>,
        place: Place<'_>,
        prior: Prior<'_>,
        except: &[Exception],
    ) -> Result<Verified, Fault> {
        let seen = self.observe(look, place, prior).await?;
        Ok(Verified {
            settled: Action::verify(self, &seen, prior, except),
            outputs: self.found(&seen),
        })
    }

    fn patience(&self) -> Patience {
        Action::patience(self)
    }

    fn settling(&self) -> Option<Duration> {
        Action::settling(self)
    }

    fn eviction(&self, place: Place<'_>) -> Result<Eviction, Fault> {
        Action::eviction(self, place)
    }

    fn risk(&self) -> Option<Risk> {
        Action::risk(self)
    }
}

fn verdict<A: Action>(action: &A, decision: Decision<A::Change>, blobs: &mut Blobs) -> Verdict {
    match decision {
        Decision::NoChange { why } => Verdict::NoChange { why },
        Decision::Check { expects, except } => Verdict::Check { expects, except },
        Decision::Refuse { why, next } => Verdict::Refused { why, next },
        Decision::Unknown { why, otherwise } => Verdict::Unknown {
            why,
            otherwise: otherwise.map(|o| Box::new(verdict(action, *o, blobs))),
        },
        Decision::Late { why } => Verdict::Unknown {
            why,
            otherwise: Some(Box::new(Verdict::Late)),
        },
        Decision::Foreseen => Verdict::Late,
        Decision::Change(change) => {
            let compiled = action.compile(change);
            blobs.extend(compiled.blobs);
            Verdict::Change {
                effects: compiled.effects,
                details: compiled.details,
                follows: compiled.follows,
                undo: compiled.undo,
                predicted: compiled.predicted,
                heals: compiled.heals,
            }
        }
    }
}

/// Makes a step of its rendered arguments, or says what is wrong with them.
type Maker = fn(Value) -> Result<Box<dyn Step>, String>;

fn make<A: Action + 'static>(args: Value) -> Result<Box<dyn Step>, String> {
    let args = serde_json::from_value(args).map_err(|e| e.to_string())?;
    Ok(Box::new(A::new(args)?))
}

/// A kind: what it is called, how a step of it is made, how its arguments are rendered, and what the
/// language knows of it.
struct Entry {
    uses: &'static str,
    formerly: Option<&'static str>,
    make: Maker,
    rendering: Rendering,
    needs: fn(&Value) -> Needs,
    evicts: bool,
    newcomers: bool,
    kind: fn() -> Kind,
}

/// Every kind of step there is.
const KINDS: &[Entry] = &[
    once::<calico_autodetection::Autodetection>(),
    once::<calico_bgp::MeshEstablished>(),
    once::<calico_bgp_path::BgpPath>(),
    at_target::<calico_node_address::NodeAddress>(),
    at_target::<calico_node_restart::NodeRestart>(),
    once::<calico_node_status::NodeStatuses>(),
    at_target::<host_assert::HostAssert>(),
    at_target::<host_binary::HostBinary>(),
    at_target::<host_command::HostCommand>(),
    at_target::<host_conntrack::HostConntrack>(),
    at_target::<host_file::HostFile>(),
    at_target::<host_fstab::HostFstab>(),
    at_target::<host_line::HostLine>(),
    at_target::<host_module::HostModule>(),
    at_target::<host_script::HostScript>(),
    at_target::<host_service::HostService>(),
    at_target::<host_swap::HostSwap>(),
    at_target::<host_sysctl::HostSysctl>(),
    at_target::<host_template::HostTemplate>(),
    at_target::<host_unmanaged_devices::HostUnmanagedDevices>(),
    entry::<kube_apply::Apply>(),
    entry::<kube_assert::KubeAssert>(),
    at_target::<kube_cordon::Cordon>(),
    entry::<kube_delete::Delete>(),
    at_target::<kube_drain::Drain>(),
    once::<kube_evict::Evict>(),
    at_target::<kube_node_metadata::NodeMetadata>(),
    entry::<kube_patch::Patch>(),
    at_target::<kube_proxy_conntrack::ProxyConntrack>(),
    entry::<kube_replaced::Replaced>(),
    entry::<kube_rollout::Rollout>(),
    entry::<kube_wait::Wait>(),
];

const fn entry<A: Action + 'static>() -> Entry {
    Entry {
        uses: A::USES,
        formerly: A::FORMERLY,
        make: make::<A>,
        rendering: Rendering {
            literal: A::LITERAL,
            beside: A::BESIDE,
        },
        needs: A::needs,
        evicts: A::EVICTS,
        newcomers: A::NEWCOMERS,
        kind: kind::<A>,
    }
}

/// A kind that belongs to a target: it needs [`Place::target`].
const fn at_target<A: Action + 'static>() -> Entry {
    Entry {
        kind: || Kind {
            scope: Some(StepScope::Target),
            ..kind::<A>()
        },
        ..entry::<A>()
    }
}

/// A kind that belongs to the whole run: it needs [`Place::run`].
const fn once<A: Action + 'static>() -> Entry {
    Entry {
        kind: || Kind {
            scope: Some(StepScope::Run),
            ..kind::<A>()
        },
        ..entry::<A>()
    }
}

fn kind<A: Action + 'static>() -> Kind {
    let mut schema = schemars::schema_for!(A::Args);
    if let Some(about) = A::ABOUT {
        schema.insert("description".to_owned(), about.into());
    }
    Kind {
        uses: A::USES,
        formerly: A::FORMERLY,
        schema,
        outputs: A::outputs(),
        literal: A::LITERAL,
        changes: A::CHANGES,
        beside: A::BESIDE,
        scope: None,
        lost: A::lost,
        check: |with| make::<A>(with.clone()).map(|_| ()),
    }
}

/// What the language knows of all kinds.
pub fn kinds() -> Kinds {
    Kinds(KINDS.iter().map(|entry| (entry.kind)()).collect())
}

/// The kind of a name, or of the one that it had.
fn named(uses: &str) -> Option<&'static Entry> {
    KINDS
        .iter()
        .find(|kind| kind.uses == uses || kind.formerly == Some(uses))
}

/// How the arguments of a kind are rendered.
pub fn rendering(uses: &str) -> Rendering {
    let kind = named(uses);
    kind.map_or_else(Rendering::default, |kind| kind.rendering)
}

/// Whether a step changes nothing, neither on a host nor in the cluster. Of what is no kind, such as a
/// runbook that is included, nobody knows.
pub fn only_reads(uses: &str, with: &Value) -> bool {
    named(uses).is_some() && !needs(uses, with).writes
}

/// Whether a kind of step evicts pods.
pub fn evicts(uses: &str) -> bool {
    named(uses).is_some_and(|kind| kind.evicts)
}

/// Whether a kind of step is about pods that come later, too.
pub fn takes_newcomers(uses: &str) -> bool {
    named(uses).is_some_and(|kind| kind.newcomers)
}

/// What a step needs in the cluster; `with` is not rendered.
pub fn needs(uses: &str, with: &Value) -> Needs {
    let kind = named(uses);
    kind.map_or_else(Needs::default, |kind| (kind.needs)(with))
}

/// The step that `uses` names, with its arguments.
pub fn step(uses: &str, with: &Value) -> Result<Box<dyn Step>, String> {
    match named(uses) {
        Some(kind) => (kind.make)(with.clone()).map_err(|e| format!("with: {e}")),
        None => {
            let known = || KINDS.iter().map(|kind| kind.uses);
            Err(match nearest(uses, known()) {
                Some(near) => {
                    format!("uses: there is no kind `{uses}`; did you mean `{near}`?")
                }
                None => format!(
                    "uses: there is no kind `{uses}`; known are {}",
                    known().collect::<Vec<_>>().join(", ")
                ),
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn kinds_are_named_domain_noun_and_refuse_what_they_do_not_know() {
        for Entry {
            uses: name, make, ..
        } in KINDS
        {
            let (domain, noun) = name.split_once('.').unwrap();
            assert!(["host", "kube", "calico"].contains(&domain), "{name}");
            assert!(!noun.is_empty(), "{name}");
            let Err(error) = make(json!({"no_such_argument": 1})) else {
                panic!("{name} takes anything");
            };
            assert!(error.contains("no_such_argument"), "{name}: {error}");
        }
    }

    /// A kind that is new shows here what it asks for. What it names must be known without a cluster.
    #[test]
    fn every_kind_says_what_it_needs_in_the_cluster() {
        let of =
            json!({"api_version": "apps/v1", "kind": "Deployment", "namespace": "n", "name": "x"});
        let manifest = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"namespace": "n", "name": "x"}});
        let with = json!({"of": of, "manifest": manifest});
        let mut lines = Vec::new();
        for kind in KINDS {
            let needs = (kind.needs)(&with);
            lines.push(format!(
                "{} {}",
                kind.uses,
                if needs.writes { "writes" } else { "reads" }
            ));
            for Need {
                of, verb, purpose, ..
            } in needs.all
            {
                assert!(
                    built_in(of.group(), &of.kind).is_some(),
                    "{}: {of}",
                    kind.uses
                );
                lines.push(format!("  {purpose:?}: {verb} {of}"));
            }
        }
        insta::assert_snapshot!(lines.join("\n"));
    }

    #[test]
    fn what_changes_nothing_needs_nothing_to_write() {
        let needs = |uses: &str, with: &Value| needs(uses, with);
        for uses in ["host.script", "host.command"] {
            assert!(!needs(uses, &json!({"reads": "x"})).writes);
            assert!(needs(uses, &json!({"apply": "x"})).writes);
        }
        let rollout = |restart: Value| {
            needs(
                "kube.rollout",
                &json!({"of": "{{ item }}", "restart": restart}),
            )
        };
        assert!(!rollout(json!(false)).writes);
        assert!(rollout(json!("{{ params.restart }}")).writes);
        assert_eq!(rollout(json!(false)).all.len(), 3);
    }

    #[test]
    fn an_unknown_kind_is_an_error_with_a_suggestion() {
        let Err(error) = step("calico.node_adress", &json!({})) else {
            panic!()
        };
        insta::assert_snapshot!(error, @"uses: there is no kind `calico.node_adress`; did you mean `calico.node_address`?");
        assert!(step("nonsense", &json!({})).is_err());
    }
}
