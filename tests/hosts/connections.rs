//! Connections: keys, bastions, servers that are crowded or silent.

use super::Case;
use super::client::{Client, block, login, refused, run, same};
use super::machine::{Kind, Machine};
use super::place::{Place, path, text};
use runbook::model::Identity;
use runbook::transport::{Hosts, SshOptions};
use rustix::process::Signal;
use std::fs;
use std::net::TcpListener;

pub const CASES: &[Case] = &[
    Case {
        name: "a_host_behind_a_bastion",
        run: a_host_behind_a_bastion,
    },
    Case {
        name: "an_unknown_host_key_is_accepted_only_when_asked",
        run: an_unknown_host_key_is_accepted_only_when_asked,
    },
    Case {
        name: "a_changed_host_key_is_never_accepted",
        run: a_changed_host_key_is_never_accepted,
    },
    Case {
        name: "a_key_that_opens_nothing",
        run: a_key_that_opens_nothing,
    },
    Case {
        name: "a_banner_does_no_harm",
        run: a_banner_does_no_harm,
    },
    Case {
        name: "one_session_for_each_connection_is_enough",
        run: one_session_for_each_connection_is_enough,
    },
    Case {
        name: "a_crowded_server_lets_all_in_at_last",
        run: a_crowded_server_lets_all_in_at_last,
    },
    Case {
        name: "a_server_that_says_nothing_is_unreachable",
        run: a_server_that_says_nothing_is_unreachable,
    },
    Case {
        name: "a_client_that_ctrl_c_ended_as_it_connected_is_started_again",
        run: a_client_that_ctrl_c_ended_as_it_connected_is_started_again,
    },
    Case {
        name: "where_nobody_listens_is_unreachable",
        run: where_nobody_listens_is_unreachable,
    },
];

fn a_host_behind_a_bastion(place: &Place) -> Result<(), String> {
    let behind = Machine::start(place)?;
    // Only the bastion knows its name.
    let names = format!(
        "echo {} inner >/run/hosts; mount --bind /run/hosts /etc/hosts",
        behind.address
    );
    let kind = Kind {
        prepare: &names,
        ..Kind::default()
    };
    let bastion = Machine::of_kind(place, &kind)?;
    let machines = [&bastion, &behind];
    let client = Client::of(&machines)?;
    let jump = format!(
        "Host {}\n  HostName inner\n  HostKeyAlias {}\n  ProxyJump nosudo@{}\n",
        behind.name, behind.address, bastion.name
    );
    client.configure(&machines, &jump)?;
    block(async {
        let hosts = client.hosts();
        let ran = run(&hosts, &login(&behind, "ops"), Identity::root(), "id -un").await;
        same(
            "what it printed",
            ran.map_err(text)?.head.as_str(),
            "root\n",
        )?;
        same("the execs on the bastion", bastion.sessions(), 0)?;
        hosts.close().await;
        behind.comes_to_rest().await
    })
}

fn hosts_that_accept(client: &Client) -> Hosts {
    Hosts::new(SshOptions {
        accept_new: true,
        ..client.options()
    })
}

fn an_unknown_host_key_is_accepted_only_when_asked(place: &Place) -> Result<(), String> {
    let machine = Machine::start(place)?;
    let client = Client::of(&[&machine])?;
    client.knows("")?;
    block(async {
        let root = login(&machine, "root");
        let answer = run(&client.hosts(), &root, Identity::Login, "true").await;
        refused(answer, "host_key_unknown")?;
        let known = || fs::read_to_string(client.known_hosts()).map_err(text);
        same("what is known", known()?.as_str(), "")?;
        run(&hosts_that_accept(&client), &root, Identity::Login, "true")
            .await
            .map_err(text)?;
        same("whether it is known now", known()?.is_empty(), false)?;
        run(&client.hosts(), &root, Identity::Login, "true")
            .await
            .map(|_| ())
            .map_err(text)
    })
}

fn a_changed_host_key_is_never_accepted(place: &Place) -> Result<(), String> {
    let machine = Machine::start(place)?;
    let client = Client::of(&[&machine])?;
    let other = fs::read_to_string(path("keys/stranger.pub")).map_err(text)?;
    let known = format!("{} {other}", machine.address);
    client.knows(&known)?;
    block(async {
        for hosts in [client.hosts(), hosts_that_accept(&client)] {
            let answer = run(&hosts, &login(&machine, "root"), Identity::Login, "true").await;
            refused(answer, "host_key_changed")?;
        }
        let now = fs::read_to_string(client.known_hosts()).map_err(text)?;
        same("what is known", now, known)
    })
}

fn a_key_that_opens_nothing(place: &Place) -> Result<(), String> {
    let machine = Machine::start(place)?;
    let client = Client::of(&[&machine])?;
    let config = fs::read_to_string(client.config()).map_err(text)?;
    let config = config.replace("keys/client", "keys/stranger");
    fs::write(client.config(), config).map_err(text)?;
    block(async {
        let root = login(&machine, "root");
        let answer = run(&client.hosts(), &root, Identity::Login, "true").await;
        refused(answer, "host_login").map(|_| ())
    })
}

fn a_banner_does_no_harm(place: &Place) -> Result<(), String> {
    let kind = Kind {
        sshd: "Banner /etc/passwd",
        ..Kind::default()
    };
    let machine = Machine::of_kind(place, &kind)?;
    let client = Client::of(&[&machine])?;
    block(async {
        let hosts = client.hosts();
        let ran = run(&hosts, &login(&machine, "ops"), Identity::root(), "id -un").await;
        same(
            "what it printed",
            ran.map_err(text)?.head.as_str(),
            "root\n",
        )
    })
}

fn one_session_for_each_connection_is_enough(place: &Place) -> Result<(), String> {
    let kind = Kind {
        sshd: "MaxSessions 1",
        ..Kind::default()
    };
    let machine = Machine::of_kind(place, &kind)?;
    let client = Client::of(&[&machine])?;
    block(async {
        let hosts = client.hosts();
        let ops = login(&machine, "ops");
        // Each waits for the other: they must be there at once.
        let meet = |own: &str, other: &str| {
            format!("echo >/tmp/{own}; until [ -e /tmp/{other} ]; do sleep 0.1; done; id -un")
        };
        let (there, here) = (meet("a", "b"), meet("b", "a"));
        let (login, root) = tokio::join!(
            run(&hosts, &ops, Identity::Login, &there),
            run(&hosts, &ops, Identity::root(), &here),
        );
        same("the login", login.map_err(text)?.head.as_str(), "ops\n")?;
        same("the other", root.map_err(text)?.head.as_str(), "root\n")
    })
}

fn a_crowded_server_lets_all_in_at_last(place: &Place) -> Result<(), String> {
    let kind = Kind {
        sshd: "MaxStartups 5",
        ..Kind::default()
    };
    let machine = Machine::of_kind(place, &kind)?;
    let client = Client::of(&[&machine])?;
    block(async {
        let all: Vec<Hosts> = (0..20).map(|_| client.hosts()).collect();
        let root = login(&machine, "root");
        let runs = all
            .iter()
            .map(|hosts| run(hosts, &root, Identity::Login, "echo in"));
        for ran in futures::future::join_all(runs).await {
            same("what it printed", ran.map_err(text)?.head.as_str(), "in\n")?;
        }
        let dropped = machine.log().contains("MaxStartups");
        same("whether it was crowded", dropped, true)
    })
}

fn a_server_that_says_nothing_is_unreachable(place: &Place) -> Result<(), String> {
    let machine = Machine::start(place)?;
    let silent = TcpListener::bind((machine.address.as_str(), 2222)).map_err(text)?;
    let client = Client::of(&[&machine])?;
    block(async {
        let mut at = login(&machine, "root");
        at.port = Some(2222);
        let answer = run(&client.hosts(), &at, Identity::Login, "true").await;
        refused(answer, "host_unreachable")?;
        silent.set_nonblocking(true).map_err(text)?;
        let tried = std::iter::from_fn(|| silent.accept().ok()).count();
        same("how often it was tried", tried, 1)?;
        let left = client.masters();
        same("the clients that are left", left, Vec::new())
    })
}

fn a_client_that_ctrl_c_ended_as_it_connected_is_started_again(
    place: &Place,
) -> Result<(), String> {
    let machine = Machine::start(place)?;
    let silent = TcpListener::bind((machine.address.as_str(), 2222)).map_err(text)?;
    silent.set_nonblocking(true).map_err(text)?;
    let client = Client::of(&[&machine])?;
    block(async {
        let mut at = login(&machine, "root");
        at.port = Some(2222);
        let hosts = client.hosts();
        let silent = tokio::net::TcpListener::from_std(silent).map_err(text)?;
        let tried_again = async {
            let _first = silent.accept().await.map_err(text)?;
            // Where this was started in the background, its children ignore SIGINT.
            client.signal_masters(Signal::TERM)?;
            // The next one is turned away: that it comes is enough.
            silent.accept().await.map(drop).map_err(text)
        };
        let answer = run(&hosts, &at, Identity::Login, "true");
        tokio::pin!(answer);
        tokio::select! {
            tried = tried_again => tried?,
            answer = &mut answer => return Err(format!("it was not started again: {answer:?}")),
        }
        let answer = answer.await;
        refused(answer, "host_unreachable").map(|_| ())
    })
}

fn where_nobody_listens_is_unreachable(place: &Place) -> Result<(), String> {
    let machine = Machine::start(place)?;
    let client = Client::of(&[&machine])?;
    block(async {
        let mut at = login(&machine, "root");
        at.port = Some(2222);
        let answer = run(&client.hosts(), &at, Identity::Login, "true").await;
        refused(answer, "host_unreachable")?;
        at.address = "no-such-name.invalid".to_owned();
        let answer = run(&client.hosts(), &at, Identity::Login, "true").await;
        refused(answer, "host_unreachable").map(|_| ())
    })
}
