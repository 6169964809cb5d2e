use super::*;
use crate::actions::told::told;
use crate::journal::test_events::host;
use crate::model::Scope;
use crate::model::facts::Parts;
use proptest::prelude::*;
use serde_json::json;

/// What a host says, part by part.
fn seen(parts: &[(&str, &str)], areas: &[&str]) -> Seen {
    let mut all = Parts::default();
    all.take(
        "got memory",
        b"MemTotal: 640000 kB\nMemAvailable: 400000 kB\nSwapTotal: 0 kB\nSwapFree: 0 kB\n",
    );
    all.take("got fstab", b"");
    all.take("got swap_units", b"");
    for (line, bytes) in parts {
        all.take(line, bytes.as_bytes());
    }
    Seen {
        host: host(),
        facts: Arc::new(Facts::new(&all, 0.0)),
        areas: Ok(areas
            .iter()
            .map(|state| SettingState::new(*state))
            .collect()),
        to_come: Vec::new(),
    }
}

fn decided(args: Value, seen: &Seen) -> String {
    let action = HostSwap::new(serde_json::from_value(args).unwrap()).unwrap();
    let place = Place::for_test(&Scope::Run, &[]);
    let decision = action.decide(seen, place, Prior { steps: &[] });
    told(&action, seen, decision)
}

const HEAD: &str = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n";

/// A block of `systemctl show`, in its form of systemd 252.
fn unit(name: &str, what: &str, file: &str, path: &str, more: &str) -> String {
    format!(
        "Id={name}\nFollowing=\nLoadState=loaded\nActiveState=active\nUnitFileState={file}\nFragmentPath={path}\n{more}What={what}\n\n"
    )
}

#[test]
fn what_turns_it_on_is_named_and_kept_from_doing_so() {
    let file = format!("{HEAD}/swapfile file 262140 0 -2\n");
    let two = format!(
        "{HEAD}/dev/vdb1 partition 65532 1024 -2\n/my\\040file file 1024 0 -3\n/dev/vdc partition 2097148 0 5\n"
    );
    let zram = format!("{HEAD}/dev/zram0 partition 319484 0 100\n");
    let fstab_unit = unit(
        "swapfile.swap",
        "/swapfile",
        "generated",
        "/run/systemd/generator/swapfile.swap",
        "SourcePath=/etc/fstab\nDocumentation=man:fstab(5) man:systemd-fstab-generator(8)\n",
    );
    let own = |state: &str| {
        unit(
            "swapfile.swap",
            "/swapfile",
            state,
            "/etc/systemd/system/swapfile.swap",
            "",
        )
    };
    // Synthetic: by the generators' sources of systemd 252 and zram-generator 1.1.
    let gpt = unit(
        "dev-vdb1.swap",
        "/dev/vdb1",
        "generated",
        "/run/systemd/generator.late/dev-vdb1.swap",
        "Documentation=man:systemd-gpt-auto-generator(8)\n",
    );
    let by_zram = unit(
        "dev-zram0.swap",
        "/dev/zram0",
        "generated",
        "/run/systemd/generator/dev-zram0.swap",
        "Documentation=man:zram-generator(8) man:zram-generator.conf(5)\n",
    );
    let by_hand = unit("swapfile.swap", "/swapfile", "", "", "");
    let uuids = "lrwxrwxrwx 1 root root 10 Nov 22 04:00 0a1b -> ../../vdb1\n";
    let partition = format!("{HEAD}/dev/vdb1 partition 65532 0 -2\n");
    let zramswap =
        "Id=zramswap.service\nLoadState=loaded\nActiveState=active\nUnitFileState=enabled\n\n";
    let off = || json!({"state": "off"});
    let mut all = Vec::new();
    for (name, args, parts, areas) in [
        ("none", off(), vec![("got swaps", HEAD.to_owned())], &[][..]),
        (
            "no kernel",
            off(),
            vec![("none swaps", "this kernel has no swap".to_owned())],
            &[],
        ),
        (
            "fstab",
            off(),
            vec![
                ("got swaps", file.clone()),
                (
                    "got fstab",
                    "# root\n/swapfile none swap sw 0 0\n".to_owned(),
                ),
                ("got swap_units", fstab_unit),
            ],
            &["on auto"],
        ),
        (
            "unit of its own",
            off(),
            vec![
                ("got swaps", file.clone()),
                ("got swap_units", own("enabled")),
            ],
            &["on auto"],
        ),
        (
            "unit of its own, off already",
            off(),
            vec![
                ("got swaps", HEAD.to_owned()),
                ("got swap_units", own("enabled")),
            ],
            &[],
        ),
        (
            "unit of its own that stays",
            json!({"state": "off", "at_boot": false}),
            vec![
                ("got swaps", file.clone()),
                ("got swap_units", own("enabled")),
            ],
            &["on auto"],
        ),
        (
            "unit that is linked",
            off(),
            vec![
                ("got swaps", file.clone()),
                ("got swap_units", own("linked")),
            ],
            &["on auto"],
        ),
        (
            "by hand",
            off(),
            vec![("got swaps", file.clone()), ("got swap_units", by_hand)],
            &["on auto"],
        ),
        (
            "gpt-auto, and others",
            off(),
            vec![
                ("got swaps", two),
                ("got by_uuid", uuids.to_owned()),
                ("got fstab", "UUID=\"0a1b\" none swap sw\n".to_owned()),
                ("got swap_units", gpt),
            ],
            &["on auto", "on auto", "on 5"],
        ),
        (
            "zram",
            off(),
            vec![("got swaps", zram.clone()), ("got swap_units", by_zram)],
            &["on 100"],
        ),
        (
            "LVM, by the path that links to it",
            off(),
            vec![
                (
                    "got swaps",
                    format!("{HEAD}/dev/dm-1 partition 1048572 0 -2\n"),
                ),
                (
                    "got fstab",
                    "/dev/mapper/rhel-swap none swap defaults 0 0\n".to_owned(),
                ),
                (
                    "got swap_links",
                    "/dev/mapper/rhel-swap\t/dev/dm-1\n".to_owned(),
                ),
            ],
            &["on auto"],
        ),
        (
            "by PARTUUID, noauto",
            off(),
            vec![
                ("got swaps", partition.clone()),
                ("got by_partuuid", uuids.to_owned()),
                (
                    "got fstab",
                    "PARTUUID=0a1b none swap noauto,pri=5\n".to_owned(),
                ),
            ],
            &["on 5"],
        ),
        (
            "gpt-auto once fstab has it no more",
            off(),
            vec![
                ("got swaps", partition.clone()),
                ("got by_uuid", uuids.to_owned()),
                ("got fstab", "UUID=0a1b none swap sw\n".to_owned()),
                ("got gpt_auto", "/dev/vdb1\n".to_owned()),
            ],
            &["on auto"],
        ),
        (
            "a service of zram-tools",
            off(),
            vec![
                ("got swaps", zram.clone()),
                ("got units", zramswap.to_owned()),
            ],
            &["on 100"],
        ),
        (
            "a unit that others ask for",
            off(),
            vec![
                ("got swaps", file.clone()),
                ("got swap_units", own("static")),
            ],
            &["on auto"],
        ),
        (
            "a mask that a boot lifts",
            off(),
            vec![
                ("got swaps", HEAD.to_owned()),
                ("got swap_units", own("masked-runtime")),
            ],
            &[],
        ),
        (
            "a file that was removed",
            off(),
            vec![(
                "got swaps",
                format!("{HEAD}/swap\\040file\\040(deleted) file 1024 0 -2\n"),
            )],
            &["off"],
        ),
        (
            "turned off since",
            off(),
            vec![("got swaps", file.clone())],
            &["off"],
        ),
        (
            "no systemd",
            off(),
            vec![
                ("got swaps", file.clone()),
                ("none swap_units", "no systemd".to_owned()),
            ],
            &["on auto"],
        ),
        (
            "units unknown",
            off(),
            vec![
                ("got swaps", file),
                ("no swap_units", "systemctl failed (1)".to_owned()),
            ],
            &["on auto"],
        ),
    ] {
        let parts: Vec<(String, String)> = parts
            .into_iter()
            .map(|(what, text)| match what.starts_with("got ") {
                true => (what.to_owned(), text),
                false => (format!("{what} {text}"), String::new()),
            })
            .collect();
        let parts: Vec<(&str, &str)> = parts
            .iter()
            .map(|(a, b)| (a.as_str(), b.as_str()))
            .collect();
        let mut seen = seen(&parts, areas);
        if seen.facts.swap.gpt_auto.is().is_some() {
            seen.to_come = vec![("dev-vdb1.swap".to_owned(), SettingState::new("absent"))];
        }
        let text = decided(args, &seen);
        all.push(format!("{name}\n  {}", text.replace('\n', "\n  ")));
    }
    insta::assert_snapshot!(all.join("\n"));
}

#[test]
fn a_host_without_the_tools_is_left_alone() {
    let file = format!("{HEAD}/swapfile file 262140 0 -2\n");
    let mut seen = seen(&[("got swaps", &file)], &[]);
    seen.areas = Err("node02 lacks what is needed there: swapoff".to_owned());
    insta::assert_snapshot!(decided(json!({}), &seen).lines().next().unwrap(), @"no change: not applicable: node02 lacks what is needed there: swapoff; swap stays on");
}

#[test]
fn a_unit_is_named_as_systemd_does() {
    for (path, unit) in [
        ("/dev/vda3", "dev-vda3.swap"),
        ("/dev/mapper/vg-swap", "dev-mapper-vg\\x2dswap.swap"),
        ("/.swap file", "\\x2eswap\\x20file.swap"),
    ] {
        assert_eq!(swap_unit(path), unit);
    }
}

#[test]
fn what_is_swapped_out_must_fit_into_memory() {
    let refused = |used: u64, memory: (&str, &str)| {
        let swaps = format!("{HEAD}/swapfile file 999999 {used} -2\n");
        let seen = seen(&[("got swaps", &swaps), memory], &["on auto"]);
        let text = decided(json!({}), &seen);
        text.lines().next().unwrap_or_default().to_owned()
    };
    let some = (
        "got memory",
        "MemTotal: 9000 kB\nMemAvailable: 1000 kB\nSwapTotal: 0 kB\nSwapFree: 0 kB\n",
    );
    insta::assert_snapshot!(refused(999, some), @"swap on /swapfile of node02: on, with the priority that the kernel chooses -> off");
    insta::assert_snapshot!(refused(1000, some), @"refused: node02: 1000 KiB are swapped out, and memory has room for 1000 KiB: turning swap off would fail, or end programs [stop what takes memory there first: drain the node, or look with `top`]");
    insta::assert_snapshot!(refused(1, ("got memory", "MemTotal: 9000 kB\nSwapTotal: 0 kB\nSwapFree: 0 kB\n")), @"refused: node02: 1 KiB are swapped out, and how much memory is free cannot be read: /proc/meminfo has no MemAvailable [stop what takes memory there first: drain the node, or look with `top`]");
    insta::assert_snapshot!(refused(0, ("got memory", "")), @"swap on /swapfile of node02: on, with the priority that the kernel chooses -> off");
}

#[test]
fn bytes_are_told_in_a_word() {
    for (count, text) in [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1 KiB"),
        (1536, "1.5 KiB"),
        (10 * 1024 + 1000, "10 KiB"),
        (268_431_360, "255 MiB"),
        (1 << 30, "1 GiB"),
        (u64::MAX, "16777215 TiB"),
    ] {
        assert_eq!(bytes(count), text);
    }
}

proptest! {
    #[test]
    fn no_text_of_a_host_makes_it_panic(swaps in "\\PC{0,60}", units in "\\PC{0,60}") {
        let swaps = format!("{HEAD}{swaps}");
        let seen = seen(&[("got swaps", &swaps), ("got swap_units", &units)], &[]);
        let _ = decided(json!({}), &seen);
    }
}
