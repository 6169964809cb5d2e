//! Values for the parameters of a runbook that another one includes, and what stands for secrets in
//! plans.

use super::{Bound, Given, Param, ParamFile, ParamType, bind};
use crate::fault::Fault;
use serde_json::{Map, Value, json};

/// What stands for a secret wherever its value must not: the name of the parameter that has it.
const SECRET: &str = "secret";

/// The values with what stands for those that are secret.
pub fn secret_refs(params: &[Param], bound: &Bound) -> Map<String, Value> {
    let mut values = bound.values.clone();
    for param in params.iter().filter(|p| p.r#type == ParamType::Secret) {
        let name = param.name.as_str();
        // A saved plan has its references already, and no values.
        let stands = match bound.secrets.contains_key(name) {
            true => json!({SECRET: name}),
            false => Value::Null,
        };
        values.entry(name).or_insert(stands);
    }
    values
}

/// The values of all parameters, from what the including step gives.
pub fn bind_values(
    params: &[Param],
    given: Map<String, Value>,
) -> Result<Map<String, Value>, Fault> {
    let is_secret = |param: &&Param| param.r#type == ParamType::Secret;
    let (secret, open): (Vec<&Param>, Vec<&Param>) = params.iter().partition(is_secret);
    let mut refs = Map::new();
    let mut values = Map::new();
    for (name, value) in given {
        let Some(param) = secret.iter().find(|param| param.name == name) else {
            values.insert(name.clone(), typed(&open, &name, value));
            continue;
        };
        // Only a secret parameter of the including runbook may stand here.
        if value.get(SECRET).and_then(Value::as_str).is_none() {
            return Err(Fault::input(
                "param_secret",
                format!(
                    "parameter `{}` is a secret, and takes nothing but a secret parameter",
                    param.name
                ),
            )
            .next("declare a parameter of type secret, and give that"));
        }
        refs.insert(name, value);
    }
    if let Some(param) = secret
        .iter()
        .find(|p| p.required && !refs.contains_key(&p.name))
    {
        return Err(Fault::input(
            "param_missing",
            format!("parameter `{}` is not given", param.name),
        ));
    }
    let open: Vec<Param> = open.into_iter().cloned().collect();
    let given = Given {
        files: vec![ParamFile::of_step(values)],
        ..Given::default()
    };
    let mut bound = bind(&open, &given)?.values;
    bound.append(&mut refs);
    Ok(bound)
}

/// A template within a text gives a text, whatever stands there in the end.
fn typed(params: &[&Param], name: &str, value: Value) -> Value {
    let param = params.iter().find(|param| param.name == name);
    match (param, &value) {
        (Some(param), Value::String(text)) if param.check(&value).is_err() => {
            param.read_text(text).unwrap_or(value)
        }
        _ => value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runbook::ParamText;

    fn params() -> Vec<Param> {
        let of = |name: &str, text: Value| {
            let text: ParamText = serde_json::from_value(text).unwrap();
            Param::from_text(name, text).unwrap()
        };
        vec![
            of("n", json!({"type": "int", "default": 2})),
            of("who", json!({"type": "string"})),
            of("password", json!({"type": "secret"})),
        ]
    }

    fn bound(given: Value) -> Result<Value, String> {
        let given = given.as_object().cloned().unwrap();
        bind_values(&params(), given)
            .map(Value::Object)
            .map_err(|fault| fault.message)
    }

    #[test]
    fn values_keep_their_types_and_secrets_stay_references() {
        let given = json!({"n": "5", "who": "ann", "password": {"secret": "token"}});
        let wanted = json!({"n": 5, "who": "ann", "password": {"secret": "token"}});
        assert_eq!(bound(given), Ok(wanted));
        let given = json!({"who": "ann", "password": {"secret": "token"}});
        assert_eq!(bound(given).unwrap()["n"], json!(2));
    }

    #[test]
    fn what_does_not_fit_is_said() {
        insta::assert_snapshot!(bound(json!({"who": "a", "password": "hunter2"})).unwrap_err(), @"parameter `password` is a secret, and takes nothing but a secret parameter");
        insta::assert_snapshot!(bound(json!({"who": "a"})).unwrap_err(), @"parameter `password` is not given");
        insta::assert_snapshot!(bound(json!({"password": {"secret": "x"}})).unwrap_err(), @"parameter `who` is not given");
        insta::assert_snapshot!(bound(json!({"who": "a", "wo": "b", "password": {"secret": "x"}})).unwrap_err(), @"params: this runbook has no parameter `wo`");
        insta::assert_snapshot!(bound(json!({"who": "a", "n": "x", "password": {"secret": "x"}})).unwrap_err(), @"params: parameter `n` is a whole number, and `x` is not");
    }

    #[test]
    fn a_secret_stands_in_a_plan_by_its_name() {
        let mut bound = Bound {
            values: json!({"n": 1}).as_object().cloned().unwrap(),
            ..Bound::default()
        };
        let refs = |bound: &Bound| Value::Object(secret_refs(&params(), bound));
        assert_eq!(refs(&bound), json!({"n": 1, "password": null}));
        let secret = crate::model::Secret::new("x".to_owned());
        bound.secrets.insert("password".to_owned(), secret);
        let wanted = json!({"n": 1, "password": {"secret": "password"}});
        assert_eq!(refs(&bound), wanted);
    }
}
