//! A run as one file, to be carried to another machine: a line of JSON for each event and each blob,
//! and a last one by which a file that is cut short or changed is found out.

use super::error::JournalError;
use super::event::{Entry, Event};
use super::fold::RunRecord;
use super::kept::write_blob;
use super::state_dir::StateDir;
use super::store::{append, build, sync};
use crate::model::{Blobs, Digest, Effect, RunId};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::path::Path;

const SCHEMA: &str = "runbook.run/v1";

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "line", deny_unknown_fields)]
enum Line {
    Run {
        schema: String,
        run: RunId,
    },
    Event {
        seq: i64,
        at: Timestamp,
        event: Box<Event>,
    },
    Blob {
        digest: Digest,
        base64: String,
    },
    /// The digest is over all lines before this one.
    End {
        lines: usize,
        sha256: Digest,
    },
}

/// What an import did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Imported {
    New,
    /// The run was here, and has more events now.
    Longer,
    /// All of it was here already.
    Known,
}

impl StateDir {
    /// A run as text.
    pub fn export(&self, run: RunId) -> Result<String, JournalError> {
        let entries = self.entries(run)?;
        let needed = entries.iter().flat_map(|entry| contents(&entry.event));
        let needed: BTreeSet<Digest> = needed.cloned().collect();
        let (mut text, mut lines) = (String::new(), 0);
        let mut add = |line: Line| {
            text.push_str(&serde_json::to_string(&line).map_err(JournalError::Encode)?);
            text.push('\n');
            lines += 1;
            Ok::<_, JournalError>(())
        };
        add(Line::Run {
            schema: SCHEMA.to_owned(),
            run,
        })?;
        for Entry { seq, at, event } in entries {
            let event = Box::new(event);
            add(Line::Event { seq, at, event })?;
        }
        // The text holds them all, those that are large as well.
        for digest in needed {
            let base64 = STANDARD.encode(self.blob(run, &digest)?);
            add(Line::Blob { digest, base64 })?;
        }
        let end = Line::End {
            lines,
            sha256: Digest::of(text.as_bytes()),
        };
        text.push_str(&serde_json::to_string(&end).map_err(JournalError::Encode)?);
        text.push('\n');
        Ok(text)
    }

    /// Takes in a run that was exported. `file` names it in errors.
    pub fn import(&self, text: &str, file: &Path) -> Result<(RunId, Imported), JournalError> {
        let wrong = |what: String| JournalError::NotAnExport {
            file: file.to_owned(),
            what,
        };
        let (run, entries, blobs) = parse(text).map_err(wrong)?;
        if !self.database(run).exists() {
            build(self, run, &entries, &blobs, text.len() as u64 * 2)?;
            return Ok((run, Imported::New));
        }
        let _held = self.hold(run)?;
        let here = self.entries(run)?;
        let shared = here.len().min(entries.len());
        if here.get(..shared) != entries.get(..shared) {
            return Err(JournalError::Diverged {
                run: run.to_string(),
                file: file.to_owned(),
            });
        }
        match entries.get(here.len()..) {
            None | Some([]) => Ok((run, Imported::Known)),
            Some(more) => {
                for (digest, content) in blobs.iter() {
                    write_blob(&self.folder(run), digest, content)?;
                }
                sync(&self.blobs(run))?;
                append(&self.database(run), more)?;
                Ok((run, Imported::Longer))
            }
        }
    }
}

/// The blobs that an event names and that are there by then.
fn contents(event: &Event) -> Vec<&Digest> {
    fn at_first(effect: &Effect) -> impl Iterator<Item = &Digest> {
        let late = effect.kept_late().map(|(digest, _)| digest);
        effect
            .contents()
            .filter(move |digest| Some(*digest) != late)
    }
    match event {
        // Whatever is done later is in the plan, or is decided on the way.
        Event::RunStarted { plan, .. } => plan.effects().flat_map(at_first).collect(),
        Event::Decided { steps, .. } => {
            let effects = steps.iter().flat_map(|step| step.verdict.effects());
            effects.flat_map(at_first).collect()
        }
        Event::Intent { effect, .. } => effect.contents().collect(),
        _ => Vec::new(),
    }
}

fn parse(text: &str) -> Result<(RunId, Vec<Entry>, Blobs), String> {
    let body = text
        .strip_suffix('\n')
        .ok_or("it is cut short: its last line does not end")?;
    let (body, last) = body.rsplit_once('\n').ok_or("it has one line only")?;
    let body = format!("{body}\n");
    let Ok(Line::End { lines, sha256 }) = serde_json::from_str(last) else {
        return Err("it is cut short: it has no end".to_owned());
    };
    if Digest::of(body.as_bytes()) != sha256 || body.lines().count() != lines {
        return Err("it was changed since it was made".to_owned());
    }
    let mut entries = Vec::new();
    let mut blobs = Blobs::default();
    let mut named = None;
    for (n, line) in body.lines().enumerate() {
        let at = |what: &str| format!("line {}: {what}", n + 1);
        match serde_json::from_str(line).map_err(|e| at(&e.to_string()))? {
            Line::Run { schema, run } if n == 0 => {
                if schema != SCHEMA {
                    return Err(at(&format!(
                        "its form is `{schema}`, and this version reads `{SCHEMA}`"
                    )));
                }
                named = Some(run);
            }
            Line::Event {
                seq,
                at: when,
                event,
            } if seq == entries.len() as i64 + 1 => {
                entries.push(Entry {
                    seq,
                    at: when,
                    event: *event,
                });
            }
            Line::Blob { digest, base64 } => {
                let bytes = STANDARD.decode(base64).map_err(|e| at(&e.to_string()))?;
                if blobs.insert(bytes) != digest {
                    return Err(at("its bytes are not those that its digest names"));
                }
            }
            _ => return Err(at("it does not belong there")),
        }
    }
    let run = named.ok_or("it does not say which run it is")?;
    let started = RunRecord::fold(entries.iter().cloned());
    if started.is_none_or(|record| record.run != run) {
        return Err("its first event is not the start of that run".to_owned());
    }
    for digest in entries.iter().flat_map(|entry| contents(&entry.event)) {
        if blobs.get(digest).is_none() {
            return Err(format!("it lacks the file content {}", digest.short()));
        }
    }
    Ok((run, entries, blobs))
}

#[cfg(test)]
mod tests;
