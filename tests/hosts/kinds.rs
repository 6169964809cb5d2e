//! Kinds of steps that write files, each on a real host: planned, done, planned again, and taken back.

use super::Case;
use super::client::{Client, block, same};
use super::machine::{Kind, Machine};
use super::permit::permit;
use super::place::{Place as Namespaces, path, text};
use super::shells::{APPLETS, over_sh};
use runbook::actions::{Look, Made, Place, World, step};
use runbook::fault::{API_SILENT, Fault};
use runbook::inventory::Inventory;
use runbook::model::{Blobs, Content, Effect, Identity, Prior, Scope, Target, UndoClass, Verdict};
use runbook::transport::{Cluster, ClusterOptions, MayMoveOn};
use serde_json::{Value, json};

pub const CASES: &[Case] = &[
    Case {
        name: "kinds_that_write_files_do_it_once_and_are_taken_back_by_dash",
        run: |place| done_once_and_taken_back(place, &over_sh("dash"), true),
    },
    Case {
        name: "kinds_that_write_files_do_it_once_and_are_taken_back_by_busybox",
        run: |place| done_once_and_taken_back(place, &(over_sh("busybox") + APPLETS), false),
    },
];

/// A file, a step that changes it, and what becomes of it.
struct Example {
    uses: &'static str,
    with: Value,
    before: &'static [u8],
    after: &'static [u8],
}

fn examples() -> Vec<Example> {
    let path = "/srv/file";
    vec![
        Example {
            uses: "host.line",
            with: json!({"path": path, "line": "b = 'x' \\ $y", "match": "^#?b\\b"}),
            before: b"a\r\n#b = 1\r\nc \xff\0",
            after: b"a\r\nb = 'x' \\ $y\r\nc \xff\0",
        },
        Example {
            uses: "host.line",
            with: json!({"path": path, "lines": ["-n", "a"]}),
            before: b"a",
            after: b"a\n-n",
        },
        Example {
            uses: "host.line",
            with: json!({"path": path, "line": "a", "state": "absent"}),
            before: b"a\n",
            after: b"",
        },
        Example {
            uses: "host.template",
            // As the reader of runbooks gives it.
            with: json!({"path": path, "source": "x.hbs", "template": "a\r\n'b' {{ c }}"}),
            before: b"old\xff",
            after: b"a\r\n'b' {{ c }}",
        },
        Example {
            uses: "host.fstab",
            with: json!({"path": path, "fs_type": "swap", "state": "commented"}),
            before: b"# swap\n/dev/a\\040b\tnone swap sw 0 0\r\n\nUUID=1 / ext4 rw\nx none swap",
            after: b"# swap\n# /dev/a\\040b\tnone swap sw 0 0\r\n\nUUID=1 / ext4 rw\n# x none swap",
        },
        Example {
            uses: "host.fstab",
            with: json!({
                "path": path, "spec": "UUID=2", "mount_point": "/a b", "fs_type": "xfs",
                "state": "present", "options": "nofail",
            }),
            before: b"UUID=1 / ext4 rw\n",
            after: b"UUID=1 / ext4 rw\nUUID=2 /a\\040b xfs nofail 0 0\n",
        },
    ]
}

pub struct Machines {
    world: World,
    target: Target,
}

impl Machines {
    /// One machine, and no cluster.
    pub async fn new(machine: &Machine, client: &Client) -> Result<Self, String> {
        Ok(Self {
            world: World {
                cluster: no_cluster().await?,
                hosts: client.hosts(),
                inventory: Inventory::default(),
            },
            target: Target::node(&machine.name, "u"),
        })
    }

    pub async fn plan(&self, uses: &str, with: &Value) -> Result<Made, String> {
        // Which host it is, the host itself says.
        let silent = Fault::unreachable(API_SILENT, "there is none");
        let look = Look::at_hosts(&self.world, silent);
        let place = Place {
            scope: &Scope::Target(self.target.clone()),
            targets: std::slice::from_ref(&self.target),
            identity: &Identity::Login,
            untrusted: None,
        };
        let planned = step(uses, with)?;
        let made = planned.plan(&look, place, Prior { steps: &[] }).await;
        made.map_err(text)
    }

    /// What an effect overwrites, where it is large.
    pub async fn old_content(&self, effect: &Effect) -> Result<Vec<u8>, String> {
        let mut old = Vec::new();
        let reading = self.world.old_content(effect, |piece| {
            old.extend(piece);
            Ok(())
        });
        reading.await.map_err(text)?;
        Ok(old)
    }

    /// As the engine does it, with contents of any size.
    pub async fn put_content(
        &self,
        effect: &Effect,
        contents: &[&[u8]],
        content: &Content,
    ) -> Result<(), String> {
        let (permit, key) = permit(effect.clone(), contents)?;
        let content = (content, &(|| Ok(())) as &MayMoveOn<'_>);
        let put = self.world.perform(permit, None, content, &key, "a test");
        put.await.0.map_err(text)
    }

    pub async fn put(&self, effect: &Effect, blobs: &Blobs) -> Result<(), String> {
        let host = self.world.inventory.destination(&self.target.name);
        let (before, after) = match effect {
            Effect::PutFile { before, after, .. } => (before, after),
            Effect::PutSetting { .. } => {
                let (permit, key) = permit(effect.clone(), &[])?;
                let put = self.world.hosts.put_setting(&host, permit, &key, "a test");
                return put.await.map_err(text);
            }
            Effect::RunProgram { .. } => {
                let (permit, key) = permit(effect.clone(), &[])?;
                let run = self.world.hosts.run_program(&host, permit, &key, "a test");
                return run.await.0.map_err(text);
            }
            _ => return Err(format!("{effect:?}")),
        };
        let bytes = |content: Option<_>| content.and_then(|c| blobs.get(c)).unwrap_or_default();
        let (old, new) = (bytes(before.content()), bytes(after.content()));
        let (permit, key) = permit(effect.clone(), &[old, new])?;
        let put = self
            .world
            .hosts
            .put_file(&host, permit, new, &key, "a test");
        put.await.map_err(text)
    }
}

fn done_once_and_taken_back(
    place: &Namespaces,
    prepare: &str,
    exactly: bool,
) -> Result<(), String> {
    let kind = Kind {
        prepare,
        ..Kind::default()
    };
    let machine = Machine::of_kind(place, &kind)?;
    let client = Client::of(&[&machine])?;
    let file = path("disk").join(&machine.name).join("file");
    block(async {
        let machines = Machines::new(&machine, &client).await?;
        for example in examples() {
            let Example {
                uses,
                with,
                before,
                after,
            } = example;
            let at = format!("{uses} {with}");
            std::fs::write(&file, before).map_err(text)?;
            let made = machines.plan(uses, &with).await?;
            let Verdict::Change { effects, undo, .. } = &made.verdict else {
                return Err(format!("{at}: {:?}", made.verdict));
            };
            same(&at, *undo == UndoClass::Exact, exactly)?;
            let [effect] = effects.as_slice() else {
                return Err(format!("{at}: {effects:?}"));
            };
            same(&at, std::fs::read(&file).map_err(text)?.as_slice(), before)?;
            machines.put(effect, &made.blobs).await?;
            same(&at, std::fs::read(&file).map_err(text)?.as_slice(), after)?;
            let again = machines.plan(uses, &with).await?;
            let nothing = matches!(again.verdict, Verdict::NoChange { .. });
            same(
                &format!("{at}: whether nothing is left to do"),
                nothing,
                true,
            )?;
            let inverse = effect.inverse().ok_or("it has no inverse")?;
            machines.put(&inverse, &made.blobs).await?;
            same(&at, std::fs::read(&file).map_err(text)?.as_slice(), before)?;
        }
        Ok(())
    })
}

/// Nothing is asked of it.
async fn no_cluster() -> Result<Cluster, String> {
    let folder = tempfile::tempdir().map_err(text)?;
    let path = folder.path().join("kubeconfig");
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:1"}}],
        "users": [{"name": "c", "user": {}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "c"}}],
    });
    std::fs::write(&path, config.to_string()).map_err(text)?;
    let options = ClusterOptions {
        kubeconfig: Some(path),
        context: None,
    };
    Cluster::connect(&options).await.map_err(text)
}
