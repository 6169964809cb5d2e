//! What is known of a host, as conditions and templates name it: `facts.…`.

use super::condition::Condition;
use super::kind::{Record, Type};
use crate::model::facts::{Facts, NOT_APPLICABLE, UNKNOWN};
use serde_json::{Map, Value};
use std::sync::LazyLock;

/// The names and their types: closed, and made of the facts themselves.
static RECORD: LazyLock<Record> = LazyLock::new(|| {
    let schema = schemars::schema_for!(Facts).to_value();
    match type_of(&schema, &schema) {
        Type::Record(record) => record,
        _ => Record::default(),
    }
});

/// What stands below `facts`.
pub fn record() -> &'static Record {
    &RECORD
}

fn type_of(schema: &Value, root: &Value) -> Type {
    let schema = resolved(schema, root);
    let kinds: Vec<&str> = match schema.get("type") {
        Some(Value::String(kind)) => vec![kind],
        Some(Value::Array(kinds)) => kinds.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    match kinds.into_iter().find(|kind| *kind != "null") {
        Some("boolean") => Type::Bool,
        Some("integer") => Type::Int,
        Some("string") => Type::String,
        Some("array") => {
            let item = schema.get("items").map(|items| type_of(items, root));
            Type::List(Box::new(item.unwrap_or(Type::Any)))
        }
        Some("object") => {
            let properties = schema.get("properties").and_then(Value::as_object);
            let of = |(name, of): (&String, &Value)| (name.clone(), type_of(of, root));
            Type::Record(Record(properties.into_iter().flatten().map(of).collect()))
        }
        _ => Type::Any,
    }
}

/// The unit that is described for all.
const UNIT: &str = "facts.units.kubelet";

/// Each name with its type and what it is, in dotted form; `[]` stands for any item of a list.
pub(super) fn described() -> Vec<(String, &'static str, String)> {
    let schema = schemars::schema_for!(Facts).to_value();
    let mut all = Vec::new();
    describe("facts", &schema, &schema, &mut all);
    all
}

fn describe(
    name: &str,
    schema: &Value,
    root: &Value,
    all: &mut Vec<(String, &'static str, String)>,
) {
    let own = resolved(schema, root);
    let about = [schema, own]
        .iter()
        .find_map(|schema| schema.get("description")?.as_str())
        .unwrap_or_default();
    let kind = type_of(schema, root);
    let is_unit = name.starts_with("facts.units.");
    let record = |schema: &Value, all: &mut Vec<_>| {
        let properties = schema.get("properties").and_then(Value::as_object);
        for (key, below) in properties.into_iter().flatten() {
            describe(&format!("{name}.{key}"), below, root, all);
        }
    };
    match &kind {
        // All units have the same below them.
        Type::Record(_) if is_unit && name != UNIT => {
            all.push((name.to_owned(), kind.words(), format!("As `{UNIT}`.")));
        }
        Type::Record(_) => record(own, all),
        Type::List(item) => {
            all.push((name.to_owned(), kind.words(), about.to_owned()));
            if let (Type::Record(_), Some(items)) = (&**item, own.get("items")) {
                let items = resolved(items, root);
                let properties = items.get("properties").and_then(Value::as_object);
                for (key, below) in properties.into_iter().flatten() {
                    describe(&format!("{name}[].{key}"), below, root, all);
                }
            }
        }
        _ => all.push((name.to_owned(), kind.words(), about.to_owned())),
    }
}

/// The schema that a reference leads to.
fn resolved<'s>(schema: &'s Value, root: &'s Value) -> &'s Value {
    let reference = schema.get("$ref").and_then(Value::as_str);
    let target = reference.and_then(|at| root.pointer(at.strip_prefix('#')?));
    target.unwrap_or(schema)
}

/// Whether a dotted name is one of a fact.
pub fn uses_facts(name: &str) -> bool {
    name == "facts" || name.starts_with("facts.")
}

/// A fact without a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Absent {
    /// Its name, in dotted form; or that of all that stands below it.
    pub name: String,
    pub why: String,
    /// Whether there is such a thing on the host, so that it could not be read.
    pub applies: bool,
}

impl Absent {
    /// For people.
    pub fn words(&self) -> String {
        let (name, why) = (&self.name, &self.why);
        match self.applies {
            true => format!("`{name}` could not be read: {why}"),
            false => format!("`{name}` does not apply to this host: {why}"),
        }
    }
}

/// The facts of one host, with their names.
#[derive(Debug, Clone, PartialEq)]
pub struct FactNames {
    value: Value,
    absent: Vec<Absent>,
}

impl FactNames {
    pub fn new(facts: &Facts) -> Self {
        let all = serde_json::to_value(facts).unwrap_or_default();
        let mut absent = Vec::new();
        let value = present("facts", all, &mut absent);
        Self {
            value: value.unwrap_or(Value::Object(Map::new())),
            absent,
        }
    }

    /// What stands below `facts`, without what has no value.
    pub fn value(&self) -> &Value {
        &self.value
    }

    pub fn absent(&self) -> &[Absent] {
        &self.absent
    }

    /// Whether a condition holds of these facts, and of the names in `besides`. One that touches what
    /// could not be read is an error.
    pub fn holds(
        &self,
        condition: &Condition,
        besides: Map<String, Value>,
    ) -> Result<bool, String> {
        let unread = condition.tested().into_iter().find_map(|name| {
            let unread = self.absent.iter().filter(|absent| absent.applies);
            let mut of = unread.filter(|absent| is_below(&name, &absent.name));
            of.next()
        });
        if let Some(absent) = unread {
            return Err(absent.words());
        }
        let mut names = besides;
        names.insert("facts".to_owned(), self.value.clone());
        condition.holds(&Value::Object(names)).map_err(|why| {
            let used = condition.names();
            let is_used = |absent: &&Absent| used.iter().any(|name| is_below(name, &absent.name));
            self.absent.iter().find(is_used).map_or(why, Absent::words)
        })
    }

    /// What facts are, of these names, for people.
    pub fn said(&self, names: &[String]) -> String {
        let mut said: Vec<String> = Vec::new();
        for name in names.iter().filter(|name| uses_facts(name)) {
            let absent = self.absent.iter().find(|a| is_below(name, &a.name));
            let below = name.strip_prefix("facts.").unwrap_or_default();
            let value = self.value.pointer(&format!("/{}", below.replace('.', "/")));
            let words = match (absent, value) {
                (Some(absent), _) => absent.words(),
                (None, Some(Value::Array(items))) => {
                    let s = if items.len() == 1 { "" } else { "s" };
                    format!("`{name}` has {} item{s}", items.len())
                }
                (None, Some(Value::Object(_)) | None) => continue,
                (None, Some(value)) => format!("`{name}` is {value}"),
            };
            if !said.contains(&words) {
                said.push(words);
            }
        }
        said.join(", ")
    }
}

/// Whether a dotted name is another, or stands below it.
fn is_below(name: &str, other: &str) -> bool {
    let rest = name.strip_prefix(other);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// A value without what has none.
fn present(name: &str, value: Value, absent: &mut Vec<Absent>) -> Option<Value> {
    let Value::Object(map) = value else {
        return Some(value);
    };
    for (key, applies) in [(UNKNOWN, true), (NOT_APPLICABLE, false)] {
        if let (1, Some(Value::String(why))) = (map.len(), map.get(key)) {
            absent.push(Absent {
                name: name.to_owned(),
                why: why.clone(),
                applies,
            });
            return None;
        }
    }
    let below = map.into_iter().filter_map(|(key, value)| {
        let value = present(&format!("{name}.{key}"), value, absent)?;
        Some((key, value))
    });
    Some(Value::Object(below.collect()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::facts::Parts;

    fn facts() -> FactNames {
        let mut parts = Parts::default();
        for (line, text) in [
            (
                "got memory",
                "MemTotal: 2048 kB\nMemAvailable: 1024 kB\nSwapTotal: 8 kB\nSwapFree: 0 kB\n",
            ),
            ("got swaps", "Filename\n/dev/sda2 partition 8 8 -2\n"),
            ("none units no systemd", ""),
            ("none kubelet_running it does not run", ""),
            ("no machine_id no permission to read it", ""),
            ("no conntrack_count no permission to read it", ""),
            ("got conntrack_max", "4"),
            (
                "got links",
                "eth0|4|4|1500|up|0x1003|02:fc:00:00:00:01|1|device\n",
            ),
            (
                "got addresses",
                "4: eth0    inet 192.0.2.2/24 scope global eth0\\ \n4: eth0    inet 192.0.2.9/32 scope global eth0\\ \n",
            ),
        ] {
            parts.take(line, text.as_bytes());
        }
        FactNames::new(&Facts::new(&parts, 0.0))
    }

    fn names() -> Record {
        Record::of(&[("facts", Type::Record(record().clone()))])
    }

    fn holds(source: &str) -> Result<bool, String> {
        let condition = Condition::parse(source, &names()).unwrap();
        facts().holds(&condition, Map::new())
    }

    #[test]
    fn each_fact_has_a_type_and_none_is_called_like_the_lack_of_one() {
        fn look(record: &Record) {
            for (name, kind) in &record.0 {
                assert_ne!(name, UNKNOWN);
                assert_ne!(name, NOT_APPLICABLE);
                match kind {
                    Type::Record(below) => look(below),
                    Type::List(item) => match &**item {
                        Type::Record(below) => look(below),
                        item => assert_eq!(*item, Type::String, "{name}"),
                    },
                    kind => assert!(*kind != Type::Any, "{name}"),
                }
            }
        }
        look(record());
        assert!(record().names().len() > 50);
        for (name, kind) in [
            ("kubelet.fail_swap_on", Type::Bool),
            ("memory.available", Type::Int),
            ("units.kubelet.active_state", Type::String),
            ("routes.default_v4.dev", Type::String),
        ] {
            assert_eq!(record().find(name), Some(&kind), "{name}");
        }
    }

    #[test]
    fn a_condition_is_decided_by_what_is_known() {
        for (source, wanted) in [
            ("facts.swap.on", true),
            ("facts.memory.swap_used < facts.memory.available", true),
            // CEL's numbers have a sign, and so have these.
            ("facts.memory.swap_used * 2 > facts.memory.available", false),
            ("facts.swap.devices.exists(d, d.kind == 'partition')", true),
            (
                "facts.interfaces.exists(i, i.addresses.exists(a, a.vip && a.prefix == 32))",
                true,
            ),
            (
                "size(facts.interfaces) == 1 && facts.interfaces[0].mtu >= 1500",
                true,
            ),
            ("has(facts.units) && facts.units.kubelet.active", false),
            ("has(facts.kubelet)", false),
            // What is not looked at need not be known.
            ("facts.swap.on || facts.machine_id == 'x'", true),
        ] {
            assert_eq!(holds(source), Ok(wanted), "{source}");
        }
    }

    #[test]
    fn what_could_not_be_read_is_an_error_that_says_why_and_never_false() {
        let all: Vec<String> = [
            "facts.machine_id == 'x'",
            "facts.machine_id != 'x'",
            "has(facts.machine_id)",
            "!has(facts.conntrack.count)",
            "facts.conntrack.count * 10 < facts.conntrack.max * 9",
            "facts.units.kubelet.active",
            "!facts.kubelet.fail_swap_on",
            "facts.os.id == 'debian'",
            "has(facts.os)",
        ]
        .iter()
        .map(|source| holds(source).unwrap_err())
        .collect();
        insta::assert_snapshot!(all.join("\n"), @"
        `facts.machine_id` could not be read: no permission to read it
        `facts.machine_id` could not be read: no permission to read it
        `facts.machine_id` could not be read: no permission to read it
        `facts.conntrack.count` could not be read: no permission to read it
        `facts.conntrack.count` could not be read: no permission to read it
        `facts.units` does not apply to this host: no systemd
        `facts.kubelet` does not apply to this host: no unit kubelet.service and no process kubelet (k3s has it inside its own process)
        `facts.os` could not be read: it was not read
        `facts.os` could not be read: it was not read
        ");
    }

    #[test]
    fn what_would_hold_always_or_never_is_no_condition() {
        let wrong = |source: &str| Condition::parse(source, &names()).err().unwrap();
        let all: Vec<String> = [
            "facts.kubelet.fail_swap_on != \"false\"",
            "facts.kubelet.fail_swap == true",
            "facts.os.version_id >= 12",
            "facts.memory.total == '1'",
            "facts.interfaces.exists(i, i.vips)",
            "facts.interfaces.exists(i, i.addresses.exists(a, a.prefix == '32'))",
            "facts.swap.devices == 1",
            "facts.swap == 1",
            "size(facts.memory) > 2",
            "facts.swap.devices.all(d, d.path.x == 1)",
            "facts['swapped'] == 1",
            "cost > 3",
        ]
        .iter()
        .map(|source| wrong(source))
        .collect();
        insta::assert_snapshot!(all.join("\n"), @r#"
        `facts.kubelet.fail_swap_on != "false"`: `facts.kubelet.fail_swap_on` is true or false, and is compared with text; it is a condition already: write facts.kubelet.fail_swap_on or !facts.kubelet.fail_swap_on
        `facts.kubelet.fail_swap == true` uses `facts.kubelet.fail_swap`, which is not known here; did you mean `facts.kubelet.fail_swap_on`?
        `facts.os.version_id >= 12`: `facts.os.version_id` is text, and is compared with a whole number; compare it with text, as in facts.os.version_id == '3'
        `facts.memory.total == '1'`: `facts.memory.total` is a whole number, and is compared with text; compare it with a number, as in facts.memory.total > 3
        `facts.interfaces.exists(i, i.vips)`: an item of `facts.interfaces` has no `vips`; known are addresses, kind, mac, mtu, name, state, up
        `facts.interfaces.exists(i, i.addresses.exists(a, a.prefix == '32'))`: `prefix` is a whole number, and is compared with text; compare it with a number, as in prefix > 3
        `facts.swap.devices == 1`: `facts.swap.devices` is a list, and is compared with a whole number; use facts.swap.devices.exists(x, …) or size(facts.swap.devices)
        `facts.swap == 1`: `facts.swap` is no value: names stand below it; name one of them, as in facts.swap.x
        `size(facts.memory) > 2`: `facts.memory` is no value: names stand below it; name one of them, as in facts.memory.x
        `facts.swap.devices.all(d, d.path.x == 1)`: an item of `facts.swap.devices` has no `path.x`; did you mean `path`?
        `facts['swapped'] == 1` uses `facts.swapped`, which is not known here; did you mean `facts.swap.on`?
        `cost > 3` uses `cost`, which is not known here; known are facts.…
        "#);
    }

    #[test]
    fn what_facts_are_is_said() {
        let names: Vec<String> = [
            "facts.swap.on",
            "facts.units.kubelet.active",
            "params.x",
            "facts.swap.devices",
            "facts.machine_id",
        ]
        .map(str::to_owned)
        .to_vec();
        insta::assert_snapshot!(facts().said(&names), @"`facts.swap.on` is true, `facts.units` does not apply to this host: no systemd, `facts.swap.devices` has 1 item, `facts.machine_id` could not be read: no permission to read it");
    }
}
