use super::*;
use proptest::prelude::*;

fn file(path: &str, content: &str) -> ConfigFile {
    ConfigFile {
        path: path.to_owned(),
        content: content.as_bytes().to_vec(),
    }
}

fn etc(name: &str, content: &str) -> ConfigFile {
    file(&format!("/etc/NetworkManager/conf.d/{name}"), content)
}

/// The list, as `--print-config` would have it but for its separators; `-` where nothing says anything.
fn list(files: &[ConfigFile]) -> String {
    match Unmanaged::of(files).unwrap().devices {
        None => "-".to_owned(),
        Some(devices) => devices.join("|"),
    }
}

/// Each was given to NetworkManager 1.42.4 (Debian 12), which printed this list with `--print-config`.
#[test]
fn one_file_is_read_as_network_manager_reads_it() {
    for (content, wanted) in [
        ("", "-"),
        ("[main]\nplugins=keyfile\n", "-"),
        (
            "[keyfile]\nunmanaged-devices=interface-name:a*;interface-name:b\n",
            "interface-name:a*|interface-name:b",
        ),
        ("[keyfile]\nunmanaged-devices=x,y z;w \n", "x|y z|w"),
        ("[keyfile]\nunmanaged-devices=a;a;;b\n", "a|a|b"),
        ("[keyfile]\nunmanaged-devices=;,b\n", "b"),
        ("[keyfile]\nunmanaged-devices=\n", ""),
        ("[keyfile]\nunmanaged-devices=b", "b"),
        ("[keyfile]\r\nunmanaged-devices=y;z\r\n", "y|z"),
        ("[keyfile]\nunmanaged-devices =  y \n", "y"),
        // A blank before `+=` makes it another key.
        (
            "[keyfile]\nunmanaged-devices =  y \nunmanaged-devices += z\n",
            "y",
        ),
        (
            "[keyfile]\nunmanaged-devices=b # not a comment\n#unmanaged-devices=c\n",
            "b # not a comment",
        ),
        (
            "[keyfile]\nunmanaged-devices[de]=a\nunmanaged-devices=b\n",
            "b",
        ),
        ("  [keyfile]\n  unmanaged-devices=b\n", "b"),
        (
            "[Keyfile]\nunmanaged-devices=a\n[keyfile ]\nunmanaged-devices=b\n",
            "-",
        ),
        // The order is that in which keys come first; the last value counts.
        (
            "[keyfile]\nunmanaged-devices+=x\nunmanaged-devices=y\n",
            "y",
        ),
        (
            "[keyfile]\nunmanaged-devices=y\nunmanaged-devices+=x\n",
            "y|x",
        ),
        (
            "[keyfile]\nunmanaged-devices=a\nunmanaged-devices=b\nunmanaged-devices+=c\nunmanaged-devices+=d\n",
            "b|d",
        ),
        (
            "[keyfile]\nunmanaged-devices=y\n[main]\ndns=none\n[keyfile]\nunmanaged-devices=z\n",
            "z",
        ),
        (
            "[keyfile]\nunmanaged-devices+=a\n[x]\ny=1\n[keyfile]\nunmanaged-devices=b\n",
            "b",
        ),
        (
            "[keyfile]\nunmanaged-devices-=b\nunmanaged-devices=b;c\n",
            "b|c",
        ),
        (
            "[keyfile]\nunmanaged-devices=a\\\\;b;c\\sd;e\\,f;\\x;tab\\t\n",
            "a\\|b|c d|e,f|\\x|tab\t",
        ),
        (
            "[.config]\nenable=false\n[keyfile]\nunmanaged-devices=y\n",
            "-",
        ),
        (
            "[.config]\nenable=yes\n[keyfile]\nunmanaged-devices=y\n",
            "y",
        ),
        (
            "[.config]\nenable=on\n[keyfile]\nunmanaged-devices=y\n",
            "y",
        ),
        ("[.config]\nenable=1\n[keyfile]\nunmanaged-devices=y\n", "y"),
        ("[.config]\nenable=\n[keyfile]\nunmanaged-devices=y\n", "-"),
        (
            "[.config]\n[keyfile]\nunmanaged-devices+=b\n[.config]\nenable=false\n",
            "-",
        ),
    ] {
        assert_eq!(list(&[etc("a.conf", content)]), wanted, "{content:?}");
    }
}

/// Also compared with NetworkManager 1.42.4.
#[test]
fn files_are_read_one_after_another() {
    let keyfile = |line: &str| format!("[keyfile]\nunmanaged-devices{line}\n");
    let cases: &[(&[(&str, &str)], &str)] = &[
        (
            &[
                ("/etc/NetworkManager/conf.d/a.conf", "=x,y z;w "),
                ("/etc/NetworkManager/conf.d/b.conf", "+=y z;q;q"),
            ],
            "x|y z|w|q|q",
        ),
        (
            &[
                ("/etc/NetworkManager/conf.d/b.conf", "="),
                ("/etc/NetworkManager/conf.d/a.conf", "=y"),
            ],
            "",
        ),
        (
            &[
                ("/etc/NetworkManager/conf.d/a.conf", "=y;z"),
                ("/etc/NetworkManager/conf.d/b.conf", "-=y"),
            ],
            "z",
        ),
        (
            &[
                ("/etc/NetworkManager/conf.d/a.conf", "+=b"),
                ("/etc/NetworkManager/conf.d/b.conf", "-=b"),
            ],
            "",
        ),
        // As bytes: digits, capitals, small letters.
        (
            &[
                ("/etc/NetworkManager/conf.d/a.conf", "+=a"),
                ("/etc/NetworkManager/conf.d/Z.conf", "=Z"),
                ("/etc/NetworkManager/conf.d/10.conf", "+=10"),
            ],
            "Z|a",
        ),
        (&[("/etc/NetworkManager/conf.d/.h.conf", "=hid")], "hid"),
        (
            &[
                ("/usr/lib/NetworkManager/conf.d/z.conf", "=l"),
                ("/etc/NetworkManager/conf.d/a.conf", "=b;c"),
            ],
            "b|c",
        ),
        (
            &[
                ("/etc/NetworkManager/NetworkManager.conf", "=m"),
                ("/run/NetworkManager/conf.d/z.conf", "=r"),
            ],
            "m",
        ),
        (
            &[
                ("/etc/NetworkManager/NetworkManager.conf", "=m"),
                ("/etc/NetworkManager/conf.d/NetworkManager.conf", "+=d"),
            ],
            "m|d",
        ),
        // The same name hides.
        (
            &[
                ("/usr/lib/NetworkManager/conf.d/a.conf", "=lib"),
                ("/etc/NetworkManager/conf.d/a.conf", "+=etc"),
            ],
            "etc",
        ),
        (
            &[
                ("/usr/lib/NetworkManager/conf.d/a.conf", "=lib"),
                ("/run/NetworkManager/conf.d/a.conf", "+=run"),
            ],
            "run",
        ),
        (
            &[
                ("/usr/lib/NetworkManager/conf.d/a.conf", "=lib"),
                ("/run/NetworkManager/conf.d/b.conf", "+=run"),
            ],
            "lib|run",
        ),
        // These are not read.
        (
            &[
                ("/etc/NetworkManager/conf.d/a.conf~", "=x"),
                ("/var/lib/NetworkManager/NetworkManager-intern.conf", "=x"),
            ],
            "-",
        ),
    ];
    for (files, wanted) in cases {
        let files: Vec<ConfigFile> = files
            .iter()
            .map(|(path, line)| file(path, &keyfile(line)))
            .collect();
        assert_eq!(list(&files), *wanted, "{files:?}");
    }
}

#[test]
fn what_only_network_manager_can_tell_is_not_guessed() {
    let depends = "[.config]\nenable=nm-version-min:1.2\n[keyfile]\nunmanaged-devices=y\n";
    let why = Unmanaged::of(&[etc("a.conf", depends)]).unwrap_err();
    insta::assert_snapshot!(why, @"whether /etc/NetworkManager/conf.d/a.conf counts depends on `[.config] enable=nm-version-min:1.2`, which only NetworkManager itself can tell");
    // It has nothing to do with devices.
    let other = "[.config]\nenable=nm-version-min:1.2\n[main]\ndns=none\n";
    assert_eq!(list(&[etc("a.conf", other)]), "-");
}

#[test]
fn a_line_of_nmcli_has_its_fields() {
    for (line, wanted) in [
        (
            "eth0:ethernet:connected (externally)",
            &["eth0", "ethernet", "connected (externally)"][..],
        ),
        ("a\\:b\\\\:x", &["a:b\\", "x"]),
        ("a\\", &["a"]),
        ("", &[""]),
    ] {
        assert_eq!(nmcli_fields(line), wanted, "{line}");
    }
}

#[test]
fn what_it_prints_is_read() {
    // NetworkManager 1.42.4 --print-config, shortened.
    let text = "# NetworkManager configuration: /etc/NetworkManager/NetworkManager.conf (etc: a.conf, b.conf)\n\n[main]\n# rc-manager=\nplugins=ifupdown,keyfile\n\n[keyfile]\nunmanaged-devices=x,y\\sz,w,q,q\n\n[logging]\n# backend=journal\n";
    assert_eq!(printed(text.as_bytes()).unwrap().join("|"), "x|y z|w|q|q");
    assert_eq!(
        printed(b"[main]\nplugins=keyfile\n[device]\n# unmanaged-devices=x\n"),
        None
    );
    assert_eq!(printed(b"[keyfile]\nunmanaged-devices=\n"), Some(vec![]));
}

#[test]
fn a_new_file_hides_that_of_a_package() {
    let files = [
        file("/usr/lib/NetworkManager/conf.d/calico.conf", ""),
        etc("b.conf", ""),
    ];
    let at = |name: &str| format!("/etc/NetworkManager/conf.d/{name}");
    assert_eq!(
        hidden_by(&files, &at("calico.conf")),
        Some("/usr/lib/NetworkManager/conf.d/calico.conf")
    );
    assert_eq!(hidden_by(&files, &at("b.conf")), None);
    assert_eq!(hidden_by(&files, &at("c.conf")), None);
}

#[test]
fn the_line_that_made_a_device_unmanaged_is_found() {
    let files = [
        etc("a.conf", "[keyfile]\nunmanaged-devices=x;y\n"),
        etc("b.conf", "[keyfile]\nunmanaged-devices+=y\n"),
    ];
    let unmanaged = Unmanaged::of(&files).unwrap();
    assert_eq!(
        unmanaged.origin("x"),
        Some("/etc/NetworkManager/conf.d/a.conf")
    );
    assert_eq!(
        unmanaged.origin("y"),
        Some("/etc/NetworkManager/conf.d/b.conf")
    );
    assert_eq!(unmanaged.origin("z"), None);
}

fn specs(all: &[&str]) -> Vec<String> {
    all.iter().map(|spec| (*spec).to_owned()).collect()
}

#[test]
fn devices_are_put_into_a_file_and_all_else_stays() {
    for (content, adds, wanted) in [
        ("", false, "[keyfile]\nunmanaged-devices=x;y\n"),
        ("", true, "[keyfile]\nunmanaged-devices+=x;y\n"),
        (
            "# mine\n[main]\ndns=none",
            false,
            "# mine\n[main]\ndns=none\n\n[keyfile]\nunmanaged-devices=x;y\n",
        ),
        (
            "[main]\r\ndns=none\r\n",
            false,
            "[main]\r\ndns=none\r\n\r\n[keyfile]\r\nunmanaged-devices=x;y\r\n",
        ),
        (
            "[keyfile]\npath=/x\n[main]\n",
            true,
            "[keyfile]\nunmanaged-devices+=x;y\npath=/x\n[main]\n",
        ),
        ("[keyfile]", false, "[keyfile]\nunmanaged-devices=x;y\n"),
        // A line that is there is made longer, in its own way.
        (
            "[keyfile]\nunmanaged-devices=a\n",
            true,
            "[keyfile]\nunmanaged-devices=a;x;y\n",
        ),
        (
            "[keyfile]\nunmanaged-devices = a, b,\r\nz=1\r\n",
            true,
            "[keyfile]\nunmanaged-devices = a, b,x;y\r\nz=1\r\n",
        ),
        (
            "[keyfile]\nunmanaged-devices=a;y",
            false,
            "[keyfile]\nunmanaged-devices=a;y;x",
        ),
        (
            "[keyfile]\nunmanaged-devices=\n",
            false,
            "[keyfile]\nunmanaged-devices=x;y\n",
        ),
        (
            "[keyfile]\nunmanaged-devices+=a\n",
            false,
            "[keyfile]\nunmanaged-devices+=a;x;y\n",
        ),
        // The one that counts.
        (
            "[keyfile]\nunmanaged-devices=a\nunmanaged-devices=b\n",
            false,
            "[keyfile]\nunmanaged-devices=a\nunmanaged-devices=b;x;y\n",
        ),
        (
            "[keyfile]\nunmanaged-devices+=a\nunmanaged-devices=b\n",
            false,
            "[keyfile]\nunmanaged-devices+=a\nunmanaged-devices=b;x;y\n",
        ),
        (
            "[keyfile]\nunmanaged-devices=b\nunmanaged-devices+=a\n",
            false,
            "[keyfile]\nunmanaged-devices=b\nunmanaged-devices+=a;x;y\n",
        ),
        (
            "[keyfile]\n#unmanaged-devices=a\n",
            false,
            "[keyfile]\nunmanaged-devices=x;y\n#unmanaged-devices=a\n",
        ),
        (
            "[keyfile]\nunmanaged-devices=x;y\n",
            false,
            "[keyfile]\nunmanaged-devices=x;y\n",
        ),
    ] {
        let put = with_devices(content.as_bytes(), &specs(&["x", "y"]), adds);
        assert_eq!(String::from_utf8(put).unwrap(), wanted, "{content:?}");
    }
    // What is no text stays.
    let put = with_devices(
        b"#\xff\n[keyfile]\nunmanaged-devices=\xfe\n",
        &specs(&["x"]),
        false,
    );
    assert_eq!(put, b"#\xff\n[keyfile]\nunmanaged-devices=\xfe;x\n");
}

#[test]
fn a_pattern_means_devices_by_their_names() {
    for (spec, device, means) in [
        ("interface-name:cali*", "cali0123", true),
        ("interface-name:cali*", "cali", true),
        ("interface-name:cali*", "xcali", false),
        ("interface-name:~cali*", "cali0", true),
        ("interface-name:=cali*", "cali0", false),
        ("interface-name:=cali*", "cali*", true),
        ("interface-name:tunl?", "tunl0", true),
        ("interface-name:tunl?", "tunl", false),
        ("interface-name:vxlan.calico", "vxlan-calico", false),
        ("interface-name:*a*b*", "xaxbx", true),
        ("interface-name:*a*b*", "xbxax", false),
        ("interface-name:", "", true),
    ] {
        assert_eq!(
            Pattern::parse(spec).unwrap().matches(device),
            means,
            "{spec} {device}"
        );
    }
    for other in [
        "cali0",
        "mac:00:22:68:1c:59:b1",
        "except:interface-name:x",
        "type:veth",
        "*",
    ] {
        assert_eq!(Pattern::parse(other), None);
    }
    for (one, other, meet) in [
        ("cali*", "*0", true),
        ("cali*", "eth*", false),
        ("c?li*", "cal*x", true),
        ("=cali*", "cali?", true),
        ("=cali*", "cali0", false),
        ("*", "=", true),
        ("ab", "abc", false),
    ] {
        let pattern = |name: &str| Pattern::parse(&format!("interface-name:{name}")).unwrap();
        assert_eq!(pattern(one).meets(&pattern(other)), meet, "{one} {other}");
        assert_eq!(pattern(other).meets(&pattern(one)), meet, "{other} {one}");
    }
}

/// Something like a file of NetworkManager's.
fn contents() -> impl Strategy<Value = String> {
    let line = prop_oneof![
        Just("[keyfile]".to_owned()),
        Just("[main]".to_owned()),
        Just("dns=none".to_owned()),
        Just(String::new()),
        "#[a-z =]{0,6}",
        "(unmanaged-devices|unmanaged-devices\\+|unmanaged-devices-| unmanaged-devices) ?= ?[xyab*;, ]{0,8}",
        "[\\PC]{0,8}",
    ];
    (prop::collection::vec(line, 0..8), "\r?\n", any::<bool>()).prop_map(
        |(lines, newline, ends)| {
            let mut text = lines.join(&newline);
            if ends {
                text.push_str(&newline);
            }
            text
        },
    )
}

proptest! {
    #[test]
    fn nothing_makes_the_reader_panic(content in prop::collection::vec(any::<u8>(), 0..200)) {
        let file = ConfigFile { path: "/etc/NetworkManager/conf.d/a.conf".into(), content };
        let _ = Unmanaged::of(std::slice::from_ref(&file));
        let _ = printed(&file.content);
        let _ = with_devices(&file.content, &specs(&["x"]), true);
    }

    #[test]
    fn what_is_put_in_counts_and_nothing_else_is_lost(content in contents(), adds: bool) {
        let before = etc("a.conf", &content);
        let put = with_devices(&before.content, &specs(&["x", "y"]), adds);
        let after = ConfigFile { content: put.clone(), ..before.clone() };
        let (was, is) = (Unmanaged::of(&[before]).unwrap(), Unmanaged::of(&[after]).unwrap());
        // Only what the file itself takes away may be missing.
        let removes = |by: &&Assignment| by.operator == Operator::Remove;
        if !is.by.iter().any(|by| removes(&by)) {
            for spec in ["x".to_owned(), "y".to_owned()].iter().chain(was.devices()) {
                prop_assert!(is.devices().contains(spec), "{spec} {is:?}");
            }
        }
        // Twice is once.
        prop_assert_eq!(&with_devices(&put, &specs(&["x", "y"]), adds), &put);
        // Nothing that was there is gone: it can be found in it, in its order.
        let mut rest = put.iter();
        prop_assert!(content.bytes().all(|byte| rest.any(|other| *other == byte)));
    }

    #[test]
    fn a_pattern_that_means_a_device_meets_its_name(name in "[ab*?]{0,6}", device in "[ab]{0,6}") {
        let pattern = Pattern::parse(&format!("interface-name:{name}")).unwrap();
        let literal = Pattern::parse(&format!("interface-name:={device}")).unwrap();
        let regex: String = name.chars().map(|c| match c { '*' => ".*".to_owned(), '?' => ".".to_owned(), c => c.to_string() }).collect();
        let regex = regex::Regex::new(&format!("^{regex}$")).unwrap();
        prop_assert_eq!(pattern.matches(&device), regex.is_match(&device));
        prop_assert_eq!(pattern.meets(&literal), regex.is_match(&device));
    }
}
