//! The shell of a host: whatever /bin/sh is, and whatever the login shell is.

use super::Case;
use super::client::{Client, LIMIT, block, host_as, login, refused, run, same, script};
use super::machine::{Kind, Machine};
use super::place::{Place, text};
use runbook::model::{Exit, Identity};

pub const CASES: &[Case] = &[
    Case {
        name: "programs_run_under_dash",
        run: |place| programs_run(place, over_sh("dash")),
    },
    Case {
        name: "programs_run_under_bash",
        run: |place| programs_run(place, over_sh("bash")),
    },
    Case {
        name: "programs_run_under_busybox_sh",
        run: |place| programs_run(place, over_sh("busybox")),
    },
    Case {
        name: "programs_run_where_all_tools_are_busyboxs",
        run: |place| programs_run(place, over_sh("busybox") + APPLETS),
    },
    Case {
        name: "login_shells_need_not_be_posix_shells",
        run: login_shells_need_not_be_posix_shells,
    },
    Case {
        name: "what_a_login_shell_prints_does_no_harm",
        run: what_a_login_shell_prints_does_no_harm,
    },
    Case {
        name: "a_user_who_may_not_log_in_gets_no_shell",
        run: a_user_who_may_not_log_in_gets_no_shell,
    },
    Case {
        name: "a_restricted_shell_is_no_shell",
        run: a_restricted_shell_is_no_shell,
    },
    Case {
        name: "a_forced_command_is_no_shell",
        run: a_forced_command_is_no_shell,
    },
    Case {
        name: "a_forced_command_that_echoes_is_silent",
        run: a_forced_command_that_echoes_is_silent,
    },
];

/// Where all that PATH has first is busybox's.
pub const APPLETS: &str = r#"
mkdir /run/applets
for applet in $(busybox --list); do
    case $applet in
        busybox | sudo | su | mount) ;;
        *) ln -s /bin/busybox "/run/applets/$applet" ;;
    esac
done
mount --bind /run/applets /usr/local/sbin
"#;

/// Puts another shell in the place of the machine's own.
pub fn over_sh(shell: &str) -> String {
    format!(
        "cp \"$(command -v {shell})\" /run/sh\nmount --bind /run/sh \"$(readlink -f /bin/sh)\"\n"
    )
}

fn programs_run(place: &Place, prepare: String) -> Result<(), String> {
    let kind = Kind {
        prepare: &prepare,
        ..Kind::default()
    };
    let machine = Machine::of_kind(place, &kind)?;
    let client = Client::of(&[&machine])?;
    block(async {
        let hosts = client.hosts();
        let root = login(&machine, "root");
        let ran = run(
            &hosts,
            &root,
            Identity::Login,
            "echo out; echo err >&2; cat; exit 7",
        )
        .await
        .map_err(text)?;
        same("what it printed", ran.head.as_str(), "out\nerr\n")?;
        same("its end", ran.exit, Exit::Code(7))?;
        same("whether anything holds its output", ran.held, false)?;

        let odd = "a\n'b'\t\"c\" !x $HOME `id` \\n \\0101 % é *";
        let mut program = script("printf '%s|%s|%s\\n' \"$1\" \"$2\" \"$ODD\"", &[odd, ""]);
        program.env.insert("ODD".to_owned(), odd.to_owned());
        let ran = hosts
            .read_program(&root, &host_as(Identity::Login), &program, LIMIT)
            .await
            .map_err(text)?;
        same("what it was given", ran.head, format!("{odd}||{odd}\n"))?;

        let ran = run(&hosts, &root, Identity::Login, "printf 'a\\0b\\377\\n\\nc'")
            .await
            .map_err(text)?;
        same("bytes", ran.head.as_str(), "a\0b\u{fffd}\n\nc")?;

        for (program, wanted) in [
            ("true", Exit::Code(0)),
            ("set -e; false; echo not here", Exit::Code(1)),
            ("exec sh -c 'kill -KILL $$'", Exit::Code(137)),
            ("if", Exit::Code(2)),
        ] {
            let ran = run(&hosts, &root, Identity::Login, program)
                .await
                .map_err(text)?;
            let end = match (program, ran.exit) {
                // What it is for a text that is no script, each shell says in its own way.
                ("if", Exit::Code(code)) if code != 0 => wanted,
                (_, exit) => exit,
            };
            same(program, end, wanted)?;
        }
        hosts.close().await;
        machine.comes_to_rest().await
    })
}

fn login_shells_need_not_be_posix_shells(place: &Place) -> Result<(), String> {
    let machine = Machine::start(place)?;
    let client = Client::of(&[&machine])?;
    block(async {
        let hosts = client.hosts();
        for user in ["csh", "fish"] {
            let at = login(&machine, user);
            let ran = run(&hosts, &at, Identity::root(), "id -un; echo \"$0\"")
                .await
                .map_err(|e| format!("{user}: {e}"))?;
            same(user, ran.head.lines().next(), Some("root"))?;
        }
        Ok(())
    })
}

fn what_a_login_shell_prints_does_no_harm(place: &Place) -> Result<(), String> {
    let machine = Machine::start(place)?;
    let client = Client::of(&[&machine])?;
    block(async {
        let hosts = client.hosts();
        for identity in [Identity::Login, Identity::root()] {
            let ran = run(&hosts, &login(&machine, "noisy"), identity, "echo clean")
                .await
                .map_err(text)?;
            same("what it printed", ran.head.as_str(), "clean\n")?;
        }
        Ok(())
    })
}

fn a_user_who_may_not_log_in_gets_no_shell(place: &Place) -> Result<(), String> {
    let machine = Machine::start(place)?;
    let fault = no_shell(&machine, "barred", "host_no_shell")?;
    match fault.contains("not available") {
        true => Ok(()),
        false => Err(format!("it does not say what the host said: {fault}")),
    }
}

fn a_restricted_shell_is_no_shell(place: &Place) -> Result<(), String> {
    let machine = Machine::start(place)?;
    let fault = no_shell(&machine, "restricted", "host_no_shell")?;
    match fault.contains("restricted") {
        true => Ok(()),
        false => Err(format!("it does not say what the host said: {fault}")),
    }
}

fn a_forced_command_is_no_shell(place: &Place) -> Result<(), String> {
    let kind = Kind {
        sshd: "ForceCommand echo hello",
        ..Kind::default()
    };
    let machine = Machine::of_kind(place, &kind)?;
    let fault = no_shell(&machine, "ops", "host_no_shell")?;
    match fault.contains("hello") {
        true => Ok(()),
        false => Err(format!("it does not say what the host said: {fault}")),
    }
}

fn a_forced_command_that_echoes_is_silent(place: &Place) -> Result<(), String> {
    let kind = Kind {
        sshd: "ForceCommand cat",
        ..Kind::default()
    };
    let machine = Machine::of_kind(place, &kind)?;
    no_shell(&machine, "ops", "host_silent")?;
    block(machine.comes_to_rest())
}

/// What is said of a login without a shell.
fn no_shell(machine: &Machine, user: &str, code: &str) -> Result<String, String> {
    let client = Client::of(&[machine])?;
    block(async {
        let hosts = client.hosts();
        let answer = run(&hosts, &login(machine, user), Identity::Login, "true").await;
        refused(answer, code).map(|fault| fault.message)
    })
}
