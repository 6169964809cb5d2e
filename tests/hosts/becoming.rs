//! Becoming another user: by sudo and by su, with a password and without.

use super::Case;
use super::client::{
    Client, LIMIT, block, host_as, login, refused, run, same, script, su_to, sudo_to,
};
use super::machine::{Kind, Machine, processes};
use super::place::{PASSWORD, Place, text};
use runbook::model::Identity;
use runbook::model::Secret;
use runbook::transport::{Hosts, PasswordSource, SshOptions};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

pub const CASES: &[Case] = &[
    Case {
        name: "sudo_without_a_password",
        run: sudo_without_a_password,
    },
    Case {
        name: "sudo_with_a_password_that_is_asked_for_once",
        run: sudo_with_a_password_that_is_asked_for_once,
    },
    Case {
        name: "sudo_on_a_terminal_of_its_own_with_a_password",
        run: sudo_on_a_terminal_of_its_own_with_a_password,
    },
    Case {
        name: "su_with_a_password",
        run: su_with_a_password,
    },
    Case {
        name: "a_wrong_password_is_refused",
        run: a_wrong_password_is_refused,
    },
    Case {
        name: "a_password_that_is_needed_and_not_there",
        run: a_password_that_is_needed_and_not_there,
    },
    Case {
        name: "a_user_who_may_not_become_another",
        run: a_user_who_may_not_become_another,
    },
    Case {
        name: "sudo_that_wants_a_terminal",
        run: sudo_that_wants_a_terminal,
    },
    Case {
        name: "a_user_who_does_not_exist",
        run: a_user_who_does_not_exist,
    },
    Case {
        name: "a_host_without_sudo",
        run: a_host_without_sudo,
    },
    Case {
        name: "no_process_is_ever_given_the_password",
        run: no_process_is_ever_given_the_password,
    },
];

fn with_password(client: &Client, password: PasswordSource) -> Hosts {
    Hosts::new(SshOptions {
        password,
        ..client.options()
    })
}

fn given(client: &Client, password: &str) -> Hosts {
    with_password(
        client,
        PasswordSource::Given(Secret::new(password.to_owned())),
    )
}

/// Holds that `user` becomes `name` by `identity` and can do something then.
async fn becomes(
    hosts: &Hosts,
    machine: &Machine,
    user: &str,
    identity: Identity,
    name: &str,
) -> Result<(), String> {
    for _ in 0..2 {
        let ran = run(
            hosts,
            &login(machine, user),
            identity.clone(),
            "id -un; cat",
        )
        .await
        .map_err(|e| format!("{user} to {name}: {e}"))?;
        same(user, ran.head.trim(), name)?;
    }
    Ok(())
}

fn sudo_without_a_password(place: &Place) -> Result<(), String> {
    let machine = Machine::start(place)?;
    let client = Client::of(&[&machine])?;
    block(async {
        for hosts in [client.hosts(), given(&client, "not needed")] {
            becomes(&hosts, &machine, "ops", Identity::root(), "root").await?;
            becomes(&hosts, &machine, "ops", sudo_to("nosudo"), "nosudo").await?;
            becomes(&hosts, &machine, "terminal", Identity::root(), "root").await?;
            // Who one is already, one need not become.
            becomes(&hosts, &machine, "nosudo", sudo_to("nosudo"), "nosudo").await?;
            becomes(&hosts, &machine, "root", Identity::root(), "root").await?;
            // Root becomes anybody.
            becomes(&hosts, &machine, "root", su_to("ops"), "ops").await?;
            hosts.close().await;
        }
        machine.comes_to_rest().await
    })
}

fn sudo_with_a_password_that_is_asked_for_once(place: &Place) -> Result<(), String> {
    let machines = [Machine::start(place)?, Machine::start(place)?];
    let client = Client::of(&[&machines[0], &machines[1]])?;
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let ask = move |what: &str| {
        count.fetch_add(1, Ordering::Relaxed);
        assert!(what.contains("root"), "it is asked for {what}");
        Ok(Secret::new(PASSWORD.to_owned()))
    };
    block(async {
        let hosts = with_password(&client, PasswordSource::Ask(Box::new(ask)));
        let (one, other) = tokio::join!(
            becomes(&hosts, &machines[0], "pw", Identity::root(), "root"),
            becomes(&hosts, &machines[1], "pw", Identity::root(), "root"),
        );
        one.and(other)
    })?;
    same(
        "how often it was asked for",
        asked.load(Ordering::Relaxed),
        1,
    )
}

fn sudo_on_a_terminal_of_its_own_with_a_password(place: &Place) -> Result<(), String> {
    let machine = Machine::start(place)?;
    let client = Client::of(&[&machine])?;
    block(async {
        let hosts = given(&client, PASSWORD);
        becomes(&hosts, &machine, "terminalpw", Identity::root(), "root").await
    })
}

fn su_with_a_password(place: &Place) -> Result<(), String> {
    let machine = Machine::start(place)?;
    let client = Client::of(&[&machine])?;
    block(async {
        let hosts = given(&client, PASSWORD);
        becomes(&hosts, &machine, "nosudo", su_to("root"), "root").await?;
        becomes(&hosts, &machine, "nosudo", su_to("ops"), "ops").await?;
        // Whatever the other's login shell is.
        becomes(&hosts, &machine, "nosudo", su_to("fish"), "fish").await?;
        // What is printed before looks like its prompt.
        becomes(&hosts, &machine, "noisy", su_to("root"), "root").await?;
        hosts.close().await;
        machine.comes_to_rest().await
    })
}

fn a_wrong_password_is_refused(place: &Place) -> Result<(), String> {
    let machine = Machine::start(place)?;
    let client = Client::of(&[&machine])?;
    block(async {
        let hosts = given(&client, "wrong-staple");
        for (user, identity) in [
            ("pw", Identity::root()),
            ("terminalpw", Identity::root()),
            ("nosudo", su_to("root")),
        ] {
            let answer = run(&hosts, &login(&machine, user), identity, "true").await;
            let fault = refused(answer, "become_password")?;
            same(
                "whether it is shown",
                fault.message.contains("staple"),
                false,
            )?;
        }
        machine.comes_to_rest().await
    })
}

fn a_password_that_is_needed_and_not_there(place: &Place) -> Result<(), String> {
    let machine = Machine::start(place)?;
    let client = Client::of(&[&machine])?;
    block(async {
        let hosts = client.hosts();
        for (user, identity) in [
            ("pw", Identity::root()),
            ("terminalpw", Identity::root()),
            ("nosudo", su_to("root")),
        ] {
            let answer = run(&hosts, &login(&machine, user), identity, "true").await;
            refused(answer, "become_password_needed")?;
        }
        machine.comes_to_rest().await
    })
}

fn a_user_who_may_not_become_another(place: &Place) -> Result<(), String> {
    let machine = Machine::start(place)?;
    let client = Client::of(&[&machine])?;
    block(async {
        let answer = run(
            &given(&client, PASSWORD),
            &login(&machine, "nosudo"),
            Identity::root(),
            "true",
        )
        .await;
        refused(answer, "become_refused")?;
        // Sudo says no more than that it wants a password.
        let answer = run(
            &client.hosts(),
            &login(&machine, "nosudo"),
            Identity::root(),
            "true",
        )
        .await;
        refused(answer, "become_password_needed").map(|_| ())
    })
}

fn sudo_that_wants_a_terminal(place: &Place) -> Result<(), String> {
    let machine = Machine::start(place)?;
    let client = Client::of(&[&machine])?;
    block(async {
        for hosts in [client.hosts(), given(&client, PASSWORD)] {
            let at = login(&machine, "needstty");
            let answer = run(&hosts, &at, Identity::root(), "true").await;
            refused(answer, "become_tty")?;
        }
        Ok(())
    })
}

fn a_user_who_does_not_exist(place: &Place) -> Result<(), String> {
    let machine = Machine::start(place)?;
    let client = Client::of(&[&machine])?;
    block(async {
        let hosts = given(&client, PASSWORD);
        for identity in [sudo_to("nobody-here"), su_to("nobody-here")] {
            let answer = run(&hosts, &login(&machine, "ops"), identity, "true").await;
            refused(answer, "become_nobody")?;
        }
        Ok(())
    })
}

fn a_host_without_sudo(place: &Place) -> Result<(), String> {
    let kind = Kind {
        prepare: ": >/run/nothing; mount --bind /run/nothing \"$(command -v sudo)\"",
        ..Kind::default()
    };
    let machine = Machine::of_kind(place, &kind)?;
    let client = Client::of(&[&machine])?;
    block(async {
        let hosts = client.hosts();
        let answer = run(&hosts, &login(&machine, "ops"), Identity::root(), "true").await;
        let fault = refused(answer, "become_missing")?;
        same("whether it is named", fault.message.contains("sudo"), true)
    })
}

/// Looked for from within, while it is under way: in the arguments and the environment of all
/// processes there, and from outside in those of the client as well.
fn no_process_is_ever_given_the_password(place: &Place) -> Result<(), String> {
    let machine = Machine::start(place)?;
    let client = Client::of(&[&machine])?;
    let (one, other) = PASSWORD.split_at(8);
    // Its own text has it in two halves; what it finds, it does not print.
    let look = format!(
        "cd /proc
        sleep 60 &
        for file in [0-9]*/cmdline [0-9]*/environ; do
            {{ tr '\\0' '\\n' <$file | grep -qF '{one}''{other}' && echo found in $file; }} 2>/dev/null
            seen=$((seen + 1))
        done
        kill $!
        [ $seen -lt 10 ] || echo looked"
    );
    block(async {
        let hosts = given(&client, PASSWORD);
        for (user, identity) in [
            ("pw", Identity::root()),
            ("terminalpw", Identity::root()),
            ("nosudo", su_to("root")),
        ] {
            let at = login(&machine, user);
            let looking = run(&hosts, &at, identity.clone(), &look);
            let ran = looking.await.map_err(text)?;
            same(user, ran.head.as_str(), "looked\n")?;
            let outside = processes()
                .into_iter()
                .find(|process| process.command.contains(PASSWORD));
            same("who has it", outside.map(|p| p.command), None)?;
            // It would be found if it were there.
            let mut program = script(&look, &[]);
            program.env.insert("ODD".to_owned(), PASSWORD.to_owned());
            let of = host_as(identity);
            let looking = hosts.read_program(&at, &of, &program, LIMIT);
            let ran = looking.await.map_err(text)?;
            same("whether it is found", ran.head.contains("found"), true)?;
        }
        Ok(())
    })
}
