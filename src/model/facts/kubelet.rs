//! How kubelet is configured: by its flags, its configuration file and what is laid over that, as
//! Kubernetes 1.34 reads them (`cmd/kubelet/app/server.go`, `pkg/kubelet/apis/config/v1beta1/defaults.go`).

use super::system::unquoted;
use super::unit::{Block, blocks};
use super::{Fact, Parts};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// kubelet. Where it runs, its command line counts, as it is; else how its unit would start it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Kubelet {
    /// Whether it runs now.
    pub running: Fact<bool>,
    /// The words of its command line, without the program.
    pub arguments: Fact<Vec<String>>,
    /// `--config`.
    pub config: Fact<String>,
    /// `--config-dir`: its files, `*.conf`, are laid over the configuration in their order.
    pub config_dir: Fact<String>,
    /// Whether it refuses to start where swap is on. A flag counts before the files, and true where
    /// nothing is said.
    pub fail_swap_on: Fact<bool>,
    /// What says so: a file, a flag, or `default`.
    pub fail_swap_on_from: Fact<String>,
    /// `memorySwap.swapBehavior`. Where it is not set, what counts depends on kubelet's version.
    pub swap_behavior: Fact<String>,
    /// `systemd` or `cgroupfs`, as it is configured.
    pub cgroup_driver: Fact<String>,
    /// How many pods it takes.
    pub max_pods: Fact<u32>,
    /// `--hostname-override`.
    pub hostname_override: Fact<String>,
}

/// What was seen of it.
#[derive(Debug, Clone, PartialEq)]
pub struct KubeletSeen {
    running: Fact<bool>,
    arguments: Fact<Vec<String>>,
    /// Where flags come from: a file, or the unit; with their words.
    sources: Vec<(String, Vec<String>)>,
    /// The configuration, and what is laid over it: each with its path.
    layers: Fact<Vec<(String, Value)>>,
}

impl Fact<KubeletSeen> {
    pub(super) fn facts(self) -> Fact<Kubelet> {
        self.map(|seen| {
            let truth = |text: &str| truth(text).ok_or(format!("`{text}` is not true or false"));
            let name = |text: &str| Ok(text.to_owned());
            let swap = seen.setting("fail-swap-on", "/failSwapOn", truth, true);
            let driver = seen.setting(
                "cgroup-driver",
                "/cgroupDriver",
                name,
                "cgroupfs".to_owned(),
            );
            let number = |text: &str| {
                text.parse()
                    .map_err(|_| format!("`{text}` is not a number"))
            };
            let behavior = seen.layers.as_ref().and_then(|layers| {
                match layered(layers, "/memorySwap/swapBehavior") {
                    Some((_, Value::String(behavior))) if !behavior.is_empty() => {
                        Fact::Is(behavior.clone())
                    }
                    _ => Fact::not_applicable("it is not set"),
                }
            });
            Kubelet {
                config: seen.flag("config"),
                config_dir: seen.flag("config-dir"),
                hostname_override: seen.flag("hostname-override"),
                fail_swap_on: swap.as_ref().map(|(swap, _)| *swap),
                fail_swap_on_from: swap.map(|(_, from)| from),
                swap_behavior: behavior,
                cgroup_driver: driver.map(|(driver, _)| driver),
                max_pods: seen
                    .setting("max-pods", "/maxPods", number, 110)
                    .map(|(pods, _)| pods),
                running: seen.running,
                arguments: seen.arguments,
            }
        })
    }
}

impl KubeletSeen {
    pub(super) fn new(parts: &Parts) -> Fact<Self> {
        let start = parts.text("kubelet_start");
        let start = start.as_ref().map(|text| blocks(text));
        let start = start.as_ref().map(|blocks| blocks.first());
        let there = parts.text("units").as_ref().map(|text| {
            let blocks = blocks(text);
            let unit = blocks.iter().find(|block| block.is("kubelet.service"));
            unit.is_some_and(|unit| unit.get("LoadState") != "not-found")
        });
        let running = match parts.bytes("kubelet_running") {
            Fact::Is(_) => Fact::Is(true),
            Fact::NotApplicable(_) => Fact::Is(false),
            Fact::Unknown(why) => Fact::Unknown(why),
        };
        let files = parts
            .paths("kubelet_file")
            .any(|(_, part)| part.is().is_some());
        if running.is() == Some(&false) && there.is() != Some(&true) && !files {
            return match there {
                Fact::Unknown(why) => Fact::Unknown(why),
                _ => Fact::not_applicable(
                    "no unit kubelet.service and no process kubelet (k3s has it inside its own process)",
                ),
            };
        }
        let unit = match start.is() {
            Some(Some(unit)) => Some(*unit),
            _ => None,
        };
        let sources = sources(parts, unit);
        let arguments = match parts.bytes("kubelet_running") {
            Fact::Is(line) => Fact::Is(command_line(line)),
            Fact::Unknown(why) => Fact::Unknown(why),
            Fact::NotApplicable(_) => match unit {
                Some(unit) => started(parts, unit),
                None => Fact::unknown(
                    "kubelet does not run, and no unit of systemd says how it is started",
                ),
            },
        };
        let mut seen = Self {
            running,
            arguments,
            sources,
            layers: Fact::Is(Vec::new()),
        };
        seen.layers = seen.read_layers(parts);
        Fact::Is(seen)
    }

    /// A flag that takes a value.
    fn flag(&self, name: &str) -> Fact<String> {
        self.arguments
            .as_ref()
            .and_then(|arguments| match value_of(arguments, name) {
                Some(value) => Fact::Is(value),
                None => Fact::not_applicable(format!("kubelet is started without --{name}")),
            })
    }

    /// A setting, and what says so. A flag counts before the files.
    pub(super) fn setting<T>(
        &self,
        flag: &str,
        pointer: &str,
        read: impl Fn(&str) -> Result<T, String>,
        usual: T,
    ) -> Fact<(T, String)> {
        let understood = |text: &str, from: String| match read(text) {
            Ok(value) => Fact::Is((value, from)),
            Err(why) => Fact::Unknown(format!("{from}: {why}")),
        };
        let arguments = match self.arguments.as_ref() {
            Fact::Is(arguments) => arguments,
            Fact::Unknown(why) => return Fact::Unknown(why),
            Fact::NotApplicable(why) => return Fact::NotApplicable(why),
        };
        if let Some(value) = value_of(arguments, flag) {
            let by = |(_, words): &&(String, Vec<String>)| {
                value_of(words, flag).as_ref() == Some(&value)
            };
            let from = match self.sources.iter().rev().find(by) {
                Some((source, _)) => format!("flag --{flag} in {source}"),
                None => format!("flag --{flag} of kubelet's command line"),
            };
            return understood(&value, from);
        }
        let layers = match self.layers.as_ref() {
            Fact::Is(layers) => layers,
            Fact::Unknown(why) => return Fact::Unknown(why),
            Fact::NotApplicable(why) => return Fact::NotApplicable(why),
        };
        match layered(layers, pointer) {
            None | Some((_, Value::Null)) => Fact::Is((usual, "default".to_owned())),
            // What is empty stands for what is usual; so does 0 of a number.
            Some((_, Value::String(text))) if text.is_empty() => {
                Fact::Is((usual, "default".to_owned()))
            }
            Some((_, value)) if value.as_i64() == Some(0) => {
                Fact::Is((usual, "default".to_owned()))
            }
            Some((path, Value::String(text))) => understood(text, path.to_owned()),
            Some((path, value)) => understood(&value.to_string(), path.to_owned()),
        }
    }

    fn read_layers(&self, parts: &Parts) -> Fact<Vec<(String, Value)>> {
        let mut layers = Vec::new();
        match self.flag("config") {
            Fact::Unknown(why) => return Fact::Unknown(why),
            Fact::NotApplicable(_) => {}
            Fact::Is(path) => match parts.bytes(&format!("kubelet_config={path}")) {
                Fact::Is(bytes) => match configuration(&path, bytes) {
                    Ok(config) => layers.push((path, config)),
                    Err(why) => return Fact::Unknown(why),
                },
                Fact::Unknown(why) => {
                    return Fact::Unknown(format!("kubelet's configuration {path}: {why}"));
                }
                Fact::NotApplicable(_) => {
                    return Fact::Unknown(format!("kubelet's configuration {path} is not there"));
                }
            },
        }
        match self.flag("config-dir") {
            Fact::Unknown(why) => return Fact::Unknown(why),
            Fact::NotApplicable(_) => {}
            Fact::Is(folder) => {
                let part = parts.bytes(&format!("kubelet_folder={folder}"));
                if let Fact::Unknown(why) | Fact::NotApplicable(why) = part {
                    return Fact::Unknown(why);
                }
                let inside = format!("{folder}/");
                let files = parts.paths("kubelet_more");
                let mut files: Vec<(&str, &Fact<Vec<u8>>)> = files
                    .filter(|(path, _)| path.starts_with(&inside))
                    .collect();
                // In the order in which kubelet walks the folder.
                files.sort_by(|(a, _), (b, _)| a.split('/').cmp(b.split('/')));
                for (path, part) in files {
                    let config = match part {
                        Fact::Is(bytes) => configuration(path, bytes),
                        Fact::Unknown(why) | Fact::NotApplicable(why) => Err(why.clone()),
                    };
                    match config {
                        Ok(config) => layers.push((path.to_owned(), config)),
                        Err(why) => return Fact::Unknown(why),
                    }
                }
            }
        }
        Fact::Is(layers)
    }
}

fn configuration(path: &str, bytes: &[u8]) -> Result<Value, String> {
    let wrong = |e: &dyn ToString| format!("kubelet's configuration {path}: {}", e.to_string());
    let text = std::str::from_utf8(bytes).map_err(|e| wrong(&e))?;
    let config: Value = serde_yaml::from_str(text).map_err(|e| wrong(&e))?;
    match config {
        Value::Object(_) => Ok(config),
        _ => Err(wrong(&"it is not a map")),
    }
}

/// What the last of the layers says that says something, and its path. Each is merged over those before
/// it (RFC 7386): null takes away, and what is no map replaces a map.
fn layered<'l>(layers: &'l [(String, Value)], pointer: &str) -> Option<(&'l str, &'l Value)> {
    layers.iter().rev().find_map(|(path, layer)| {
        let mut at = layer;
        for key in pointer.split('/').skip(1) {
            match at {
                Value::Object(map) => at = map.get(key)?,
                _ => return Some((path.as_str(), &Value::Null)),
            }
        }
        Some((path.as_str(), at))
    })
}

fn command_line(bytes: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(bytes);
    let words = text.trim_end_matches(['\0', '\n']).split('\0');
    words.skip(1).map(str::to_owned).collect()
}

/// The last value of a flag. One without a value is true.
fn value_of(words: &[String], flag: &str) -> Option<String> {
    // Flags that stand alone; all others take the next word.
    const ALONE: &[&str] = &["fail-swap-on"];
    let mut found = None;
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let Some(rest) = word.strip_prefix("--") else {
            continue;
        };
        let (name, value) = match rest.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (rest, None),
        };
        if name.replace('_', "-") == flag {
            found = match (value, ALONE.contains(&flag)) {
                (Some(value), _) => Some(value.to_owned()),
                (None, true) => Some("true".to_owned()),
                (None, false) => words.next().cloned(),
            };
        }
    }
    found
}

/// As Go reads it.
fn truth(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

/// The unit's own variables, and the files with more that it names, in their order.
fn environments(parts: &Parts, unit: &Block<'_>) -> Vec<(String, Fact<BTreeMap<String, String>>)> {
    let own = unit.all("Environment").iter().flat_map(|text| words(text));
    let own = own.filter_map(|word| {
        let (name, value) = word.split_once('=')?;
        Some((name.to_owned(), value.to_owned()))
    });
    let mut all = vec![("kubelet's unit".to_owned(), Fact::Is(own.collect()))];
    for line in unit.all("EnvironmentFiles") {
        let path = line.split(" (").next().unwrap_or(line).trim();
        let text = parts.text(&format!("kubelet_file={path}"));
        let variables = text.map(|text| environment_file(&text));
        all.push((path.to_owned(), variables));
    }
    all
}

/// What systemd.exec(5) says of `EnvironmentFile`, but for lines that go on.
fn environment_file(text: &str) -> BTreeMap<String, String> {
    let lines = text.lines().map(str::trim);
    lines
        .filter(|line| !line.starts_with(['#', ';']))
        .filter_map(|line| {
            let (name, value) = line.split_once('=')?;
            Some((name.trim().to_owned(), unquoted(value)))
        })
        .collect()
}

fn sources(parts: &Parts, unit: Option<&Block<'_>>) -> Vec<(String, Vec<String>)> {
    let Some(unit) = unit else {
        return Vec::new();
    };
    let line = unit.all("ExecStart").iter().filter_map(|l| argv(l));
    let line = line.flat_map(words).collect();
    let mut sources = vec![("kubelet's unit".to_owned(), line)];
    for (source, variables) in environments(parts, unit) {
        if let Fact::Is(variables) = variables {
            sources.push((source, variables.values().flat_map(|v| words(v)).collect()));
        }
    }
    sources
}

/// How the unit would start it: its command with the variables put in.
fn started(parts: &Parts, unit: &Block<'_>) -> Fact<Vec<String>> {
    let Some(line) = unit.all("ExecStart").iter().find_map(|line| argv(line)) else {
        return Fact::unknown("kubelet's unit does not say how it is started");
    };
    let mut variables = BTreeMap::new();
    for (source, more) in environments(parts, unit) {
        match more {
            Fact::Is(more) => variables.extend(more),
            // systemd lets it be where the unit does.
            Fact::NotApplicable(_) => {}
            Fact::Unknown(why) => {
                return Fact::Unknown(format!("{source}, with flags of kubelet: {why}"));
            }
        }
    }
    let mut all = Vec::new();
    for word in line.split_whitespace().skip(1) {
        let plain = word
            .strip_prefix('$')
            .filter(|name| !name.starts_with(['{', '$']));
        match plain {
            Some(name) => {
                let value = variables.get(name).map(String::as_str);
                all.extend(words(value.unwrap_or_default()));
            }
            None => all.push(with_variables(word, &variables)),
        }
    }
    Fact::Is(all)
}

/// The command in what `systemctl show` prints of `ExecStart`.
fn argv(line: &str) -> Option<&str> {
    let (_, rest) = line.split_once("argv[]=")?;
    let end = rest.find(" ; ignore_errors=").unwrap_or(rest.len());
    rest.get(..end)
}

fn with_variables(word: &str, variables: &BTreeMap<String, String>) -> String {
    let mut text = String::new();
    let mut rest = word;
    while let Some((before, after)) = rest.split_once('$') {
        text.push_str(before);
        rest = after;
        if let Some(after) = rest.strip_prefix('$') {
            text.push('$');
            rest = after;
        } else if let Some((name, after)) = rest.strip_prefix('{').and_then(|r| r.split_once('}')) {
            text.push_str(variables.get(name).map_or("", String::as_str));
            rest = after;
        } else {
            text.push('$');
        }
    }
    text.push_str(rest);
    text
}

/// Words, each of which may have quotes.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (None, ' ' | '\t' | '\n') => words.extend(word.take()),
            (None, '"' | '\'') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (Some(open), c) if c == open => quote = None,
            (Some('"') | None, '\\') => word.get_or_insert_default().extend(chars.next()),
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}
