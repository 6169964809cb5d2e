//! Calico's mesh in every shape that it has: over an etcd of its own, by its operator, in IPv6, with a
//! method that picks wrong links, with a calico-node that is stuck, and on nodes without calicoctl.

use crate::bgp_wrong_ip::{healed, make, reboot};
use crate::program::{
    NAME, Program, Ran, advertised, all_advertise_their_own, calico_env, expect,
    mesh_is_established, node, wait_until,
};
use crate::{Case, Dirties, Suite};
use lab::Lab;
use lab::breakage::{Incident, Variant};
use lab::datastore::Datastore;
use lab::machine::NODES;
use serde_json::Value;
use std::collections::BTreeMap;

pub const CASES: &[Case] = &[
    Case {
        name: "mesh::in_etcd_a_wrong_address_is_healed_survives_a_reboot_and_is_taken_back",
        suite: Suite::Full,
        dirties: Dirties::Mesh,
        run: |lab| in_etcd(lab, Variant::SecondNic, true),
    },
    Case {
        name: "mesh::in_etcd_what_calicoctl_cannot_reach_is_refused",
        suite: Suite::Full,
        dirties: Dirties::Mesh,
        run: etcd_refusals,
    },
    Case {
        name: "mesh::in_etcd_bridge_up",
        suite: Suite::Quick,
        dirties: Dirties::Mesh,
        run: |lab| in_etcd(lab, Variant::BridgeUp, false),
    },
    Case {
        name: "mesh::in_etcd_bridge_down",
        suite: Suite::Full,
        dirties: Dirties::Mesh,
        run: |lab| in_etcd(lab, Variant::BridgeDown, false),
    },
    Case {
        name: "mesh::in_etcd_two_nodes",
        suite: Suite::Full,
        dirties: Dirties::Mesh,
        run: |lab| in_etcd(lab, Variant::TwoNodes, false),
    },
    Case {
        name: "mesh::by_its_operator_the_installation_is_patched_and_the_daemonset_is_not",
        suite: Suite::Full,
        dirties: Dirties::Mesh,
        run: by_operator,
    },
    Case {
        name: "mesh::ipv6_is_healed_beside_ipv4",
        suite: Suite::Full,
        dirties: Dirties::Mesh,
        run: ipv6,
    },
    Case {
        name: "mesh::a_method_that_picks_wrong_links_is_replaced_and_put_back",
        suite: Suite::Quick,
        dirties: Dirties::Mesh,
        run: |lab| method_wrong(lab, false),
    },
    Case {
        name: "mesh::a_method_that_was_replaced_survives_a_reboot",
        suite: Suite::Full,
        dirties: Dirties::Mesh,
        run: |lab| method_wrong(lab, true),
    },
    Case {
        name: "mesh::what_each_node_would_pick_is_what_calico_picks",
        suite: Suite::Quick,
        dirties: Dirties::Mesh,
        run: picks,
    },
    Case {
        name: "mesh::a_calico_node_that_is_stuck_is_started_anew_and_a_well_one_is_not",
        suite: Suite::Quick,
        dirties: Dirties::Mesh,
        run: stuck,
    },
    Case {
        name: "mesh::without_calicoctl_calico_node_itself_says_how_its_sessions_are",
        suite: Suite::Full,
        dirties: Dirties::Mesh,
        run: without_calicoctl,
    },
    Case {
        name: "mesh::an_address_is_named_or_chosen_and_docker_is_asked_whose_its_bridge_is",
        suite: Suite::Full,
        dirties: Dirties::Mesh,
        run: named,
    },
    Case {
        name: "mesh::facts_say_how_calico_is_installed",
        suite: Suite::Quick,
        dirties: Dirties::Nothing,
        run: facts,
    },
];

fn text(e: impl ToString) -> String {
    e.to_string()
}

fn switch(lab: &Lab, to: Datastore) -> Result<(), String> {
    lab.switch_datastore(to)
        .map_err(|e| format!("switching the datastore: {e}"))
}

fn break_(lab: &Lab, incident: Incident, number: usize) -> Result<(), String> {
    lab.break_(incident, None, node(number)?, false)
        .map(|_| ())
        .map_err(|e| format!("making the fault: {e}"))
}

/// Healed, repeated without change, still so after a reboot if wanted, and taken back.
fn in_etcd(lab: &Lab, variant: Variant, to_the_end: bool) -> Result<(), String> {
    switch(lab, Datastore::Etcd)?;
    make(lab, variant, 2, to_the_end)?;
    let (broken, env) = (advertised(lab)?, calico_env(lab)?);
    let program = Program::new(lab)?;
    let nodes: &[&str] = match variant {
        Variant::TwoNodes => &["--node", "node02", "--node", "node03"],
        _ => &["--node", "node02"],
    };
    let plan = [&["plan", NAME][..], nodes].concat();
    program.run(&plan)?.exits(0)?.says(&[
        "ipv4Address of Calico's node node02, by calicoctl on node02",
        "- 172.18.0.1/16",
        "+ 10.77.0.12/24 (its InternalIP, with the prefix of its link vec0)",
        "undo: exact",
        "Nothing was written",
    ])?;
    expect("the addresses", &advertised(lab)?, &broken)?;
    // That it lasts, a reboot shows, here or in `bgp_wrong_ip`, which waits longer than until Calico looks again.
    let apply = [&["apply", NAME, "--yes", "--param", "settle=1s"][..], nodes].concat();
    let ran = program.run(&apply)?.exits(0)?;
    healed(lab)?;
    let journals = program.journals();
    program
        .run(&apply)?
        .exits(0)?
        .says(&["Nothing to do", "Nothing was written"])?;
    expect("journals", &program.journals(), &journals)?;
    if to_the_end {
        reboot(lab, 2)?;
        healed(lab)?;
    }
    program
        .run(&["undo", &ran.run()?, "--yes"])?
        .exits(0)?
        .says(&["is taken back", "The fault that it had healed is back"])?;
    expect("the environment", &calico_env(lab)?, &env)?;
    expect("the addresses", &advertised(lab)?, &broken)
}

fn on_each(lab: &Lab, command: &str) -> Result<(), String> {
    lab.on_each(&NODES, |node| lab.ssh_text(node, command))
        .map(|_| ())
        .map_err(text)
}

/// calicoctl that is set up for nothing, for another store, and an etcd that does not answer.
fn etcd_refusals(lab: &Lab) -> Result<(), String> {
    switch(lab, Datastore::Etcd)?;
    let program = Program::new(lab)?;
    let plan = ["plan", NAME, "--node", "node02"];
    program.run(&plan)?.exits(0)?.says(&["Nothing to change"])?;
    // Without a file of its own, the endpoints are the DaemonSet's and the keys are install-cni's.
    on_each(lab, "mv /etc/calico/calicoctl.cfg /root/calicoctl.cfg")?;
    program.run(&plan)?.exits(0)?.says(&["Nothing to change"])?;
    let configure = "printf 'apiVersion: projectcalico.org/v3\\nkind: CalicoAPIConfig\\nmetadata:\\nspec:\\n  datastoreType: \"kubernetes\"\\n' >/etc/calico/calicoctl.cfg";
    on_each(lab, configure)?;
    program.run(&plan)?.exits(3)?.says(&[
        "[calico_store]",
        "calicoctl is not set up for Calico's etcd here: /etc/calico/calicoctl.cfg says kubernetes",
    ])?;
    let elsewhere = "sed 's|https://[^\"]*|https://10.77.0.1:2399|' /root/calicoctl.cfg >/etc/calico/calicoctl.cfg";
    on_each(lab, elsewhere)?;
    program
        .run(&plan)?
        .exits(3)?
        .says(&["[calico_store]", "https://10.77.0.1:2399: "])?;
    expect("journals", &program.journals(), &0)?;
    on_each(lab, "mv /root/calicoctl.cfg /etc/calico/calicoctl.cfg")
}

/// What Calico's operator does when its Installation changes: the variable goes into the DaemonSet.
fn play_operator(lab: &Lab, (field, value): (&str, &str), method: &str) -> Result<(), String> {
    let wait = format!(
        "--for=jsonpath={{.spec.calicoNetwork.nodeAddressAutodetectionV4.{field}}}={value}"
    );
    lab.kubectl_text(&["wait", &wait, "--timeout=180s", "installation/default"])
        .map_err(text)?;
    let variable = format!("IP_AUTODETECTION_METHOD={method}");
    let env = [
        "-n",
        "calico-system",
        "set",
        "env",
        "daemonset/calico-node",
        &variable,
    ];
    lab.kubectl_text(&env).map(|_| ()).map_err(text)
}

fn installation(lab: &Lab) -> Result<Value, String> {
    let all = lab
        .kubectl_json(&["get", "installation", "default"])
        .map_err(text)?;
    Ok(all["spec"]["calicoNetwork"].clone())
}

fn by_operator(lab: &Lab) -> Result<(), String> {
    lab.become_operator_install().map_err(text)?;
    make(lab, Variant::SecondNic, 2, false)?;
    let (broken, before) = (advertised(lab)?, installation(lab)?);
    let generation = |lab: &Lab| {
        let daemonset = ["-n", "calico-system", "get", "daemonset", "calico-node"];
        let found = lab.kubectl_json(&daemonset).map_err(text)?;
        Ok::<_, String>(found["metadata"]["generation"].clone())
    };
    let written = generation(lab)?;
    let program = Program::new(lab)?;
    let args = [NAME, "--node", "node02", "--param", "settle=1s"];
    program
        .run(&[&["plan"][..], &args].concat())?
        .exits(0)?
        .says(&[
            "Installation default: spec.calicoNetwork.nodeAddressAutodetectionV4",
            "- first-found",
            "+ kubernetes-internal-ip",
            "Calico's operator writes it into DaemonSet calico-system/calico-node",
        ])?;
    let apply = [&["apply", "--yes"][..], &args].concat();
    let ran = std::thread::scope(|scope| {
        let operator = scope.spawn(|| {
            play_operator(
                lab,
                ("kubernetes", "NodeInternalIP"),
                "kubernetes-internal-ip",
            )
        });
        let ran = program.run(&apply)?.exits(0)?;
        operator.join().map_err(|_| "the operator panicked")??;
        Ok::<Ran, String>(ran)
    })?;
    expect(
        "the Installation's method",
        &installation(lab)?["nodeAddressAutodetectionV4"],
        &serde_json::json!({"kubernetes": "NodeInternalIP"}),
    )?;
    // The one who plays the operator wrote once, and nobody else did.
    let now = generation(lab)?.as_i64().unwrap_or_default();
    expect(
        "writes to the DaemonSet",
        &(now - written.as_i64().unwrap_or_default()),
        &1,
    )?;
    all_advertise_their_own(lab)?;
    mesh_is_established(lab)?;
    program.run(&apply)?.exits(0)?.says(&["Nothing to do"])?;
    std::thread::scope(|scope| {
        let operator = scope.spawn(|| play_operator(lab, ("firstFound", "true"), "first-found"));
        program.run(&["undo", &ran.run()?, "--yes"])?.exits(0)?;
        operator.join().map_err(|_| "the operator panicked")?
    })?;
    expect("the Installation", &installation(lab)?, &before)?;
    // Until the operator's new pod detects anew, an old one may have put its own once more.
    wait_until(600, "the addresses before", || {
        Ok(advertised(lab)? == broken)
    })
}

fn advertised6(lab: &Lab) -> Result<Vec<(String, String)>, String> {
    Ok(lab
        .advertised_in(lab::calico::Family::V6)
        .map_err(text)?
        .into_iter()
        .map(|(node, address)| (node.name(), address.unwrap_or_default()))
        .collect())
}

fn ipv6(lab: &Lab) -> Result<(), String> {
    make(lab, Variant::Ipv6, 2, false)?;
    let (four, broken) = (advertised(lab)?, advertised6(lab)?);
    let program = Program::new(lab)?;
    let args = [NAME, "--node", "node02", "--param", "settle=1s"];
    let apply = [&["apply", "--yes"][..], &args].concat();
    let ran = program.run(&apply)?.exits(0)?.says(&[
        "annotation projectcalico.org/IPv6Address",
        "- fd99::1/64",
        "+ fd77::12/64",
        "env IP6_AUTODETECTION_METHOD",
    ])?;
    let own: Vec<(String, String)> = NODES
        .iter()
        .map(|node| (node.name(), format!("{}/64", node.address6())))
        .collect();
    expect("the IPv6 addresses", &advertised6(lab)?, &own)?;
    expect("the IPv4 addresses", &advertised(lab)?, &four)?;
    for node in NODES {
        let peers = lab.peers(node).map_err(text)?;
        let up = peers.iter().filter(|p| p.is_established()).count();
        expect(
            &format!("the sessions of {}", node.name()),
            &(peers.len(), up),
            &(4, 4),
        )?;
    }
    program.run(&apply)?.exits(0)?.says(&["Nothing to do"])?;
    program.run(&["undo", &ran.run()?, "--yes"])?.exits(0)?;
    expect("the IPv6 addresses", &advertised6(lab)?, &broken)?;
    expect("the IPv4 addresses", &advertised(lab)?, &four)
}

const SET: &str = "set-ip-autodetection";

fn method_wrong(lab: &Lab, reboots: bool) -> Result<(), String> {
    break_(lab, Incident::MethodWrong, 2)?;
    let (broken, env) = (advertised(lab)?, calico_env(lab)?);
    let program = Program::new(lab)?;
    // What would leave two nodes as wrong as they are needs leave.
    program
        .run(&["apply", SET, "--yes", "--param", "method=interface=ens.*"])?
        .exits(3)?
        .says(&["[step_unknown]"])?;
    let args = [
        SET,
        "--param",
        "method=interface=vec0",
        "--param",
        "settle=1s",
    ];
    program
        .run(&[&["plan"][..], &args].concat())?
        .exits(0)?
        .says(&[
            "- interface=.*",
            "+ interface=^vec0$",
            "node02 picks 10.77.0.12/24 on vec0 instead of 172.18.0.1/16",
            "node01 keeps 10.77.0.11/24: it picks 10.77.0.11/24 on vec0",
        ])?;
    expect("the environment", &calico_env(lab)?, &env)?;
    let apply = [&["apply", "--yes"][..], &args].concat();
    let ran = program.run(&apply)?.exits(0)?;
    all_advertise_their_own(lab)?;
    mesh_is_established(lab)?;
    program.run(&apply)?.exits(0)?.says(&["Nothing to do"])?;
    if reboots {
        reboot(lab, 2)?;
        all_advertise_their_own(lab)?;
        mesh_is_established(lab)?;
    }
    program.run(&["undo", &ran.run()?, "--yes"])?.exits(0)?;
    expect("the environment", &calico_env(lab)?, &env)?;
    // What they detect then they do by themselves, one after another, until one does not get ready of it. A second
    // card is lost where a node was started anew.
    let own: Vec<String> = NODES
        .iter()
        .map(|n| format!("{}/24", n.address()))
        .collect();
    wait_until(600, "a wrong address as before", || {
        let now = advertised(lab)?;
        let mut nodes = now.iter().zip(&broken).zip(&own);
        Ok(nodes.any(|((now, before), own)| now == before && now.1 != *own))
    })
}

/// Links of all sorts on the nodes, and what is picked by each method: by Calico's own code on the node, and
/// by the plan.
fn picks(lab: &Lab) -> Result<(), String> {
    let links = [
        "ip link add br-0123456789ab type bridge; ip addr add 172.19.0.1/16 dev br-0123456789ab; \
         ip link add ens7 type dummy; ip addr add 192.168.7.1/24 dev ens7; ip link set ens7 up",
        "ip link add ens8 type dummy; ip addr add 10.88.0.2/24 dev ens8; ip addr add 10.88.0.9/24 dev ens8; \
         ip addr add 10.99.0.1/32 dev ens8; ip link add podman1 type dummy; ip addr add 10.90.0.1/24 dev podman1",
        "ip link add vlan5 type dummy; ip addr add 10.55.0.3/24 dev vlan5; ip link set vlan5 up; \
         ip link add veth9 type veth peer name eth9; ip addr add 169.254.9.1/16 dev eth9; ip addr add 10.66.0.3/24 dev veth9",
    ];
    for (node, script) in NODES.iter().zip(links) {
        lab.ssh_text(*node, &format!("set -e; {script}"))
            .map_err(text)?;
    }
    let compared = compare_picks(lab);
    let gone = "for l in br-0123456789ab ens7 ens8 podman1 vlan5 veth9; do [ ! -e /sys/class/net/$l ] || ip link delete $l; done";
    on_each(lab, gone)?;
    compared
}

fn compare_picks(lab: &Lab) -> Result<(), String> {
    let program = Program::new(lab)?;
    for method in [
        "interface=.*",
        "interface=^(ens.*)$",
        "interface=^vec0$,^ens8$",
        "skip-interface=^(ens.*)$",
        "skip-interface=^vlan5$,^br-0123456789ab$",
        "cidr=10.77.0.0/24",
        "cidr=10.99.0.0/16,192.168.0.0/16",
        "can-reach=10.77.0.1",
        "can-reach=10.88.0.77",
        "kubernetes-internal-ip",
    ] {
        let parameter = format!("method={method}");
        let planned = program
            .run(&["plan", SET, "--param", &parameter])?
            .exits(0)?;
        let said = planned
            .stdout
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ");
        let mut wanted = BTreeMap::new();
        for node in NODES {
            let command = format!(
                "calico-autodetect -method '{method}' -internal-ips {}",
                node.address()
            );
            let picked = lab.ssh_text(node, &command).map_err(text)?;
            wanted.insert(node.name(), picked.trim().to_owned());
        }
        for (name, picked) in wanted {
            // Meanwhile calico-node may have found another address by the method that it has.
            let lines = match picked.as_str() {
                "" => vec![format!("{name} finds nothing by it")],
                picked => vec![
                    format!("{name} picks {picked} on "),
                    format!("{name} keeps {picked}: it picks {picked} on "),
                ],
            };
            if !lines.iter().any(|line| said.contains(line)) {
                return Err(format!(
                    "by {method}, Calico picks `{picked}` on {name}, and the plan says neither of {lines:?}:\n{}",
                    planned.stdout
                ));
            }
        }
    }
    Ok(())
}

fn stuck(lab: &Lab) -> Result<(), String> {
    const RESTART: &str = "restart-calico-node";
    // Sessions are established before kubelet asks again whether calico-node is ready.
    let ready = [
        "-n",
        "kube-system",
        "rollout",
        "status",
        "daemonset/calico-node",
        "--timeout=180s",
    ];
    lab.kubectl_text(&ready).map_err(text)?;
    let program = Program::new(lab)?;
    program
        .run(&["apply", RESTART, "--node", "node02", "--yes"])?
        .exits(0)?
        .says(&["nothing shows that it is stuck", "Nothing to do"])?;
    break_(lab, Incident::CalicoStuck, 2)?;
    let pods = |lab: &Lab| {
        let on = "--field-selector=spec.nodeName=node02";
        let all = [
            "-n",
            "kube-system",
            "get",
            "pods",
            "-l",
            "k8s-app=calico-node",
            on,
        ];
        let found = lab.kubectl_json(&all).map_err(text)?;
        Ok::<_, String>(found["items"][0]["metadata"]["uid"].clone())
    };
    let before = pods(lab)?;
    let args = [
        "apply",
        RESTART,
        "--node",
        "node02",
        "--yes",
        "--param",
        "settle=1s",
    ];
    program.run(&args)?.exits(0)?.says(&[
        "What shows that it is stuck",
        "replaced by a new one, and that is ready",
    ])?;
    mesh_is_established(lab)?;
    if pods(lab)? == before {
        return Err("it is the same pod".to_owned());
    }
    program.run(&args)?.exits(0)?.says(&["Nothing to do"])?;
    // Without a sign, it is started anew only where that is asked for.
    let always = [&args[..], &["--param", "only_if_stuck=false"]].concat();
    program.run(&always)?.exits(0)?;
    mesh_is_established(lab)
}

fn without_calicoctl(lab: &Lab) -> Result<(), String> {
    make(lab, Variant::SecondNic, 2, false)?;
    let broken = advertised(lab)?;
    on_each(lab, "mv /usr/local/bin/calicoctl /root/calicoctl")?;
    let healed = heal_without_calicoctl(lab, &broken);
    on_each(lab, "mv /root/calicoctl /usr/local/bin/calicoctl")?;
    healed?;
    mesh_is_established(lab)
}

fn heal_without_calicoctl(lab: &Lab, broken: &[(String, String)]) -> Result<(), String> {
    let program = Program::new(lab)?;
    let args = [NAME, "--node", "node02", "--param", "settle=1s"];
    program
        .run(&[&["apply", "--yes"][..], &args].concat())?
        .exits(3)?
        .says(&["whether its sessions are established cannot be read"])?;
    expect("the addresses", &advertised(lab)?, &broken.to_vec())?;
    let apply = [
        &["apply", "--yes"][..],
        &args,
        &[
            "--param",
            "sessions_by=calico_node_status",
            "--allow-unknown",
            "address",
        ],
    ]
    .concat();
    program.run(&apply)?.exits(0)?.says(&[
        "CalicoNodeStatus runbook-node01",
        "calico-node on each of these nodes writes its sessions there",
    ])?;
    all_advertise_their_own(lab)?;
    let left = lab
        .kubectl_text(&[
            "get",
            "caliconodestatuses.crd.projectcalico.org",
            "-o",
            "name",
        ])
        .map_err(text)?;
    expect("what is left of it", &left.trim(), &"")
}

fn named(lab: &Lab) -> Result<(), String> {
    let docker = "printf '#!/bin/sh\\necho shop_default web db\\n' >/usr/local/bin/docker; chmod 755 /usr/local/bin/docker";
    make(lab, Variant::BridgeUp, 2, false)?;
    lab.ssh_text(node(2)?, docker).map_err(text)?;
    let program = Program::new(lab)?;
    let plan = ["plan", NAME, "--node", "node02"];
    let said = program.run(&plan)?.exits(0)?.says(&[
        "br-6c1f0b0e3a5d is docker's network shop_default, with the containers web, db",
        "It is not done here",
    ]);
    lab.ssh_text(node(2)?, "rm /usr/local/bin/docker")
        .map_err(text)?;
    said?;
    // Another's, and one that the method would not keep.
    let with = |address: &str| {
        let address = format!("address={address}");
        program.run(&[&plan[..], &["--param", &address]].concat())
    };
    with("10.77.0.11/24")?.exits(3)?.says(&[
        "by `kubernetes-internal-ip`, node02 would pick 10.77.0.12/24 on vec0, and not 10.77.0.11/24",
    ])?;
    with("10.77.0.12")?
        .exits(0)?
        .says(&["+ 10.77.0.12/24 (named, and on its link vec0)"])?;
    with("10.77.0.99")?
        .exits(3)?
        .says(&["10.77.0.99 is on none of the host's links", "give it too"])?;
    with("nonsense")?.exits(2)?;
    expect("journals", &program.journals(), &0)
}

fn facts(lab: &Lab) -> Result<(), String> {
    let program = Program::new(lab)?;
    let args = ["inventory", "facts", "node02"];
    program.run(&args)?.exits(0)?.says(&[
        "calico.installed_by manifests",
        "calico.datastore kubernetes",
        "calico.version v3.31.0",
        "calico.full_mesh true",
        "calico.ipv4 10.77.0.12/24",
        "calico.ipv4_detection first-found",
        "calico.ipv6_detection none",
        "calico.managed_by kubectl apply",
        "calico.calicoctl.path /usr/local/bin/calicoctl",
        "calico.calicoctl.version v3.31.0",
    ])?;
    let json = [&args[..], &["--output", "json"]].concat();
    let printed = program.run(&json)?.exits(0)?.stdout;
    let printed: Value = serde_json::from_str(&printed).map_err(text)?;
    expect(
        "the datastore",
        &printed["calico"]["datastore"],
        &Value::from("kubernetes"),
    )
}
