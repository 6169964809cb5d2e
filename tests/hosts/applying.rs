//! Programs that change a host: what is said of them, and what is found out afterwards.

use super::Case;
use super::client::{Client, block, host_as, login, refused, same, script};
use super::machine::{Machine, until};
use super::permit::permit;
use super::place::{Place, text};
use runbook::fault::{Class, Fault};
use runbook::inventory::Destination;
use runbook::model::{Effect, Exit, Identity, Program, ProgramNow, Programs, Ran};
use runbook::transport::Hosts;

pub const CASES: &[Case] = &[
    Case {
        name: "a_program_is_applied_once_and_found_done",
        run: a_program_is_applied_once_and_found_done,
    },
    Case {
        name: "a_program_with_a_check_is_found_by_it",
        run: a_program_with_a_check_is_found_by_it,
    },
    Case {
        name: "a_verify_that_takes_too_long_does_not_end_what_was_applied",
        run: a_verify_that_takes_too_long_does_not_end_what_was_applied,
    },
    Case {
        name: "a_verify_that_fails_is_never_found_done",
        run: a_verify_that_fails_is_never_found_done,
    },
    Case {
        name: "a_step_waits_for_the_one_before_it",
        run: a_step_waits_for_the_one_before_it,
    },
    Case {
        name: "what_is_half_done_is_not_found_untouched",
        run: what_is_half_done_is_not_found_untouched,
    },
    Case {
        name: "a_program_whose_connection_is_lost_is_found_broken_off",
        run: a_program_whose_connection_is_lost_is_found_broken_off,
    },
    Case {
        name: "an_attempt_that_was_looked_for_does_not_begin_any_more",
        run: an_attempt_that_was_looked_for_does_not_begin_any_more,
    },
    Case {
        name: "what_cannot_be_put_back_by_its_host_is_not_begun",
        run: what_cannot_be_put_back_by_its_host_is_not_begun,
    },
];

fn programs(apply: &str) -> Programs {
    Programs {
        undo_limit: None,
        host: host_as(Identity::root()),
        check: None,
        apply: script(apply, &[]),
        verify: None,
        undo: None,
        limit: 20,
        sensitive: false,
        back: false,
        blind: false,
        put_back_after: None,
        restarts: None,
        own: None,
    }
}

fn some(text: &str) -> Option<Program> {
    Some(script(text, &[]))
}

/// Runs it, and gives the key of the attempt too.
async fn apply(
    hosts: &Hosts,
    at: &Destination,
    programs: &Programs,
) -> Result<(Result<(), Fault>, Vec<Ran>, String), String> {
    let effect = Effect::RunProgram {
        programs: Box::new(programs.clone()),
    };
    let (permit, key) = permit(effect, &[])?;
    let (result, ran) = hosts.run_program(at, permit, &key, "a test").await;
    Ok((result, ran, key))
}

fn a_program_is_applied_once_and_found_done(place: &Place) -> Result<(), String> {
    let machine = Machine::start(place)?;
    let client = Client::of(&[&machine])?;
    block(async {
        let hosts = client.hosts();
        let ops = login(&machine, "ops");
        for user in ["root", "ops"] {
            let mut programs = programs("echo applied; echo >>/tmp/times; sleep 71001 &");
            programs.host.identity = match user {
                "root" => Identity::root(),
                _ => Identity::Login,
            };
            let (result, ran, key) = apply(&hosts, &ops, &programs).await?;
            result.map_err(text)?;
            let printed: Vec<&str> = ran.iter().map(|ran| ran.head.as_str()).collect();
            same("what it printed", printed, vec!["applied\n"])?;
            let found = hosts.find_program(&ops, &programs, &key).await;
            same(user, found.map_err(text)?, ProgramNow::Is { done: true })?;
            let times = std::fs::read_to_string(machine.inside("/tmp/times")).map_err(text)?;
            same("how often it ran", times.as_str(), "\n")?;
            std::fs::remove_file(machine.inside("/tmp/times")).map_err(text)?;
        }
        let failing = programs("echo why >&2; exit 3");
        let (result, _, key) = apply(&hosts, &ops, &failing).await?;
        let fault = refused(result, "program_failed")?;
        same("its class", fault.class, Class::Indeterminate)?;
        same("whether it says why", fault.message.contains("why"), true)?;
        match hosts.find_program(&ops, &failing, &key).await {
            Ok(ProgramNow::Unclear(why)) if why.contains("exit code 3") => Ok(()),
            other => Err(format!("it is found as {other:?}")),
        }
    })
}

fn a_program_with_a_check_is_found_by_it(place: &Place) -> Result<(), String> {
    let machine = Machine::start(place)?;
    let client = Client::of(&[&machine])?;
    block(async {
        let hosts = client.hosts();
        let ops = login(&machine, "ops");
        let mut programs = programs("touch /run/done");
        programs.check = some("[ -e /run/done ]");
        programs.verify = some("echo verified");
        let found = hosts.find_program(&ops, &programs, "earlier").await;
        same(
            "before",
            found.map_err(text)?,
            ProgramNow::Is { done: false },
        )?;
        for wanted in [&["check", "apply", "verify", "check"][..], &["check"]] {
            let (result, ran, key) = apply(&hosts, &ops, &programs).await?;
            result.map_err(text)?;
            let names: Vec<&str> = ran.iter().map(|ran| ran.name.as_str()).collect();
            same("what ran", names.as_slice(), wanted)?;
            let found = hosts.find_program(&ops, &programs, &key).await;
            same("after", found.map_err(text)?, ProgramNow::Is { done: true })?;
        }
        programs.check = some("exit 2");
        let (result, ..) = apply(&hosts, &ops, &programs).await?;
        refused(result, "check_failed").map(|_| ())
    })
}

fn a_verify_that_takes_too_long_does_not_end_what_was_applied(place: &Place) -> Result<(), String> {
    let machine = Machine::start(place)?;
    let client = Client::of(&[&machine])?;
    block(async {
        let hosts = client.hosts();
        let mut programs = programs("setsid sleep 71001 >/dev/null 2>&1 &");
        programs.verify = some("setsid sleep 71002 & sleep 71003");
        programs.limit = 5;
        let (result, ran, _) = apply(&hosts, &login(&machine, "ops"), &programs).await?;
        refused(result, "unverified")?;
        let ends: Vec<Exit> = ran.iter().map(|ran| ran.exit).collect();
        same("their ends", ends, vec![Exit::Code(0), Exit::Timeout])?;
        same(
            "whether its daemon runs",
            machine.runs("sleep 71001")?,
            true,
        )?;
        same(
            "whether the verify's runs",
            machine.runs("sleep 71002")?,
            false,
        )
    })
}

fn a_verify_that_fails_is_never_found_done(place: &Place) -> Result<(), String> {
    let machine = Machine::start(place)?;
    let client = Client::of(&[&machine])?;
    block(async {
        let hosts = client.hosts();
        let ops = login(&machine, "ops");
        for check in [None, some("true")] {
            let mut programs = programs("true");
            programs.check = check;
            programs.blind = true;
            programs.verify = some("exit 7");
            let (result, _, key) = apply(&hosts, &ops, &programs).await?;
            refused(result, "unverified")?;
            match hosts.find_program(&ops, &programs, &key).await {
                Ok(ProgramNow::Unclear(why)) if why.contains("verify") => {}
                other => return Err(format!("it is found as {other:?}")),
            }
        }
        Ok(())
    })
}

fn a_step_waits_for_the_one_before_it(place: &Place) -> Result<(), String> {
    let machine = Machine::start(place)?;
    let client = Client::of(&[&machine])?;
    block(async {
        let (one, other) = (client.hosts(), client.hosts());
        let ops = login(&machine, "ops");
        let slow = programs("echo begun >>/run/order; sleep 2; echo ended >>/run/order");
        let (first, second) = tokio::join!(apply(&one, &ops, &slow), apply(&other, &ops, &slow));
        first?.0.map_err(text)?;
        second?.0.map_err(text)?;
        let order = std::fs::read_to_string(machine.inside("/run/order")).map_err(text)?;
        same("the order", order.as_str(), "begun\nended\nbegun\nended\n")
    })
}

/// By its check it is not done, and yet it was begun: whoever takes it back must know.
fn what_is_half_done_is_not_found_untouched(place: &Place) -> Result<(), String> {
    let machine = Machine::start(place)?;
    let client = Client::of(&[&machine])?;
    block(async {
        let hosts = client.hosts();
        let ops = login(&machine, "ops");
        let mut half = programs("touch /run/half; exit 3");
        half.check = some("[ -e /run/whole ]");
        half.undo = some("rm -f /run/half");
        let (result, _, key) = apply(&hosts, &ops, &half).await?;
        refused(result, "program_failed")?;
        let found = hosts.find_program(&ops, &half, &key).await.map_err(text)?;
        same("half of it", found, ProgramNow::Begun)?;
        // Its check says that there is nothing to take back; it is run all the same.
        let back = Effect::RunProgram {
            programs: Box::new(half),
        };
        let Some(Effect::RunProgram { programs: back }) = back.blind_inverse() else {
            return Err("it has no inverse".to_owned());
        };
        let (result, _, key) = apply(&hosts, &ops, &back).await?;
        result.map_err(text)?;
        let left = machine.inside("/run/half").exists();
        same("whether half of it is left", left, false)?;
        let found = hosts.find_program(&ops, &back, &key).await.map_err(text)?;
        same("at the end", found, ProgramNow::Is { done: false })
    })
}

fn a_program_whose_connection_is_lost_is_found_broken_off(place: &Place) -> Result<(), String> {
    let machine = Machine::start(place)?;
    let client = Client::of(&[&machine])?;
    block(async {
        let hosts = client.hosts();
        let ops = login(&machine, "ops");
        let programs = programs("setsid sleep 71001 & echo >>/run/begun; sleep 71002");
        let applying = apply(&hosts, &ops, &programs);
        let breaking = async {
            let begun = machine.inside("/run/begun");
            until("it runs", || {
                Ok((!begun.exists()).then(|| "it does not".to_owned()))
            })
            .await?;
            client.kill_masters()
        };
        let (applied, broke) = tokio::join!(applying, breaking);
        broke?;
        let (result, _, key) = applied?;
        let fault = refused(result, "host_lost")?;
        same("its class", fault.class, Class::Indeterminate)?;
        let found = hosts.find_program(&ops, &programs, &key).await;
        match found {
            Ok(ProgramNow::Unclear(why)) if why.contains("broken off") => {}
            other => return Err(format!("it is found as {other:?}")),
        }
        for sleep in ["sleep 71001", "sleep 71002"] {
            same(sleep, machine.runs(sleep)?, false)?;
        }
        let times = std::fs::read_to_string(machine.inside("/run/begun")).map_err(text)?;
        same("how often it ran", times.as_str(), "\n")
    })
}

fn an_attempt_that_was_looked_for_does_not_begin_any_more(place: &Place) -> Result<(), String> {
    let machine = Machine::start(place)?;
    let client = Client::of(&[&machine])?;
    block(async {
        let hosts = client.hosts();
        let ops = login(&machine, "ops");
        let programs = programs("echo >>/run/begun");
        let effect = Effect::RunProgram {
            programs: Box::new(programs.clone()),
        };
        let (permit, key) = permit(effect, &[])?;
        let found = hosts.find_program(&ops, &programs, &key).await;
        same(
            "before",
            found.map_err(text)?,
            ProgramNow::Is { done: false },
        )?;
        let (result, _) = hosts.run_program(&ops, permit, &key, "a test").await;
        refused(result, "revoked")?;
        let begun = machine.inside("/run/begun").exists();
        same("whether it has begun", begun, false)
    })
}

/// There is no systemd on these machines.
fn what_cannot_be_put_back_by_its_host_is_not_begun(place: &Place) -> Result<(), String> {
    let machine = Machine::start(place)?;
    let client = Client::of(&[&machine])?;
    block(async {
        let hosts = client.hosts();
        let ops = login(&machine, "ops");
        let armed = Programs {
            check: some("test -e /tmp/applied"),
            undo: some("rm /tmp/applied"),
            put_back_after: Some(60),
            ..programs("touch /tmp/applied")
        };
        let (result, _, key) = apply(&hosts, &ops, &armed).await?;
        let fault = refused(result, "host_failed")?;
        same("its class", fault.class, Class::Definite)?;
        let why = fault.message.contains("systemd does not run here");
        same(&format!("the reason in `{fault}`"), why, true)?;
        let there = |path: &str| machine.inside(path).exists();
        same("whether it was run", there("/tmp/applied"), false)?;
        let switch = format!("/var/lib/runbook/switch/{key}");
        same("whether a switch is left", there(&switch), false)?;
        let found = hosts.find_program(&ops, &armed, &key).await;
        same(
            "what is found",
            found.map_err(text)?,
            ProgramNow::Is { done: false },
        )?;
        // What is done already needs none.
        std::fs::write(machine.inside("/tmp/applied"), "").map_err(text)?;
        let (result, ..) = apply(&hosts, &ops, &armed).await?;
        result.map_err(text)
    })
}
