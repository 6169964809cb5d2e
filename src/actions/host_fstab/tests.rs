use super::entry::{Entry, entries};
use super::*;
use crate::model::{Scope, UndoClass};
use proptest::prelude::*;
use serde_json::{Value, json};

const PATH: &str = "/etc/fstab";

/// As an installer leaves it, with all that people add.
const FSTAB: &str = "\
# /etc/fstab: static file system information.
#
# <file system> <mount point>   <type>  <options>       <dump>  <pass>
UUID=0a-1 /               ext4    errors=remount-ro 0       1

\t/dev/sda2\tnone\tswap sw,pri=5 0 0 # the old one
LABEL=more\\040swap none swap defaults
#/dev/sdb2 none swap sw 0 0
/swap.img\tswap\tswap\tdefaults\t0\t0\r
/dev/sdc1 /mnt/a\\040b/ xfs noatime 0 2
# swap is off
";

fn made(args: Value) -> Result<HostFstab, String> {
    HostFstab::new(serde_json::from_value(args).unwrap())
}

fn decide(args: &Value, content: Option<&[u8]>) -> Decision<Change> {
    let place = Place::for_test(&Scope::Run, &[]);
    let seen = Seen::for_test(PATH, content);
    let prior = Prior { steps: &[] };
    made(args.clone()).unwrap().decide(&seen, place, prior)
}

/// What becomes of a file; `None`: it stays.
fn becomes(args: &Value, content: &[u8]) -> Result<Option<Vec<u8>>, String> {
    match decide(args, Some(content)) {
        Decision::NoChange { .. } => Ok(None),
        Decision::Change(change) => Ok(Some(change.after.1)),
        Decision::Refuse { why, next } => Err(format!("{why} [{}]", next.unwrap_or_default())),
        other => panic!("{other:?}"),
    }
}

fn shown(args: Value, content: &str) -> String {
    match decide(&args, Some(content.as_bytes())) {
        Decision::Change(change) => {
            let compiled = made(args.clone()).unwrap().compile(change);
            assert_eq!(compiled.undo, UndoClass::Exact);
            compiled.details[0].lines.join("\n").replace('\r', "<CR>")
        }
        Decision::NoChange { why } => why,
        Decision::Refuse { why, next } => format!("{why} [{}]", next.unwrap_or_default()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn swap_is_commented_by_the_third_field_and_nothing_else_is() {
    let args = json!({"state": "commented", "fs_type": "swap"});
    insta::assert_snapshot!(shown(args.clone(), FSTAB), @r"
      UUID=0a-1 /               ext4    errors=remount-ro 0       1
      
    - 	/dev/sda2	none	swap sw,pri=5 0 0 # the old one
    - LABEL=more\040swap none swap defaults
    + # 	/dev/sda2	none	swap sw,pri=5 0 0 # the old one
    + # LABEL=more\040swap none swap defaults
      #/dev/sdb2 none swap sw 0 0
    - /swap.img	swap	swap	defaults	0	0<CR>
    + # /swap.img	swap	swap	defaults	0	0<CR>
      /dev/sdc1 /mnt/a\040b/ xfs noatime 0 2
      # swap is off
    ");
    let then = becomes(&args, FSTAB.as_bytes()).unwrap().unwrap();
    insta::assert_snapshot!(shown(args, std::str::from_utf8(&then).unwrap()), @"file /etc/fstab of node02 has no such entry");
}

#[test]
fn entries_are_found_by_each_field() {
    let removed = |mut which: Value| {
        which["state"] = json!("absent");
        match becomes(&which, FSTAB.as_bytes()) {
            Ok(Some(then)) => {
                let left = String::from_utf8(then).unwrap();
                let gone = FSTAB.lines().filter(|line| !left.contains(line));
                gone.map(str::trim).collect::<Vec<_>>().join(" | ")
            }
            Ok(None) => "nothing".to_owned(),
            Err(why) => why,
        }
    };
    let all = [
        removed(json!({"spec": "LABEL=more swap"})),
        removed(json!({"spec": "LABEL=\"more swap\""})),
        removed(json!({"mount_point": "/mnt/a b"})),
        removed(json!({"mount_point": "none", "fs_type": ["swap", "ext4"]})),
        removed(json!({"fs_type": ["xfs", "btrfs"]})),
        removed(json!({"spec": "/dev/sda2", "fs_type": "xfs"})),
        removed(json!({"spec": "/dev/sdb2"})),
        removed(json!({"fs_type": "SWAP"})),
        removed(json!({"mount_point": "/"})),
        removed(json!({"mount_point": "/", "force": true})),
    ];
    insta::assert_snapshot!(all.join("\n"), @r"
    LABEL=more\040swap none swap defaults
    LABEL=more\040swap none swap defaults
    /dev/sdc1 /mnt/a\040b/ xfs noatime 0 2
    /dev/sda2	none	swap sw,pri=5 0 0 # the old one | LABEL=more\040swap none swap defaults
    /dev/sdc1 /mnt/a\040b/ xfs noatime 0 2
    nothing
    nothing
    nothing
    file /etc/fstab of node02 mounts / by line 4, and the host may not come up again without it [say more exactly which entry is meant, or `force: true` if it is this one]
    UUID=0a-1 /               ext4    errors=remount-ro 0       1
    ");
}

#[test]
fn what_the_host_needs_takes_force() {
    for (place, needs) in [
        ("/", true),
        ("//", true),
        ("/boot", true),
        ("/boot/efi/", true),
        ("/usr", true),
        ("/var/lib/kubelet", true),
        ("/variable", false),
        ("/home", false),
        ("/mnt/var", false),
    ] {
        let file = format!("a {place} ext4 rw 0 0\n");
        for state in ["commented", "absent"] {
            let args = json!({"state": state, "fs_type": "ext4"});
            let outcome = becomes(&args, file.as_bytes());
            assert_eq!(outcome.is_err(), needs, "{place}: {outcome:?}");
            let args = json!({"state": state, "fs_type": "ext4", "force": true});
            assert!(becomes(&args, file.as_bytes()).unwrap().is_some());
        }
        // What is swap is not mounted there, whatever stands in the field.
        let file = format!("a {place} swap sw 0 0\n");
        let args = json!({"state": "commented", "fs_type": "swap"});
        assert!(becomes(&args, file.as_bytes()).unwrap().is_some());
    }
}

#[test]
fn the_one_comment_that_was_the_entry_becomes_it_again() {
    let active = |which: Value, file: &str| {
        let mut args = which;
        args["state"] = json!("active");
        shown(args, file)
    };
    let all = [
        active(json!({"spec": "/dev/sdb2"}), FSTAB),
        active(json!({"spec": "/dev/sda2"}), FSTAB),
        active(json!({"spec": "/dev/sdz"}), FSTAB),
        active(json!({"mount_point": "/b"}), "# a /b c d\n  # e /b c d\n"),
        active(json!({"mount_point": "/b"}), "# a /b c d\n# is /b there?\n"),
        active(json!({"spec": "a"}), "# a /b c d\ne /b/ c d\n"),
        active(json!({"spec": "a"}), "  #  a /b c d 0 0\r\n"),
    ];
    insta::assert_snapshot!(all.join("\n--\n"), @r"
      	/dev/sda2	none	swap sw,pri=5 0 0 # the old one
      LABEL=more\040swap none swap defaults
    - #/dev/sdb2 none swap sw 0 0
    + /dev/sdb2 none swap sw 0 0
      /swap.img	swap	swap	defaults	0	0<CR>
      /dev/sdc1 /mnt/a\040b/ xfs noatime 0 2
    --
    file /etc/fstab of node02 has this entry already
    --
    file /etc/fstab of node02 has no entry that fits, and no comment that reads as one [`state: present` adds an entry]
    --
    file /etc/fstab of node02 has several comments that read as one: lines 1 and 2 [say more exactly which is meant, or remove what is old by hand]
    --
    - # a /b c d
    + a /b c d
      # is /b there?
    --
    file /etc/fstab of node02 mounts something else on /b by line 2 [comment that entry in a runbook of its own, or leave this one as it is]
    --
    -   #  a /b c d 0 0<CR>
    + a /b c d 0 0<CR>
    ");
}

#[test]
fn an_entry_is_added_or_gets_what_is_given() {
    let present = |more: Value, file: &str| {
        let mut args =
            json!({"state": "present", "spec": "UUID=1", "mount_point": "/data", "fs_type": "xfs"});
        for (key, value) in more.as_object().unwrap() {
            args[key] = value.clone();
        }
        shown(args, file)
    };
    let all = [
        present(json!({}), ""),
        present(
            json!({"mount_point": "/a b\\", "options": "nofail", "pass": 2}),
            "a / b c",
        ),
        present(json!({}), "UUID=\"1\"   /data/ xfs\tnoatime 0 2\n"),
        present(
            json!({"options": "nofail", "pass": 0}),
            "UUID=1   /data xfs\tnoatime  0  2 \r\n",
        ),
        present(json!({"dump": 1}), "UUID=1 /data xfs\n"),
        present(json!({"pass": 1}), "UUID=1 /data xfs rw # here\n"),
        present(json!({"options": "ro"}), "UUID=1 /data xfs rw # here\n"),
        present(json!({}), "UUID=2 /data xfs\n"),
        present(json!({}), "UUID=1 /data ext4\n"),
        present(json!({}), "UUID=1 /data xfs\na /data b\n"),
        present(json!({}), "UUID=1 /other xfs\n#UUID=1 /data xfs a\n"),
        present(
            json!({"mount_point": "none", "fs_type": "swap"}),
            "UUID=2 none swap\nUUID=1 swap swap\n",
        ),
        present(
            json!({"mount_point": "none", "fs_type": "swap"}),
            "UUID=1 /data xfs\n",
        ),
    ];
    insta::assert_snapshot!(all.join("\n--\n"), @r"
    + UUID=1 /data xfs defaults 0 0
    --
    - a / b c  (no newline at its end)
    + a / b c
    + UUID=1 /a\040b\134 xfs nofail 0 2  (no newline at its end)
    --
    file /etc/fstab of node02 has this entry already
    --
    - UUID=1   /data xfs	noatime  0  2 <CR>
    + UUID=1   /data xfs	nofail  0  0 <CR>
    --
    - UUID=1 /data xfs
    + UUID=1 /data xfs defaults 1
    --
    file /etc/fstab of node02 has something else than numbers after the options in line 1 [put right by hand what stands there: fstab(5) knows no comments at the end of a line]
    --
    - UUID=1 /data xfs rw # here
    + UUID=1 /data xfs ro # here
    --
    file /etc/fstab of node02 has another device or type in line 1: UUID=2 on /data (xfs) [an entry is not turned into that of another device: comment or remove it in a runbook of its own]
    --
    file /etc/fstab of node02 has another device or type in line 1: UUID=1 on /data (ext4) [an entry is not turned into that of another device: comment or remove it in a runbook of its own]
    --
    file /etc/fstab of node02 has several such entries: lines 1 and 2 [remove by hand what is old]
    --
      UUID=1 /other xfs
      #UUID=1 /data xfs a
    + UUID=1 /data xfs defaults 0 0
    --
    file /etc/fstab of node02 has this entry already
    --
    file /etc/fstab of node02 has another device or type in line 1: UUID=1 on /data (xfs) [an entry is not turned into that of another device: comment or remove it in a runbook of its own]
    ");
}

#[test]
fn without_the_file_there_are_no_entries() {
    for state in ["commented", "absent"] {
        let args = json!({"state": state, "fs_type": "swap"});
        assert!(matches!(decide(&args, None), Decision::NoChange { .. }));
    }
    let args = json!({"state": "active", "spec": "a"});
    assert!(matches!(decide(&args, None), Decision::Refuse { .. }));
    let args = json!({"state": "present", "spec": "a", "mount_point": "none", "fs_type": "swap"});
    let Decision::Change(change) = decide(&args, None) else {
        panic!()
    };
    assert_eq!(change.after.1, b"a none swap defaults 0 0\n");
}

#[test]
fn what_the_operator_should_know_besides_is_said() {
    let notes = |args: Value, content: &str| {
        let step = made(args.clone()).unwrap();
        let seen = Seen::for_test(PATH, Some(content.as_bytes()));
        step.notes(&seen, &decide(&args, Some(content.as_bytes())))
            .join("\n")
    };
    let data = |options: &str| json!({"state": "present", "spec": "/dev/sdd1", "mount_point": "/data", "fs_type": "xfs", "options": options});
    let all = [
        notes(json!({"state": "commented", "fs_type": "swap"}), FSTAB),
        notes(data("rw"), FSTAB),
        notes(data("rw,nofail"), FSTAB),
    ];
    insta::assert_snapshot!(all.join("\n--\n"), @"
    what is mounted or swapped on stays so until it is taken off; systemd reads the file anew at the next boot or with `systemctl daemon-reload`
    --
    nothing is mounted or swapped on by this; systemd reads the file anew at the next boot or with `systemctl daemon-reload`
    a boot waits for `/dev/sdd1`, and may end in an emergency shell without it, as its options have no `nofail`
    --
    nothing is mounted or swapped on by this; systemd reads the file anew at the next boot or with `systemctl daemon-reload`
    ");
    assert_eq!(
        notes(json!({"state": "commented", "fs_type": "swap"}), ""),
        ""
    );
}

#[test]
fn arguments_that_make_no_sense_are_refused() {
    let wrong = |args: Value| made(args).err().unwrap();
    let all = [
        wrong(json!({"state": "commented"})),
        wrong(json!({"state": "absent", "fs_type": []})),
        wrong(json!({"state": "absent", "fs_type": ["", "swap"]})),
        wrong(json!({"state": "active", "fs_type": "swap"})),
        wrong(json!({"state": "absent", "spec": ""})),
        wrong(json!({"state": "absent", "spec": "#a"})),
        wrong(json!({"state": "absent", "spec": "a\nb"})),
        wrong(json!({"state": "absent", "mount_point": "mnt"})),
        wrong(json!({"state": "absent", "spec": "a", "options": "ro"})),
        wrong(json!({"state": "active", "spec": "a", "force": true})),
        wrong(json!({"state": "present", "spec": "a", "fs_type": "swap"})),
        wrong(json!({"state": "present", "spec": "a", "mount_point": "/a", "fs_type": ["a", "b"]})),
        wrong(json!({"state": "commented", "fs_type": "swap", "path": "etc/fstab"})),
    ];
    insta::assert_snapshot!(all.join("\n"), @"
    say which entries: give `spec`, `mount_point` or `fs_type`
    `fs_type` has no type
    `fs_type` is empty: leave it out
    say which entry: give `spec` or `mount_point`
    `spec` is empty: leave it out
    `spec` does not begin with `#` and has no control characters
    `spec` does not begin with `#` and has no control characters
    `mount_point` is a path from `/` on, or `none`, and `mnt` is neither
    `options`, `dump` and `pass` belong to `state: present`
    `force` belongs to `state: commented` and `state: absent`
    an entry has a `spec`, a `mount_point` and one `fs_type`: give all three
    an entry has a `spec`, a `mount_point` and one `fs_type`: give all three
    `path` must be absolute, and `etc/fstab` is not
    ");
}

fn files() -> impl Strategy<Value = Vec<u8>> {
    let parts: [&[u8]; 16] = [
        b"a", b"/b", b"none", b"swap", b"swap", b"ext4", b"rw", b"0", b"#", b" ", b" ", b"\t",
        b"\n", b"\n", b"\r\n", b"\xff",
    ];
    let part = proptest::sample::select(parts.to_vec());
    let line = "(#? ?(/dev/a|LABEL=b|c\\\\040d)[ \t]{1,2}(none|/x|/|/x\\\\040y)[ \t](swap|ext4)( rw( 0( 0)?)?)?|# text|)(\r?\n)";
    let loose = proptest::collection::vec(part, 0..24).prop_map(|parts| parts.concat());
    let lines = proptest::collection::vec(line, 0..6).prop_map(|all| all.concat().into_bytes());
    prop_oneof![
        loose.clone(),
        lines.clone(),
        (lines, loose).prop_map(|(a, b)| [a, b].concat())
    ]
}

fn steps() -> impl Strategy<Value = Value> {
    let data =
        json!({"state": "present", "spec": "LABEL=b", "mount_point": "/x", "fs_type": "ext4"});
    let mut more = data.clone();
    more["options"] = json!("nofail,x=y z");
    more["pass"] = json!(2);
    proptest::sample::select(vec![
        json!({"state": "commented", "fs_type": "swap"}),
        json!({"state": "commented", "mount_point": "/x y"}),
        json!({"state": "absent", "fs_type": ["ext4", "swap"], "force": true}),
        json!({"state": "absent", "spec": "c d"}),
        json!({"state": "active", "spec": "/dev/a"}),
        json!({"state": "active", "mount_point": "/x", "fs_type": "swap"}),
        data,
        more,
    ])
}

proptest! {
    #[test]
    fn a_second_run_does_nothing_and_other_lines_stay(now in files(), args in steps()) {
        let Ok(Some(then)) = becomes(&args, &now) else { return Ok(()) };
        prop_assert_eq!(becomes(&args, &then), Ok(None));
        let (old, new) = (lines(&now), lines(&then));
        let same = |a: &Line<'_>, b: &Line<'_>| a.text == b.text && (a.end == b.end || a.end.is_empty());
        match args["state"].as_str().unwrap() {
            "absent" => {
                let kept: Vec<_> = old.iter().filter(|line| new.contains(line)).copied().collect();
                prop_assert_eq!(kept, new);
            }
            "present" if new.len() > old.len() => {
                prop_assert!(old.iter().zip(&new).all(|(a, b)| same(a, b)));
            }
            state => {
                prop_assert_eq!(old.len(), new.len());
                let others = old.iter().zip(&new).filter(|(a, b)| a != b);
                for (n, (a, b)) in others.enumerate() {
                    prop_assert_eq!(a.end, b.end);
                    prop_assert!(state == "commented" || n == 0);
                }
            }
        }
    }

    #[test]
    fn no_entry_is_left_where_swap_is_commented(now in files()) {
        let args = json!({"state": "commented", "fs_type": "swap"});
        let then = becomes(&args, &now).unwrap();
        let then = then.as_deref().unwrap_or(&now);
        let (old, new) = (lines(&now), lines(then));
        prop_assert!(entries(&new).iter().all(|(_, entry)| !entry.is_swap()));
        for (old, new) in old.iter().zip(&new) {
            let swap = Entry::read(old.text).is_some_and(|entry| entry.is_swap());
            let wanted = if swap { [b"# ", old.text].concat() } else { old.text.to_vec() };
            prop_assert_eq!((new.text, new.end), (wanted.as_slice(), old.end));
        }
        prop_assert_eq!(old.len(), new.len());
    }
}
