//! Fields of nodes in Calico's own datastore, by a calicoctl that keeps a node in a file and minds its
//! resourceVersion, as etcd does: the scripts that look and put are those of every host.

use super::Case;
use super::client::{Client, block, host_as, login, refused, same};
use super::machine::{Kind, Machine};
use super::permit::permit;
use super::place::{Place, text};
use super::shells::over_sh;
use runbook::inventory::Destination;
use runbook::model::{Effect, Identity, Setting, SettingRef, SettingState};
use runbook::transport::Hosts;
use std::fs;

pub const CASES: &[Case] = &[
    Case {
        name: "calico_nodes_are_put_and_taken_back_by_dash",
        run: |place| put_and_taken_back(place, "dash"),
    },
    Case {
        name: "calico_nodes_are_put_and_taken_back_by_busybox",
        run: |place| put_and_taken_back(place, "busybox"),
    },
    Case {
        name: "calico_nodes_are_known_only_by_a_calicoctl_for_their_etcd",
        run: by_its_etcd,
    },
];

/// A node is a file; `broken` tells what fails.
const CALICOCTL: &str = r#"
mkdir -p /run/tools /run/calico /run/etc
cat >/run/tools/calicoctl <<'END'
#!/bin/sh
node=/run/calico/node
case $1 in
    get)
        [ ! -e /run/calico/broken-get ] || { echo 'etcdserver: request timed out' >&2; exit 1; }
        cat $node
        ;;
    replace)
        was=$(sed -n 's/^  resourceVersion: "\(.*\)"$/\1/p' $node)
        is=$(sed -n 's/^  resourceVersion: "\(.*\)"$/\1/p' "$3")
        if [ -e /run/calico/meanwhile ] || [ "$was" != "$is" ]; then
            echo 'update conflict: Node(node02)' >&2
            exit 1
        fi
        sed "s/resourceVersion: .*/resourceVersion: \"$((was + 1))\"/" "$3" >$node
        # What happens right after it was written.
        [ ! -e /run/calico/then ] || mv /run/calico/then /run/calico/broken-get
        ;;
esac
END
cat >/run/calico/node <<'END'
apiVersion: projectcalico.org/v3
kind: Node
metadata:
  name: node02
  resourceVersion: "7"
spec:
  addresses:
  - address: 172.18.0.1/16
    type: CalicoNodeIP
  bgp:
    asNumber: 64512
    ipv4Address: 172.18.0.1/16
  orchRefs:
  - nodeName: node02
    orchestrator: k8s
status:
  bgp:
    ipv4Address: another
END
chmod 755 /run/tools/*
chmod 777 /run/calico
mount --bind /run/tools /usr/local/sbin
cp -a /etc /run/etc-own
mkdir -p /run/etc-own/calico
mount --bind /run/etc-own /etc
printf 'spec:\n  # datastoreType: kubernetes\n  datastoreType: "etcdv3"\n  etcdEndpoints: "https://10.0.0.1:2379"\n' >/etc/calico/calicoctl.cfg
"#;

struct Node<'m> {
    machine: &'m Machine,
    hosts: Hosts,
    host: Destination,
    of: SettingRef,
}

impl<'m> Node<'m> {
    fn new(machine: &'m Machine, client: &Client) -> Self {
        let setting = Setting::CalicoNode {
            node: "node02".into(),
            field: "ipv4Address".into(),
            endpoints: "https://10.0.0.1:2379".into(),
        };
        Self {
            machine,
            hosts: client.hosts(),
            host: login(machine, "root"),
            of: setting.of(&host_as(Identity::Login)),
        }
    }

    async fn is(&self) -> Result<String, String> {
        let state = self.hosts.read_setting(&self.host, &self.of).await;
        state.map(|s| s.as_str().to_owned()).map_err(text)
    }

    async fn put(
        &self,
        before: &str,
        after: &str,
    ) -> Result<Result<(), runbook::fault::Fault>, String> {
        let effect = Effect::PutSetting {
            setting: self.of.clone(),
            before: SettingState::value(before),
            after: SettingState::value(after),
        };
        let (permit, key) = permit(effect, &[])?;
        Ok(self
            .hosts
            .put_setting(&self.host, permit, &key, "a test")
            .await)
    }

    fn stored(&self) -> Result<String, String> {
        fs::read_to_string(self.machine.inside("/run/calico/node")).map_err(text)
    }

    fn mark(&self, name: &str) -> Result<(), String> {
        fs::write(self.machine.inside(&format!("/run/calico/{name}")), "").map_err(text)
    }

    fn unmark(&self, name: &str) -> Result<(), String> {
        fs::remove_file(self.machine.inside(&format!("/run/calico/{name}"))).map_err(text)
    }
}

const WRONG: &str = "172.18.0.1/16";
const RIGHT: &str = "10.0.0.2/24";

fn put_and_taken_back(place: &Place, shell: &str) -> Result<(), String> {
    let kind = Kind {
        prepare: &(over_sh(shell) + CALICOCTL),
        ..Kind::default()
    };
    let machine = Machine::of_kind(place, &kind)?;
    let client = Client::of(&[&machine])?;
    let node = Node::new(&machine, &client);
    let first = node.stored()?;
    block(async {
        same("it", node.is().await?, format!("is {WRONG}"))?;
        node.put(WRONG, RIGHT).await?.map_err(text)?;
        let wanted = first
            .replace(
                "    ipv4Address: 172.18.0.1/16",
                "    ipv4Address: \"10.0.0.2/24\"",
            )
            .replace("\"7\"", "\"8\"");
        same("the node", node.stored()?, wanted)?;
        same("it", node.is().await?, format!("is {RIGHT}"))?;
        // It is as wanted, and nothing is written again.
        node.put(WRONG, RIGHT).await?.map_err(text)?;
        same("writes", node.stored()?.contains("\"8\""), true)?;
        // What is neither is left alone.
        refused(node.put("10.9.9.9/24", WRONG).await?, "drift")?;
        node.put(RIGHT, WRONG).await?.map_err(text)?;
        same("it", node.is().await?, format!("is {WRONG}"))?;

        // Somebody else was faster: etcd refuses, and nothing is changed.
        node.mark("meanwhile")?;
        let fault = refused(node.put(WRONG, RIGHT).await?, "host_failed")?;
        same("the words", fault.message.contains("update conflict"), true)?;
        node.unmark("meanwhile")?;
        same("it", node.is().await?, format!("is {WRONG}"))?;

        // Written, and then etcd does not answer: nobody may say that it was not.
        node.mark("then")?;
        let fault = refused(node.put(WRONG, RIGHT).await?, "unverified")?;
        same("the words", fault.message.contains("timed out"), true)?;
        node.unmark("broken-get")?;
        same("it", node.is().await?, format!("is {RIGHT}"))
    })
}

fn by_its_etcd(place: &Place) -> Result<(), String> {
    let kind = Kind {
        prepare: CALICOCTL,
        ..Kind::default()
    };
    let machine = Machine::of_kind(place, &kind)?;
    let client = Client::of(&[&machine])?;
    let node = Node::new(&machine, &client);
    let config = machine.inside("/run/etc-own/calico/calicoctl.cfg");
    block(async {
        for (text_of, says) in [
            (
                "spec:\n  datastoreType: 'kubernetes'\n  # etcdEndpoints: https://10.0.0.1:2379\n",
                "says kubernetes",
            ),
            (
                "spec:\n  datastoreType: etcdv3\n  etcdEndpoints: https://10.0.0.9:2379\n",
                "set up for another etcd",
            ),
        ] {
            fs::write(&config, text_of).map_err(text)?;
            let fault = refused(
                node.hosts.read_setting(&node.host, &node.of).await,
                "host_read",
            )?;
            same(says, fault.message.contains(says), true)?;
            same("what to do next", fault.next.is_some(), true)?;
        }
        // By another name, and on the host itself.
        for endpoints in [
            "https://10.0.0.9:2379,https://10.0.0.1:2379",
            "https://127.0.0.1:2379",
        ] {
            fs::write(
                &config,
                format!("{{\"spec\":{{\"etcdEndpoints\":\"{endpoints}\"}}}}"),
            )
            .map_err(text)?;
            same("it", node.is().await?, format!("is {WRONG}"))?;
        }
        fs::remove_file(machine.inside("/run/tools/calicoctl")).map_err(text)?;
        let fault = refused(
            node.hosts.read_setting(&node.host, &node.of).await,
            "no_calicoctl",
        )?;
        let next = fault.next.unwrap_or_default();
        same("the runbook", next.contains("install-calicoctl"), true)
    })
}
