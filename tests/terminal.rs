//! Questions on a real terminal, where neither hosts nor a cluster are needed: what is an answer and
//! what is none, and how the terminal is left when a signal ends the program.

#[cfg(test)]
mod pty;

#[cfg(test)]
mod tests {
    use crate::pty::Pty;
    use rustix::process::Signal;
    use std::fs;
    use std::path::Path;
    use std::process::Command;

    const ASKING: &str = "\
apiVersion: runbook/v1
name: asking
summary: Ask
risk: low
targets: nodes
params:
  who: {type: string, help: Whom to ask}
  size: {type: enum, values: [small, large]}
  token: {type: secret}
steps:
  - {id: a, uses: calico.node_restart}
";

    /// Of a cluster that nobody needs for a question.
    const KUBECONFIG: &str = r#"{"apiVersion": "v1", "kind": "Config", "current-context": "c",
        "clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:1"}}],
        "users": [{"name": "c", "user": {}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "c"}}]}"#;

    fn command(folder: &Path, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_runbook"));
        command
            .args(args)
            .current_dir(folder)
            .env("HOME", folder)
            .env("RUNBOOK_STATE_DIR", folder.join("state"))
            .env("TERM", "xterm")
            .env_remove("XDG_CONFIG_HOME")
            .env_remove("KUBECONFIG");
        command
    }

    /// A program that asks, and the folder that it is in.
    fn asking() -> (tempfile::TempDir, Pty, String) {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("asking.yaml"), ASKING).unwrap();
        fs::write(dir.path().join("kubeconfig"), KUBECONFIG).unwrap();
        let args = [
            "--kubeconfig",
            "kubeconfig",
            "apply",
            "asking.yaml",
            "--node",
            "n",
        ];
        // As a shell would find it.
        let before = Pty::start(&Command::new("true"))
            .unwrap()
            .settings()
            .unwrap();
        let pty = Pty::start(&command(dir.path(), &args)).unwrap();
        pty.shows("who: ").unwrap();
        assert_ne!(pty.settings().unwrap(), before, "it is not raw");
        (dir, pty, before)
    }

    #[test]
    fn a_signal_at_a_question_ends_the_program_and_leaves_the_terminal_as_it_was() {
        for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
            let (_dir, pty, before) = asking();
            pty.types("half an ans").unwrap();
            pty.shows("half an ans").unwrap();
            pty.signal(signal).unwrap();
            let said = pty.shows("Interrupted.").unwrap();
            pty.shows("Nothing was written.\r\n").unwrap();
            assert!(!said.contains("panicked"), "{said}");
            assert_eq!(left(pty), (130, before));
        }
    }

    fn left(pty: Pty) -> (i32, String) {
        let ended = pty.ends().unwrap();
        (ended.code, ended.settings)
    }

    #[test]
    fn ctrl_c_is_at_a_raw_question_what_it_is_everywhere() {
        // At a line, at a list, and at a secret, which is not shown.
        for answers in [&[][..], &["me\r"], &["me\r", "small\r"]] {
            let (_dir, pty, before) = asking();
            for (answer, next) in answers.iter().zip(["search: ", "token: "]) {
                pty.types(answer).unwrap();
                pty.shows(next).unwrap();
            }
            pty.types("\u{3}").unwrap();
            pty.shows("Interrupted. Nothing was written.").unwrap();
            assert_eq!(left(pty), (130, before));
        }
    }

    #[test]
    fn an_answer_that_is_cut_off_is_none() {
        for cut in ["\u{4}", "me\u{4}", "\u{1b}"] {
            let (_dir, pty, before) = asking();
            pty.types(cut).unwrap();
            pty.shows("[not_answered]").unwrap();
            assert_eq!(left(pty), (3, before));
        }
    }

    #[test]
    fn a_terminal_that_is_closed_at_a_question_ends_the_program() {
        let (_dir, mut pty, _) = asking();
        pty.close();
        // The hangup, or the end of the input, whichever is seen first.
        assert!([130, 3].contains(&pty.ends().unwrap().code));
    }

    /// A run that could be removed.
    fn with_a_run() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let fixture = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/fixtures/0.1.0/five-steps.runbook-run");
        let import = command(dir.path(), &["history", "import"])
            .arg(fixture)
            .output()
            .unwrap();
        assert!(import.status.success(), "{import:?}");
        assert_eq!(runs(dir.path()), 1);
        dir
    }

    fn runs(folder: &Path) -> usize {
        fs::read_dir(folder.join("state/runs")).unwrap().count()
    }

    #[test]
    fn only_a_whole_line_that_says_yes_is_a_yes() {
        for (typed, code, left) in [
            ("\n", 3, 1),
            ("n\n", 3, 1),
            ("yes please\n", 3, 1),
            // The end of the input, at the start of a line and within one.
            ("\u{4}", 3, 1),
            ("y\u{4}\u{4}", 3, 1),
            ("yes\u{4}\u{4}", 3, 1),
            ("y\n", 0, 0),
            ("YES\n", 0, 0),
        ] {
            let dir = with_a_run();
            let prune = ["history", "prune", "--older-than", "1s"];
            let pty = Pty::start(&command(dir.path(), &prune)).unwrap();
            pty.shows("[y/N] ").unwrap();
            pty.types(typed).unwrap();
            let ended = pty.ends().unwrap();
            assert_eq!(
                (ended.code, runs(dir.path())),
                (code, left),
                "{typed:?}: {}",
                ended.said
            );
        }
    }

    #[test]
    fn a_terminal_that_is_closed_says_nothing() {
        let dir = with_a_run();
        let prune = ["history", "prune", "--older-than", "1s"];
        let mut pty = Pty::start(&command(dir.path(), &prune)).unwrap();
        pty.shows("[y/N] ").unwrap();
        pty.types("y").unwrap();
        pty.close();
        pty.ends().unwrap();
        assert_eq!(runs(dir.path()), 1);
    }
}
