//! NetworkManager is kept off Calico's links: real ones, on a node whose NetworkManager has taken them.

use crate::program::{Program, Ran, expect, node, wait_until};
use crate::{Case, Dirties, Suite};
use lab::Lab;
use lab::breakage::{Incident, Variant};

pub const CASES: &[Case] = &[
    Case {
        name: "network_manager::links_are_let_go_survive_a_power_cut_and_are_taken_back",
        suite: Suite::Full,
        dirties: Dirties::Mesh,
        run: for_good,
    },
    Case {
        name: "network_manager::a_later_file_that_voids_it_is_minded",
        suite: Suite::Full,
        dirties: Dirties::Mesh,
        run: overridden,
    },
    Case {
        name: "network_manager::a_list_of_others_stays",
        suite: Suite::Full,
        dirties: Dirties::Mesh,
        run: own_list,
    },
    Case {
        name: "network_manager::a_link_that_is_lost_meanwhile_has_it_put_back",
        suite: Suite::Full,
        dirties: Dirties::Mesh,
        run: link_lost,
    },
    Case {
        name: "network_manager::what_it_took_over_it_lets_go_only_by_a_restart",
        suite: Suite::Full,
        dirties: Dirties::Mesh,
        run: taken_over,
    },
    Case {
        name: "network_manager::where_it_does_not_apply_nothing_is_done",
        suite: Suite::Full,
        dirties: Dirties::Mesh,
        run: not_applicable,
    },
];

const NAME: &str = "networkmanager-unmanaged-devices";
const NODE: &str = "node02";
const FOLDER: &str = "/etc/NetworkManager/conf.d";
const LIST: &str = "interface-name:cali*;interface-name:tunl*;interface-name:vxlan.calico;\
                    interface-name:vxlan-v6.calico;interface-name:wireguard.cali;interface-name:wg-v6.cali";

fn make(lab: &Lab, variant: Variant) -> Result<(), String> {
    lab.break_(Incident::NmManagesCalico, variant, node(2)?, false)
        .map(|_| ())
        .map_err(|e| format!("making the fault: {e}"))
}

fn on_node(lab: &Lab, script: &str) -> Result<String, String> {
    lab.ssh_text(node(2)?, script).map_err(|e| e.to_string())
}

/// NetworkManager's files: names, modes, owners and bytes.
fn files(lab: &Lab) -> Result<String, String> {
    let list = "cd /etc/NetworkManager && find . -type f -printf '%p %m %u:%g ' -exec sha256sum {} \\; | sort";
    on_node(lab, list)
}

/// The list that counts, by NetworkManager's own word.
fn counts(lab: &Lab) -> Result<String, String> {
    let print = "NetworkManager --print-config | sed -n 's/^unmanaged-devices=//p' | tr ',' ';'";
    Ok(on_node(lab, print)?.trim().to_owned())
}

/// Calico's links, each with its state and its addresses.
fn links(lab: &Lab) -> Result<String, String> {
    let look = "for link in cali0123456789a tunl0 vxlan.calico; do \
                echo $link $(nmcli -g GENERAL.STATE device show $link | tr -d '()') \
                $(ip -o -4 address show dev $link | grep -c inet); done";
    on_node(lab, look)
}

/// All of them are left alone, and have kept their addresses.
const LEFT_ALONE: &str =
    "cali0123456789a 10 unmanaged 1\ntunl0 10 unmanaged 1\nvxlan.calico 10 unmanaged 1\n";

fn are_left_alone(lab: &Lab) -> Result<(), String> {
    expect("the links", &links(lab)?, &LEFT_ALONE.to_owned())
}

fn run(program: &Program<'_>, command: &str, more: &[&str]) -> Result<Ran, String> {
    let yes: &[&str] = if command == "apply" { &["--yes"] } else { &[] };
    program.run(&[&[command, NAME, "--node", NODE], yes, more].concat())
}

/// The second time there is nothing to do, and nothing is done.
fn again_does_nothing(program: &Program<'_>) -> Result<(), String> {
    let (journals, before) = (program.journals(), files(program.lab)?);
    run(program, "apply", &[])?
        .exits(0)?
        .says(&["leaves these devices alone already", "Nothing to do"])?;
    expect("journals", &program.journals(), &journals)?;
    expect("the files", &files(program.lab)?, &before)
}

fn for_good(lab: &Lab) -> Result<(), String> {
    make(lab, Variant::NoConfig)?;
    expect(
        "whether all are managed",
        &links(lab)?.contains("unmanaged"),
        &false,
    )?;
    let before = files(lab)?;
    let program = Program::new(lab)?;
    run(&program, "plan", &["--exit-code"])?.exits(5)?.says(&[
        "file /etc/NetworkManager/conf.d/calico.conf of node02",
        "+ [keyfile]",
        &format!("+ unmanaged-devices={LIST}"),
        "- cali0123456789a (dummy): connected (externally)",
        "+ cali0123456789a (dummy): unmanaged",
        "NetworkManager on node02 reads its configuration anew (nmcli general reload conf); it is not restarted",
        "node02 puts the file back by itself, and has NetworkManager read that, if it cannot be reached again within 120 s",
        "undo: exact",
        "Undo brings the fault back as well: the configuration of NetworkManager on node02 lets it manage",
        "Nothing was written",
    ])?;
    expect("the files", &files(lab)?, &before)?;
    let started = "systemctl show -P ExecMainStartTimestampMonotonic NetworkManager";
    let since = on_node(lab, started)?;
    let ran = run(&program, "apply", &[])?.exits(0)?.says(&[
        "1 change, verified",
        "No longer so: the configuration of NetworkManager on node02",
    ])?;
    are_left_alone(lab)?;
    expect("what counts", &counts(lab)?, &LIST.to_owned())?;
    expect("its start", &on_node(lab, started)?, &since)?;
    again_does_nothing(&program)?;

    lab.cut_power(node(2)?).map_err(|e| e.to_string())?;
    lab.power_on(node(2)?).map_err(|e| e.to_string())?;
    expect("what counts after a boot", &counts(lab)?, &LIST.to_owned())?;
    // Calico makes them anew, and they are left alone from the beginning.
    on_node(lab, REMAKE)?;
    wait_until(180, "NetworkManager to know them", || {
        let known = |line: &str| {
            let words: Vec<&str> = line.split(' ').collect();
            words.len() >= 4 && words[1] != "0"
        };
        Ok(links(lab)?.lines().all(known))
    })?;
    are_left_alone(lab)?;
    again_does_nothing(&program)?;

    let run = ran.run()?;
    program.run(&["undo", &run, "--yes"])?.exits(0)?.says(&[
        "is taken back",
        "is not told to read it",
        "The fault that it had healed is back",
    ])?;
    expect("the files", &files(lab)?, &before)?;
    expect("what counts", &counts(lab)?, &String::new())?;
    // No address is lost by that.
    are_left_alone(lab)?;
    program
        .run(&["undo", &run, "--yes"])?
        .exits(0)?
        .says(&["Everything is as it was before the run"])?;
    on_node(lab, "systemctl restart NetworkManager")?;
    wait_until(180, "the fault", || {
        Ok(links(lab)?.contains("cali0123456789a 100 connected"))
    })
}

/// Links as Calico makes them at a start.
const REMAKE: &str = "set -e; modprobe ipip; ip link add cali0123456789a type dummy; \
    ip link add vxlan.calico type vxlan id 4096 dev vec0 dstport 4789; \
    ip address add 169.254.1.1/32 dev cali0123456789a; ip address add 192.0.2.1/32 dev tunl0; \
    ip address add 192.0.2.2/32 dev vxlan.calico; \
    for link in cali0123456789a tunl0 vxlan.calico; do ip link set $link up; done; udevadm settle";

fn overridden(lab: &Lab) -> Result<(), String> {
    make(lab, Variant::Overridden)?;
    let before = files(lab)?;
    let program = Program::new(lab)?;
    let named = format!("file={FOLDER}/calico.conf");
    run(&program, "apply", &["--param", &named])?.exits(3)?.says(&[
        "/etc/NetworkManager/conf.d/zz-site.conf is read after /etc/NetworkManager/conf.d/calico.conf",
        "name one that sorts after zz-site.conf",
    ])?;
    expect("the files", &files(lab)?, &before)?;
    let ran = run(&program, "apply", &[])?.exits(0)?.says(&[
        "file /etc/NetworkManager/conf.d/zzz-calico.conf of node02",
        &format!("+ unmanaged-devices+={LIST}"),
        "- interface-name:docker0",
        &format!("+ interface-name:docker0;{LIST}"),
        "1 change, verified",
    ])?;
    are_left_alone(lab)?;
    expect(
        "what counts",
        &counts(lab)?,
        &format!("interface-name:docker0;{LIST}"),
    )?;
    again_does_nothing(&program)?;
    program.run(&["undo", &ran.run()?, "--yes"])?.exits(0)?;
    expect("the files", &files(lab)?, &before)
}

fn own_list(lab: &Lab) -> Result<(), String> {
    make(lab, Variant::OwnList)?;
    // One of its own, too, with a mode and an owner that others gave it.
    on_node(
        lab,
        "cd /etc/NetworkManager/conf.d && printf '# ours\\r\\n[main]\\r\\nno-auto-default=*' >calico.conf && chmod 0640 calico.conf && chgrp adm calico.conf",
    )?;
    let before = files(lab)?;
    let program = Program::new(lab)?;
    let ran = run(&program, "apply", &[])?.exits(0)?.says(&[
        "not shown, as not everybody may read it",
        "1 change, verified",
    ])?;
    are_left_alone(lab)?;
    let others = "interface-name:docker0;mac:02:00:00:00:00:01";
    expect("what counts", &counts(lab)?, &format!("{others};{LIST}"))?;
    let file = on_node(
        lab,
        "cd /etc/NetworkManager/conf.d; stat -c '%a %U:%G' calico.conf; cat calico.conf",
    )?;
    let wanted = format!(
        "640 root:adm\n# ours\r\n[main]\r\nno-auto-default=*\r\n\r\n[keyfile]\r\nunmanaged-devices+={LIST}\r\n"
    );
    expect("the file", &file, &wanted)?;
    again_does_nothing(&program)?;
    // What somebody has written since is left alone.
    let run = ran.run()?;
    on_node(
        lab,
        "echo '# theirs' >>/etc/NetworkManager/conf.d/calico.conf",
    )?;
    let theirs = files(lab)?;
    for force in [&[][..], &["--force"]] {
        let undo = program.run(&[&["undo", &run, "--yes"], force].concat())?;
        undo.exits(3)?.says(&[
            "it is no longer what the run left, so it is left alone: /etc/NetworkManager/conf.d/calico.conf is neither as it was before nor as this leaves it",
        ])?;
    }
    expect("the files", &files(lab)?, &theirs)?;
    on_node(lab, "sed -i '$d' /etc/NetworkManager/conf.d/calico.conf")?;
    program.run(&["undo", &run, "--yes"])?.exits(0)?;
    expect("the files", &files(lab)?, &before)
}

fn link_lost(lab: &Lab) -> Result<(), String> {
    make(lab, Variant::NoConfig)?;
    let before = files(lab)?;
    let program = Program::new(lab)?;
    // As if it came of the file: the link goes with it, and comes back without it.
    on_node(
        lab,
        "systemd-run -q --collect sh -c 'file=/etc/NetworkManager/conf.d/calico.conf; \
         until [ -e $file ]; do sleep 0.1; done; ip link set vec0 down; \
         while [ -e $file ]; do sleep 0.1; done; ip link set vec0 up'",
    )?;
    run(&program, "apply", &["--param", "put_back_after=100s"])?
        .exits(1)?
        .says(&[
            "node02 was not reached again within 100 s",
            "node02 has put it back by itself",
            "its `undo` ended with 0",
        ])?;
    expect("the files", &files(lab)?, &before)?;
    expect("what counts", &counts(lab)?, &String::new())?;
    // Not only on the disk: it has read that, and manages them again.
    wait_until(180, "NetworkManager to manage them again", || {
        Ok(!links(lab)?.contains("unmanaged"))
    })?;
    let left = on_node(
        lab,
        "ls /etc/NetworkManager/conf.d/.*runbook* /run/runbook/network-manager 2>/dev/null; true",
    )?;
    expect("what is left", &left, &String::new())
}

fn taken_over(lab: &Lab) -> Result<(), String> {
    make(lab, Variant::NoConfig)?;
    let program = Program::new(lab)?;
    let before = files(lab)?;
    run(&program, "apply", &[])?.exits(0)?;
    // Somebody takes the file away, and has NetworkManager read that.
    on_node(
        lab,
        "rm /etc/NetworkManager/conf.d/calico.conf; nmcli general reload conf",
    )?;
    wait_until(180, "NetworkManager to take over", || {
        Ok(links(lab)?.contains("tunl0 30 disconnected"))
    })?;
    run(&program, "apply", &[])?.exits(1)?.says(&[
        "some versions of NetworkManager (1.42 is one) keep a device in a state like that of",
        "NetworkManager was told to read its configuration, and keeps",
        "systemctl restart NetworkManager",
        "node02 has put it back by itself",
    ])?;
    expect("the files", &files(lab)?, &before)?;
    run(&program, "apply", &["--param", "restart=if_needed"])?
        .exits(0)?
        .says(&[
            "where it keeps one of the devices all the same, it is restarted",
            "1 change, verified",
        ])?;
    expect("what counts", &counts(lab)?, &LIST.to_owned())?;
    expect(
        "whether it still manages one",
        &links(lab)?.contains("disconnected"),
        &false,
    )?;
    again_does_nothing(&program)
}

fn not_applicable(lab: &Lab) -> Result<(), String> {
    make(lab, Variant::NoConfig)?;
    let program = Program::new(lab)?;
    let before = files(lab)?;
    let nothing = |because: &str| {
        run(&program, "apply", &[])?
            .exits(0)?
            .says(&[&format!("not applicable: {because}"), "Nothing to do"])
            .map(|_| ())
    };
    run(
        &program,
        "apply",
        &["--param", "devices=interface-name:cali*,interface-name:v*"],
    )?
    .exits(3)?
    .says(&["interface-name:v* means vec0 of node02 too"])?;
    on_node(lab, "mount --bind /etc/hostname /usr/bin/nmcli")?;
    let without = nothing("node02 has no program nmcli");
    on_node(lab, "umount /usr/bin/nmcli")?;
    without?;
    on_node(lab, "systemctl stop NetworkManager")?;
    let without = nothing("NetworkManager does not run on node02");
    on_node(lab, "systemctl start NetworkManager")?;
    without?;
    expect("the files", &files(lab)?, &before)?;
    expect("journals", &program.journals(), &0)
}
