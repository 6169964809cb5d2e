//! What the program prints and how it exits where neither hosts nor a cluster are needed.

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;
    use std::process::{Command, Stdio};

    /// What was printed to standard output, to standard error, and the exit code.
    fn run(folder: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> (String, String, i32) {
        let output = Command::new(env!("CARGO_BIN_EXE_runbook"))
            .args(arguments)
            .current_dir(folder)
            .env_clear()
            .env("HOME", folder)
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (
            text(output.stdout),
            text(output.stderr),
            output.status.code().unwrap(),
        )
    }

    const ASKING: &str = "\
apiVersion: runbook/v1
name: asking
summary: Ask
risk: low
targets: nodes
params:
  who: {type: string, help: Whom to ask}
  count: {type: int, max: 9}
  token: {type: secret}
steps:
  - {id: a, uses: calico.node_restart}
";

    #[test]
    fn a_new_runbook_is_listed_shown_and_well_formed() {
        let dir = tempfile::tempdir().unwrap();
        let run = |arguments: &[&str]| run(dir.path(), arguments, &[]);
        fs::create_dir(dir.path().join("runbooks")).unwrap();
        let (out, err, code) = run(&["new", "clean-up"]);
        assert_eq!((err.as_str(), code), ("", 0));
        assert!(out.contains("runbook plan clean-up --node NODE"), "{out}");
        assert!(dir.path().join("runbooks/clean-up.yaml").exists());
        assert_eq!(run(&["new", "clean-up"]).2, 2);
        let (out, _, code) = run(&["list"]);
        assert!(
            out.lines().any(|line| line.starts_with("clean-up ")),
            "{out}"
        );
        assert!(out.contains("from ./runbooks/clean-up.yaml"), "{out}");
        assert_eq!(code, 0);
        let (out, _, code) = run(&["show", "clean-up"]);
        assert!(out.contains("its `undo` is its author's word"), "{out}");
        assert_eq!(code, 0);
        let text = fs::read_to_string(dir.path().join("runbooks/clean-up.yaml")).unwrap();
        assert!(
            text.contains("runbook plan ./runbooks/clean-up.yaml --node NODE"),
            "{text}"
        );
        assert_eq!(run(&["show", "clean-up", "--text"]).0, text);
    }

    #[test]
    fn rights_are_printed_without_a_cluster_unless_only_a_cluster_knows() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("asking.yaml"), ASKING).unwrap();
        let run = |arguments: &[&str]| run(dir.path(), arguments, &[]);
        let (out, err, code) = run(&["show", "asking.yaml", "--rbac"]);
        assert_eq!((err.as_str(), code), ("", 0));
        assert!(out.contains("name: \"runbook-asking\""), "{out}");
        assert!(out.contains("create clusterrolebinding"), "{out}");
        let (out, _, code) = run(&["show", "asking.yaml", "--rbac", "--rbac-for", "ops/healer"]);
        assert_eq!(code, 0);
        assert!(
            out.contains("namespace: \"ops\", name: \"healer\""),
            "{out}"
        );
        for wrong in ["healer", "user:", "/x", "a/b/c"] {
            let (_, err, code) = run(&["show", "asking.yaml", "--rbac", "--rbac-for", wrong]);
            assert!(err.contains("NAMESPACE/NAME of a ServiceAccount"), "{err}");
            assert_eq!(code, 2);
        }
        let widget = "{id: a, uses: kube.wait, with: {of: {api_version: example.com/v1, kind: Widget, name: w}, gone: true}}";
        let text = ASKING.replace("{id: a, uses: calico.node_restart}", widget);
        fs::write(dir.path().join("asking.yaml"), text).unwrap();
        let (out, err, code) = run(&["show", "asking.yaml", "--rbac"]);
        assert_eq!((out.as_str(), code), ("", 2));
        assert!(
            err.contains("step `a`: how Widget of `example.com/v1`"),
            "{err}"
        );
        assert!(err.contains("[kubeconfig]"), "{err}");
        let (_, err, code) = run(&["show", "plan.json", "--rbac"]);
        assert!(err.contains("[rbac_of_plan]"), "{err}");
        assert_eq!(code, 2);
    }

    #[test]
    fn the_schema_is_printed_for_editors() {
        let dir = tempfile::tempdir().unwrap();
        let (out, err, code) = run(dir.path(), &["schema"], &[]);
        assert_eq!((err.as_str(), code), ("", 0));
        let schema: serde_json::Value = serde_json::from_str(&out).unwrap();
        assert_eq!(schema["title"], "A runbook");
        assert!(schema["$defs"]["with host.file"].is_object());
    }

    #[test]
    fn a_runbook_is_shown_with_its_description() {
        let dir = tempfile::tempdir().unwrap();
        let text = ASKING.replace(
            "risk: low",
            "description: |\n  Asks for it.\n\n  And then again.\nrisk: low",
        );
        fs::write(dir.path().join("asking.yaml"), text).unwrap();
        let (out, _, code) = run(dir.path(), &["show", "asking.yaml"], &[]);
        assert!(out.contains("\nAsks for it.\n\nAnd then again.\n"), "{out}");
        assert_eq!(code, 0);
    }

    #[test]
    fn files_are_validated_each_for_itself() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("good.yaml"), ASKING).unwrap();
        fs::write(
            dir.path().join("bad.yaml"),
            ASKING.replace("risk: low", "risk: no"),
        )
        .unwrap();
        let (out, err, code) = run(
            dir.path(),
            &["validate", "bad.yaml", "none.yaml", "good.yaml"],
            &[],
        );
        assert_eq!(
            (out.as_str(), code),
            ("good.yaml: well-formed, 1 step\n", 2)
        );
        assert!(
            err.contains("bad.yaml") && err.contains("none.yaml"),
            "{err}"
        );
        assert_eq!(run(dir.path(), &["validate", "good.yaml"], &[]).2, 0);
    }

    #[test]
    fn help_behind_a_name_has_its_parameters() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("asking.yaml"), ASKING).unwrap();
        let run = |arguments: &[&str]| run(dir.path(), arguments, &[]);
        for command in ["plan", "apply"] {
            let (out, err, code) = run(&[command, "asking.yaml", "--help"]);
            assert_eq!((err.as_str(), code), ("", 0));
            assert!(
                out.contains("Usage: runbook") && out.contains("Whom to ask"),
                "{out}"
            );
            let (params, secrets) = out.split_once("Its secrets, each given in a file").unwrap();
            assert!(params.contains("  who  "), "{out}");
            assert!(
                secrets.contains("  token ") && !secrets.contains("  who "),
                "{out}"
            );
            let (out, _, code) = run(&[command, "--help"]);
            assert!(!out.contains("parameters, each"), "{out}");
            assert_eq!(code, 0);
        }
        let (_, err, code) = run(&["apply", "askign", "-h"]);
        assert!(err.contains("[unknown_runbook]"), "{err}");
        assert_eq!(code, 2);
    }

    #[test]
    fn what_is_wrong_with_parameters_is_said_before_anything_is_reached() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("asking.yaml"), ASKING).unwrap();
        let plan = ["plan", "asking.yaml", "--node", "n"];
        let (_, err, code) = run(dir.path(), &plan, &[]);
        assert!(err.contains("3 parameters are wrong or missing"), "{err}");
        assert!(err.contains("[param_missing]"), "{err}");
        assert_eq!(code, 2);
        let values = dir.path().join("values.yaml");
        fs::write(&values, "{who: me, token: hunter2}").unwrap();
        fs::set_permissions(&values, fs::Permissions::from_mode(0o644)).unwrap();
        let with = [&plan[..], &["--params", "values.yaml"]].concat();
        let count = [("RUNBOOK_PARAM_COUNT", "10")];
        let (_, err, _) = run(dir.path(), &with, &count);
        assert!(
            err.contains("2 parameters are wrong") && err.contains("at most 9"),
            "{err}"
        );
        assert!(
            err.contains("others than its owner") && !err.contains("hunter2"),
            "{err}"
        );
        fs::set_permissions(&values, fs::Permissions::from_mode(0o600)).unwrap();
        // Nothing is wrong with these; what is missing next is a cluster.
        let (_, err, _) = run(dir.path(), &with, &[("RUNBOOK_PARAM_COUNT", "9")]);
        assert!(err.contains("[kubeconfig]"), "{err}");
    }

    #[test]
    fn folders_are_named_by_option_or_environment_and_must_be_there() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("lib")).unwrap();
        fs::write(dir.path().join("lib/asking.yaml"), ASKING).unwrap();
        let show = ["show", "asking"];
        assert_eq!(run(dir.path(), &show, &[]).2, 2);
        assert_eq!(run(dir.path(), &show, &[("RUNBOOK_PATH", ":lib:")]).2, 0);
        assert_eq!(run(dir.path(), &show, &[("RUNBOOK_PATH", "")]).2, 2);
        assert_eq!(run(dir.path(), &["list"], &[("RUNBOOK_PATH", "")]).2, 0);
        assert_eq!(
            run(dir.path(), &["--path", "lib", "show", "asking"], &[]).2,
            0
        );
        let (out, err, code) = run(
            dir.path(),
            &["list", "--path", "lib", "--path", "none"],
            &[],
        );
        assert!(out.contains("asking"), "{out}");
        assert!(err.contains("[library_folder]"), "{err}");
        assert_eq!(code, 2);
    }
}
