//! Programs on hosts: what they leave running, how much they print, how long they take.

use super::Case;
use super::client::{Client, block, host_as, login, refused, run, same, script};
use super::machine::{Machine, until};
use super::place::{Place, text};
use runbook::model::{Exit, FileNow, FileRef, FileState, Identity};
use runbook::transport::OwnerNames;

pub const CASES: &[Case] = &[
    Case {
        name: "a_program_may_leave_a_daemon_that_holds_its_output",
        run: a_program_may_leave_a_daemon_that_holds_its_output,
    },
    Case {
        name: "of_much_output_the_head_and_the_tail_are_kept",
        run: of_much_output_the_head_and_the_tail_are_kept,
    },
    Case {
        name: "nothing_is_left_of_a_program_whose_time_is_up",
        run: nothing_is_left_of_a_program_whose_time_is_up,
    },
    Case {
        name: "all_that_is_done_on_a_host_costs_one_exec",
        run: all_that_is_done_on_a_host_costs_one_exec,
    },
    Case {
        name: "a_lost_connection_ends_what_runs_and_reading_is_repeated",
        run: a_lost_connection_ends_what_runs_and_reading_is_repeated,
    },
    Case {
        name: "a_step_costs_a_few_processes",
        run: a_step_costs_a_few_processes,
    },
    Case {
        name: "what_is_lost_at_once_is_not_repeated",
        run: what_is_lost_at_once_is_not_repeated,
    },
];

fn a_program_may_leave_a_daemon_that_holds_its_output(place: &Place) -> Result<(), String> {
    let machine = Machine::start(place)?;
    let client = Client::of(&[&machine])?;
    block(async {
        let hosts = client.hosts();
        let root = login(&machine, "root");
        for (daemon, number) in [("sleep", 71_001), ("setsid sleep", 71_002)] {
            let program = format!("echo before; {daemon} {number} & echo after");
            let ran = run(&hosts, &root, Identity::Login, &program)
                .await
                .map_err(text)?;
            same("what it printed", ran.head.as_str(), "before\nafter\n")?;
            same("its end", ran.exit, Exit::Code(0))?;
            same("whether its output is held", ran.held, true)?;
            let runs = machine.runs(&format!("sleep {number}"))?;
            same("whether its daemon runs", runs, true)?;
        }
        // One that lets go of the output is waited for no longer than it takes.
        let program = "sleep 71003 >/dev/null 2>&1 & echo after";
        let ran = run(&hosts, &root, Identity::Login, program)
            .await
            .map_err(text)?;
        same("whether its output is held", ran.held, false)?;
        // Nor does the end of the connection end them.
        hosts.close().await;
        until("the loop has ended", || {
            let loops = machine.loops();
            Ok((!loops.is_empty()).then(|| format!("{loops:?}")))
        })
        .await?;
        for number in 71_001..=71_003 {
            let runs = machine.runs(&format!("sleep {number}"))?;
            same(
                "whether its daemon runs still",
                (number, runs),
                (number, true),
            )?;
        }
        Ok(())
    })
}

fn of_much_output_the_head_and_the_tail_are_kept(place: &Place) -> Result<(), String> {
    let machine = Machine::start(place)?;
    let client = Client::of(&[&machine])?;
    let total: u64 = 100_000_000;
    block(async {
        let hosts = client.hosts();
        let root = login(&machine, "root");
        // Ten bytes a line.
        let program = format!("seq -f '%09.0f' 1 {}", total / 10);
        let program = script(&program, &[]);
        let ran = hosts
            .read_program(&root, &host_as(Identity::Login), &program, 100)
            .await
            .map_err(text)?;
        same("its end", ran.exit, Exit::Code(0))?;
        let sizes = (ran.head.len() as u64, ran.tail.len() as u64);
        same("the sizes of head and tail", sizes, (16384, 16384))?;
        same("what is left out", ran.left_out, total - 2 * 16384)?;
        let head: String = (1..).map(|i| format!("{i:09}\n")).take(1639).collect();
        same("its head", Some(ran.head.as_str()), head.get(..16384))?;
        let last = total / 10;
        let tail: String = (last - 1638..=last).map(|i| format!("{i:09}\n")).collect();
        same(
            "its tail",
            Some(ran.tail.as_str()),
            tail.get(tail.len() - 16384..),
        )?;

        for (bytes, left_out) in [(16383, 0), (16384, 0), (16385, 0), (32768, 0), (32769, 1)] {
            let program = format!("head -c {bytes} /dev/zero | tr '\\0' x");
            let ran = run(&hosts, &root, Identity::Login, &program)
                .await
                .map_err(text)?;
            let known = ran.head.len() as u64 + ran.left_out + ran.tail.len() as u64;
            same("all of it", (known, ran.left_out), (bytes, left_out))?;
        }
        Ok(())
    })
}

fn nothing_is_left_of_a_program_whose_time_is_up(place: &Place) -> Result<(), String> {
    let machine = Machine::start(place)?;
    let client = Client::of(&[&machine])?;
    block(async {
        let hosts = client.hosts();
        for (at, identity) in [("root", Identity::Login), ("ops", Identity::root())] {
            let program = "echo begun; setsid sleep 71001 & sleep 71002 & env -i sleep 71004 & \
                           env -i setsid sleep 71005 & (trap '' TERM; sleep 71003); echo never";
            let ran = hosts
                .read_program(
                    &login(&machine, at),
                    &host_as(identity),
                    &script(program, &[]),
                    1,
                )
                .await
                .map_err(text)?;
            same("its end", ran.exit, Exit::Timeout)?;
            // Its own shell may still say what was killed.
            let printed = (ran.head.lines().next(), ran.head.contains("never"));
            same("what it printed", printed, (Some("begun"), false))?;
            until("nothing of it is left", || {
                let mut left = machine.processes()?;
                left.retain(|process| process.command.starts_with("sleep 7"));
                Ok((!left.is_empty()).then(|| format!("{left:?}")))
            })
            .await?;
        }
        Ok(())
    })
}

/// On a small machine a process is what a step costs most of all.
fn a_step_costs_a_few_processes(place: &Place) -> Result<(), String> {
    let machine = Machine::start(place)?;
    let client = Client::of(&[&machine])?;
    block(async {
        let hosts = client.hosts();
        let root = login(&machine, "root");
        let file = FileRef {
            host: host_as(Identity::Login),
            path: "/srv/none".to_owned(),
        };
        // Numbers are given in order there, so the last one counts what has begun.
        let count = async || {
            let last = "cat /proc/sys/kernel/ns_last_pid";
            let last = hosts.read_as_root(&root, last).await.map_err(text)?;
            last.trim().parse::<u32>().map_err(text)
        };
        let (first, second) = (count().await?, count().await?);
        let frame = second - first;
        run(&hosts, &root, Identity::Login, "true")
            .await
            .map_err(text)?;
        let third = count().await?;
        let owner = OwnerNames::default();
        hosts.read_file(&root, &file, &owner).await.map_err(text)?;
        let fourth = count().await?;
        let costs = [frame, third - second - frame, fourth - third - frame];
        let most = [5, 22, 12];
        match costs.iter().zip(most).all(|(cost, most)| *cost <= most) {
            true => Ok(()),
            false => Err(format!(
                "frame, program, file cost {costs:?}, and may cost {most:?}"
            )),
        }
    })
}

fn all_that_is_done_on_a_host_costs_one_exec(place: &Place) -> Result<(), String> {
    let machine = Machine::start(place)?;
    let client = Client::of(&[&machine])?;
    block(async {
        let hosts = client.hosts();
        let ops = login(&machine, "ops");
        let file = FileRef {
            host: host_as(Identity::root()),
            path: "/srv/none".to_owned(),
        };
        for _ in 0..2 {
            let name = hosts.read_as_root(&ops, "id -un").await.map_err(text)?;
            same("who it is", name.as_str(), "root\n")?;
            let ran = run(&hosts, &ops, Identity::root(), "echo \"$$\"")
                .await
                .map_err(text)?;
            same("its end", ran.exit, Exit::Code(0))?;
            let found = hosts
                .read_file(&ops, &file, &OwnerNames::default())
                .await
                .map_err(text)?;
            same("the file", found.now, FileNow::Is(FileState::Absent))?;
        }
        let ran = run(&hosts, &ops, Identity::root(), "kill -KILL $$").await;
        same("its end", ran.map_err(text)?.exit, Exit::Killed)?;
        same("the count of execs", machine.sessions(), 1)?;
        run(&hosts, &ops, Identity::Login, "true")
            .await
            .map_err(text)?;
        same("the count with another identity", machine.sessions(), 2)?;
        let logins = machine.log().matches("Accepted publickey").count();
        same("the count of connections", logins, 2)?;
        hosts.close().await;
        machine.comes_to_rest().await
    })
}

fn a_lost_connection_ends_what_runs_and_reading_is_repeated(place: &Place) -> Result<(), String> {
    let machine = Machine::start(place)?;
    let client = Client::of(&[&machine])?;
    // Only the first time does it take long.
    let program = "
        [ ! -e /run/begun ] || { echo again; exit 0; }
        setsid sleep 71001 & sleep 71002 &
        echo >/run/begun
        sleep 71003";
    block(async {
        let hosts = client.hosts();
        for user in ["root", "ops", "terminal"] {
            let _ = std::fs::remove_file(machine.inside("/run/begun"));
            let at = login(&machine, user);
            run(&hosts, &at, Identity::root(), "true")
                .await
                .map_err(text)?;
            same("the count of loops", machine.loops().len(), 1)?;
            let reading = run(&hosts, &at, Identity::root(), program);
            let (ran, broke) = tokio::join!(reading, break_once_begun(&client, &machine));
            broke?;
            let ran = ran.map_err(text)?;
            same("what it printed", ran.head.as_str(), "again\n")?;
            client.kill_masters()?;
            machine
                .comes_to_rest()
                .await
                .map_err(|e| format!("{user}: {e}"))?;
        }
        hosts.close().await;
        Ok(())
    })
}

fn what_is_lost_at_once_is_not_repeated(place: &Place) -> Result<(), String> {
    let machine = Machine::start(place)?;
    let client = Client::of(&[&machine])?;
    let program = "setsid sleep 71001 & echo >>/run/begun; sleep 71003";
    block(async {
        let hosts = client.hosts();
        let root = login(&machine, "root");
        let reading = run(&hosts, &root, Identity::Login, program);
        let (ran, broke) = tokio::join!(reading, break_once_begun(&client, &machine));
        broke?;
        refused(ran, "host_lost")?;
        machine.comes_to_rest().await?;
        let times = std::fs::read_to_string(machine.inside("/run/begun")).map_err(text)?;
        same("how often it ran", times.as_str(), "\n")
    })
}

async fn break_once_begun(client: &Client, machine: &Machine) -> Result<(), String> {
    let begun = machine.inside("/run/begun");
    until("the program runs", || {
        Ok((!begun.exists()).then(|| "it does not".to_owned()))
    })
    .await?;
    client.kill_masters()
}
