//! Files of hosts that are not written, and why.

use super::Case;
use super::client::{refused, same};
use super::files::{as_root, present};
use super::permit::permit;
use super::place::{Place, text};
use runbook::model::{Effect, FileNow, FileState};

pub const CASES: &[Case] = &[
    Case {
        name: "what_is_not_as_expected_is_not_written_over",
        run: what_is_not_as_expected_is_not_written_over,
    },
    Case {
        name: "what_is_no_plain_file_is_called_by_its_name",
        run: what_is_no_plain_file_is_called_by_its_name,
    },
    Case {
        name: "a_file_that_must_not_change_does_not",
        run: a_file_that_must_not_change_does_not,
    },
    Case {
        name: "a_folder_that_others_can_write_to_is_refused",
        run: a_folder_that_others_can_write_to_is_refused,
    },
];

fn what_is_not_as_expected_is_not_written_over(place: &Place) -> Result<(), String> {
    as_root(place, async |at| {
        at.shell("echo other >/srv/file; chmod 644 /srv/file; ln -s file /srv/link")
            .await?;
        let other = present(0o644, 0, 0, b"other\n");
        let (old, new) = (present(0o644, 0, 0, b"old"), present(0o644, 0, 0, b"new"));
        let mode = present(0o600, 0, 0, b"other\n");
        for (path, before, content) in [
            ("/srv/file", &old, &b"old"[..]),
            ("/srv/file", &mode, b"other\n"),
            ("/srv/file", &FileState::Absent, b""),
            ("/srv/link", &FileState::Absent, b""),
        ] {
            let put = at.put(path, (before, content), (&new, b"new")).await?;
            refused(put, "drift")?;
            same("the file", at.state("/srv/file").await?, other.clone())?;
        }
        // That it is already as wanted does no harm.
        at.put("/srv/file", (&old, b"old"), (&other, b"other\n"))
            .await?
            .map_err(text)?;
        // Another content than was said.
        let effect = Effect::PutFile {
            file: at.file("/srv/file"),
            before: other.clone(),
            after: new,
        };
        let (permit, key) = permit(effect, &[b"other\n", b"new"])?;
        let put = at
            .hosts
            .put_file(&at.host, permit, b"ne", &key, "a test")
            .await;
        refused(put, "content_cut")?;
        same("the file", at.state("/srv/file").await?, other)?;
        let left = at.shell("ls -A /srv").await?;
        same("what is there", left.as_str(), "file\nlink\n")
    })
}

fn what_is_no_plain_file_is_called_by_its_name(place: &Place) -> Result<(), String> {
    as_root(place, async |at| {
        at.shell(
            "cd /srv; echo x >file; ln -s file link; ln -s nowhere dangling; echo x >one; ln one two
            mkdir folder; mkfifo pipe; echo x >fixed; chattr +i fixed; echo x >grows; chattr +a grows
            head -c 1048577 /dev/zero >large",
        )
        .await?;
        for (name, what) in [
            ("link", "symbolic link"),
            ("dangling", "symbolic link"),
            ("one", "2 hard links"),
            ("folder", "directory"),
            ("pipe", "fifo"),
            ("fixed", "immutable"),
            ("grows", "only grows"),
        ] {
            let found = at.read(&format!("/srv/{name}")).await.map_err(text)?;
            match &found.now {
                FileNow::Strange(words) if words.contains(what) => {}
                other => return Err(format!("{name} is {other:?} and not {what}")),
            }
            same("its content", found.content, None)?;
        }
        let large = at.read("/srv/large").await.map_err(text)?;
        same("the content of a large file", large.content, None)
    })
}

fn a_file_that_must_not_change_does_not(place: &Place) -> Result<(), String> {
    as_root(place, async |at| {
        for flag in ["i", "a"] {
            at.shell(&format!(
                "echo old >/srv/file; chmod 644 /srv/file; chattr +{flag} /srv/file"
            ))
            .await?;
            let before = present(0o644, 0, 0, b"old\n");
            for after in [present(0o644, 0, 0, b"new"), FileState::Absent] {
                let put = at.put("/srv/file", (&before, b"old\n"), (&after, b"new"));
                refused(put.await?, "host_failed")?;
                let found = at.shell("cat /srv/*; ls -A /srv").await?;
                same("what is there", found.as_str(), "old\nfile\n")?;
            }
            at.shell(&format!("chattr -{flag} /srv/file")).await?;
        }
        Ok(())
    })
}

fn a_folder_that_others_can_write_to_is_refused(place: &Place) -> Result<(), String> {
    as_root(place, async |at| {
        at.shell(
            "cd /srv; mkdir -p all/below group/below; mkdir theirs
            chmod 777 all; chmod 775 group; chown ops theirs; ln -s /srv/all way",
        )
        .await?;
        for folder in [
            "/tmp",
            "/srv/all",
            "/srv/all/below",
            "/srv/group/below",
            "/srv/theirs",
            "/srv/way",
        ] {
            let fault = refused(at.read(&format!("{folder}/file")).await, "unsafe_folder")
                .map_err(|e| format!("{folder}: {e}"))?;
            let named = folder.trim_end_matches("/below");
            same(folder, fault.message.contains(named), true)?;
        }
        refused(at.read("/srv/none/file").await, "no_folder").map(|_| ())
    })
}
