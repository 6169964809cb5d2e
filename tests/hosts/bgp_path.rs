//! Paths between peers of BGP, under several shells, and with each tool that can try a connection.

use super::Case;
use super::client::{Client, block, host_as, login, same};
use super::machine::{Kind, Machine};
use super::place::{Place, text};
use super::shells::{APPLETS, over_sh};
use runbook::calico::Family;
use runbook::calico::path::{HostPath, Ping, Route, Tcp};
use runbook::model::Identity;
use std::net::{IpAddr, TcpListener};
use std::os::unix::net::UnixListener;

pub const CASES: &[Case] = &[
    Case {
        name: "paths_of_bgp_are_read_under_dash",
        run: |place| read(place, &over_sh("dash"), "nothing"),
    },
    Case {
        name: "paths_of_bgp_are_read_under_bash",
        run: |place| read(place, &over_sh("bash"), "nothing"),
    },
    Case {
        name: "paths_of_bgp_are_read_by_busybox_alone",
        run: |place| read(place, &(over_sh("busybox") + APPLETS), "bash"),
    },
    Case {
        name: "paths_of_bgp_are_tried_by_curl",
        run: |place| read(place, "", "bash nc"),
    },
    Case {
        name: "paths_of_bgp_are_tried_by_perl",
        run: |place| read(place, "", "bash nc curl"),
    },
    Case {
        name: "paths_of_bgp_are_tried_by_python",
        run: |place| read(place, "", "bash nc curl perl"),
    },
    Case {
        name: "paths_of_bgp_without_a_tool_are_unknown",
        run: without_a_tool,
    },
];

/// Puts what fails before programs. They stay where they are: people's login shells are among them.
fn without(programs: &str) -> String {
    format!(
        "mkdir /run/gone\nfor program in {programs}; do\n  printf '#!/bin/sh\\nexit 1\\n' >\"/run/gone/$program\"\n  \
         chmod 755 \"/run/gone/$program\"\ndone\nmount --bind /run/gone /usr/local/bin\n"
    )
}

fn read(place: &Place, shell: &str, gone: &str) -> Result<(), String> {
    let prepare = format!("{shell}{}", without(gone));
    let kind = Kind {
        prepare: &prepare,
        ..Kind::default()
    };
    let machine = Machine::of_kind(place, &kind)?;
    // An address for each machine, all in one namespace.
    let listens: IpAddr = machine.address.parse().map_err(text)?;
    let (silent, lost) = (
        "127.1.0.1".parse().map_err(text)?,
        "192.0.2.1".parse().map_err(text)?,
    );
    let folder = tempfile::tempdir().map_err(text)?;
    let _bgp = TcpListener::bind((listens, 179)).map_err(text)?;
    let _bird = UnixListener::bind(folder.path().join("bird.ctl")).map_err(text)?;
    let client = Client::of(&[&machine])?;
    block(async {
        let hosts = client.hosts();
        for (user, identity) in [
            ("root", Identity::Login),
            ("ops", Identity::root()),
            ("ops", Identity::Login),
        ] {
            let (at, of) = (login(&machine, user), host_as(identity.clone()));
            let parts = hosts
                .read_bgp_path(&at, &of, 179, &[listens, silent, lost])
                .await;
            let host = HostPath::of(&parts.map_err(text)?, 179);
            let tcp = |peer| host.peer(peer).map(|p| &p.tcp);
            same("what listens", tcp(listens), Some(&Tcp::Connected))?;
            same("what does not", tcp(silent), Some(&Tcp::Refused))?;
            let route = |peer| host.peer(peer).map(|p| &p.route);
            same("its own address", route(listens), Some(&Route::Own))?;
            match route(lost) {
                Some(Route::None {
                    what: "no route", ..
                }) => {}
                other => return Err(format!("the route to {lost}: {other:?}")),
            }
            if shell.contains("applets") && user == "root" {
                same(
                    "a ping",
                    host.peer(silent).map(|p| &p.ping),
                    Some(&Ping::Answers),
                )?;
            }
            same("listening", host.listens_at(listens), Some(true))?;
            same("listening elsewhere", host.listens_at(silent), Some(false))?;
            let bird = host.bird.clone();
            same("BIRD", bird, Some(vec![Family::Ipv4]))?;
            let no_root = host.unread.iter().any(|why| why.contains("only root"));
            same(
                "whether rules are only root's",
                no_root,
                identity == Identity::Login && user == "ops",
            )?;
        }
        hosts.close().await;
        machine.comes_to_rest().await
    })
}

fn without_a_tool(place: &Place) -> Result<(), String> {
    let prepare = without("bash nc curl perl python3");
    let kind = Kind {
        prepare: &prepare,
        ..Kind::default()
    };
    let machine = Machine::of_kind(place, &kind)?;
    let client = Client::of(&[&machine])?;
    block(async {
        let hosts = client.hosts();
        let peer = machine.address.parse().map_err(text)?;
        let (at, of) = (login(&machine, "root"), host_as(Identity::Login));
        let parts = hosts.read_bgp_path(&at, &of, 179, &[peer]).await;
        let host = HostPath::of(&parts.map_err(text)?, 179);
        same("TCP", host.peer(peer).map(|p| &p.tcp), Some(&Tcp::Untried))
    })
}
