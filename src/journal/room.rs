//! Whether a folder can hold a journal: on a disk of this machine, with room for it.

use super::error::JournalError;
use rustix::fs::{StatFs, StatVfs, fstatfs, statvfs};
use std::fs::File;
use std::path::Path;

/// Magic numbers of file systems whose files are elsewhere (Linux 6.12, include/uapi/linux/magic.h
/// and the file systems' own headers). FUSE may be local; what it promises is not known.
const NETWORK: &[(u64, &str)] = &[
    (0x6969, "NFS"),
    (0x517b, "SMB"),
    (0xff53_4d42, "CIFS"),
    (0xfe53_4d42, "SMB2"),
    (0x6573_5546, "FUSE"),
    (0x0102_1997, "9p"),
    (0x00c3_6400, "Ceph"),
    (0x5346_414f, "AFS"),
    (0x6b41_4653, "AFS"),
    (0x7375_7245, "Coda"),
    (0x0bd0_0bd0, "Lustre"),
    (0x4750_4653, "GPFS"),
    (0x2003_0528, "OrangeFS"),
    (0x0116_1970, "GFS2"),
    (0x7461_636f, "OCFS2"),
    (0x0187, "autofs"),
];

/// The name of a network file system, by the type that `statfs` gives.
fn network(f_type: i64) -> Option<&'static str> {
    // Some of the numbers are negative in the kernel's signed type.
    let magic = f_type.cast_unsigned() & 0xffff_ffff;
    NETWORK
        .iter()
        .find(|(known, _)| *known == magic)
        .map(|(_, name)| *name)
}

/// Holds that `folder` is on a local file system with at least `needed` bytes left.
pub(super) fn check(folder: &Path, needed: u64) -> Result<(), JournalError> {
    let wrong = |e: rustix::io::Errno| JournalError::Folder {
        path: folder.to_owned(),
        source: e.into(),
    };
    let opened = File::open(folder).map_err(|source| JournalError::Folder {
        path: folder.to_owned(),
        source,
    })?;
    let StatFs { f_type, .. } = fstatfs(&opened).map_err(wrong)?;
    if let Some(kind) = network(f_type) {
        return Err(JournalError::Network {
            path: folder.to_owned(),
            kind,
        });
    }
    let StatVfs {
        f_bavail, f_frsize, ..
    } = statvfs(folder).map_err(wrong)?;
    let free = f_bavail.saturating_mul(f_frsize);
    match free >= needed {
        true => Ok(()),
        false => Err(JournalError::NoRoom {
            path: folder.to_owned(),
            free: free / 1024,
            needed: needed.div_ceil(1024),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn network_file_systems_are_known_by_their_numbers() {
        for (magic, name) in [
            (0x6969, "NFS"),
            (0x6573_5546, "FUSE"),
            (0xff53_4d42, "CIFS"),
        ] {
            assert_eq!(network(magic), Some(name));
        }
        // As a machine of 32 bits gives it.
        let negative = i64::from(0xff53_4d42_u32.cast_signed());
        assert_eq!((negative < 0, network(negative)), (true, Some("CIFS")));
        // ext4, xfs, btrfs, tmpfs, overlayfs.
        for local in [0xef53, 0x5846_5342, 0x9123_683e, 0x0102_1994, 0x794c_7630] {
            assert_eq!(network(local), None);
        }
    }

    #[test]
    fn a_folder_without_room_is_refused_with_numbers() {
        let dir = tempfile::tempdir().unwrap();
        assert!(check(dir.path(), 4096).is_ok());
        let Err(JournalError::NoRoom { free, needed, .. }) = check(dir.path(), u64::MAX - 1023)
        else {
            panic!()
        };
        assert_eq!(needed, u64::MAX / 1024);
        // Others use the disk meanwhile.
        let StatVfs {
            f_bavail, f_frsize, ..
        } = statvfs(dir.path()).unwrap();
        let now = f_bavail * f_frsize / 1024;
        assert!(free.abs_diff(now) < now / 2, "{free} KiB, and not {now}");
        assert!(matches!(
            check(&dir.path().join("none"), 0),
            Err(JournalError::Folder { .. })
        ));
    }
}
