//! `host.fstab`: entries of a host's fstab, by their fields.

mod entry;
mod fields;
mod selection;

use super::file_change::{Change, Refusal, Seen, check_path};
use super::file_lines::{Line, insert, joined, lines};
use super::{Action, Compiled, Decision, Look, Needs, Place};
use crate::fault::Fault;
use crate::model::Prior;
use crate::transport::OwnerNames;
use async_trait::async_trait;
use entry::is_no_place;
use fields::Fields;
use selection::Selection;
use serde::{Deserialize, Serialize};

/// How entries are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
enum State {
    /// Each entry that fits gets `# ` before it; where there is none, nothing is done.
    Commented,
    /// An entry that fits is there. If there is none, the one comment that reads as such an entry becomes
    /// it again; it needs `spec` or `mount_point`.
    Active,
    /// No entry that fits is there; comments stay.
    Absent,
    /// The entry is there, with the fields that are given: an old one gets its options, dump and pass,
    /// and keeps those that are left out. It needs `spec`, `mount_point` and one `fs_type`.
    Present,
}

/// One or several.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(untagged)]
enum Types {
    One(String),
    Several(Vec<String>),
}

/// Entries of a host's fstab, by their fields and never by their text; all other lines stay byte for byte.
/// What is mounted or swapped on now is not touched. An entry is one as util-linux's libmount reads it:
/// at least three fields, with blanks or tabs between. Fields are compared decoded (`\040` is a blank) and
/// as they are written: `UUID=…` and `/dev/sda2` may be the same device, and are not the same `spec`. Swap
/// may also come up without fstab: from a partition of that type (systemd-gpt-auto-generator), by a unit,
/// or as zram.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Args {
    /// How the entries are to be that all of `spec`, `mount_point` and `fs_type` fit, as far as given.
    state: State,
    /// The first field: a path, or `UUID=`, `LABEL=`, `PARTUUID=`, `PARTLABEL=` with its value.
    spec: Option<String>,
    /// The second field: a path, or `none` for swap.
    mount_point: Option<String>,
    /// The third field, such as `swap`; a list where several fit.
    fs_type: Option<Types>,
    /// The fourth field of an entry that is `present`, with commas between; a new one gets `defaults`.
    options: Option<String>,
    /// The fifth field of an entry that is `present`; a new one gets 0.
    dump: Option<u32>,
    /// The sixth field of an entry that is `present`: when it is checked at boot; a new one gets 0.
    pass: Option<u32>,
    /// Whether also such entries are commented or removed that are not swap and mount `/`, or something at
    /// or below `/boot`, `/efi`, `/etc`, `/opt`, `/usr` or `/var`.
    #[serde(default)]
    force: bool,
    /// The file, if it is another.
    #[serde(default = "usual_path")]
    path: String,
}

fn usual_path() -> String {
    "/etc/fstab".to_owned()
}

pub struct HostFstab {
    path: String,
    wanted: Wanted,
}

enum Wanted {
    Commented { which: Selection, force: bool },
    Active(Selection),
    Absent { which: Selection, force: bool },
    Present(Fields),
}

fn check_field(what: &str, value: &str) -> Result<(), String> {
    if value.is_empty() {
        Err(format!("`{what}` is empty: leave it out"))
    } else if value.chars().any(char::is_control) || value.starts_with('#') {
        Err(format!(
            "`{what}` does not begin with `#` and has no control characters"
        ))
    } else {
        Ok(())
    }
}

#[async_trait]
impl Action for HostFstab {
    const USES: &'static str = "host.fstab";
    type Args = Args;
    type Seen = Seen;
    type Change = Change;

    fn new(args: Args) -> Result<Self, String> {
        check_path(&args.path)?;
        let fs_types = match args.fs_type {
            None => Vec::new(),
            Some(Types::One(one)) => vec![one],
            Some(Types::Several(all)) if all.is_empty() => {
                return Err("`fs_type` has no type".to_owned());
            }
            Some(Types::Several(all)) => all,
        };
        let fields = [
            ("spec", &args.spec),
            ("mount_point", &args.mount_point),
            ("options", &args.options),
        ];
        let fields = fields
            .into_iter()
            .filter_map(|(what, value)| Some((what, value.as_ref()?)));
        for (what, value) in fields.chain(fs_types.iter().map(|one| ("fs_type", one))) {
            check_field(what, value)?;
        }
        if let Some(place) = &args.mount_point
            && !place.starts_with('/')
            && !is_no_place(place.as_bytes())
        {
            return Err(format!(
                "`mount_point` is a path from `/` on, or `none`, and `{place}` is neither"
            ));
        }
        if args.state != State::Present
            && (args.options.is_some() || args.dump.is_some() || args.pass.is_some())
        {
            return Err("`options`, `dump` and `pass` belong to `state: present`".to_owned());
        }
        if args.force && !matches!(args.state, State::Commented | State::Absent) {
            return Err("`force` belongs to `state: commented` and `state: absent`".to_owned());
        }
        let which = Selection {
            spec: args.spec,
            mount_point: args.mount_point,
            fs_types,
        };
        let by_place = which.spec.is_some() || which.mount_point.is_some();
        let force = args.force;
        let wanted = match args.state {
            State::Commented | State::Absent if !by_place && which.fs_types.is_empty() => {
                return Err("say which entries: give `spec`, `mount_point` or `fs_type`".to_owned());
            }
            State::Commented => Wanted::Commented { which, force },
            State::Absent => Wanted::Absent { which, force },
            State::Active if !by_place => {
                return Err("say which entry: give `spec` or `mount_point`".to_owned());
            }
            State::Active => Wanted::Active(which),
            State::Present => {
                let fs_type = <[String; 1]>::try_from(which.fs_types);
                match (which.spec, which.mount_point, fs_type) {
                    (Some(spec), Some(mount_point), Ok([fs_type])) => Wanted::Present(Fields {
                        spec,
                        mount_point,
                        fs_type,
                        options: args.options,
                        dump: args.dump,
                        pass: args.pass,
                    }),
                    _ => {
                        return Err(
                            "an entry has a `spec`, a `mount_point` and one `fs_type`: give all three"
                                .to_owned(),
                        );
                    }
                }
            }
        };
        Ok(Self {
            path: args.path,
            wanted,
        })
    }

    fn needs(_with: &serde_json::Value) -> Needs {
        Needs::of_host(true)
    }

    async fn observe(
        &self,
        look: &Look<'_>,
        place: Place<'_>,
        _: Prior<'_>,
    ) -> Result<Seen, Fault> {
        Seen::read(look, place, &self.path, &OwnerNames::default()).await
    }

    fn decide(&self, seen: &Seen, _: Place<'_>, prior: Prior<'_>) -> Decision<Change> {
        let so = match &self.wanted {
            Wanted::Commented { .. } | Wanted::Absent { .. } => "has no such entry",
            Wanted::Active(_) | Wanted::Present(_) => "has this entry already",
        };
        seen.decide(prior, None, so, |now| self.after(now))
    }

    fn compile(&self, change: Change) -> Compiled {
        change.compile(false)
    }

    fn notes(&self, _: &Seen, decision: &Decision<Change>) -> Vec<String> {
        if !matches!(decision, Decision::Change(_)) {
            return Vec::new();
        }
        let note = match &self.wanted {
            Wanted::Commented { .. } | Wanted::Absent { .. } => {
                "what is mounted or swapped on stays so until it is taken off; systemd reads the file anew \
                 at the next boot or with `systemctl daemon-reload`"
            }
            Wanted::Active(_) | Wanted::Present(_) => {
                "nothing is mounted or swapped on by this; systemd reads the file anew at the next boot or \
                 with `systemctl daemon-reload`"
            }
        };
        let mut notes = vec![note.to_owned()];
        if let Wanted::Present(fields) = &self.wanted
            && let Decision::Change(change) = decision
            && fields.holds_up_a_boot(&change.after.1)
        {
            notes.push(format!(
                "a boot waits for `{}`, and may end in an emergency shell without it, as its options have \
                 no `nofail`",
                fields.spec
            ));
        }
        notes
    }
}

impl HostFstab {
    /// The bytes that the file gets.
    fn after(&self, now: Option<&[u8]>) -> Result<Option<Vec<u8>>, Refusal> {
        let all = lines(now.unwrap_or_default());
        let becomes = match &self.wanted {
            Wanted::Commented { which, force } => {
                let commented = |n: usize| (n, [b"# ", text(&all, n)].concat());
                let which = which.entries(&all, *force)?;
                with(&all, &which.into_iter().map(commented).collect::<Vec<_>>())
            }
            Wanted::Absent { which, force } => {
                let which = which.entries(&all, *force)?;
                let left = all.iter().enumerate().filter(|(n, _)| !which.contains(n));
                joined(&left.map(|(_, line)| *line).collect::<Vec<_>>())
            }
            Wanted::Active(which) => with(&all, &which.activated(&all)?),
            Wanted::Present(fields) => match fields.find(&all)? {
                Some((n, entry)) => with(&all, &[(n, fields.set(n, &entry)?)]),
                None => {
                    let line = fields.line();
                    let mut all = all;
                    let end = all.len();
                    insert(&mut all, end, &[line.as_bytes()]);
                    joined(&all)
                }
            },
        };
        Ok(match now.is_none() && becomes.is_empty() {
            true => None,
            false => Some(becomes),
        })
    }
}

fn text<'b>(all: &[Line<'b>], n: usize) -> &'b [u8] {
    all.get(n).map_or(b"", |line| line.text)
}

/// The bytes with other texts for some lines.
fn with(all: &[Line<'_>], others: &[(usize, Vec<u8>)]) -> Vec<u8> {
    let mut all = all.to_vec();
    for (n, text) in others {
        if let Some(line) = all.get_mut(*n) {
            line.text = text;
        }
    }
    joined(&all)
}

#[cfg(test)]
mod tests;
