//! Contents that are too large for one frame: how they get there, what is left of them where they do not,
//! and how they come back.

use super::Case;
use super::client::{Client, block, login, refused, same, su_to, sudo_to};
use super::files::{At, present};
use super::kinds::Machines;
use super::machine::{Kind, Machine, until};
use super::permit::{claim_permit, permit};
use super::place::{PASSWORD, Place, path, text};
use super::shells::{APPLETS, over_sh};
use runbook::fault::{Class, Fault};
use runbook::model::{
    Content, Digest, Effect, FileNow, FileState, Holder, Identity, Secret, Verdict,
};
use runbook::transport::{Hosts, MayMoveOn, PasswordSource, SshOptions};
use serde_json::json;
use std::fs;
use std::path::{Path, PathBuf};

pub const CASES: &[Case] = &[
    Case {
        name: "a_large_file_is_put_replaced_and_taken_back",
        run: |place| put_replaced_and_taken_back(place, ""),
    },
    Case {
        name: "a_large_file_is_put_replaced_and_taken_back_by_dash",
        run: |place| put_replaced_and_taken_back(place, &over_sh("dash")),
    },
    Case {
        name: "a_large_file_is_put_replaced_and_taken_back_by_busybox",
        run: |place| put_replaced_and_taken_back(place, &(over_sh("busybox") + APPLETS)),
    },
    Case {
        name: "a_large_file_is_put_by_whoever_is_to_write_it",
        run: by_whoever_is_to_write_it,
    },
    Case {
        name: "a_large_file_whose_connection_is_cut_is_sent_on_from_there",
        run: a_cut_connection_is_gone_on_with,
    },
    Case {
        name: "what_a_killed_attempt_has_sent_is_used_and_what_is_in_no_use_goes",
        run: what_is_left_of_attempts,
    },
    Case {
        name: "a_large_file_without_room_changes_nothing",
        run: without_room,
    },
    Case {
        name: "a_large_file_that_was_changed_since_is_left_alone",
        run: changed_since,
    },
    Case {
        name: "a_file_that_takes_long_to_look_through_is_looked_through",
        run: long_to_look_through,
    },
    Case {
        name: "what_is_staged_goes_with_the_claim_of_whom_it_is",
        run: goes_with_its_claim,
    },
    Case {
        name: "what_others_have_staged_is_not_used",
        run: staged_by_others,
    },
    Case {
        name: "a_large_file_is_given_up_between_two_pieces",
        run: given_up_on_the_way,
    },
];

const SIZE: usize = 20 << 20;

/// Bytes of a generator, as random as those of a compressed program.
fn random(seed: u64, size: usize) -> Vec<u8> {
    let mut state = seed;
    let mut bytes = Vec::with_capacity(size + 8);
    while bytes.len() < size {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bytes.extend((mixed ^ (mixed >> 31)).to_le_bytes());
    }
    bytes.truncate(size);
    bytes
}

/// A file of this side.
struct Source {
    _folder: tempfile::TempDir,
    path: PathBuf,
    bytes: Vec<u8>,
}

impl Source {
    fn new(seed: u64) -> Result<Self, String> {
        let folder = tempfile::tempdir().map_err(text)?;
        let path = folder.path().join("program");
        let bytes = random(seed, SIZE);
        fs::write(&path, &bytes).map_err(text)?;
        Ok(Self {
            _folder: folder,
            path,
            bytes,
        })
    }

    fn state(&self, mode: u32, uid: u32) -> FileState {
        present(mode, uid, uid, &self.bytes)
    }
}

impl At<'_> {
    /// Puts a large file in the place of what is there, and gives the key of the attempt.
    async fn put_large(
        &self,
        path: &str,
        (before, old): (&FileState, &[u8]),
        new: (&FileState, &Source),
    ) -> Result<(Result<(), Fault>, String), String> {
        self.put_while(path, (before, old), new, &|| Ok(())).await
    }

    async fn put_while(
        &self,
        path: &str,
        (before, old): (&FileState, &[u8]),
        (after, new): (&FileState, &Source),
        may_move_on: &MayMoveOn<'_>,
    ) -> Result<(Result<(), Fault>, String), String> {
        let effect = Effect::PutFile {
            file: self.file(path),
            before: before.clone(),
            after: after.clone(),
        };
        let (permit, key) = permit(effect, &[old, &new.bytes])?;
        let putting =
            self.hosts
                .put_large(&self.host, permit, (&new.path, may_move_on), &key, "a test");
        Ok((putting.await, key))
    }
}

/// What lies on a machine for large contents.
fn staged(machine: &Machine) -> Vec<PathBuf> {
    let folders = ["/var/lib/runbook", "/run/runbook"].map(|folder| machine.inside(folder));
    let entries = folders
        .iter()
        .filter_map(|folder| fs::read_dir(folder).ok());
    let all = entries.flatten().flatten().map(|entry| entry.path());
    all.filter(|path| path.to_string_lossy().contains("/staged."))
        .collect()
}

fn nothing_is_left(machine: &Machine) -> Result<(), String> {
    same("what is staged", staged(machine), Vec::new())?;
    let disk = fs::read_dir(path("disk").join(&machine.name)).map_err(text)?;
    let hidden = disk.flatten().map(|entry| entry.file_name());
    let hidden: Vec<_> = hidden
        .filter(|name| name.to_string_lossy().starts_with('.'))
        .collect();
    same("what lies beside the file", hidden, Vec::new())
}

/// By the kind of step, with what the engine does for it.
fn put_replaced_and_taken_back(place: &Place, prepare: &str) -> Result<(), String> {
    let kind = Kind {
        prepare,
        ..Kind::default()
    };
    let machine = Machine::of_kind(place, &kind)?;
    let client = Client::of(&[&machine])?;
    let file = path("disk").join(&machine.name).join("program");
    let (one, other) = (Source::new(1)?, Source::new(2)?);
    block(async {
        let machines = Machines::new(&machine, &client).await?;
        let with = |source: &Source, sha256: Digest| json!({"path": "/srv/program", "source": source.path, "sha256": sha256});
        let uses = "host.binary";
        let wrong = machines
            .plan(uses, &with(&one, Digest::of(&other.bytes)))
            .await?;
        let Verdict::Refused { why, .. } = &wrong.verdict else {
            return Err(format!("{:?}", wrong.verdict));
        };
        let both = [&one, &other].map(|source| why.contains(Digest::of(&source.bytes).as_str()));
        same("whether both digests are shown", both, [true, true])?;

        let mut done: Vec<(Effect, &[u8])> = Vec::new();
        let mut before: &[u8] = b"";
        for source in [&one, &other] {
            let with = with(source, Digest::of(&source.bytes));
            let made = machines.plan(uses, &with).await?;
            let effects: Vec<Effect> = made.verdict.effects().to_vec();
            let [effect] = effects.as_slice() else {
                return Err(format!("{:?}", made.verdict));
            };
            // What is overwritten comes here first.
            if effect.kept_late().is_some() {
                let kept = machines.old_content(effect).await?;
                same("whether it is kept", kept == before, true)?;
            }
            let content = Content::File {
                path: source.path.clone(),
                size: SIZE as u64,
            };
            machines
                .put_content(effect, &[before, &source.bytes], &content)
                .await?;
            let there = fs::read(&file).map_err(text)? == source.bytes;
            same("whether it is there", there, true)?;
            let again = machines.plan(uses, &with).await?;
            let nothing = matches!(again.verdict, Verdict::NoChange { .. });
            same("whether nothing is left to do", nothing, true)?;
            nothing_is_left(&machine)?;
            done.push((effect.clone(), before));
            before = &source.bytes;
        }
        for (effect, old) in done.iter().rev() {
            let inverse = effect.inverse().ok_or("it has no inverse")?;
            let content = match old.len() {
                0 => Content::Bytes(Vec::new()),
                size => Content::File {
                    path: one.path.clone(),
                    size: size as u64,
                },
            };
            machines
                .put_content(&inverse, &[before, old], &content)
                .await?;
            let now = fs::read(&file).unwrap_or_default();
            same("whether the old one is back", now == *old, true)?;
            nothing_is_left(&machine)?;
            before = old;
        }
        same("whether it is gone", file.exists(), false)
    })
}

fn by_whoever_is_to_write_it(place: &Place) -> Result<(), String> {
    let machine = Machine::start(place)?;
    let client = Client::of(&[&machine])?;
    let (one, other) = (Source::new(3)?, Source::new(4)?);
    block(async {
        let hosts = Hosts::new(SshOptions {
            password: PasswordSource::Given(Secret::new(PASSWORD.to_owned())),
            ..client.options()
        });
        for (n, (user, identity)) in [
            ("root", Identity::Login),
            ("ops", Identity::root()),
            ("pw", Identity::root()),
            ("terminalpw", Identity::root()),
            ("nosudo", su_to("root")),
            ("ops", sudo_to("nosudo")),
            ("nosudo", Identity::Login),
        ]
        .into_iter()
        .enumerate()
        {
            let at = At {
                hosts: &hosts,
                host: login(&machine, user),
                identity,
            };
            let said = |e: Fault| format!("{user} as {:?}: {e}", at.identity);
            let own: u32 = at.shell("id -u").await?.trim().parse().map_err(text)?;
            let folder = path("disk").join(&machine.name).join(format!("d{n}"));
            fs::create_dir(&folder).map_err(text)?;
            std::os::unix::fs::chown(&folder, Some(own), Some(own)).map_err(text)?;
            let file = format!("/srv/d{n}/program");
            let (first, second) = (one.state(0o700, own), other.state(0o755, own));
            let absent = FileState::Absent;
            let put = at.put_large(&file, (&absent, b""), (&first, &one));
            put.await?.0.map_err(said)?;
            let (mut old, there) = (Vec::new(), at.file(&file));
            let reading = hosts.read_large(&at.host, &there, SIZE as u64, |piece| {
                old.extend(piece);
                Ok(())
            });
            reading.await.map_err(said)?;
            same(user, old == one.bytes, true)?;
            let put = at.put_large(&file, (&first, &old), (&second, &other));
            put.await?.0.map_err(said)?;
            same(user, at.state(&file).await?, second)?;
        }
        let left = machine.inside("/var/tmp");
        let left: Vec<_> = fs::read_dir(left).map_err(text)?.flatten().collect();
        same("what is left in /var/tmp", left.len(), 0)?;
        nothing_is_left(&machine)
    })
}

/// Cuts the connection as soon as some of the file lies there. `times`: how often.
async fn cut(machine: &Machine, client: &Client, times: usize) -> Result<(), String> {
    let mut more_than = 0;
    for _ in 0..times {
        until("some of it is there", || {
            let found = staged(machine)
                .iter()
                .filter_map(|path| fs::metadata(path).ok())
                .next();
            let size = found.map_or(0, |found| found.len());
            Ok(match size > more_than {
                true => {
                    more_than = size;
                    None
                }
                false => Some(format!("{size} bytes")),
            })
        })
        .await?;
        client.kill_masters()?;
    }
    Ok(())
}

fn a_cut_connection_is_gone_on_with(place: &Place) -> Result<(), String> {
    let machine = Machine::start(place)?;
    let client = Client::of(&[&machine])?;
    let source = Source::new(5)?;
    block(async {
        let hosts = client.hosts();
        let at = At {
            hosts: &hosts,
            host: login(&machine, "ops"),
            identity: Identity::root(),
        };
        let (absent, after) = (at.state("/srv/program").await?, source.state(0o755, 0));
        let putting = at.put_large("/srv/program", (&absent, b""), (&after, &source));
        let (put, cut) = tokio::join!(putting, cut(&machine, &client, 1));
        cut?;
        put?.0.map_err(text)?;
        same("what it is", at.state("/srv/program").await?, after)?;
        same("how often it connected", machine.sessions(), 2)?;
        nothing_is_left(&machine)
    })
}

fn what_is_left_of_attempts(place: &Place) -> Result<(), String> {
    let machine = Machine::start(place)?;
    let client = Client::of(&[&machine])?;
    let (one, other) = (Source::new(6)?, Source::new(7)?);
    block(async {
        let hosts = client.hosts();
        let at = At {
            hosts: &hosts,
            host: login(&machine, "ops"),
            identity: Identity::root(),
        };
        let absent = at.state("/srv/program").await?;
        let after = one.state(0o755, 0);
        // Whoever sends it is gone in the middle.
        let putting = at.put_large("/srv/program", (&absent, b""), (&after, &one));
        tokio::select! {
            put = putting => return Err(format!("it was not cut: {put:?}")),
            cut = cut(&machine, &client, 1) => cut?,
        }
        same("how many are staged", staged(&machine).len(), 1)?;
        same(
            "what it is",
            at.state("/srv/program").await?,
            absent.clone(),
        )?;
        // What is there of it is wrong: it is not put in its place, and sent anew the next time.
        let left = &staged(&machine)[0];
        let size = fs::metadata(left).map_err(text)?.len() as usize;
        same("whether it is a part", size > 0 && size < SIZE, true)?;
        let mode = std::os::unix::fs::MetadataExt::mode(&fs::metadata(left).map_err(text)?);
        same("its mode", mode & 0o7777, 0o600)?;
        fs::write(left, vec![0; size]).map_err(text)?;
        let (put, _) = at
            .put_large("/srv/program", (&absent, b""), (&after, &one))
            .await?;
        refused(put, "content_cut")?;
        same(
            "what it is",
            at.state("/srv/program").await?,
            absent.clone(),
        )?;
        nothing_is_left(&machine)?;

        // What another attempt has brought already is not sent again.
        let folder = machine.inside("/var/lib/runbook");
        fs::create_dir_all(&folder).map_err(text)?;
        fs::set_permissions(&folder, std::os::unix::fs::PermissionsExt::from_mode(0o700))
            .map_err(text)?;
        let digest = Digest::of(&one.bytes);
        let half = folder.join(format!("staged.{digest}"));
        fs::write(&half, &one.bytes[..SIZE / 2 + 1]).map_err(text)?;
        let (put, key) = at
            .put_large("/srv/program", (&absent, b""), (&after, &one))
            .await?;
        put.map_err(text)?;
        same("what it is", at.state("/srv/program").await?, after.clone())?;
        nothing_is_left(&machine)?;

        // It is found as it is, and what it left in vain goes with the next one.
        let file = at.file("/srv/program");
        let found = hosts.find_file(&at.host, &file, &key).await;
        same(
            "what is found",
            found.map_err(text)?,
            FileNow::Is(after.clone()),
        )?;
        fs::create_dir_all(&folder).map_err(text)?;
        fs::write(folder.join("staged.of-old"), "x").map_err(text)?;
        let second = other.state(0o755, 0);
        let put = at.put_large("/srv/program", (&after, &one.bytes), (&second, &other));
        put.await?.0.map_err(text)?;
        nothing_is_left(&machine)
    })
}

fn without_room(place: &Place) -> Result<(), String> {
    let small = |folder: &str, size: &str| {
        format!("mkdir -p {folder}; mount -t tmpfs -o mode=755,size={size} tmpfs {folder}\n")
    };
    // For each: what is small, whether it goes all the same, and what is said to be short.
    for (prepare, short) in [
        (small("/srv/bin", "19m"), Some("/srv/bin/")),
        (small("/var/lib", "19m"), None),
        (
            small("/var/lib", "19m") + &small("/run/runbook", "18m"),
            Some("/var/lib"),
        ),
        (small("/run/runbook", "5m"), None),
    ] {
        let prepare = format!("{prepare}mkdir -p /srv/bin");
        let kind = Kind {
            prepare: &prepare,
            ..Kind::default()
        };
        let machine = Machine::of_kind(place, &kind)?;
        let client = Client::of(&[&machine])?;
        let source = Source::new(8)?;
        block(async {
            let hosts = client.hosts();
            let at = At {
                hosts: &hosts,
                host: login(&machine, "ops"),
                identity: Identity::root(),
            };
            let file = at.file("/srv/bin/program");
            let before = at.state(&file.path).await?;
            let room = hosts.room_for(&at.host, &file, SIZE as u64).await;
            let room = room.map_err(text)?;
            let after = source.state(0o755, 0);
            let put = at.put_large(&file.path, (&before, b""), (&after, &source));
            let (put, _) = put.await?;
            match short {
                None => {
                    same("what is short", room, None)?;
                    put.map_err(text)?;
                    same("what it is", at.state(&file.path).await?, after)?;
                }
                Some(folder) => {
                    let room = room.unwrap_or_default();
                    let named = room.contains(&format!("MiB free at {folder},"));
                    same(&room, named, true)?;
                    let fault = refused(put, "host_no_room")?;
                    same("its class", fault.class, Class::Definite)?;
                    same("what is said", fault.message, room)?;
                    same("what it is", at.state(&file.path).await?, before)?;
                }
            }
            nothing_is_left(&machine)
        })?;
    }
    Ok(())
}

fn changed_since(place: &Place) -> Result<(), String> {
    let machine = Machine::start(place)?;
    let client = Client::of(&[&machine])?;
    let source = Source::new(9)?;
    block(async {
        let hosts = client.hosts();
        let at = At {
            hosts: &hosts,
            host: login(&machine, "ops"),
            identity: Identity::root(),
        };
        let before = at.state("/srv/program").await?;
        at.shell("echo theirs >/srv/program").await?;
        let theirs = at.state("/srv/program").await?;
        let after = source.state(0o755, 0);
        let put = at.put_large("/srv/program", (&before, b""), (&after, &source));
        refused(put.await?.0, "drift")?;
        same("what it is", at.state("/srv/program").await?, theirs)?;
        nothing_is_left(&machine)
    })
}

/// It has more bytes than any host looks through within a script's time, and none on the disk.
fn long_to_look_through(place: &Place) -> Result<(), String> {
    let machine = Machine::start(place)?;
    let client = Client::of(&[&machine])?;
    block(async {
        let hosts = client.hosts();
        let at = At {
            hosts: &hosts,
            host: login(&machine, "ops"),
            identity: Identity::root(),
        };
        let size = 40 << 20;
        at.shell(&format!("head -c {size} /dev/zero >/srv/program"))
            .await?;
        let there = present(0o644, 0, 0, &vec![0; size]);
        let state = at.state("/srv/program").await?;
        same("what it is", &state, &there)?;
        let file = at.file("/srv/program");
        let found = hosts.find_file(&at.host, &file, "key").await;
        let found = found.map_err(text)?;
        same("what is found", found, FileNow::Is(there))
    })
}

fn goes_with_its_claim(place: &Place) -> Result<(), String> {
    let machine = Machine::start(place)?;
    let client = Client::of(&[&machine])?;
    block(async {
        let hosts = client.hosts();
        let at = At {
            hosts: &hosts,
            host: login(&machine, "ops"),
            identity: Identity::root(),
        };
        let of = at.file("/srv/program").host;
        let (own, plan) = claim_permit()?;
        let (other, _) = claim_permit()?;
        let holder = Holder::of(own.run(), own.sitting(), &plan, None);
        let claimed = hosts.claim(own, &at.host, &of, (&holder, false), &[]).await;
        same("who has it", claimed.map_err(text)?, None)?;
        at.shell("echo x >/var/lib/runbook/staged.x").await?;
        // One that was fenced off lets go: what is there is not its.
        hosts.release(other, &at.host, &of).await.map_err(text)?;
        same("how many are staged", staged(&machine).len(), 1)?;
        hosts.release(own, &at.host, &of).await.map_err(text)?;
        nothing_is_left(&machine)
    })
}

/// Whoever may write where an ordinary user's folder is to be could put one there first.
fn staged_by_others(place: &Place) -> Result<(), String> {
    let machine = Machine::start(place)?;
    let client = Client::of(&[&machine])?;
    let source = Source::new(10)?;
    block(async {
        let hosts = client.hosts();
        let at = At {
            hosts: &hosts,
            host: login(&machine, "nosudo"),
            identity: Identity::Login,
        };
        let own: u32 = at.shell("id -u").await?.trim().parse().map_err(text)?;
        let chown = |path: &Path, uid| std::os::unix::fs::chown(path, Some(uid), Some(uid));
        let folder = path("disk").join(&machine.name).join("own");
        fs::create_dir(&folder).map_err(text)?;
        chown(&folder, own).map_err(text)?;
        let theirs = machine.inside("/var/tmp").join(format!("runbook.{own}"));
        let elsewhere = machine.inside("/var/tmp/elsewhere");
        fs::create_dir(&elsewhere).map_err(text)?;
        let digest = Digest::of(&source.bytes);
        let whole = elsewhere.join(format!("staged.{digest}"));
        fs::write(&whole, &source.bytes).map_err(text)?;
        let (absent, after) = (FileState::Absent, source.state(0o755, own));
        // A folder of this user's own at the end of somebody's link, and one of somebody else.
        for (owner, linked) in [(own, true), (0, false)] {
            chown(&elsewhere, owner).map_err(text)?;
            chown(&whole, owner).map_err(text)?;
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
            fs::set_permissions(&elsewhere, mode).map_err(text)?;
            match linked {
                true => std::os::unix::fs::symlink("elsewhere", &theirs).map_err(text)?,
                false => {
                    fs::remove_file(&theirs).map_err(text)?;
                    fs::rename(&elsewhere, &theirs).map_err(text)?;
                }
            }
            let put = at.put_large("/srv/own/program", (&absent, b""), (&after, &source));
            refused(put.await?.0, "host_failed")?;
            let left = theirs.join(format!("staged.{digest}")).exists();
            same("whether theirs is left alone", left, true)?;
            same(
                "what it is",
                at.state("/srv/own/program").await?,
                absent.clone(),
            )?;
        }
        Ok(())
    })
}

fn given_up_on_the_way(place: &Place) -> Result<(), String> {
    let machine = Machine::start(place)?;
    let client = Client::of(&[&machine])?;
    let source = Source::new(11)?;
    block(async {
        let hosts = client.hosts();
        let at = At {
            hosts: &hosts,
            host: login(&machine, "ops"),
            identity: Identity::root(),
        };
        let (before, after) = (at.state("/srv/program").await?, source.state(0o755, 0));
        let some_is_there = || match staged(&machine).first().map(fs::metadata) {
            Some(Ok(found)) if found.len() > 0 => Err(Fault::refused("stopped", "x")),
            _ => Ok(()),
        };
        let new = (&after, &source);
        let put = at.put_while("/srv/program", (&before, b""), new, &some_is_there);
        refused(put.await?.0, "stopped")?;
        same(
            "what it is",
            at.state("/srv/program").await?,
            before.clone(),
        )?;
        // The next attempt goes on from there.
        same("how many are staged", staged(&machine).len(), 1)?;
        let put = at.put_large("/srv/program", (&before, b""), new);
        put.await?.0.map_err(text)?;
        same("what it is", at.state("/srv/program").await?, after)?;
        nothing_is_left(&machine)
    })
}
