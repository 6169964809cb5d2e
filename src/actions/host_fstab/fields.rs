//! The entry of fstab that a step wants.

use super::entry::{DUMP, Entry, OPTIONS, PASS, encoded, entries, is_no_place, plain_spec};
use crate::actions::file_change::Refusal;
use crate::actions::file_lines::{Line, lines, numbers};

/// The fields of an entry; an old one keeps what is not given.
pub struct Fields {
    pub spec: String,
    pub mount_point: String,
    pub fs_type: String,
    pub options: Option<String>,
    pub dump: Option<u32>,
    pub pass: Option<u32>,
}

impl Fields {
    /// The old entry, which must be of the same device and type. Two on one mount point are too many.
    pub fn find<'b>(&self, all: &[Line<'b>]) -> Result<Option<(usize, Entry<'b>)>, Refusal> {
        let mut found = entries(all);
        let nowhere = is_no_place(self.mount_point.as_bytes());
        let spec = |entry: &Entry<'_>| entry.spec() == plain_spec(self.spec.as_bytes());
        found.retain(|(_, entry)| match nowhere {
            true => spec(entry),
            false => entry.is_at(&self.mount_point),
        });
        if found.len() > 1 {
            let numbers = numbers(&found.iter().map(|(n, _)| *n).collect::<Vec<_>>());
            return Err(Refusal::new(format!("has several such entries: {numbers}"))
                .next("remove by hand what is old"));
        }
        let Some((n, entry)) = found.pop() else {
            return Ok(None);
        };
        let same = spec(&entry)
            && entry.fs_type() == self.fs_type.as_bytes()
            && (nowhere == is_no_place(&entry.mount_point()));
        match same {
            true => Ok(Some((n, entry))),
            false => Err(Refusal::new(format!(
                "has another device or type in line {}: {} on {} ({})",
                n + 1,
                String::from_utf8_lossy(&entry.spec()),
                String::from_utf8_lossy(&entry.mount_point()),
                String::from_utf8_lossy(&entry.fs_type()),
            ))
            .next(
                "an entry is not turned into that of another device: comment or remove it in a runbook of its own",
            )),
        }
    }

    /// The old line with what is given.
    pub fn set(&self, n: usize, entry: &Entry<'_>) -> Result<Vec<u8>, Refusal> {
        let number = |value: Option<u32>| value.map(|number| number.to_string());
        let given = [
            (OPTIONS, self.options.clone()),
            (DUMP, number(self.dump)),
            (PASS, number(self.pass)),
        ];
        let mut line = entry.line().to_vec();
        for (field, value) in given {
            let Some(value) = value else { continue };
            let Some(entry) = Entry::read(&line) else {
                break;
            };
            let now = entry.field(field);
            if entry.has(field) && now == value.as_bytes() {
                continue;
            }
            if field != OPTIONS && (DUMP..=field).any(|n| !entry.is_number(n)) {
                return Err(Refusal::new(format!(
                    "has something else than numbers after the options in line {}",
                    n + 1
                ))
                .next("put right by hand what stands there: fstab(5) knows no comments at the end of a line"));
            }
            line = entry.with(field, &value);
        }
        Ok(line)
    }

    /// A new line.
    pub fn line(&self) -> String {
        let options = self.options.as_deref().unwrap_or("defaults");
        let fields = [&self.spec, &self.mount_point, &self.fs_type, options];
        let fields = fields.map(encoded).join(" ");
        let (dump, pass) = (self.dump.unwrap_or(0), self.pass.unwrap_or(0));
        format!("{fields} {dump} {pass}")
    }

    pub fn holds_up_a_boot(&self, file: &[u8]) -> bool {
        let all = lines(file);
        let Ok(Some((_, entry))) = self.find(&all) else {
            return false;
        };
        let options = entry.field(OPTIONS);
        let mut options = options.split(|byte| *byte == b',');
        !entry.is_swap() && !options.any(|one| one == b"nofail" || one == b"noauto")
    }
}
