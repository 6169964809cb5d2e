//! Hosts that cannot be reached, or not for a while.

use crate::five::{self, NODE, script};
use crate::program::{NAME, Program, expect, finish};
use crate::{Case, Dirties, Suite};
use lab::Lab;
use lab::breakage::{Incident, Variant};
use std::fs;
use std::os::unix::fs::PermissionsExt;

pub const CASES: &[Case] = &[
    Case {
        name: "connection::hosts_that_cannot_be_reached",
        suite: Suite::Quick,
        dirties: Dirties::Nothing,
        run: unreachable,
    },
    Case {
        name: "connection::a_user_with_sudo_reads_like_root",
        suite: Suite::Quick,
        dirties: Dirties::Nothing,
        run: sudo,
    },
    Case {
        name: "connection::a_password_is_given_by_a_file_or_typed_once_and_kept_nowhere",
        suite: Suite::Full,
        dirties: Dirties::Mesh,
        run: password,
    },
    Case {
        name: "connection::a_connection_that_breaks_while_it_waits_is_made_anew",
        suite: Suite::Full,
        dirties: Dirties::Mesh,
        run: broken_while_waiting,
    },
];

/// The lab's inventory with another entry for one host.
pub fn inventory(program: &Program<'_>, entry: &str) -> Result<std::path::PathBuf, String> {
    let name = entry.split(':').next().unwrap_or_default();
    let config = program.lab.ssh_config();
    let mut text = format!(
        "apiVersion: runbook.inventory/v1\nssh_config: {}\nhosts:\n  {entry}\n",
        config.display()
    );
    for (node, address) in [
        ("node01", "10.77.0.11"),
        ("node02", "10.77.0.12"),
        ("node03", "10.77.0.13"),
    ] {
        if node != name {
            text.push_str(&format!("  {node}: {{address: {address}}}\n"));
        }
    }
    let path = program.path().join("inventory.yaml");
    fs::write(&path, text).map_err(|e| e.to_string())?;
    Ok(path)
}

fn unreachable(lab: &Lab) -> Result<(), String> {
    let program = Program::new(lab)?;
    let apply = |entry: &str, node: &str| {
        let path = inventory(&program, entry)?;
        let path = path.to_string_lossy().into_owned();
        program.run(&["apply", NAME, "--node", node, "--yes", "--inventory", &path])
    };
    apply("node02: {address: 10.77.0.12, port: 1}", "node02")?
        .exits(4)?
        .says(&["node02", "cannot be reached over SSH", "refused"])?;
    apply("node02: {address: 10.77.0.99, user: root}", "node02")?
        .exits(4)?
        .says(&["node02 (10.77.0.99) cannot be reached over SSH"])?;
    // A known host under a name that is not known: its key is not taken unasked.
    let strict = program.path().join("ssh_config");
    let text = fs::read_to_string(lab.ssh_config()).map_err(|e| e.to_string())?;
    let empty = program.path().join("known_hosts");
    fs::write(&empty, "").map_err(|e| e.to_string())?;
    let changed: String = text
        .lines()
        .map(|line| match line.trim().starts_with("UserKnownHostsFile") {
            true => format!("  UserKnownHostsFile {}\n", empty.display()),
            false => format!("{line}\n"),
        })
        .collect();
    fs::write(&strict, changed).map_err(|e| e.to_string())?;
    program
        .run_with(
            &["plan", NAME, "--node", "node02"],
            &[("RUNBOOK_SSH_CONFIG", strict.as_os_str())],
        )?
        .exits(4)?
        .says(&["Host key verification failed", "--accept-new"])?;
    // Another node than the asked one: then it is not known whether the mesh is whole.
    apply("node03: {address: 10.77.0.13, port: 1}", "node02")?
        .exits(3)?
        .says(&[
            "not every node's sessions can be read: node03",
            "--allow-unknown mesh",
        ])?;
    expect("journals", &program.journals(), &0)
}

fn sudo(lab: &Lab) -> Result<(), String> {
    let program = Program::new(lab)?;
    let path = inventory(&program, "node02: {address: 10.77.0.12, user: ops}")?;
    let path = path.to_string_lossy().into_owned();
    program
        .run(&["plan", NAME, "--node", "node02", "--inventory", &path])?
        .exits(0)?
        .says(&["all 3 nodes see every peer established"])
        .map(|_| ())
}

const PASSWORD: &str = "canary-4711";

/// A user who needs a password for sudo.
fn password(lab: &Lab) -> Result<(), String> {
    five::reset(lab)?;
    script(
        lab,
        &format!(
            "rm -f /etc/keeper; echo >/etc/motd; useradd -m -s /bin/bash pw && echo 'pw:{PASSWORD}' | chpasswd && cp -r /root/.ssh /home/pw/ && \
             chown -R pw: /home/pw/.ssh && echo 'pw ALL=(ALL) ALL' >/etc/sudoers.d/pw"
        ),
    )?;
    let outcome = with_password(lab);
    script(
        lab,
        "rm -f /etc/sudoers.d/pw; userdel -rf pw 2>/dev/null; true",
    )?;
    outcome
}

fn with_password(lab: &Lab) -> Result<(), String> {
    let program = Program::new(lab)?;
    let inventory = inventory(&program, "node03: {address: 10.77.0.13, user: pw}")?;
    let inventory = inventory.to_string_lossy().into_owned();
    let runbook = "examples/look-after.yaml";
    let apply = [
        "apply",
        runbook,
        "--node",
        NODE,
        "--yes",
        "--inventory",
        &inventory,
    ];
    program
        .run(&apply)?
        .exits(3)?
        .says(&["takes a password", "--become-password-file"])?;

    let file = program.path().join("password");
    fs::write(&file, format!("{PASSWORD}\n")).map_err(|e| e.to_string())?;
    let given = file.to_string_lossy().into_owned();
    let with_file = [&apply[..], &["--become-password-file", &given]].concat();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).map_err(|e| e.to_string())?;
    program
        .run(&with_file)?
        .exits(2)?
        .says(&["others than its owner can read it"])?;
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).map_err(|e| e.to_string())?;
    let run = program.run(&with_file)?.exits(0)?.run()?;

    // On a terminal it is asked for, once, and not shown.
    let undo = ["undo", &run, "--yes", "--inventory", &inventory];
    let asked = |args: &[&str], typed: &str| {
        program.when_it_says("Password of root", args, typed, || Ok(()))
    };
    let undone = asked(&undo, &format!("{PASSWORD}\n"))?;
    let said = &undone.stderr;
    expect("the exit code", &undone.code, &0)?;
    expect("the prompts", &said.matches("Password of root").count(), &1)?;
    let refused = asked(&apply, "wrong\n")?;
    expect("the exit code of a wrong one", &refused.code, &3)?;
    fs::remove_file(&file).map_err(|e| e.to_string())?;
    let kept = finish(
        std::process::Command::new("grep")
            .args(["-rlF", PASSWORD])
            .arg(program.path()),
    )?;
    expect("where it is kept", &kept.stdout.as_str(), &"")
}

/// The connections are killed while the mesh is watched, and the run ends well all the same.
fn broken_while_waiting(lab: &Lab) -> Result<(), String> {
    lab.break_(
        Incident::BgpWrongIp,
        Variant::SecondNic,
        crate::program::node(2)?,
        false,
    )
    .map_err(|e| e.to_string())?;
    let program = Program::new(lab)?;
    let mut run = program.start(&[
        "apply",
        NAME,
        "--node",
        "node02",
        "--yes",
        "--param",
        "settle=20s",
    ])?;
    run.until_it_says("it holds")?;
    expect("connections killed", &kill_masters(&program)?, &3)?;
    run.end()?.exits(0).map(|_| ())
}

/// Ends the OpenSSH masters that this test's program started: they name its own folder.
pub fn kill_masters(program: &Program<'_>) -> Result<usize, String> {
    let folder = program.path();
    let folder = folder.to_string_lossy();
    let mut killed = 0;
    for entry in fs::read_dir("/proc").map_err(|e| e.to_string())?.flatten() {
        let Ok(pid) = entry.file_name().to_string_lossy().parse::<i32>() else {
            continue;
        };
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        if line.contains(folder.as_ref())
            && line.contains(".ssh-connection")
            && let Some(pid) = rustix::process::Pid::from_raw(pid)
        {
            rustix::process::kill_process(pid, rustix::process::Signal::KILL)
                .map_err(|e| e.to_string())?;
            killed += 1;
        }
    }
    Ok(killed)
}
