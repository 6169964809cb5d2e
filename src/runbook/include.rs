//! Runbooks that stand as one step in another.

use super::beside::Beside;
use super::kind::Kinds;
use super::model::{Runbook, StepScope, THIS, TargetKind};
use super::read::read_beside;
use crate::fault::Fault;
use std::collections::BTreeMap;

/// How deep runbooks may stand in one another.
const DEEPEST: usize = 8;
/// How many different runbooks one may include, with those that they include.
const MOST: usize = 100;
/// How many steps all of them may come to, each counted wherever it stands.
const MOST_STEPS: usize = 10_000;

/// Finds the runbooks that `runbook` includes, and those that they include. `find` gives one by the
/// name that a step uses.
pub fn include(
    runbook: &mut Runbook,
    find: &dyn Fn(&str) -> Result<Runbook, Fault>,
) -> Result<(), Fault> {
    let above = vec![runbook.name.clone()];
    let mut reader = Reader {
        find,
        read: BTreeMap::new(),
        steps: 0,
    };
    reader.include_below(runbook, &above)
}

/// Each runbook is read once, however many steps include it.
struct Reader<'a> {
    find: &'a dyn Fn(&str) -> Result<Runbook, Fault>,
    /// As they are read, without what they include.
    read: BTreeMap<String, Runbook>,
    steps: usize,
}

/// Reads a runbook whose text was kept, with those that it includes.
pub fn read_kept(
    text: &str,
    name: &str,
    included: &BTreeMap<String, String>,
    kinds: &Kinds,
) -> Result<Runbook, Fault> {
    let beside = |name: &str| {
        let within = |(key, text): (&'_ String, &'_ String)| {
            let file = key.strip_prefix(name)?.strip_prefix('/')?;
            Some((file.to_owned(), text.clone()))
        };
        Beside::texts(included.iter().filter_map(within))
    };
    let mut runbook = read_beside(text, name, kinds, beside(THIS))?;
    include(&mut runbook, &|name| match included.get(name) {
        Some(text) => Ok(read_beside(text, name, kinds, beside(name))?),
        None => Err(Fault::input(
            "unknown_runbook",
            format!("the text of runbook `{name}` was not kept"),
        )),
    })?;
    Ok(runbook)
}

impl Reader<'_> {
    fn include_below(&mut self, runbook: &mut Runbook, above: &[String]) -> Result<(), Fault> {
        let size = |what: String| {
            let at = format!("runbook `{}`", above.first().map_or("", String::as_str));
            Fault::input("include_size", format!("{at}: {what}"))
                .next("make several of it, which are applied one after the other")
        };
        self.steps += runbook.steps.len();
        if self.steps > MOST_STEPS {
            return Err(size(format!(
                "with all that it includes, it has more than {MOST_STEPS} steps"
            )));
        }
        let mut included = BTreeMap::new();
        for step in &runbook.steps {
            let Some(name) = step.includes() else {
                continue;
            };
            let at = format!("runbook `{}`, step `{}`", runbook.name, step.id);
            if above.iter().any(|known| known == name) {
                let way: Vec<&str> = above.iter().map(String::as_str).chain([name]).collect();
                return Err(Fault::input(
                    "runbook_cycle",
                    format!("{at}: it would include itself: {}", way.join(" → ")),
                ));
            }
            if above.len() >= DEEPEST {
                return Err(Fault::input(
                    "runbook_depth",
                    format!("{at}: runbooks stand in one another more than {DEEPEST} deep"),
                ));
            }
            if included.contains_key(name) {
                continue;
            }
            let mut inner = match self.read.get(name) {
                Some(read) => read.clone(),
                None => {
                    if self.read.len() >= MOST {
                        return Err(size(format!("it includes more than {MOST} runbooks")));
                    }
                    let read = (self.find)(name).map_err(|fault| Fault {
                        message: format!("{at}: {}", fault.message),
                        ..fault
                    })?;
                    self.read.insert(name.to_owned(), read.clone());
                    read
                }
            };
            let below: Vec<String> = above.iter().cloned().chain([name.to_owned()]).collect();
            self.include_below(&mut inner, &below)?;
            included.insert(name.to_owned(), inner);
        }
        for step in &runbook.steps {
            if let Some(inner) = step.includes().and_then(|name| included.get(name)) {
                check_scopes(runbook, step, inner)?;
            }
        }
        runbook.included = included;
        Ok(())
    }
}

/// What is done for nodes has none where the cluster is the target; and what is repeated as a whole
/// happens at one place.
fn check_scopes(
    runbook: &Runbook,
    step: &super::model::Step,
    inner: &Runbook,
) -> Result<(), Fault> {
    let wrong = |what: String| {
        Err(Fault::input(
            "include_scope",
            format!("runbook `{}`, step `{}`: {what}", runbook.name, step.id),
        ))
    };
    let name = &inner.name;
    let at_targets = inner.happens_at(StepScope::Target);
    if at_targets && (runbook.targets == TargetKind::Cluster || step.scope == StepScope::Run) {
        return wrong(format!(
            "runbook `{name}` does something at each node, and this step happens once"
        ));
    }
    if step.for_each.is_some() && at_targets && inner.happens_at(StepScope::Run) {
        return wrong(format!(
            "runbook `{name}` does something at each node and something once for the run: it cannot be \
             repeated by `for_each`"
        ));
    }
    Ok(())
}

impl Runbook {
    /// Whether any step of it, or of what it includes, happens there.
    pub fn happens_at(&self, scope: StepScope) -> bool {
        self.steps.iter().any(|step| match step.includes() {
            Some(name) => self.included.get(name).is_some_and(|r| r.happens_at(scope)),
            None => step.scope == scope,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::kind::Kinds;
    use super::super::read::read;
    use super::*;
    use std::cell::RefCell;

    /// A runbook that includes these.
    fn named(name: &str, includes: &[String]) -> Runbook {
        let head = "apiVersion: runbook/v1\nsummary: S\nrisk: low\ntargets: cluster\nsteps:\n  - {id: own, uses: a.b}\n";
        let steps: String = includes
            .iter()
            .enumerate()
            .map(|(n, name)| {
                format!("  - {{id: s{n}, uses: runbook, with: {{runbook: {name}}}}}\n")
            })
            .collect();
        let kinds = Kinds::that_take_anything(&["a.b"]);
        read(&format!("name: {name}\n{head}{steps}"), name, &kinds).unwrap()
    }

    #[test]
    fn each_runbook_is_read_once() {
        // Each level includes both of the next one: 2 + 4 + … would be read, if each parent read anew.
        let below = |level: usize| -> Vec<String> {
            let names = ["a", "b"].iter();
            names.map(|side| format!("{side}{level}")).collect()
        };
        let calls = RefCell::new(Vec::new());
        let mut top = named("top", &below(1));
        include(&mut top, &|name| {
            calls.borrow_mut().push(name.to_owned());
            let level: usize = name[1..].parse().unwrap();
            Ok(match level {
                6 => named(name, &[]),
                _ => named(name, &below(level + 1)),
            })
        })
        .unwrap();
        let mut calls = calls.into_inner();
        assert_eq!(calls.len(), 12, "{calls:?}");
        calls.sort();
        calls.dedup();
        assert_eq!(calls.len(), 12);
        assert!(
            top.included["a1"].included["b2"]
                .included
                .contains_key("a3")
        );
    }

    #[test]
    fn there_are_limits() {
        let many: Vec<String> = (0..=MOST).map(|n| format!("r{n}")).collect();
        let include_all =
            |names: &[String]| include(&mut named("top", names), &|name| Ok(named(name, &[])));
        assert!(include_all(&many[..MOST]).is_ok());
        assert_eq!(include_all(&many).unwrap_err().code, "include_size");
        // Few runbooks that come to many steps.
        let wide =
            |level: usize| -> Vec<String> { (0..12).map(|n| format!("r{level}x{n}")).collect() };
        let outcome = include(&mut named("top", &wide(1)), &|name| {
            let level: usize = name[1..2].parse().unwrap();
            Ok(match level {
                6 => named(name, &[]),
                _ => named(name, &wide(level + 1)),
            })
        });
        assert_eq!(outcome.unwrap_err().code, "include_size");
    }
}
