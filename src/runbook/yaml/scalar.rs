//! What an unquoted word is: YAML 1.2's core schema. `yes`, `no`, `on` and `off` are words.

use super::Value;
use serde_json::Number;

pub(super) fn resolve(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => Value::Bool(true),
        "false" | "False" | "FALSE" => Value::Bool(false),
        _ => match number(text) {
            Some(number) => Value::Number(number, text.to_owned()),
            None => Value::String(text.to_owned()),
        },
    }
}

/// Whether an unquoted word is a number with zeros before it. It is decimal in YAML 1.2 and octal in
/// YAML 1.1, which `kubectl` reads: nobody can say which is meant.
pub(super) fn has_leading_zero(text: &str) -> bool {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let zero = digits
        .strip_prefix('0')
        .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    zero && number(text).is_some()
}

/// A number, if it is one and can be kept as it is written.
fn number(text: &str) -> Option<Number> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    if !unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return None;
    }
    if let Some(digits) = text.strip_prefix("0x") {
        return radix(digits, 16);
    }
    if let Some(digits) = text.strip_prefix("0o") {
        return radix(digits, 8);
    }
    if unsigned.bytes().all(|b| b.is_ascii_digit()) {
        return text.parse::<i64>().ok().map(Number::from);
    }
    let mantissa = unsigned.split(['e', 'E']).next().unwrap_or_default();
    let plain = |c: char| c.is_ascii_digit() || c == '.';
    match mantissa.chars().all(plain) && mantissa.chars().any(|c| c.is_ascii_digit()) {
        true => text.parse::<f64>().ok().and_then(Number::from_f64),
        false => None,
    }
}

fn radix(digits: &str, radix: u32) -> Option<Number> {
    match digits.starts_with(['+', '-']) {
        true => None,
        false => i64::from_str_radix(digits, radix).ok().map(Number::from),
    }
}

#[cfg(test)]
mod tests {
    use super::has_leading_zero;

    #[test]
    fn a_number_with_zeros_before_it_is_known() {
        for zeros in ["0400", "010", "-010", "+07", "00", "089", "01.5", "01e3"] {
            assert!(has_leading_zero(zeros), "{zeros}");
        }
        for none in [
            "0",
            "-0",
            "0.5",
            "0o400",
            "0x01",
            "10",
            "01:30",
            "0a",
            "010.0.0.1",
        ] {
            assert!(!has_leading_zero(none), "{none}");
        }
    }
}
