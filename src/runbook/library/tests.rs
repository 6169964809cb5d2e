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
        "calico.bgp",
        "calico.bgp_path",
        "calico.node_address",
        "calico.node_restart",
        "calico.node_status",
        "host.assert",
        "host.binary",
        "host.conntrack",
        "host.fstab",
        "host.module",
        "host.service",
        "host.swap",
        "host.sysctl",
        "host.unmanaged_devices",
        "kube.cordon",
        "kube.drain",
        "kube.evict",
        "kube.proxy_conntrack",
        "kube.replaced",
        "kube.wait",
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
    for Shipped { name, .. } in SHIPPED {
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
    let Shipped { name, text, .. } = SHIPPED[0];
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

/// With a kind that has a template beside it.
fn with_templates(folders: &[&Path]) -> Library {
    let mut kinds = Kinds::that_take_anything(&["a.b"]);
    kinds.0[0].beside = true;
    Library::new(kinds, folders.iter().map(|p| folder(p)).collect())
}

fn templated(name: &str, source: &str, more: &str) -> String {
    format!(
        "apiVersion: runbook/v1\nname: {name}\nsummary: S\nrisk: low\ntargets: cluster\n\
         params:\n  who: {{type: string, default: me}}\n  all: {{type: list, default: [a]}}\n  \
         key: {{type: secret}}\n\
         steps:\n  - {{id: a, uses: a.b, with: {{source: {source}, vars: {{x: 1, l: [1]}}}}}}\n{more}"
    )
}

#[test]
fn a_template_beside_a_runbook_belongs_to_its_text() {
    let dir = tempfile::tempdir().unwrap();
    let (one, two) = (dir.path().join("one"), dir.path().join("two"));
    fs::create_dir_all(one.join("conf")).unwrap();
    fs::create_dir(&two).unwrap();
    let include = "  - {id: b, uses: runbook, with: {runbook: inner}}\n";
    let outer = templated("outer", "conf/x.hbs", include);
    fs::write(one.join("outer.yaml"), &outer).unwrap();
    fs::write(one.join("conf/x.hbs"), "{{ params.who }} {{ vars.x }}\n").unwrap();
    fs::write(two.join("inner.yaml"), templated("inner", "x.hbs", "")).unwrap();
    fs::write(two.join("x.hbs"), "inner\n").unwrap();
    let library = with_templates(&[&one, &two]);
    let read = library.find("outer").unwrap().runbook;
    let template = |runbook: &Runbook| runbook.steps[0].with["template"].clone();
    assert_eq!(template(&read), "{{ params.who }} {{ vars.x }}\n");
    assert_eq!(template(&read.included["inner"]), "inner\n");
    let texts = read.texts();
    let names: Vec<&str> = texts.keys().map(String::as_str).collect();
    assert_eq!(names, ["./conf/x.hbs", "inner", "inner/x.hbs"]);

    // What was kept is enough, and is all.
    fs::remove_dir_all(dir.path()).unwrap();
    let kept = super::super::include::read_kept(&outer, "outer", &texts, library.kinds()).unwrap();
    assert_eq!(kept.texts(), texts);
    assert_eq!(template(&kept), template(&read));
    assert_eq!(template(&kept.included["inner"]), "inner\n");
    let mut lacking = texts.clone();
    lacking.remove("inner/x.hbs");
    let fault = super::super::include::read_kept(&outer, "outer", &lacking, library.kinds());
    let said = fault.unwrap_err().excerpt.unwrap();
    assert!(said.contains("there is no such file"), "{said}");
}

#[test]
fn what_is_wrong_with_a_template_is_said_with_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.yaml");
    let template = "a\n {{ params.whom }} {{ vars.y }}\n{{ params.all }} {{ vars.l }}\n\
                    {{#each params.who}}{{/each}}{{ params.key }}{{> part}}{{ steps.a.changed }}\n{{#if params.who}}";
    fs::write(dir.path().join("x.hbs"), template).unwrap();
    let library = with_templates(&[]);
    let said = |source: &str| {
        fs::write(&path, templated("x", source, "")).unwrap();
        let fault = library.read_path(&path).unwrap_err();
        let said = fault.excerpt.unwrap();
        let said = said.replace(&dir.path().display().to_string(), "DIR");
        let shown = |line: &&str| {
            ["  x ", "did you", "help:"]
                .iter()
                .any(|part| line.contains(part))
        };
        said.lines().filter(shown).collect::<Vec<_>>().join("\n")
    };
    let all = ["x.hbs", "none.hbs", "../x.hbs", "'{{ params.who }}'"].map(said);
    insta::assert_snapshot!(all.join("\n--\n"), @"
      x x.hbs:4:48: `>` is not known in templates here
      help: a template knows `{{ name }}`, `{{#if name}}`, `{{#unless name}}`, `{{#each name}}`,
      x x.hbs:5:3: `{{#if}}` is not closed
      help: end it with `{{/if}}`
      x x.hbs:2:5: `params.whom` is not known here
        :                                         `-- did you mean `params.who`?
      x x.hbs:2:23: `vars.y` is not known here
        :                                         `-- did you mean `vars.x`?
      x x.hbs:3:4: `params.all` is a list, and would become a part of a text
      help: write {{#each params.all}}{{this}} {{/each}}
      x x.hbs:3:21: `vars.l` is a list, and would become a part of a text
      help: write {{#each vars.l}}{{this}} {{/each}}
      x x.hbs:4:9: `params.who` is not a list
      x x.hbs:4:33: `params.key` is secret, and would be seen here
      help: a secret is the whole value of a variable of a program: env: {SECRET: '{{ params.key }}'}
      x x.hbs:4:59: `a` is this step itself
      help: a step may name the steps before it
    --
      x the template `none.hbs` cannot be read: there is no such file in DIR
    --
      x the template `../x.hbs` cannot be read: it is named from the runbook's own folder on, without
    --
      x which file is used must stand here as it is
      help: make two steps of it, each with `when`
    ");
}

#[test]
fn a_runbook_is_trusted_no_more_than_its_templates() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.yaml");
    fs::write(&path, templated("x", "x.hbs", "")).unwrap();
    let template = dir.path().join("x.hbs");
    fs::write(&template, "a").unwrap();
    let set = |mode| fs::set_permissions(&template, fs::Permissions::from_mode(mode)).unwrap();
    let library = with_templates(&[]);
    set(0o644);
    assert_eq!(library.read_path(&path).unwrap().untrusted, None);
    set(0o666);
    let why = library.read_path(&path).unwrap().untrusted.unwrap();
    assert!(why.contains("x.hbs"), "{why}");
}
