//! What a host is and has, for people: each fact by the name that conditions have for it.

use super::text::{filled, width};
use crate::calico::CalicoFacts;
use crate::model::facts::{Facts, NOT_APPLICABLE, UNKNOWN};
use serde_json::{Map, Value};

/// Groups in the order in which they are shown.
const GROUPS: &[&str] = &[
    "os",
    "kernel",
    "arch",
    "hostname",
    "machine_id",
    "boot_id",
    "time",
    "cgroup",
    "memory",
    "swap",
    "units",
    "interfaces",
    "routes",
    "kubelet",
    "container_runtime",
    "conntrack",
    "network_manager",
];

/// Facts of a host, and what is known of Calico there, aligned, with why where there is no value.
pub fn render_facts(host: &str, read_as: &str, facts: &Facts, calico: &CalicoFacts) -> String {
    let mut text = format!(
        "{}\n",
        filled("", "", &format!("{host}, read as {read_as}"), width())
    );
    let all = serde_json::to_value(facts).unwrap_or_default();
    let groups: Vec<Vec<Row>> = GROUPS
        .iter()
        .map(|group| {
            let mut rows = Vec::new();
            if let Some(value) = all.get(group) {
                collect(group, value, &mut rows);
            }
            rows
        })
        .collect();
    let names = groups.iter().flatten().map(|row| row.name.len());
    let column = names.max().unwrap_or_default() + 2;
    let mut rows = Vec::new();
    collect(
        "calico",
        &serde_json::to_value(calico).unwrap_or_default(),
        &mut rows,
    );
    write(&mut text, groups, column);
    text.push_str(
        "\nCalico, as the cluster and this host have it; conditions have no names for it\n",
    );
    write(&mut text, vec![rows], column);
    text
}

fn write(text: &mut String, groups: Vec<Vec<Row>>, column: usize) {
    let mut single = false;
    for rows in groups {
        // What is one line alone stands with others of its sort.
        if !(single && rows.len() == 1) {
            text.push('\n');
        }
        single = rows.len() == 1;
        for Row { name, lines } in rows {
            let mut first = format!("{name:column$}");
            for line in lines {
                let blanks = " ".repeat(column);
                text.push_str(filled(&first, &blanks, &line, width()).trim_end());
                text.push('\n');
                first = blanks;
            }
        }
    }
}

struct Row {
    name: String,
    lines: Vec<String>,
}

fn collect(name: &str, value: &Value, rows: &mut Vec<Row>) {
    if let Value::Object(map) = value
        && without_value(map).is_none()
        && !is_one_line(name)
    {
        for (key, below) in map {
            collect(&format!("{name}.{key}"), below, rows);
        }
        return;
    }
    let lines = match value {
        Value::Array(items) if items.is_empty() => vec!["none".to_owned()],
        Value::Array(items) => items.iter().map(|item| item_words(name, item)).collect(),
        value => vec![item_words(name, value)],
    };
    rows.push(Row {
        name: name.to_owned(),
        lines,
    });
}

fn is_one_line(name: &str) -> bool {
    name.starts_with("units.") || name.starts_with("routes.")
}

fn without_value(map: &Map<String, Value>) -> Option<String> {
    let one = |key: &str, words: &str| {
        let why = map.get(key).filter(|_| map.len() == 1)?.as_str()?;
        Some(format!("{words}: {why}"))
    };
    one(UNKNOWN, "unknown").or_else(|| one(NOT_APPLICABLE, "not applicable"))
}

fn item_words(name: &str, value: &Value) -> String {
    match value {
        Value::Object(map) => without_value(map).unwrap_or_else(|| match name {
            name if name.starts_with("units.") => unit(map),
            name if name.starts_with("routes.") => route(map),
            "interfaces" => interface(map),
            _ => pairs(map),
        }),
        Value::Number(number) if is_bytes(name) => match number.as_u64() {
            Some(bytes) => format!("{bytes} ({})", size(bytes)),
            None => number.to_string(),
        },
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn is_bytes(name: &str) -> bool {
    name.starts_with("memory.")
}

/// All of a record in one line, without what is empty.
fn pairs(map: &Map<String, Value>) -> String {
    let full = map
        .iter()
        .filter(|(_, value)| !value.is_null() && value.as_str() != Some(""));
    let words = full.map(|(key, value)| match (key.as_str(), value.as_u64()) {
        ("size" | "used", Some(bytes)) => format!("{key} {}", size(bytes)),
        _ => format!("{key} {}", word(value)),
    });
    words.collect::<Vec<_>>().join(", ")
}

fn word(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn text<'m>(map: &'m Map<String, Value>, key: &str) -> &'m str {
    map.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn is(map: &Map<String, Value>, key: &str) -> bool {
    map.get(key) == Some(&Value::Bool(true))
}

fn unit(map: &Map<String, Value>) -> String {
    if !is(map, "there") {
        return match text(map, "load_state") {
            "not-found" => "not there".to_owned(),
            state => state.to_owned(),
        };
    }
    let mut words = format!("{} ({})", text(map, "active_state"), text(map, "sub_state"));
    for state in [text(map, "unit_file_state")] {
        if !state.is_empty() {
            words.push_str(&format!(", {state}"));
        }
    }
    if is(map, "need_daemon_reload") {
        words.push_str(", changed since systemd read it");
    }
    words
}

fn route(map: &Map<String, Value>) -> String {
    let mut words = match text(map, "kind") {
        "unicast" => text(map, "to").to_owned(),
        kind => format!("{kind} {}", text(map, "to")),
    };
    for key in ["via", "dev", "src", "proto"] {
        if !text(map, key).is_empty() {
            words.push_str(&format!(" {key} {}", text(map, key)));
        }
    }
    match map.get("metric").and_then(Value::as_u64) {
        None | Some(0) => words,
        Some(metric) => format!("{words} metric {metric}"),
    }
}

fn interface(map: &Map<String, Value>) -> String {
    let up = match is(map, "up") {
        true => "up",
        false => "down",
    };
    let mut words = format!(
        "{} ({}, {up}, mtu {})",
        text(map, "name"),
        text(map, "kind"),
        map.get("mtu").map(word).unwrap_or_default()
    );
    let addresses = map.get("addresses").and_then(Value::as_array);
    for (n, address) in addresses.into_iter().flatten().enumerate() {
        let Value::Object(address) = address else {
            continue;
        };
        let marks: Vec<&str> = [
            ("vip", "VIP"),
            ("secondary", "secondary"),
            ("dynamic", "dynamic"),
        ]
        .into_iter()
        .filter(|(key, _)| is(address, key))
        .map(|(_, word)| word)
        .collect();
        words.push_str(match n {
            0 => ": ",
            _ => ", ",
        });
        words.push_str(text(address, "address"));
        words.push_str(&format!(
            "/{}",
            address.get("prefix").map(word).unwrap_or_default()
        ));
        if !marks.is_empty() {
            words.push_str(&format!(" ({})", marks.join(", ")));
        }
    }
    words
}

/// Bytes in words.
fn size(bytes: u64) -> String {
    const UNITS: &[&str] = &["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("{bytes} bytes");
    }
    #[expect(clippy::cast_precision_loss)]
    let mut number = bytes as f64;
    let mut unit = "";
    for larger in UNITS {
        if number < 1024.0 {
            break;
        }
        number /= 1024.0;
        unit = larger;
    }
    format!("{number:.1} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calico::CalicoctlFacts;
    use crate::model::facts::{Fact, Parts};

    fn calico() -> CalicoFacts {
        let calicoctl = Fact::Is(CalicoctlFacts {
            path: "/usr/local/bin/calicoctl".into(),
            version: Fact::Is("v3.31.0".into()),
            config: Fact::not_applicable("there is no /etc/calico/calicoctl.cfg"),
            datastore: Fact::not_applicable("it has no configuration file"),
        });
        CalicoFacts::unknown("the API server does not answer", calicoctl)
    }

    fn facts(all: &[(&str, &str)]) -> Facts {
        let mut parts = Parts::default();
        for (line, text) in all {
            parts.take(line, text.as_bytes());
        }
        Facts::new(&parts, 1_000_000.0)
    }

    #[test]
    fn every_group_is_shown() {
        let all = serde_json::to_value(facts(&[])).unwrap();
        let mut groups: Vec<&str> = GROUPS.to_vec();
        groups.sort_unstable();
        let keys: Vec<&String> = all.as_object().unwrap().keys().collect();
        assert_eq!(groups, keys);
    }

    #[test]
    fn what_is_known_and_why_not_stands_in_columns() {
        let facts = facts(&[
            (
                "got os",
                "ID=debian\nVERSION_ID=12\nPRETTY_NAME=\"De\u{1b}[31mbian\"\n",
            ),
            ("got hostname", "node1\n"),
            ("none hostname_configured there is no /etc/hostname", ""),
            (
                "got memory",
                "MemTotal: 2048 kB\nSwapTotal: 0 kB\nSwapFree: 0 kB\n",
            ),
            ("got swaps", "Filename\n/dev/sda2 partition 2048 0 -2\n"),
            ("got fstab", ""),
            ("none swap_units no systemd", ""),
            ("none units no systemd", ""),
            (
                "got links",
                "eth0|4|4|1500|up|0x1003|02:fc:00:00:00:01|1|device\n",
            ),
            (
                "got addresses",
                "4: eth0    inet 192.0.2.2/24 scope global eth0\\ \n4: eth0    inet 192.0.2.9/32 scope global eth0\\ \n",
            ),
            (
                "got routes_v4",
                "default via 192.0.2.1 dev eth0 proto dhcp metric 100\n",
            ),
            ("no routes_v6 no such tool: ip", ""),
            (
                "no kubelet_running no permission to see the processes of others",
                "",
            ),
        ]);
        insta::assert_snapshot!(render_facts("node1", "root (by sudo)", &facts, &calico()), @r"
        node1, read as root (by sudo)

        os.id                              debian
        os.pretty_name                     De\u{1b}[31mbian
        os.version_id                      12

        kernel.release                     unknown: it was not read
        kernel.version                     unknown: it was not read

        arch                               unknown: it was not read

        hostname.configured                not applicable: there is no /etc/hostname
        hostname.name                      node1
        hostname.same                      not applicable: there is no /etc/hostname

        machine_id                         unknown: it was not read
        boot_id                            unknown: it was not read

        time.epoch                         unknown: it was not read
        time.skew                          unknown: it was not read
        time.synchronized                  unknown: it was not read
        time.timezone                      unknown: it was not read

        cgroup                             unknown: it was not read

        memory.available                   unknown: /proc/meminfo has no MemAvailable
        memory.swap_free                   0 (0 bytes)
        memory.swap_total                  0 (0 bytes)
        memory.swap_used                   0 (0 bytes)
        memory.total                       2097152 (2.0 MiB)

        swap.devices                       kind partition, path /dev/sda2, priority -2, removed false, size
                                           2.0 MiB, used 0 bytes
        swap.fstab                         none
        swap.gpt_auto                      unknown: it was not read
        swap.on                            true
        swap.units                         not applicable: no systemd

        units                              not applicable: no systemd
        interfaces                         eth0 (device, up, mtu 1500): 192.0.2.2/24, 192.0.2.9/32 (VIP)

        routes.default_v4                  default via 192.0.2.1 dev eth0 proto dhcp metric 100
        routes.default_v6                  unknown: no such tool: ip
        routes.v4                          default via 192.0.2.1 dev eth0 proto dhcp metric 100
        routes.v6                          unknown: no such tool: ip

        kubelet.arguments                  unknown: no permission to see the processes of others
        kubelet.cgroup_driver              unknown: no permission to see the processes of others
        kubelet.config                     unknown: no permission to see the processes of others
        kubelet.config_dir                 unknown: no permission to see the processes of others
        kubelet.fail_swap_on               unknown: no permission to see the processes of others
        kubelet.fail_swap_on_from          unknown: no permission to see the processes of others
        kubelet.hostname_override          unknown: no permission to see the processes of others
        kubelet.max_pods                   unknown: no permission to see the processes of others
        kubelet.running                    unknown: no permission to see the processes of others
        kubelet.swap_behavior              unknown: no permission to see the processes of others

        container_runtime.endpoint         unknown: no permission to see the processes of others
        container_runtime.sockets          unknown: it was not read

        conntrack.buckets                  unknown: it was not read
        conntrack.count                    unknown: it was not read
        conntrack.hash_size                unknown: it was not read
        conntrack.loaded                   unknown: it was not read
        conntrack.max                      unknown: it was not read

        network_manager.active             unknown: it was not read
        network_manager.devices            unknown: it was not read
        network_manager.installed          unknown: it was not read
        network_manager.unmanaged_devices  unknown: it was not read

        Calico, as the cluster and this host have it; conditions have no names for it

        calico.backend                     unknown: the API server does not answer
        calico.calicoctl.config            not applicable: there is no /etc/calico/calicoctl.cfg
        calico.calicoctl.datastore         not applicable: it has no configuration file
        calico.calicoctl.path              /usr/local/bin/calicoctl
        calico.calicoctl.version           v3.31.0
        calico.datastore                   unknown: the API server does not answer
        calico.full_mesh                   unknown: the API server does not answer
        calico.installed_by                unknown: the API server does not answer
        calico.ipv4                        unknown: the API server does not answer
        calico.ipv4_detection              unknown: the API server does not answer
        calico.ipv6                        unknown: the API server does not answer
        calico.ipv6_detection              unknown: the API server does not answer
        calico.managed_by                  unknown: the API server does not answer
        calico.node                        unknown: the API server does not answer
        calico.version                     unknown: the API server does not answer
        ");
    }

    #[test]
    fn sizes_are_said() {
        for (bytes, words) in [
            (0, "0 bytes"),
            (1023, "1023 bytes"),
            (1536, "1.5 KiB"),
            (25_276_510_208, "23.5 GiB"),
            (u64::MAX, "16.0 EiB"),
        ] {
            assert_eq!(size(bytes), words);
        }
    }
}
