//! Files of hosts. What is written is written by one script that looks, compares, writes and looks
//! again under the host's lock.

use super::script::{LOCK_PATIENCE, Said, Script, refusal};
use super::ssh::{Hosts, TIMEOUT};
use crate::fault::Fault;
use crate::inventory::Destination;
use crate::journal::Permit;
use crate::model::{Digest, Effect, FileNow, FileRef, FileState, LARGE};
use std::time::Duration;

/// Larger contents are not read for a plan. In bytes.
pub const MAX_FILE: u64 = LARGE;

const READ: &str = concat!(
    include_str!("host/guard.sh"),
    include_str!("host/look.sh"),
    include_str!("host/read_file.sh")
);
const FIND: &str = concat!(
    include_str!("host/end_all.sh"),
    include_str!("host/guard.sh"),
    include_str!("host/look.sh"),
    include_str!("host/find_file.sh")
);
const PUT: &str = concat!(
    include_str!("host/guard.sh"),
    include_str!("host/staged.sh"),
    include_str!("host/look.sh"),
    include_str!("host/put_file.sh")
);

/// How many bytes a slow host looks through, copies and puts on its disk in a second.
const SLOW: u64 = 2 << 20;
/// As many bytes are looked through within the time that every script has. Where there are more, a host
/// says how many, and is asked again with more time: one that hangs over a small file is not waited for
/// any longer than before.
const QUICK: u64 = SLOW * TIMEOUT.as_secs() / 2;
/// No file is looked through for longer.
const LONGEST: Duration = Duration::from_secs(3600);

/// How long a slow host looks through so many bytes, at most.
fn looking_through(bytes: u64) -> Duration {
    Duration::from_secs(bytes / SLOW).min(LONGEST)
}

/// How much longer than any script one may take that puts a file in the place of another: the old one is
/// looked through before, and the new one is copied, and looked through where it is copied to and in its
/// place.
fn putting(before: &FileState, after: &FileState) -> Duration {
    looking_through(before.size().saturating_add(after.size()).saturating_mul(2))
}

/// Whose a file is to be; names or numbers, empty for as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OwnerNames {
    pub user: String,
    pub group: String,
}

/// A file with its content, and what else must be known to change it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileReading {
    pub now: FileNow,
    /// Empty where the file is absent; `None` where it is too large or no plain file.
    pub content: Option<Vec<u8>>,
    /// The number of the user who reads and writes here.
    pub reader: u32,
    /// And of their group.
    pub reader_group: u32,
    /// The numbers of the owner names that were asked for.
    pub uid: Option<u32>,
    pub gid: Option<u32>,
    /// The host's `cp` keeps ACLs, labels and attributes of a file that is replaced.
    pub keeps_attributes: bool,
}

impl Hosts {
    /// Reads a file, for a plan. Takes no lock.
    pub async fn read_file(
        &self,
        host: &Destination,
        file: &FileRef,
        owner: &OwnerNames,
    ) -> Result<FileReading, Fault> {
        let most = MAX_FILE.to_string();
        let args = [
            file.path.as_str(),
            most.as_str(),
            owner.user.as_str(),
            owner.group.as_str(),
        ];
        let said = self.look_through(host, file, READ, &args, Duration::ZERO);
        let said = said.await?;
        match said.word.as_str() {
            "is" => {
                let now = FileNow::parse(&said.rest).ok_or_else(|| unreadable(file))?;
                let content = match &now {
                    FileNow::Is(state) if state.content().is_none() => Some(Vec::new()),
                    FileNow::Is(state) => (Some(&Digest::of(&said.after)) == state.content())
                        .then_some(said.after.clone()),
                    FileNow::Strange(_) => None,
                };
                let who = said.part("who").ok_or_else(|| unreadable(file))?;
                let [reader, reader_group, uid, gid, attributes] =
                    who.split(',').collect::<Vec<_>>()[..]
                else {
                    return Err(unreadable(file));
                };
                let number = |text: &str| text.parse().ok();
                Ok(FileReading {
                    now,
                    content,
                    reader: number(reader).ok_or_else(|| unreadable(file))?,
                    reader_group: number(reader_group).ok_or_else(|| unreadable(file))?,
                    uid: number(uid),
                    gid: number(gid),
                    keeps_attributes: attributes == "kept",
                })
            }
            "folder" => Err(Fault::refused(
                "no_folder",
                format!(
                    "{} has no folder {} in which the file could stand",
                    host.name, said.rest
                ),
            )),
            "denied" => Err(Fault::refused(
                "file_denied",
                format!(
                    "{} may not look at {} on {}, and so nobody knows how {} is",
                    file.host.identity.user(),
                    said.rest,
                    host.name,
                    file.path
                ),
            )
            .next("name a user in `become` who may")),
            "nobody" => Err(Fault::refused(
                "no_owner",
                format!(
                    "{} has no {}, to whom {} is to belong",
                    host.name, said.rest, file.path
                ),
            )
            .next("give `owner` and `group` as they are called there, or as numbers")),
            "unsafe" => Err(Fault::refused(
                "unsafe_folder",
                format!(
                    "others can write to {} on {}: whoever writes {} there could be led astray",
                    said.rest, host.name, file.path
                ),
            )
            .next("write the file elsewhere, or let its owner alone write to the folder")),
            _ => Err(refusal(host, &file.host, &file.to_string(), &said)),
        }
    }

    /// Runs a script that looks through a file, for as long as that takes there, and for `more`. Its last
    /// argument is how many bytes it may look through.
    async fn look_through(
        &self,
        host: &Destination,
        file: &FileRef,
        text: &str,
        args: &[&str],
        more: Duration,
    ) -> Result<Said, Fault> {
        let mut most = QUICK;
        loop {
            let bytes = most.to_string();
            let args = [args, &[&bytes]].concat();
            let mut script = Script::new(text, &args);
            script.limit += more + looking_through(most - QUICK);
            let said = self.ask(host, &file.host, &script).await?;
            match said.rest.parse::<u64>() {
                // It may grow meanwhile.
                Ok(size) if said.word == "long" && size > most => most = size.saturating_mul(2),
                _ => return Ok(said),
            }
        }
    }

    /// How a file is after everything that was begun on its host has ended. The effect `key` does not
    /// begin any more.
    pub async fn find_file(
        &self,
        host: &Destination,
        file: &FileRef,
        key: &str,
    ) -> Result<FileNow, Fault> {
        let patience = LOCK_PATIENCE.as_secs().to_string();
        let args = [file.path.as_str(), key, &patience];
        let said = self.look_through(host, file, FIND, &args, LOCK_PATIENCE);
        let said = said.await?;
        match said.word.as_str() {
            "is" => FileNow::parse(&said.rest).ok_or_else(|| unreadable(file)),
            _ => Err(refusal(host, &file.host, &file.to_string(), &said)),
        }
    }

    /// Puts a file into another state, once. `content` is the bytes that it gets, `key` tells this
    /// attempt from all others, `holder` is what others are told while it is under way.
    pub async fn put_file(
        &self,
        host: &Destination,
        permit: Permit,
        content: &[u8],
        key: &str,
        holder: &str,
    ) -> Result<(), Fault> {
        self.put(host, permit, (content, ""), key, holder).await
    }

    /// `staged` is the digest of what lies on the host already, empty where `content` is sent with it.
    pub(super) async fn put(
        &self,
        host: &Destination,
        permit: Permit,
        (content, staged): (&[u8], &str),
        key: &str,
        holder: &str,
    ) -> Result<(), Fault> {
        let Effect::PutFile {
            file,
            before,
            after,
        } = permit.effect()
        else {
            return Err(Fault::internal("this is not done to a file"));
        };
        let longer = putting(before, after);
        let (before, after) = (before.to_string(), after.to_string());
        let patience = LOCK_PATIENCE.as_secs().to_string();
        let args = [
            file.path.as_str(),
            &before,
            &after,
            key,
            holder,
            &patience,
            staged,
        ];
        let mut script = Script::new(PUT, &args);
        script.input = content;
        script.limit += LOCK_PATIENCE + longer;
        let said = match self.tell(host, &file.host, &script).await {
            Ok(said) => said,
            Err(lost) => return Err(lost.of_change(format_args!("writing {file}"))),
        };
        match said.word.as_str() {
            // That it is so already was not so a moment ago: whoever did it, it is as wanted.
            "written" | "already" => Ok(()),
            "drift" => Err(Fault::definite(
                "drift",
                format!("{file} is no longer as it was: it is {}", words(&said.rest)),
            )),
            "cut" => Err(Fault::definite(
                "content_cut",
                format!("the new content of {file} did not arrive whole; nothing was changed"),
            )
            .next("try again; look at the connection")),
            "unverified" => Err(Fault::indeterminate(
                "unverified",
                format!(
                    "{file} was written, and a moment later it is {}",
                    words(&said.rest)
                ),
            )
            .next("look what else writes it")),
            _ => Err(refusal(host, &file.host, &file.to_string(), &said)),
        }
    }
}

/// A state that a host printed, in words.
fn words(state: &str) -> String {
    FileNow::parse(state).map_or_else(|| state.to_owned(), |now| now.to_string())
}

fn unreadable(file: &FileRef) -> Fault {
    Fault::refused(
        "host_read",
        format!("reading {file}: the host's answer cannot be understood"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_large_has_the_time_that_it_takes_on_a_slow_host() {
        let of = |mebibytes: u64| FileState::Present {
            mode: 0o755,
            uid: 0,
            gid: 0,
            size: mebibytes << 20,
            content: Digest::of(b""),
        };
        let seconds = |before: &FileState, after: &FileState| putting(before, after).as_secs();
        let absent = FileState::Absent;
        assert_eq!(seconds(&absent, &of(0)), 0);
        assert_eq!(seconds(&absent, &of(200)), 200);
        // As it is when a new file is taken back.
        assert_eq!(seconds(&of(200), &absent), 200);
        assert_eq!(seconds(&of(200), &of(100)), 300);
        assert_eq!(putting(&of(1 << 40), &of(1 << 40)), LONGEST);
        // What is not said to be long fits into the time that every script has.
        assert!(Duration::from_secs(QUICK / SLOW) < TIMEOUT);
    }
}
