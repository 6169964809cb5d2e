//! Conditions: expressions of CEL, Kubernetes' own policy language, over names that are checked when
//! the runbook is read.

use super::kind::Record;
use crate::fault::nearest;
use cel::common::ast::{CallExpr, EntryExpr, Expr, LiteralValue, operators};
use cel::{Context, IdedExpr, Program, Value as Cel};
use serde_json::Value;

/// Bytes of an expression.
const LONGEST: usize = 1024;
/// Brackets within each other, and questions, of an expression.
const DEEPEST: usize = 24;

/// A parsed and checked condition.
#[derive(Debug, Clone)]
pub struct Condition {
    source: String,
}

impl Condition {
    /// Parses `source` and checks each name in it.
    pub fn parse(source: &str, names: &Record) -> Result<Self, String> {
        let used = names_in(source)
            .map_err(|wrong| format!("`{source}` is not a CEL expression: {}", wrong.why))?;
        for name in used {
            if !names.knows(&name) {
                let mut message = format!("`{source}` uses `{name}`, which is not known here");
                let known = names.names();
                match nearest(&name, known.iter().map(String::as_str)) {
                    Some(near) => message.push_str(&format!("; did you mean `{near}`?")),
                    None => message.push_str(&format!("; known are {}", known.join(", "))),
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

    /// The names that it uses, in dotted form.
    pub fn names(&self) -> Vec<String> {
        let program = Program::compile(&self.source);
        program.map_or(Vec::new(), |program| Used::of(&program).names)
    }

    /// Evaluates it with `names` as a nested object. Anything but a boolean is an error.
    pub fn holds(&self, names: &Value) -> Result<bool, String> {
        let failed =
            |why: String| format!("the condition `{}` cannot be decided: {why}", self.source);
        let program = Program::compile(&self.source).map_err(|e| failed(e.to_string()))?;
        // `has` would say no of what is only not known yet.
        let unknown = |name: &String| {
            let pointer: String = name
                .split('.')
                .take(3)
                .map(|key| format!("/{key}"))
                .collect();
            name.starts_with("steps.") && names.pointer(&pointer).is_none()
        };
        if let Some(name) = Used::of(&program).tested.into_iter().find(unknown) {
            return Err(failed(format!("there is no `{name}`")));
        }
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

/// Why a text is not an expression, and at which character of which line, from 0.
pub(super) struct NoExpression {
    pub why: String,
    pub place: Option<(usize, usize)>,
}

/// Every dotted name that an expression uses.
pub(super) fn names_in(source: &str) -> Result<Vec<String>, NoExpression> {
    // What is read of an expression goes as deep as it is long.
    if source.len() > LONGEST {
        return Err(NoExpression {
            why: format!(
                "it has {} bytes, and a condition may have {LONGEST}",
                source.len()
            ),
            place: None,
        });
    }
    let mut depth = 0usize;
    let mut deepest = 0;
    for c in source.chars() {
        match c {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    if deepest > DEEPEST || source.matches('?').count() > DEEPEST {
        return Err(NoExpression {
            why: format!("more than {DEEPEST} brackets or questions stand within each other"),
            place: None,
        });
    }
    let program = Program::compile(source).map_err(|e| {
        let first = e.errors.first();
        let at = |n: isize| usize::try_from(n - 1).ok();
        NoExpression {
            why: first.map_or_else(|| e.to_string(), |first| plainly(&first.msg)),
            place: first.and_then(|first| Some((at(first.pos.0)?, at(first.pos.1)?))),
        }
    })?;
    let used = Used::of(&program);
    match used.wrong {
        Some(why) => Err(NoExpression { why, place: None }),
        None => Ok(used.names),
    }
}

/// The parser's words without the list of all that could have stood there.
fn plainly(words: &str) -> String {
    let words = words.strip_prefix("Syntax error: ").unwrap_or(words);
    let words = words.split(" expecting ").next().unwrap_or(words);
    match words
        .strip_prefix("mismatched input ")
        .or(words.strip_prefix("extraneous input "))
    {
        Some("'<EOF>'") => "it ends too early".to_owned(),
        Some(input) => format!("{input} does not belong there"),
        None => words.replace("'<EOF>'", "its end"),
    }
}

/// What an expression uses.
#[derive(Default)]
struct Used {
    /// Every dotted name.
    names: Vec<String>,
    /// Those of them that `has` asks for.
    tested: Vec<String>,
    /// Names that cannot be told before it is decided.
    wrong: Option<String>,
    /// The variables of macros such as `all` and `map`, where they stand.
    bound: Vec<String>,
}

impl Used {
    fn of(program: &Program) -> Self {
        let mut used = Self::default();
        used.walk(program.expression());
        used
    }

    fn walk(&mut self, at: &IdedExpr) {
        if let Some(name) = dotted(&at.expr) {
            if !self.is_bound(&name) {
                if matches!(&at.expr, Expr::Select(select) if select.test) {
                    self.tested.push(name.clone());
                }
                self.names.push(name);
            }
            return;
        }
        match &at.expr {
            Expr::Call(call) => {
                self.check_index(call);
                if let Some(target) = &call.target {
                    self.walk(target);
                }
                call.args.iter().for_each(|arg| self.walk(arg));
            }
            Expr::Comprehension(inner) => {
                self.walk(&inner.iter_range);
                let outer = self.bound.len();
                self.bound
                    .extend([inner.iter_var.clone(), inner.accu_var.clone()]);
                self.bound.extend(inner.iter_var2.clone());
                for part in [
                    &inner.accu_init,
                    &inner.loop_cond,
                    &inner.loop_step,
                    &inner.result,
                ] {
                    self.walk(part);
                }
                self.bound.truncate(outer);
            }
            Expr::List(list) => list.elements.iter().for_each(|e| self.walk(e)),
            Expr::Map(map) => {
                for entry in &map.entries {
                    if let EntryExpr::MapEntry(entry) = &entry.expr {
                        self.walk(&entry.key);
                        self.walk(&entry.value);
                    }
                }
            }
            Expr::Struct(record) => {
                for entry in &record.entries {
                    if let EntryExpr::StructField(field) = &entry.expr {
                        self.walk(&field.value);
                    }
                }
            }
            Expr::Select(select) => self.walk(&select.operand),
            Expr::Ident(_) | Expr::Literal(_) | Expr::Unspecified => {}
        }
    }

    fn is_bound(&self, name: &str) -> bool {
        let root = name.split('.').next().unwrap_or_default();
        self.bound.iter().any(|bound| bound == root)
    }

    /// Which parameter or step is meant must be known when the runbook is read.
    fn check_index(&mut self, call: &CallExpr) {
        let index = [
            operators::INDEX,
            operators::OPT_INDEX,
            operators::OPT_SELECT,
        ];
        let Some(name) = call.args.first().and_then(|of| dotted(&of.expr)) else {
            return;
        };
        let closed = match name.split('.').collect::<Vec<_>>().as_slice() {
            ["params" | "steps" | "target"] | ["steps", _] => !self.is_bound(&name),
            _ => false,
        };
        if closed && index.contains(&call.func_name.as_str()) {
            self.wrong = Some(format!(
                "what stands below `{name}` is named as it is, such as `{name}.x`"
            ));
        }
    }
}

/// The name that an expression is; `a["b"]` is `a.b`.
fn dotted(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Ident(name) => Some(name.clone()),
        Expr::Select(select) => Some(format!(
            "{}.{}",
            dotted(&select.operand.expr)?,
            select.field
        )),
        Expr::Call(call) if call.func_name == operators::INDEX => {
            let [of, key] = call.args.as_slice() else {
                return None;
            };
            let Expr::Literal(LiteralValue::String(key)) = &key.expr else {
                return None;
            };
            let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
            let name = key.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
            match name && key.chars().all(plain) {
                true => Some(format!("{}.{}", dotted(&of.expr)?, key.inner())),
                false => None,
            }
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::kind::Type;
    use super::*;
    use serde_json::json;

    fn names() -> Record {
        let changed = || Type::Record(Record::of(&[("changed", Type::Bool)]));
        Record::of(&[
            (
                "params",
                Type::Record(Record::of(&[("within", Type::String)])),
            ),
            (
                "steps",
                Type::Record(Record::of(&[("address", changed()), ("method", changed())])),
            ),
            (
                "target",
                Type::Record(Record::of(&[("node", Type::String)])),
            ),
            ("object", Type::Any),
        ])
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
        let names = Record::of(&[("exists", Type::Bool), ("object", Type::Any)]);
        let parse = |source: &str| Condition::parse(source, &names);
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
        insta::assert_snapshot!(parse("weather == 'fine'").unwrap_err(), @"`weather == 'fine'` uses `weather`, which is not known here; known are params.within, steps.address.changed, steps.method.changed, target.node, object");
        assert!(parse("[1].all(x, x > y)").is_err());
        assert!(parse("(").is_err());
    }

    #[test]
    fn an_index_is_a_name() {
        for (source, names) in [
            ("params['within'] == '5m'", vec!["params.within"]),
            ("steps['address']['changed']", vec!["steps.address.changed"]),
            ("object['a'].b[0]['c'] == 1", vec!["object.a.b"]),
            (
                "object.labels['x.y/z'] == target.node",
                vec!["object.labels", "target.node"],
            ),
            ("has(steps.address.changed)", vec!["steps.address.changed"]),
        ] {
            assert_eq!(parse(source).unwrap().names(), names, "{source}");
        }
        let error = parse("params['p'] == 1").unwrap_err();
        assert!(
            error.contains("`params.p`, which is not known here"),
            "{error}"
        );
        let error = parse("params['a-b'] == 1").unwrap_err();
        assert!(
            error.contains("below `params` is named as it is"),
            "{error}"
        );
        for bad in [
            "params[target.node] == 1",
            "steps['add' + 'ress'].changed",
            "steps.address[target.node]",
            "['changed'].all(key, steps.address[key])",
            "target[params.within] == 'x'",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_not_known_yet_is_not_taken_for_absent() {
        let names = Record::of(&[(
            "steps",
            Type::Record(Record::of(&[(
                "read",
                Type::Record(Record::of(&[("object", Type::Any)])),
            )])),
        )]);
        let condition = Condition::parse("has(steps.read.object.status)", &names).unwrap();
        let holds = |steps: Value| condition.holds(&json!({"steps": steps}));
        assert!(holds(json!({})).is_err());
        assert!(holds(json!({"read": {"changed": false}})).is_err());
        assert_eq!(holds(json!({"read": {"object": {}}})), Ok(false));
        assert_eq!(holds(json!({"read": {"object": {"status": {}}}})), Ok(true));
    }
}
