//! A host and its node that five quick steps change, and how they stand.

use crate::program::{Program, Ran, finish, node, wait_until};
use lab::Lab;

pub const RUNBOOK: &str = "tests/in_lab/five-steps.yaml";
pub const NODE: &str = "node03";

/// Puts everything as it is before the five steps.
pub fn reset(lab: &Lab) -> Result<(), String> {
    clear(lab)?;
    script(
        lab,
        "mkdir -p /etc/five/last && printf 'a\\nold\\n' >/etc/five/changed.conf && \
         echo bye >/etc/five/last/removed.conf && chmod 0644 /etc/five/changed.conf /etc/five/last/removed.conf",
    )?;
    kubectl(
        lab,
        &[
            "annotate",
            "node",
            NODE,
            "example.com/five=old",
            "--overwrite",
        ],
    )
}

/// Takes away all that the five steps are about.
pub fn clear(lab: &Lab) -> Result<(), String> {
    script(
        lab,
        "chattr -R -i /etc/five 2>/dev/null; rm -rf /etc/five /run/runbook /var/lib/runbook",
    )?;
    let patch = r#"{"spec":{"unschedulable":null},"metadata":{"labels":{"example.com/five":null},"annotations":{"example.com/five":null,"example.com/said":null}}}"#;
    kubectl(lab, &["patch", "node", NODE, "--type=merge", "-p", patch])?;
    // A controller takes the taint of a cordoned node away, a little later.
    wait_until(180, "the node's taint to go", || {
        let node = lab
            .kubectl_json(&["get", "node", NODE])
            .map_err(|e| e.to_string())?;
        let taints = node.pointer("/spec/taints").map(ToString::to_string);
        Ok(!taints.is_some_and(|taints| taints.contains("node.kubernetes.io/unschedulable")))
    })
}

/// All that the five steps own, and what they may leave lying about.
pub fn state(lab: &Lab) -> Result<String, String> {
    let files = script_text(
        lab,
        "cd /etc/five && find . -type f -printf '%p %m %U:%G ' -exec sha256sum {} \\; | sort",
    )?;
    let object = lab
        .kubectl_json(&["get", "node", NODE])
        .map_err(|e| e.to_string())?;
    let of = |at: &str| object.pointer(at).cloned().unwrap_or_default().to_string();
    Ok(format!(
        "{files}cordoned {}\nlabel {}\nfive {}\nsaid {}\n",
        of("/spec/unschedulable"),
        of("/metadata/labels/example.com~1five"),
        of("/metadata/annotations/example.com~1five"),
        of("/metadata/annotations/example.com~1said"),
    ))
}

pub fn script(lab: &Lab, script: &str) -> Result<(), String> {
    script_text(lab, script).map(|_| ())
}

/// Over one connection for all of them, which closes itself: a new one each time costs a second.
pub fn script_text(lab: &Lab, script: &str) -> Result<String, String> {
    let socket = format!("ControlPath={}/five.sock", lab.dir().display());
    let mut command = lab.command("ssh");
    command
        .arg("-F")
        .arg(lab.ssh_config())
        .args([
            "-o",
            "ControlMaster=auto",
            "-o",
            "ControlPersist=20",
            "-o",
            &socket,
        ])
        .args([&node(3)?.name(), script]);
    let ran = finish(&mut command)?;
    match ran.code {
        0 => Ok(ran.stdout),
        _ => Err(format!("`{script}` on {NODE}: {}", ran.stderr)),
    }
}

pub fn kubectl(lab: &Lab, args: &[&str]) -> Result<(), String> {
    lab.kubectl_text(args)
        .map(|_| ())
        .map_err(|e| e.to_string())
}

/// Applies the five steps.
pub fn apply(program: &Program<'_>) -> Result<Ran, String> {
    program.run(&["apply", RUNBOOK, "--node", NODE, "--yes"])
}
