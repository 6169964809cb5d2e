//! Contents of files that are too large for one frame. They go to a host and come from it in pieces, each a
//! frame of the same shell: as the identity that reads and writes there, whoever logs in. What is on its
//! way to a host lies in a folder of that identity alone until it is whole; then it is put in its place
//! like any other.

use super::script::{Script, refusal};
use super::ssh::Hosts;
use crate::fault::Fault;
use crate::inventory::Destination;
use crate::journal::Permit;
use crate::model::{Digest, Effect, FileRef, FileState};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::time::Duration;

/// Of how many bytes a piece is. Each stands in the folder below /run for a moment.
const PIECE: u64 = 4 << 20;
/// How long one may take, also where the way is narrow.
const PATIENCE: Duration = Duration::from_secs(120);
/// How many pieces may fail to come whole, one after another.
const TRIES: u32 = 3;

/// Says why a transfer is given up, where it is: asked before each piece, when nothing has changed yet.
pub type MayMoveOn<'a> = dyn Fn() -> Result<(), Fault> + Sync + 'a;

const STAGE: &str = concat!(
    include_str!("host/guard.sh"),
    include_str!("host/marks.sh"),
    include_str!("host/staged.sh"),
    include_str!("host/stage_file.sh")
);
const ROOM: &str = concat!(
    include_str!("host/guard.sh"),
    include_str!("host/staged.sh"),
    include_str!("host/read_room.sh")
);
const READ: &str = concat!(
    include_str!("host/guard.sh"),
    include_str!("host/read_piece.sh")
);

impl Hosts {
    /// Whether a host has room for `size` bytes more at the path of a file; says what is short where it
    /// has not. Only reads.
    pub async fn room_for(
        &self,
        host: &Destination,
        file: &FileRef,
        size: u64,
    ) -> Result<Option<String>, Fault> {
        let size = size.to_string();
        let args = [file.path.as_str(), &size];
        let said = self
            .ask(host, &file.host, &Script::new(ROOM, &args))
            .await?;
        match said.word.as_str() {
            "enough" => Ok(None),
            "room" => Ok(Some(no_room(host, &said.rest))),
            _ => Err(refusal(host, &file.host, &file.to_string(), &said)),
        }
    }

    /// Reads a file of about `size` bytes, piece by piece. Takes no lock: whether it is all of one file is
    /// for the caller to find out, by its digest.
    pub async fn read_large(
        &self,
        host: &Destination,
        file: &FileRef,
        size: u64,
        mut each: impl FnMut(&[u8]) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        let mut read = 0;
        let piece = PIECE.to_string();
        while read < size {
            self.wait_for(format!("{} of {file} read", share(read, size)));
            let pieces = (read / PIECE).to_string();
            let args = [file.path.as_str(), &piece, &pieces];
            let mut script = Script::new(READ, &args);
            script.limit = PATIENCE;
            let said = self.ask(host, &file.host, &script).await?;
            if said.word != "piece" {
                return Err(refusal(host, &file.host, &file.to_string(), &said));
            }
            each(&said.after)?;
            read += said.after.len() as u64;
            // It is shorter than it was.
            if said.after.len() as u64 != PIECE {
                break;
            }
        }
        Ok(())
    }

    /// Puts a file into another state, once, like [`Self::put_file`]; `content` has the bytes that it gets,
    /// and goes there as long as it may move on.
    pub async fn put_large(
        &self,
        host: &Destination,
        permit: Permit,
        content: (&Path, &MayMoveOn<'_>),
        key: &str,
        holder: &str,
    ) -> Result<(), Fault> {
        let Effect::PutFile {
            file,
            after:
                FileState::Present {
                    size,
                    content: digest,
                    ..
                },
            ..
        } = permit.effect()
        else {
            return Err(Fault::internal("nothing large is put there"));
        };
        let (size, digest) = (*size, digest.clone());
        self.stage(host, file, content, (&digest, size)).await?;
        self.put(host, permit, (&[], digest.as_str()), key, holder)
            .await
    }

    /// Brings a content to a host. What an earlier attempt has brought already is not sent again.
    async fn stage(
        &self,
        host: &Destination,
        file: &FileRef,
        (content, may_move_on): (&Path, &MayMoveOn<'_>),
        (digest, size): (&Digest, u64),
    ) -> Result<(), Fault> {
        let unreadable = |e: std::io::Error| {
            Fault::definite(
                "content_unreadable",
                format!(
                    "{} cannot be read, and so nothing was changed: {e}",
                    content.display()
                ),
            )
        };
        let mut source = File::open(content).map_err(unreadable)?;
        let total = size.to_string();
        // The first one is empty, and only asks how much is there.
        let (mut there, mut piece, mut in_vain) = (0, Vec::new(), 0);
        loop {
            may_move_on()?;
            self.wait_for(format!("{} of {file} sent", share(there, size)));
            let offset = there.to_string();
            let args = [digest.as_str(), &total, &file.path, &offset];
            let mut script = Script::new(STAGE, &args);
            script.input = &piece;
            script.limit = PATIENCE;
            // One that was lost is sent again; what had come of it by then counts.
            let said = self.ask(host, &file.host, &script).await?;
            let now = match said.word.as_str() {
                "at" => said.rest.parse::<u64>().ok(),
                "room" => {
                    return Err(Fault::definite("host_no_room", no_room(host, &said.rest))
                        .next("make room there, and try again"));
                }
                _ => return Err(refusal(host, &file.host, &file.to_string(), &said)),
            };
            let now = now.ok_or_else(|| {
                Fault::refused(
                    "host_read",
                    format!("the answer of {} cannot be understood", host.name),
                )
            })?;
            // More than there is to send is not ours: that is found out when it is put in its place.
            if now >= size {
                return Ok(());
            }
            // A connection that breaks time and again lets a part of a piece through each time.
            match came_whole(there, piece.len(), now) {
                true => in_vain = 0,
                false => in_vain += 1,
            }
            if in_vain > TRIES {
                return Err(Fault::definite(
                    "content_cut",
                    format!(
                        "the new content of {file} does not get beyond {}; nothing was changed",
                        share(now, size)
                    ),
                )
                .next("try again; look at the connection"));
            }
            there = now;
            source.seek(SeekFrom::Start(there)).map_err(unreadable)?;
            piece.clear();
            let mut next = (&mut source).take(PIECE);
            next.read_to_end(&mut piece).map_err(unreadable)?;
        }
    }
}

/// Whether a piece of `sent` bytes is there, now that there are `now` where there were `before`.
fn came_whole(before: u64, sent: usize, now: u64) -> bool {
    now > before && now - before >= sent as u64
}

/// How much of something there is, in steps of which each is worth a line where lines stay.
fn share(done: u64, of: u64) -> String {
    format!("{} of {} MiB", (done >> 20) / 10 * 10, of.div_ceil(1 << 20))
}

/// What a host said of its room, in words: how many bytes are free, how many are needed, and where.
fn no_room(host: &Destination, said: &str) -> String {
    let mut words = said.splitn(3, ' ');
    let mut bytes = || words.next()?.parse::<u64>().ok();
    match (bytes(), bytes(), words.next()) {
        (Some(free), Some(needed), Some(folder)) => format!(
            "{} has {} MiB free at {folder}, and {} MiB are needed there",
            host.name,
            free >> 20,
            needed.div_ceil(1 << 20)
        ),
        _ => format!("{} has no room for it", host.name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_a_piece_is_none() {
        // The first one only asks how much is there.
        for (before, sent, now, whole) in [
            (0, 0, 0, false),
            (0, 0, 7, true),
            (7, 5, 12, true),
            (7, 5, 13, true),
            (7, 5, 8, false),
            (7, 5, 7, false),
            (7, 5, 0, false),
            // The file is shorter than it was.
            (7, 0, 7, false),
        ] {
            assert_eq!(
                came_whole(before, sent, now),
                whole,
                "{before} {sent} {now}"
            );
        }
    }

    #[test]
    fn what_is_short_is_said_with_numbers() {
        let host = Destination {
            name: "node02".to_owned(),
            address: "node02".to_owned(),
            user: None,
            port: None,
        };
        insta::assert_snapshot!(no_room(&host, "5242880 62914560 /usr/local/my bin/"), @"node02 has 5 MiB free at /usr/local/my bin/, and 60 MiB are needed there");
        insta::assert_snapshot!(no_room(&host, "x"), @"node02 has no room for it");
        insta::assert_snapshot!(share(29 << 20, (62 << 20) + 1), @"20 of 63 MiB");
    }
}
