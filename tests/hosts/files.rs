//! Files of hosts: what is written, what is kept, and what is left alone.

use super::Case;
use super::client::{Client, block, host_as, login, refused, run, same};
use super::machine::{Kind, Machine};
use super::permit::permit;
use super::place::{Place, text};
use super::shells::{APPLETS, over_sh};
use runbook::fault::Fault;
use runbook::inventory::Destination;
use runbook::model::{Digest, Effect, FileNow, FileRef, FileState, Identity};
use runbook::transport::{FileReading, Hosts, OwnerNames};

pub const CASES: &[Case] = &[
    Case {
        name: "a_file_is_made_changed_and_removed",
        run: |place| a_file_is_made_changed_and_removed(place, ""),
    },
    Case {
        name: "a_file_is_made_changed_and_removed_by_busybox",
        run: |place| {
            let prepare = over_sh("busybox") + APPLETS;
            a_file_is_made_changed_and_removed(place, &prepare)
        },
    },
    Case {
        name: "what_belongs_to_a_file_is_kept",
        run: what_belongs_to_a_file_is_kept,
    },
    Case {
        name: "a_file_gets_the_mode_and_the_owner_that_it_is_to_have",
        run: a_file_gets_the_mode_and_the_owner_that_it_is_to_have,
    },
    Case {
        name: "owners_are_known_by_their_names",
        run: owners_are_known_by_their_names,
    },
    Case {
        name: "a_user_writes_files_of_their_own",
        run: a_user_writes_files_of_their_own,
    },
];

/// A host with its connection, as one identity.
pub struct At<'h> {
    pub hosts: &'h Hosts,
    pub host: Destination,
    pub identity: Identity,
}

impl At<'_> {
    pub fn file(&self, path: &str) -> FileRef {
        FileRef {
            host: host_as(self.identity.clone()),
            path: path.to_owned(),
        }
    }

    pub async fn read(&self, path: &str) -> Result<FileReading, Fault> {
        let file = self.file(path);
        self.hosts
            .read_file(&self.host, &file, &OwnerNames::default())
            .await
    }

    /// Its state, which must be one that a file can be put into.
    pub async fn state(&self, path: &str) -> Result<FileState, String> {
        match self.read(path).await.map_err(text)?.now {
            FileNow::Is(state) => Ok(state),
            FileNow::Strange(what) => Err(format!("{path} is {what}")),
        }
    }

    /// Puts a file into a state, from `before`, whose content is `old`.
    pub async fn put(
        &self,
        path: &str,
        (before, old): (&FileState, &[u8]),
        (after, new): (&FileState, &[u8]),
    ) -> Result<Result<(), Fault>, String> {
        let effect = Effect::PutFile {
            file: self.file(path),
            before: before.clone(),
            after: after.clone(),
        };
        let (permit, key) = permit(effect, &[old, new])?;
        let putting = self.hosts.put_file(&self.host, permit, new, &key, "a test");
        Ok(putting.await)
    }

    /// Prepares something there.
    pub async fn shell(&self, script: &str) -> Result<String, String> {
        let script = format!("set -e\n{script}");
        let ran = run(self.hosts, &self.host, self.identity.clone(), &script)
            .await
            .map_err(text)?;
        match ran.exit {
            runbook::model::Exit::Code(0) => Ok(ran.head),
            exit => Err(format!("{script}: {exit}: {}", ran.head)),
        }
    }
}

/// Runs a test as root on a machine of its own.
pub fn as_root(
    place: &Place,
    test: impl AsyncFnOnce(At<'_>) -> Result<(), String>,
) -> Result<(), String> {
    let machine = Machine::start(place)?;
    let client = Client::of(&[&machine])?;
    block(async {
        let hosts = client.hosts();
        test(root(&hosts, &machine)).await
    })
}

fn root<'h>(hosts: &'h Hosts, machine: &Machine) -> At<'h> {
    At {
        hosts,
        host: login(machine, "ops"),
        identity: Identity::root(),
    }
}

pub fn present(mode: u32, uid: u32, gid: u32, content: &[u8]) -> FileState {
    FileState::Present {
        mode,
        uid,
        gid,
        size: content.len() as u64,
        content: Digest::of(content),
    }
}

/// All bytes there are, in no order that ends a line or a string well.
fn binary(size: usize) -> Vec<u8> {
    (0..size).map(|i| (i * 7 + i / 256) as u8).collect()
}

fn a_file_is_made_changed_and_removed(place: &Place, prepare: &str) -> Result<(), String> {
    let kind = Kind {
        prepare,
        ..Kind::default()
    };
    let machine = Machine::of_kind(place, &kind)?;
    let client = Client::of(&[&machine])?;
    block(async {
        let hosts = client.hosts();
        let at = root(&hosts, &machine);
        at.shell("mkdir -p /srv/'a folder'").await?;
        let paths = ["/srv/plain", "/srv/a folder/-n 'a' \"b\" $c *?[x] \\n é"];
        let contents = [&b""[..], b"no newline", b"\n\n\0\n", &binary(900 << 10)];
        for path in paths {
            let mut before = (FileState::Absent, &b""[..]);
            for content in contents {
                same("what it was", at.state(path).await?, before.0.clone())?;
                let after = present(0o640, 0, 0, content);
                at.put(path, (&before.0, before.1), (&after, content))
                    .await?
                    .map_err(text)?;
                let found = at.read(path).await.map_err(text)?;
                same("what it is", found.now, FileNow::Is(after.clone()))?;
                same(
                    "whether its content is as it was written",
                    found.content.as_deref() == Some(content),
                    true,
                )?;
                same(
                    "whether attributes are kept",
                    found.keeps_attributes,
                    prepare.is_empty(),
                )?;
                before = (after, content);
            }
            at.put(path, (&before.0, before.1), (&FileState::Absent, b""))
                .await?
                .map_err(text)?;
            same("what it is", at.state(path).await?, FileState::Absent)?;
        }
        let left = at.shell("find /srv -type f").await?;
        same("what is left", left.as_str(), "")
    })
}

fn what_belongs_to_a_file_is_kept(place: &Place) -> Result<(), String> {
    as_root(place, async |at| {
        at.shell(
            "echo old >/srv/file; chown ops:pw /srv/file; chmod 2750 /srv/file
            setfacl -m u:nosudo:r-x /srv/file
            setfattr -n user.note -v kept /srv/file",
        )
        .await?;
        let before = at.state("/srv/file").await?;
        let FileState::Present { mode, uid, gid, .. } = before else {
            return Err("it is not there".to_owned());
        };
        same("its mode", mode, 0o2750)?;
        let look = "getfacl -c /srv/file; getfattr --only-values -n user.note /srv/file";
        let belongings = at.shell(look).await?;
        same(
            "the list of access",
            belongings.contains("user:nosudo:r-x"),
            true,
        )?;
        same("the attribute", belongings.contains("kept"), true)?;
        let new = binary(5000);
        let after = present(mode, uid, gid, &new);
        at.put("/srv/file", (&before, b"old\n"), (&after, &new))
            .await?
            .map_err(text)?;
        same("what it is", at.state("/srv/file").await?, after)?;
        same("what belongs to it", at.shell(look).await?, belongings)
    })
}

fn a_file_gets_the_mode_and_the_owner_that_it_is_to_have(place: &Place) -> Result<(), String> {
    as_root(place, async |at| {
        // Folders that want to give their own group and access to what is new in them.
        at.shell(
            "mkdir /srv/group /srv/access; chgrp ops /srv/group; chmod 2755 /srv/group
            setfacl -d -m u:nosudo:rwx /srv/access",
        )
        .await?;
        for folder in ["group", "access"] {
            let path = format!("/srv/{folder}/file");
            let mut before = (FileState::Absent, &b""[..]);
            for (mode, uid, gid) in [
                (0o644, 0, 0),
                (0o4755, 42001, 42002),
                (0o4755, 0, 42002),
                (0o2755, 42001, 0),
                (0o400, 0, 42001),
            ] {
                let content = b"the same\n";
                let after = present(mode, uid, gid, content);
                at.put(&path, (&before.0, before.1), (&after, content))
                    .await?
                    .map_err(|e| format!("{folder} {mode:o}: {e}"))?;
                same(folder, at.state(&path).await?, after.clone())?;
                before = (after, content);
            }
        }
        Ok(())
    })
}

fn owners_are_known_by_their_names(place: &Place) -> Result<(), String> {
    as_root(place, async |at| {
        let file = at.file("/srv/file");
        for (user, group, wanted) in [
            ("ops", "pw", Ok((Some(42001), Some(42002)))),
            ("7", "8", Ok((Some(7), Some(8)))),
            ("", "", Ok((None, None))),
            ("nobody-here", "", Err("no_owner")),
            ("", "nobody-here", Err("no_owner")),
        ] {
            let owner = OwnerNames {
                user: user.to_owned(),
                group: group.to_owned(),
            };
            let found = at.hosts.read_file(&at.host, &file, &owner).await;
            match wanted {
                Ok(numbers) => {
                    let found = found.map_err(text)?;
                    same("their numbers", (found.uid, found.gid), numbers)?;
                }
                Err(code) => {
                    let fault = refused(found, code)?;
                    same(
                        "whether it is named",
                        fault.message.contains("nobody-here"),
                        true,
                    )?;
                }
            }
        }
        Ok(())
    })
}

fn a_user_writes_files_of_their_own(place: &Place) -> Result<(), String> {
    let machine = Machine::start(place)?;
    let client = Client::of(&[&machine])?;
    block(async {
        let hosts = client.hosts();
        root(&hosts, &machine)
            .shell("mkdir /srv/theirs; chown nosudo: /srv/theirs; mkdir /srv/others")
            .await?;
        let at = At {
            hosts: &hosts,
            host: login(&machine, "nosudo"),
            identity: Identity::Login,
        };
        let own = at.shell("id -u").await?.trim().parse().map_err(text)?;
        let after = present(0o600, own, own, b"new");
        let absent = FileState::Absent;
        at.put("/srv/theirs/file", (&absent, b""), (&after, b"new"))
            .await?
            .map_err(text)?;
        let found = at.read("/srv/theirs/file").await.map_err(text)?;
        same(
            "who reads it",
            (found.reader, found.reader_group),
            (own, own),
        )?;
        same("what it is", found.now, FileNow::Is(after.clone()))?;
        let put = at.put("/srv/others/file", (&absent, b""), (&after, b"new"));
        refused(put.await?, "host_failed")?;
        let of_others = present(0o600, 0, 0, b"newer");
        let put = at.put("/srv/theirs/file", (&after, b"new"), (&of_others, b"newer"));
        refused(put.await?, "host_failed")?;
        let left = at.shell("cat /srv/*/*; ls -A /srv/theirs").await?;
        same("what is there", left.as_str(), "newfile\n")
    })
}
