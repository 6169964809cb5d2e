//! The addresses that earlier steps of a plan have nodes advertise.

use crate::calico::Family;
use crate::model::{Effect, FieldChange, FieldPath, Prior, Setting};
use serde_json::Value;

/// A change of an address by an earlier step.
pub struct AddressChange<'a> {
    pub node: &'a str,
    pub family: Family,
    pub before: Option<&'a str>,
    pub after: Option<&'a str>,
}

/// The changes of addresses among earlier steps, wherever Calico keeps them.
pub fn address_changes<'a>(prior: Prior<'a>) -> impl Iterator<Item = AddressChange<'a>> {
    prior.effects().flat_map(|effect| match effect {
        Effect::SetFields { object, fields } => {
            let change = |field: &'a FieldChange| {
                let of = |f: &Family| field.path == FieldPath::annotation(f.annotation());
                Some(AddressChange {
                    node: object.name.as_str(),
                    family: Family::BOTH.into_iter().find(of)?,
                    before: field.before.as_ref().and_then(Value::as_str),
                    after: field.after.as_ref().and_then(Value::as_str),
                })
            };
            fields.iter().filter_map(change).collect()
        }
        Effect::PutSetting {
            setting,
            before,
            after,
        } => match &setting.setting {
            Setting::CalicoNode { field, .. } => {
                let of = |f: &Family| f.field() == field;
                let family = Family::BOTH.into_iter().find(of);
                let change = family.map(|family| AddressChange {
                    node: setting.host.node.as_str(),
                    family,
                    before: before.as_value(),
                    after: after.as_value(),
                });
                change.into_iter().collect()
            }
            _ => Vec::new(),
        },
        _ => Vec::new(),
    })
}
