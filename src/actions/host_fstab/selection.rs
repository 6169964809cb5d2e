//! Which entries of fstab a step means.

use super::entry::{Entry, entries, is_no_place, plain_spec};
use crate::actions::file_change::Refusal;
use crate::actions::file_lines::{Line, numbers};

/// What a host that runs pods may not come up again without; what lies below counts as well.
const NEEDED: [&str; 6] = ["/boot", "/efi", "/etc", "/opt", "/usr", "/var"];

/// Which entries are meant.
pub struct Selection {
    pub spec: Option<String>,
    pub mount_point: Option<String>,
    pub fs_types: Vec<String>,
}

fn is_needed(entry: &Entry<'_>) -> bool {
    let place = entry.mount_point();
    let within = |folder: &str| {
        let rest = place.strip_prefix(folder.as_bytes());
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
    };
    !entry.is_swap() && (place == b"/" || NEEDED.iter().any(|folder| within(folder)))
}

impl Selection {
    fn fits(&self, entry: &Entry<'_>) -> bool {
        let spec = |spec: &String| entry.spec() == plain_spec(spec.as_bytes());
        let place = |place: &String| entry.is_at(place);
        let types = &self.fs_types;
        self.spec.as_ref().is_none_or(spec)
            && self.mount_point.as_ref().is_none_or(place)
            && (types.is_empty() || types.iter().any(|one| entry.fs_type() == one.as_bytes()))
    }

    /// The lines of the entries that fit. Those without which the host may not come up take `force`.
    pub fn entries(&self, all: &[Line<'_>], force: bool) -> Result<Vec<usize>, Refusal> {
        let mut found = entries(all);
        found.retain(|(_, entry)| self.fits(entry));
        if let Some((n, entry)) = found.iter().find(|(_, entry)| is_needed(entry))
            && !force
        {
            return Err(Refusal::new(format!(
                "mounts {} by line {}, and the host may not come up again without it",
                String::from_utf8_lossy(&entry.mount_point()),
                n + 1
            ))
            .next("say more exactly which entry is meant, or `force: true` if it is this one"));
        }
        Ok(found.into_iter().map(|(n, _)| n).collect())
    }

    /// The line that becomes an entry again, if none fits yet.
    pub fn activated(&self, all: &[Line<'_>]) -> Result<Vec<(usize, Vec<u8>)>, Refusal> {
        let active = entries(all);
        if active.iter().any(|(_, entry)| self.fits(entry)) {
            return Ok(Vec::new());
        }
        let commented = |(n, line): (usize, &Line<'_>)| {
            let entry = Entry::read_commented(line.text)?;
            self.fits(&entry).then(|| (n, entry.text().to_vec()))
        };
        let found: Vec<_> = all.iter().enumerate().filter_map(commented).collect();
        let [(n, text)] = found.as_slice() else {
            let numbers = numbers(&found.iter().map(|(n, _)| *n).collect::<Vec<_>>());
            return Err(match found.is_empty() {
                true => Refusal::new("has no entry that fits, and no comment that reads as one")
                    .next("`state: present` adds an entry"),
                false => Refusal::new(format!("has several comments that read as one: {numbers}"))
                    .next("say more exactly which is meant, or remove what is old by hand"),
            });
        };
        if let Some(entry) = Entry::read(text)
            && !is_no_place(&entry.mount_point())
            && let Some((other, _)) = active
                .iter()
                .find(|(_, other)| other.mount_point() == entry.mount_point())
        {
            return Err(Refusal::new(format!(
                "mounts something else on {} by line {}",
                String::from_utf8_lossy(&entry.mount_point()),
                other + 1
            ))
            .next("comment that entry in a runbook of its own, or leave this one as it is"));
        }
        Ok(vec![(*n, text.clone())])
    }
}
