//! Folders whose files are read one after another by their names, as systemd reads sysctl.d(5) and
//! modules-load.d(5): of files with one name, that in the folder that comes first hides the others.

/// A file in such a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DropIn {
    /// With the folder in which it stands.
    pub path: String,
    /// Its lines; a file that is a link to /dev/null has none, and hides others all the same.
    pub text: String,
}

impl DropIn {
    fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or_default()
    }
}

/// The files that are read, in the order in which they are. `found` has the folders one after another,
/// the one that hides others first.
pub fn in_order(found: &[DropIn]) -> Vec<&DropIn> {
    let mut read: Vec<&DropIn> = Vec::new();
    for file in found {
        if !read.iter().any(|other| other.name() == file.name()) {
            read.push(file);
        }
    }
    read.sort_by(|one, other| one.name().cmp(other.name()));
    read
}

/// Whether a file is read after another, by their names.
pub fn is_after(path: &str, other: &str) -> bool {
    let name = |path: &str| path.rsplit('/').next().unwrap_or_default().to_owned();
    name(path) > name(other)
}

/// The file that one at `path` hides once it is there: it has its name, in another folder.
pub fn hidden_by<'f>(found: &'f [DropIn], path: &str) -> Option<&'f DropIn> {
    let there = found.iter().any(|file| file.path == path);
    let name = path.rsplit('/').next().unwrap_or_default();
    found.iter().find(|file| !there && file.name() == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_read_by_name_and_hidden_by_the_first_folder() {
        let file = |path: &str| DropIn {
            path: path.to_owned(),
            text: String::new(),
        };
        let found = [
            file("/etc/sysctl.d/99-sysctl.conf"),
            file("/etc/sysctl.d/10-a.conf"),
            file("/run/sysctl.d/50-b.conf"),
            file("/usr/lib/sysctl.d/10-a.conf"),
            file("/usr/lib/sysctl.d/50-default.conf"),
        ];
        let hidden = |path: &str| hidden_by(&found, path).map(|file| file.path.as_str());
        assert_eq!(
            hidden("/etc/sysctl.d/50-default.conf"),
            Some("/usr/lib/sysctl.d/50-default.conf")
        );
        // It is there, and hides the other already.
        assert_eq!(hidden("/etc/sysctl.d/10-a.conf"), None);
        assert_eq!(hidden("/etc/sysctl.d/60-new.conf"), None);
        let paths: Vec<&str> = in_order(&found).iter().map(|f| f.path.as_str()).collect();
        assert_eq!(
            paths,
            [
                "/etc/sysctl.d/10-a.conf",
                "/run/sysctl.d/50-b.conf",
                "/usr/lib/sysctl.d/50-default.conf",
                "/etc/sysctl.d/99-sysctl.conf",
            ]
        );
        assert!(is_after(
            "/usr/lib/sysctl.d/99-z.conf",
            "/etc/sysctl.d/99-a.conf"
        ));
        assert!(!is_after(
            "/etc/sysctl.d/10-a.conf",
            "/etc/sysctl.d/10-a.conf"
        ));
    }
}
