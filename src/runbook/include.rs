//! Runbooks that stand as one step in another.

use super::model::{Runbook, StepScope, TargetKind};
use crate::fault::Fault;
use std::collections::BTreeMap;

/// How deep runbooks may stand in one another.
const DEEPEST: usize = 8;

/// Finds the runbooks that `runbook` includes, and those that they include. `find` gives one by the
/// name that a step uses.
pub fn include(
    runbook: &mut Runbook,
    find: &dyn Fn(&str) -> Result<Runbook, Fault>,
) -> Result<(), Fault> {
    let above = vec![runbook.name.clone()];
    include_below(runbook, find, &above)
}

/// Finds included runbooks among texts that were kept.
pub fn include_texts(
    runbook: &mut Runbook,
    texts: &BTreeMap<String, String>,
    read: &dyn Fn(&str, &str) -> Result<Runbook, Fault>,
) -> Result<(), Fault> {
    include(runbook, &|name| match texts.get(name) {
        Some(text) => read(text, name),
        None => Err(Fault::input(
            "unknown_runbook",
            format!("the text of runbook `{name}` was not kept"),
        )),
    })
}

fn include_below(
    runbook: &mut Runbook,
    find: &dyn Fn(&str) -> Result<Runbook, Fault>,
    above: &[String],
) -> Result<(), Fault> {
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
        let mut inner = find(name).map_err(|fault| Fault {
            message: format!("{at}: {}", fault.message),
            ..fault
        })?;
        let below: Vec<String> = above.iter().cloned().chain([name.to_owned()]).collect();
        include_below(&mut inner, find, &below)?;
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
