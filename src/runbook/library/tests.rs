use super::*;
use std::fs;
use std::os::unix::fs::PermissionsExt;

fn folder(path: &Path) -> Folder {
    Folder {
        path: path.to_owned(),
        named: true,
    }
}

fn text(name: &str, summary: &str) -> String {
    format!(
        "apiVersion: runbook/v1\nname: {name}\nsummary: {summary}\nrisk: low\ntargets: nodes\nsteps:\n  - {{id: a, uses: calico.node_restart}}\n"
    )
}

fn kinds() -> Kinds {
    Kinds::that_take_anything(&[
        "calico.autodetection",
        "calico.mesh",
        "calico.node_address",
        "calico.node_restart",
    ])
}

fn library(folders: &[&Path]) -> Library {
    Library::new(kinds(), folders.iter().map(|p| folder(p)).collect())
}

/// What is listed, a line each, with `DIR` for the folder.
fn listed(library: &Library, dir: &Path) -> String {
    let (entries, faults) = library.list();
    let mut lines = Vec::new();
    for entry in entries {
        let what = match &entry.runbook {
            Ok(runbook) => runbook.summary.clone(),
            Err(fault) => format!("! {fault}"),
        };
        lines.push(format!("{} ({}): {what}", entry.name, entry.origin));
        lines.extend(
            entry
                .overrides
                .iter()
                .map(|other| format!("  over {other}")),
        );
    }
    lines.extend(faults.iter().map(ToString::to_string));
    lines.join("\n").replace(&dir.display().to_string(), "DIR")
}

#[test]
fn every_shipped_runbook_is_read_under_its_own_name() {
    let library = library(&[]);
    for (name, _) in SHIPPED {
        let found = library.find(name).unwrap();
        assert_eq!(
            (found.runbook.name.as_str(), found.origin),
            (*name, Origin::Shipped)
        );
    }
}

#[test]
fn an_unknown_name_is_an_error_with_a_suggestion() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("mine.yaml"), text("mine", "Mine")).unwrap();
    let library = library(&[dir.path()]);
    let fault = library.find("fix-bgp-wrong-pi").unwrap_err();
    assert!(fault.next.unwrap().contains("`fix-bgp-wrong-ip`"));
    let fault = library.find("mien").unwrap_err();
    assert!(fault.next.unwrap().contains("`mine`"));
    assert_eq!(
        library.find("./none.yaml").unwrap_err().code,
        "runbook_unreadable"
    );
}

#[test]
fn the_first_folder_counts_and_what_it_overrides_is_seen() {
    let dir = tempfile::tempdir().unwrap();
    let (a, b) = (dir.path().join("a"), dir.path().join("b"));
    fs::create_dir(&a).unwrap();
    fs::create_dir(&b).unwrap();
    let put = |folder: &Path, file: &str, text: &str| fs::write(folder.join(file), text).unwrap();
    put(&a, "mine.yaml", &text("mine", "Mine of a"));
    put(&b, "mine.yaml", &text("mine", "Mine of b"));
    put(&b, "mine.yml", &text("mine", "Mine of b, once more"));
    put(
        &b,
        "fix-bgp-wrong-ip.yaml",
        &text("fix-bgp-wrong-ip", "Another way"),
    );
    put(&a, "other.yaml", &text("another", "Has another name"));
    put(&a, "broken.yaml", "name: [");
    put(
        &b,
        "broken.yaml",
        &text("broken", "Stands behind a broken one"),
    );
    put(&a, "binary.yaml", "x");
    fs::write(a.join("binary.yaml"), [0xff, 0xfe]).unwrap();
    put(&a, "notes.txt", "no runbook");
    put(&a, ".hidden.yaml", "no runbook");
    let library = library(&[&a, &b, &dir.path().join("none")]);
    insta::assert_snapshot!(listed(&library, dir.path()));
    assert_eq!(library.find("mine").unwrap_err().code, "library_folder");

    let library = self::library(&[&a, &b]);
    let found = library.find("mine").unwrap();
    assert_eq!(found.runbook.summary, "Mine of a");
    assert_eq!(
        found.overrides,
        [
            Origin::File(b.join("mine.yaml")),
            Origin::File(b.join("mine.yml"))
        ]
    );
    assert_eq!(
        library.find("fix-bgp-wrong-ip").unwrap().overrides,
        [Origin::Shipped]
    );
    assert_eq!(library.find("other").unwrap_err().code, "runbook_name");
    assert_eq!(library.find("broken").unwrap_err().code, "runbook_wrong");
}

#[test]
fn only_what_nobody_else_can_write_to_takes_the_place_of_another() {
    let dir = tempfile::tempdir().unwrap();
    let (name, text) = SHIPPED[0];
    let path = dir.path().join(format!("{name}.yaml"));
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
    let library = library(&[dir.path()]);
    let found = library.find(name).unwrap();
    assert_eq!(
        (found.origin, found.overrides),
        (Origin::Shipped, Vec::new())
    );
    assert_eq!(found.runbook.untrusted, None);
    fs::write(&path, format!("{text}# mine\n")).unwrap();
    let fault = library.find(name).unwrap_err();
    assert_eq!(fault.code, "runbook_untrusted");
    // By its path it is what was asked for; and what only its owner can write to may override.
    let by_path = library.find(&path.display().to_string()).unwrap();
    assert!(by_path.runbook.untrusted.is_some());
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    let found = library.find(name).unwrap();
    assert_eq!(found.origin, Origin::File(path));
    assert_eq!(found.runbook.untrusted, None);
}

#[test]
fn a_usual_folder_may_be_absent() {
    let library = Library::new(
        kinds(),
        vec![Folder {
            path: PathBuf::from("/no/such/folder"),
            named: false,
        }],
    );
    assert!(library.find("fix-bgp-wrong-ip").is_ok());
    assert_eq!(library.list().1, []);
}
