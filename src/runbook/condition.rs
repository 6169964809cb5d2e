//! Conditions: expressions of CEL, Kubernetes' own policy language, over names that are checked when
//! the runbook is read.

use crate::fault::nearest;
use cel::common::ast::{EntryExpr, Expr};
use cel::{Context, IdedExpr, Program, Value as Cel};
use serde_json::Value;

/// The names that a condition may use, in dotted form: `params.within`, `steps.address.changed`.
#[derive(Debug, Default)]
pub struct Names(pub Vec<String>);

/// A parsed and checked condition.
#[derive(Debug, Clone)]
pub struct Condition {
    source: String,
}

impl Condition {
    /// Parses `source` and checks each name in it.
    pub fn parse(source: &str, names: &Names) -> Result<Self, String> {
        Self::parse_over(source, names, &[])
    }

    /// The same, where any path below one of `dynamic_roots` may be used besides.
    pub fn parse_over(source: &str, names: &Names, dynamic_roots: &[&str]) -> Result<Self, String> {
        let program = Program::compile(source)
            .map_err(|e| format!("`{source}` is not a CEL expression: {e}"))?;
        let mut used = Vec::new();
        walk(program.expression(), &mut Vec::new(), &mut used);
        for name in used {
            let root = name.split('.').next().unwrap_or_default();
            if !names.0.contains(&name) && !dynamic_roots.contains(&root) {
                let mut message = format!("`{source}` uses `{name}`, which is not known here");
                match nearest(&name, names.0.iter().map(String::as_str)) {
                    Some(near) => message.push_str(&format!("; did you mean `{near}`?")),
                    None => {
                        let known = names.0.iter().map(String::as_str);
                        let known: Vec<&str> = known.chain(dynamic_roots.iter().copied()).collect();
                        message.push_str(&format!("; known are {}", known.join(", ")));
                    }
                }
                return Err(message);
            }
        }
        Ok(Self {
            source: source.to_owned(),
        })
    }

    pub fn source(&self) -> &str {
        &self.source
    }

    /// Evaluates it with `names` as a nested object. Anything but a boolean is an error.
    pub fn holds(&self, names: &Value) -> Result<bool, String> {
        let failed =
            |why: String| format!("the condition `{}` cannot be decided: {why}", self.source);
        let program = Program::compile(&self.source).map_err(|e| failed(e.to_string()))?;
        let mut context = Context::default();
        for (name, value) in names.as_object().into_iter().flatten() {
            context
                .add_variable(name.as_str(), value.clone())
                .map_err(|e| failed(e.to_string()))?;
        }
        match program.execute(&context) {
            Ok(Cel::Bool(held)) => Ok(held),
            Ok(other) => Err(failed(format!(
                "it is {:?} and not true or false",
                other.type_of()
            ))),
            Err(e) => Err(failed(e.to_string())),
        }
    }
}

/// Gathers every dotted name that an expression uses; `bound` are the variables of macros such as
/// `all` and `map`.
fn walk(at: &IdedExpr, bound: &mut Vec<String>, used: &mut Vec<String>) {
    if let Some(name) = dotted(&at.expr) {
        let root = name.split('.').next().unwrap_or_default();
        if !bound.iter().any(|b| b == root) {
            used.push(name);
        }
        return;
    }
    match &at.expr {
        Expr::Call(call) => {
            if let Some(target) = &call.target {
                walk(target, bound, used);
            }
            call.args.iter().for_each(|arg| walk(arg, bound, used));
        }
        Expr::Comprehension(inner) => {
            walk(&inner.iter_range, bound, used);
            let outer = bound.len();
            bound.extend([inner.iter_var.clone(), inner.accu_var.clone()]);
            bound.extend(inner.iter_var2.clone());
            for part in [
                &inner.accu_init,
                &inner.loop_cond,
                &inner.loop_step,
                &inner.result,
            ] {
                walk(part, bound, used);
            }
            bound.truncate(outer);
        }
        Expr::List(list) => list.elements.iter().for_each(|e| walk(e, bound, used)),
        Expr::Map(map) => {
            for entry in &map.entries {
                if let EntryExpr::MapEntry(entry) = &entry.expr {
                    walk(&entry.key, bound, used);
                    walk(&entry.value, bound, used);
                }
            }
        }
        Expr::Struct(record) => {
            for entry in &record.entries {
                if let EntryExpr::StructField(field) = &entry.expr {
                    walk(&field.value, bound, used);
                }
            }
        }
        Expr::Select(select) => walk(&select.operand, bound, used),
        Expr::Ident(_) | Expr::Literal(_) | Expr::Unspecified => {}
    }
}

fn dotted(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Ident(name) => Some(name.clone()),
        Expr::Select(select) => Some(format!(
            "{}.{}",
            dotted(&select.operand.expr)?,
            select.field
        )),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn names() -> Names {
        Names(
            [
                "params.within",
                "steps.address.changed",
                "steps.method.changed",
                "target.node",
            ]
            .map(str::to_owned)
            .to_vec(),
        )
    }

    fn parse(source: &str) -> Result<Condition, String> {
        Condition::parse(source, &names())
    }

    #[test]
    fn a_condition_is_decided() {
        let world = json!({
            "steps": {"address": {"changed": true}, "method": {"changed": false}},
            "target": {"node": "node02"},
        });
        let holds = |source| parse(source).unwrap().holds(&world);
        assert_eq!(holds("steps.address.changed"), Ok(true));
        assert_eq!(
            holds("steps.address.changed && !steps.method.changed"),
            Ok(true)
        );
        assert_eq!(holds("steps.method.changed"), Ok(false));
        assert_eq!(holds("target.node in ['node01', 'node02']"), Ok(true));
        assert_eq!(
            holds("['a'].exists(x, x == target.node) || steps.address.changed"),
            Ok(true)
        );
    }

    #[test]
    fn anything_but_a_boolean_is_an_error() {
        let world = json!({"target": {"node": "node02"}});
        let error = parse("target.node").unwrap().holds(&world).unwrap_err();
        assert!(error.contains("not true or false"), "{error}");
        assert!(
            parse("steps.address.changed")
                .unwrap()
                .holds(&world)
                .is_err()
        );
        assert!(parse("target.node > 3").unwrap().holds(&world).is_err());
    }

    #[test]
    fn below_a_dynamic_root_any_path_may_be_used() {
        let names = Names(vec!["exists".to_owned()]);
        let parse = |source: &str| Condition::parse_over(source, &names, &["object"]);
        let world = json!({"exists": true, "object": {"spec": {"replicas": 3}, "status": {"phase": "Ready",
            "conditions": [{"type": "Ready", "status": "True"}]}}});
        for source in [
            "exists && object.spec.replicas == 3",
            "object.spec.replicas > 2 && object.status.phase == 'Ready'",
            "has(object.status.phase) && !has(object.status.other)",
            "object.status.conditions.exists(c, c.type == 'Ready' && c.status == 'True')",
            "size(object.status.conditions) == 1",
        ] {
            assert_eq!(parse(source).unwrap().holds(&world), Ok(true), "{source}");
        }
        assert!(
            parse("object.none.below == 1")
                .unwrap()
                .holds(&world)
                .is_err()
        );
        insta::assert_snapshot!(parse("subject.spec == 1").unwrap_err(), @"`subject.spec == 1` uses `subject.spec`, which is not known here; known are exists, object");
    }

    #[test]
    fn names_are_checked_when_it_is_read() {
        insta::assert_snapshot!(parse("steps.adress.changed").unwrap_err(), @"`steps.adress.changed` uses `steps.adress.changed`, which is not known here; did you mean `steps.address.changed`?");
        insta::assert_snapshot!(parse("weather == 'fine'").unwrap_err(), @"`weather == 'fine'` uses `weather`, which is not known here; known are params.within, steps.address.changed, steps.method.changed, target.node");
        assert!(parse("[1].all(x, x > y)").is_err());
        assert!(parse("(").is_err());
    }
}
