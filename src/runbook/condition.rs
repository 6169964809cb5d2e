//! Conditions: expressions of CEL, Kubernetes' own policy language, over names that are checked when
//! the runbook is read.

use super::facts::uses_facts;
use super::kind::{Record, Type};
use crate::fault::nearest;
use cel::common::ast::{CallExpr, EntryExpr, Expr, LiteralValue, operators};
use cel::{Context, IdedExpr, Program, Value as Cel};
use serde::{Serialize, Serializer};
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
        for name in &used.names {
            if !names.knows(name) {
                let mut message = format!("`{source}` uses `{name}`, which is not known here");
                let known = names.names();
                match nearest(name, known.iter().map(String::as_str)) {
                    Some(near) => message.push_str(&format!("; did you mean `{near}`?")),
                    None => message.push_str(&format!(
                        "; known are {}",
                        names.names_in_short().join(", ")
                    )),
                }
                return Err(message);
            }
        }
        if let Some(misuse) = used.misuses(names).into_iter().next() {
            let Misuse { message, help, .. } = misuse;
            return Err(format!("`{source}`: {message}; {help}"));
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

    /// The names for which it asks whether they are there.
    pub fn tested(&self) -> Vec<String> {
        let program = Program::compile(&self.source);
        program.map_or(Vec::new(), |program| Used::of(&program).tested)
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
                .add_variable(name.as_str(), Signed(value))
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

/// A value of which all whole numbers have a sign, as those in an expression do: CEL does not reckon
/// with both sorts together.
struct Signed<'v>(&'v Value);

impl Serialize for Signed<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Number(number) => match number.as_i64() {
                Some(number) => serializer.serialize_i64(number),
                None => number.serialize(serializer),
            },
            Value::Array(items) => serializer.collect_seq(items.iter().map(Signed)),
            Value::Object(map) => {
                serializer.collect_map(map.iter().map(|(key, value)| (key, Signed(value))))
            }
            other => other.serialize(serializer),
        }
    }
}

/// Why a text is not an expression, and at which character of which line, from 0.
pub(super) struct NoExpression {
    pub why: String,
    pub place: Option<(usize, usize)>,
}

/// Every dotted name that an expression uses.
pub(super) fn names_in(source: &str) -> Result<Used, NoExpression> {
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
        None => Ok(used),
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
pub(super) struct Used {
    /// Every dotted name.
    pub names: Vec<String>,
    /// Those of them that `has` asks for.
    tested: Vec<String>,
    /// What it uses of the items of lists, as in `facts.interfaces[].name`.
    of_items: Vec<String>,
    /// Names that are compared with a value, and the type of that.
    compared: Vec<(String, Type)>,
    /// Names that cannot be told before it is decided.
    wrong: Option<String>,
    /// The variables of macros such as `all` and `map`, where they stand, and of what they are items.
    bound: Vec<(String, Option<String>)>,
}

/// A name that is known, and cannot be used like that.
pub(super) struct Misuse {
    pub name: String,
    pub message: String,
    pub help: String,
}

impl Used {
    fn of(program: &Program) -> Self {
        let mut used = Self::default();
        used.walk(program.expression());
        used
    }

    /// What of facts cannot come to anything: it would never hold, or always.
    pub fn misuses(&self, known: &Record) -> Vec<Misuse> {
        let mut misuses = Vec::new();
        for name in &self.names {
            let is_record = matches!(known.find(name), Some(Type::Record(_)));
            if uses_facts(name) && is_record && !self.tested.contains(name) {
                misuses.push(Misuse {
                    message: format!("`{name}` is no value: names stand below it"),
                    help: format!("name one of them, as in {name}.x"),
                    name: name.clone(),
                });
            }
        }
        for path in self.of_items.iter().filter(|path| uses_facts(path)) {
            let Some((list, below)) = path.rsplit_once("[].") else {
                continue;
            };
            let Some(Type::List(item)) = known.find_item(list) else {
                continue;
            };
            let of = match &**item {
                Type::Record(of) if !of.knows(below) => of.names(),
                Type::Record(_) | Type::Any => continue,
                _ => Vec::new(),
            };
            let help = match nearest(below, of.iter().map(String::as_str)) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("known are {}", of.join(", ")),
            };
            misuses.push(Misuse {
                name: list.to_owned(),
                message: format!("an item of `{list}` has no `{below}`"),
                help,
            });
        }
        for (path, with) in self.compared.iter().filter(|(path, _)| uses_facts(path)) {
            let Some(own) = known.find_item(path) else {
                continue;
            };
            let alike = match own {
                Type::Bool | Type::Int | Type::String => own == with,
                // Neither is ever the same as a value that can be written here.
                Type::List(_) | Type::Record(_) => false,
                Type::Any | Type::Secret => true,
            };
            if !alike {
                let name = path.rsplit("[].").next().unwrap_or(path);
                misuses.push(Misuse {
                    name: name.to_owned(),
                    message: format!(
                        "`{name}` is {}, and is compared with {}",
                        own.words(),
                        with.words()
                    ),
                    help: match own {
                        Type::Bool => format!("it is a condition already: write {name} or !{name}"),
                        Type::Int => format!("compare it with a number, as in {name} > 3"),
                        Type::String => format!("compare it with text, as in {name} == '3'"),
                        _ => format!("use {name}.exists(x, …) or size({name})"),
                    },
                });
            }
        }
        misuses
    }

    /// A name for what an expression is; of what is bound by a macro, what it is an item of.
    fn path(&self, expr: &Expr) -> Option<String> {
        let name = dotted(expr)?;
        let (root, below) = match name.split_once('.') {
            Some((root, below)) => (root, Some(below)),
            None => (name.as_str(), None),
        };
        let bound = self.bound.iter().rev().find(|(bound, _)| bound == root);
        match (bound, below) {
            (None, _) => Some(name),
            (Some((_, None)), _) => None,
            (Some((_, Some(list))), None) => Some(format!("{list}[]")),
            (Some((_, Some(list))), Some(below)) => Some(format!("{list}[].{below}")),
        }
    }

    fn compare(&mut self, call: &CallExpr) {
        let comparisons = [
            operators::EQUALS,
            operators::NOT_EQUALS,
            operators::LESS,
            operators::LESS_EQUALS,
            operators::GREATER,
            operators::GREATER_EQUALS,
        ];
        let [one, other] = call.args.as_slice() else {
            return;
        };
        if !comparisons.contains(&call.func_name.as_str()) {
            return;
        }
        for (name, value) in [(one, other), (other, one)] {
            let Expr::Literal(value) = &value.expr else {
                continue;
            };
            let kind = match value {
                LiteralValue::Boolean(_) => Type::Bool,
                LiteralValue::Int(_) | LiteralValue::UInt(_) | LiteralValue::Double(_) => Type::Int,
                LiteralValue::String(_) => Type::String,
                LiteralValue::Bytes(_) | LiteralValue::Null => continue,
            };
            if let Some(path) = self.path(&name.expr) {
                self.compared.push((path, kind));
            }
        }
    }

    fn walk(&mut self, at: &IdedExpr) {
        if let Some(name) = dotted(&at.expr) {
            if self.is_bound(&name) {
                self.of_items.extend(self.path(&at.expr));
            } else {
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
                self.compare(call);
                if let Some(target) = &call.target {
                    self.walk(target);
                }
                call.args.iter().for_each(|arg| self.walk(arg));
            }
            Expr::Comprehension(inner) => {
                self.walk(&inner.iter_range);
                let list = self.path(&inner.iter_range.expr);
                let outer = self.bound.len();
                self.bound.push((inner.accu_var.clone(), None));
                // Of two variables, the first is the place in the list.
                match &inner.iter_var2 {
                    None => self.bound.push((inner.iter_var.clone(), list)),
                    Some(second) => {
                        self.bound.push((inner.iter_var.clone(), None));
                        self.bound.push((second.clone(), list));
                    }
                }
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
        self.bound.iter().any(|(bound, _)| bound == root)
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
            ["params" | "steps" | "target" | "facts"] | ["steps", _] => !self.is_bound(&name),
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
