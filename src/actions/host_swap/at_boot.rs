//! What turns swap on at a boot, besides fstab, and how it is kept from that.

use crate::model::SettingState;
use crate::model::facts::{Facts, SwapUnit, Unit};

/// The unit of what is swapped to, as systemd.unit(5) turns a path into a name.
pub fn swap_unit(path: &str) -> String {
    let mut name = String::new();
    for (at, byte) in path.trim_matches('/').bytes().enumerate() {
        match byte {
            b'/' => name.push('-'),
            b'.' if at == 0 => name.push_str("\\x2e"),
            byte if byte.is_ascii_alphanumeric() || b":_.".contains(&byte) => {
                name.push(char::from(byte));
            }
            byte => name.push_str(&format!("\\x{byte:02x}")),
        }
    }
    name + ".swap"
}

/// Services that turn swap on by themselves, each with its unit: zram-tools 0.3, zram-config 0.7,
/// dphys-swapfile 20100506.
pub fn makers(facts: &Facts) -> impl Iterator<Item = (&'static str, &Unit)> {
    let units = facts.units.is().into_iter();
    units
        .flat_map(|units| {
            [
                ("zramswap.service", &units.zramswap),
                ("zram-config.service", &units.zram_config),
                ("dphys-swapfile.service", &units.dphys_swapfile),
            ]
        })
        .filter_map(|(name, unit)| Some((name, unit.is()?)))
        .filter(|(_, unit)| unit.there)
}

/// How such a service must stand so that no boot starts it; nothing where none does.
pub fn made_no_more(unit: &Unit) -> Option<&'static str> {
    match unit.unit_file_state.as_str() {
        "enabled" => Some("disabled"),
        // Made of a script of init.
        "generated" => Some("masked"),
        _ => None,
    }
}

/// How a unit that turns swap on at boot is to stand, before and after; nothing where it does not, or
/// where fstab makes it.
pub fn kept_off(unit: &SwapUnit) -> Result<Option<(SettingState, SettingState)>, String> {
    let state = |text: &str| SettingState::new(text);
    let file = unit.unit_file_state.as_str();
    match (unit.made_by.as_str(), file) {
        (_, "masked-runtime") => {
            Err("it is masked until the next boot only, and then turns swap on".to_owned())
        }
        ("fstab-generator" | "swapon" | "masked", _) => Ok(None),
        // What nothing asks for does not start.
        (_, "disabled" | "static" | "indirect" | "masked") => Ok(None),
        (_, "enabled") => Ok(Some((state("enabled"), state("disabled")))),
        (_, "generated") => Ok(Some((state("generated"), state("masked")))),
        (_, other) => Err(format!(
            "it may turn swap on after a boot, and how to keep it from that is not known of one that is `{other}`"
        )),
    }
}
