//! calicoctl that is not on a node, or in another version: put there, and taken back.

use crate::bgp_wrong_ip::reboot;
use crate::connection::inventory;
use crate::program::{Program, Ran, expect, mesh_is_established, node};
use crate::{Case, Dirties, Suite};
use lab::Lab;
use runbook::model::Digest;
use std::path::PathBuf;

pub const CASES: &[Case] = &[
    Case {
        name: "calicoctl::a_missing_one_is_put_there_and_the_mesh_can_be_read_again",
        suite: Suite::Full,
        dirties: Dirties::Mesh,
        run: missing,
    },
    Case {
        name: "calicoctl::another_one_is_replaced_and_comes_back_byte_by_byte",
        suite: Suite::Full,
        dirties: Dirties::Mesh,
        run: another,
    },
    Case {
        name: "calicoctl::killed_while_it_is_sent_it_goes_on",
        suite: Suite::Full,
        dirties: Dirties::Mesh,
        run: killed,
    },
    Case {
        name: "calicoctl::what_is_not_what_it_should_be_is_not_put_there",
        suite: Suite::Full,
        dirties: Dirties::Nothing,
        run: wrong,
    },
];

const NAME: &str = "install-calicoctl";
const NODE: &str = "node02";
const PATH: &str = "/usr/local/bin/calicoctl";
/// Where the node's own one lies while a test has put another state in its place.
const KEPT: &str = "/usr/local/bin/calicoctl.kept";

fn on(lab: &Lab, command: &str) -> Result<String, String> {
    lab.ssh_text(node(2)?, command).map_err(|e| e.to_string())
}

/// The file that is put there, and its digest.
struct Built {
    file: PathBuf,
    digest: Digest,
}

impl Built {
    fn of(lab: &Lab) -> Result<Self, String> {
        let file = lab.dir().join("bin/calicoctl");
        let opened = std::fs::File::open(&file).and_then(Digest::of_all);
        let (digest, _) = opened.map_err(|e| format!("{}: {e}", file.display()))?;
        Ok(Self { file, digest })
    }

    fn params(&self) -> [String; 2] {
        [
            format!("file={}", self.file.display()),
            format!("sha256={}", self.digest),
        ]
    }
}

/// Runs it with what it asks for.
fn run(program: &Program<'_>, built: &Built, args: &[&str]) -> Result<Ran, String> {
    let [file, sha256] = built.params();
    let params = ["--node", NODE, "--param", &file, "--param", &sha256];
    program.run(&[&[args[0], NAME][..], &args[1..], &params].concat())
}

/// Whatever becomes of the test, the node has its own one afterwards.
fn with_fault(
    lab: &Lab,
    fault: &str,
    test: impl FnOnce() -> Result<(), String>,
) -> Result<(), String> {
    on(lab, &format!("[ -e {KEPT} ] || mv {PATH} {KEPT}; {fault}"))?;
    let tested = test();
    let back = on(lab, &format!("mv {KEPT} {PATH}"));
    tested.and(back.map(|_| ()))
}

/// What is at the path, with all that an undo brings back.
fn there(lab: &Lab) -> Result<String, String> {
    on(
        lab,
        &format!("[ ! -e {PATH} ] || {{ sha256sum <{PATH}; stat -c '%a %u:%g %s' {PATH}; }}"),
    )
}

/// Everything but the file itself is as it was before.
fn nothing_else_is_there(lab: &Lab) -> Result<(), String> {
    let left = on(
        lab,
        "ls -A /usr/local/bin /var/lib/runbook /run/runbook 2>/dev/null | grep -e staged -e '^\\.' -e claim$; true",
    )?;
    expect("what is left on the node", &left.as_str(), &"")
}

fn is_healed(lab: &Lab, built: &Built) -> Result<(), String> {
    let found = there(lab)?;
    let healed = found.contains(built.digest.as_str()) && found.contains("755 0:0");
    expect(&format!("whether `{found}` is it"), &healed, &true)?;
    on(lab, "calicoctl version --client")?;
    mesh_is_established(lab)
}

fn missing(lab: &Lab) -> Result<(), String> {
    let built = Built::of(lab)?;
    with_fault(lab, "true", || {
        let program = Program::new(lab)?;
        // Who reads the mesh is told what to do.
        let plan = program.run(&["plan", "fix-bgp-wrong-ip", "--node", NODE])?;
        plan.says(&[
            "calicoctl is not on node02",
            "runbook apply install-calicoctl --node node02",
        ])?;
        run(&program, &built, &["plan"])?.exits(0)?.says(&[
            "file /usr/local/bin/calicoctl of node02",
            "mode 0755, owner 0:0",
            "undo: exact",
            "Nothing was written",
        ])?;
        expect("what is there", &there(lab)?.as_str(), &"")?;
        let id = run(&program, &built, &["apply", "--yes"])?
            .exits(0)?
            .says(&["Done in", "verified"])?
            .run()?;
        is_healed(lab, &built)?;
        nothing_else_is_there(lab)?;
        run(&program, &built, &["apply", "--yes"])?
            .exits(0)?
            .says(&["is so already", "Nothing"])?;

        reboot(lab, 2)?;
        is_healed(lab, &built)?;
        program
            .run(&["undo", &id, "--yes"])?
            .exits(0)?
            .says(&["is taken back"])?;
        expect("what is there", &there(lab)?.as_str(), &"")?;
        nothing_else_is_there(lab)
    })
}

fn another(lab: &Lab) -> Result<(), String> {
    let built = Built::of(lab)?;
    let old = format!(
        "cp {KEPT} {PATH}; echo of an earlier version >>{PATH}; chown 7:8 {PATH}; chmod 2711 {PATH}"
    );
    with_fault(lab, &old, || {
        let program = Program::new(lab)?;
        let before = there(lab)?;
        let host = format!("{NODE}: {{address: 10.77.0.12, user: ops}}");
        let inventory = inventory(&program, &host)?;
        let inventory = ["--inventory", &*inventory.to_string_lossy()];
        let apply = [&["apply", "--yes"][..], &inventory].concat();
        let id = run(&program, &built, &apply)?
            .exits(0)?
            .says(&["mode 2711, owner 7:8", "mode 0755, owner 0:0", "Done in"])?
            .run()?;
        is_healed(lab, &built)?;
        run(&program, &built, &apply)?
            .exits(0)?
            .says(&["is so already"])?;
        nothing_else_is_there(lab)?;

        // A colleague can take it back as well.
        let carried = program.path().join("carried.runbook-run");
        let carried = &*carried.to_string_lossy();
        program
            .run(&["history", "export", &id, "--out", carried])?
            .exits(0)?;
        let colleague = Program::new(lab)?;
        colleague.run(&["history", "import", carried])?.exits(0)?;
        colleague
            .run(&[&["undo", &id, "--yes"][..], &inventory].concat())?
            .exits(0)?
            .says(&["is taken back"])?;
        expect("what is there", &there(lab)?, &before)?;
        nothing_else_is_there(lab)
    })
}

fn killed(lab: &Lab) -> Result<(), String> {
    let built = Built::of(lab)?;
    let old = format!("cp {KEPT} {PATH}; echo of an earlier version >>{PATH}");
    with_fault(lab, &old, || {
        let program = Program::new(lab)?;
        let before = there(lab)?;
        let [file, sha256] = built.params();
        let args = [
            "apply", NAME, "--yes", "--node", NODE, "--param", &file, "--param", &sha256,
        ];
        let mut run = program.start(&args)?;
        run.until("a part is sent", |said| {
            let sent = |line: &str| line.contains(" sent") && !line.trim().starts_with("0 of");
            said.lines().any(sent)
        })?;
        let id = run.kill()?.run()?;
        expect("what is there", &there(lab)?, &before)?;
        program
            .run(&["resume", &id])?
            .exits(0)?
            .says(&["Done in"])?;
        is_healed(lab, &built)?;
        nothing_else_is_there(lab)?;
        program.run(&["undo", &id, "--yes"])?.exits(0)?;
        expect("what is there", &there(lab)?, &before)
    })
}

fn wrong(lab: &Lab) -> Result<(), String> {
    let program = Program::new(lab)?;
    let other = Built {
        digest: Digest::of(b"another"),
        ..Built::of(lab)?
    };
    let before = there(lab)?;
    run(&program, &other, &["apply", "--yes"])?
        .exits(3)?
        .says(&[
            "is another file than it should be",
            Built::of(lab)?.digest.as_str(),
            other.digest.as_str(),
        ])?;
    let away = Built {
        file: PathBuf::from("/no/such/calicoctl"),
        digest: other.digest,
    };
    run(&program, &away, &["apply", "--yes"])?
        .exits(3)?
        .says(&["/no/such/calicoctl cannot be read here"])?;
    run(&program, &away, &["plan"])?.says(&["/no/such/calicoctl cannot be read here"])?;
    expect("journals", &program.journals(), &0)?;
    expect("what is there", &there(lab)?, &before)
}
