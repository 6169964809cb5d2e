//! Files that lie beside a runbook's own, and whose text its steps use. They are read with the runbook, and
//! belong to its text from then on: plans and journals keep them, and nobody looks for them again.

use super::yaml::MAX_BYTES;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

/// The argument that names such a file, and the one that gets its text.
pub const SOURCE: &str = "source";
pub const TEMPLATE: &str = "template";
/// Names of a step's own that its template knows.
pub const VARS: &str = "vars";

/// Bytes of one file.
const MAX_FILE: usize = 1 << 16;

/// Where the files of one runbook are.
#[derive(Debug)]
enum Place {
    /// It is a text alone.
    Nowhere,
    Folder(PathBuf),
    /// By their names.
    Texts(BTreeMap<String, String>),
}

/// What lies beside a runbook. Each file is read once.
#[derive(Debug)]
pub struct Beside {
    place: Place,
    read: RefCell<BTreeMap<String, Result<String, String>>>,
}

impl Beside {
    fn at(place: Place) -> Self {
        Self {
            place,
            read: RefCell::default(),
        }
    }

    pub fn nothing() -> Self {
        Self::at(Place::Nowhere)
    }

    /// Beside a file.
    pub fn file(path: &Path) -> Self {
        let folder = path.parent().filter(|folder| *folder != Path::new(""));
        Self::at(Place::Folder(folder.unwrap_or(Path::new(".")).to_owned()))
    }

    /// Files whose texts are known, by their names.
    pub fn texts(texts: impl IntoIterator<Item = (String, String)>) -> Self {
        Self::at(Place::Texts(texts.into_iter().collect()))
    }

    /// The text of a file, or what is wrong with it.
    pub fn read(&self, name: &str) -> Result<String, String> {
        if let Some(read) = self.read.borrow().get(name) {
            return read.clone();
        }
        let text = self.read_anew(name);
        let mut all = self.read.borrow_mut();
        all.insert(name.to_owned(), text.clone());
        let together: usize = all.values().flatten().map(String::len).sum();
        match together > MAX_BYTES {
            true => Err(format!(
                "the files beside the runbook have more than {MAX_BYTES} bytes together"
            )),
            false => text,
        }
    }

    /// The texts that were read.
    pub fn into_texts(self) -> BTreeMap<String, String> {
        let all = self.read.into_inner().into_iter();
        all.filter_map(|(name, text)| Some((name, text.ok()?)))
            .collect()
    }

    fn read_anew(&self, name: &str) -> Result<String, String> {
        check_name(name)?;
        let text = match &self.place {
            Place::Nowhere => {
                return Err("this runbook is no file, beside which another could lie".to_owned());
            }
            Place::Texts(texts) => texts.get(name).cloned().ok_or("there is no such file")?,
            Place::Folder(folder) => read_in(folder, name)?,
        };
        match text
            .chars()
            .find(|c| c.is_control() && !"\n\r\t".contains(*c))
        {
            Some(c) => Err(format!(
                "it is no text: it has U+{:04X} in it",
                u32::from(c)
            )),
            None => Ok(text),
        }
    }
}

/// A name leads to nothing outside of the folder.
fn check_name(name: &str) -> Result<(), String> {
    let plain = |part: &str| !part.is_empty() && part != "." && part != "..";
    match name.split('/').all(plain) && !name.chars().any(char::is_control) {
        true => Ok(()),
        false => {
            Err("it is named from the runbook's own folder on, without `.` and `..`".to_owned())
        }
    }
}

fn read_in(folder: &Path, name: &str) -> Result<String, String> {
    let said = |e: std::io::Error| match e.kind() {
        std::io::ErrorKind::NotFound => format!("there is no such file in {}", folder.display()),
        _ => e.to_string(),
    };
    let whole = folder.canonicalize().map_err(said)?;
    let path = whole.join(name).canonicalize().map_err(said)?;
    if !path.starts_with(&whole) {
        return Err("a link leads out of the runbook's own folder".to_owned());
    }
    // Nothing else is opened: what is no file may wait for ever.
    if !std::fs::metadata(&path).map_err(said)?.is_file() {
        return Err("it is not a file".to_owned());
    }
    let mut bytes = Vec::new();
    let file = std::fs::File::open(&path).map_err(said)?;
    file.take(MAX_FILE as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(said)?;
    if bytes.len() > MAX_FILE {
        return Err(format!("it has more than {MAX_FILE} bytes"));
    }
    String::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    #[test]
    fn what_lies_beside_a_runbook_is_read_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let inside = dir.path().join("runbooks");
        fs::create_dir_all(inside.join("conf")).unwrap();
        fs::write(dir.path().join("outside"), "secret").unwrap();
        for (name, bytes) in [
            ("a.hbs", &b"a\r\n\t{{ x }}"[..]),
            ("conf/b.hbs", b"b"),
            ("latin", b"caf\xe9"),
            ("nul", b"a\0"),
            ("long", &[b'x'; MAX_FILE + 1]),
        ] {
            fs::write(inside.join(name), bytes).unwrap();
        }
        symlink("../outside", inside.join("out")).unwrap();
        symlink("a.hbs", inside.join("link")).unwrap();
        symlink("..", inside.join("up")).unwrap();
        let beside = Beside::file(&inside.join("x.yaml"));
        for (name, text) in [
            ("a.hbs", "a\r\n\t{{ x }}"),
            ("conf/b.hbs", "b"),
            ("link", "a\r\n\t{{ x }}"),
        ] {
            assert_eq!(beside.read(name).as_deref(), Ok(text));
        }
        let outside = dir.path().join("outside").display().to_string();
        let wrong = [
            "../outside",
            &outside,
            "",
            "conf//b.hbs",
            "./a.hbs",
            "none",
            "out",
            "up/outside",
            "conf",
            "latin",
            "nul",
            "long",
        ];
        let said = wrong.map(|name| beside.read(name).unwrap_err());
        let said = said
            .join("\n")
            .replace(&inside.display().to_string(), "DIR");
        insta::assert_snapshot!(said, @"
        it is named from the runbook's own folder on, without `.` and `..`
        it is named from the runbook's own folder on, without `.` and `..`
        it is named from the runbook's own folder on, without `.` and `..`
        it is named from the runbook's own folder on, without `.` and `..`
        it is named from the runbook's own folder on, without `.` and `..`
        there is no such file in DIR
        a link leads out of the runbook's own folder
        a link leads out of the runbook's own folder
        it is not a file
        it is not UTF-8
        it is no text: it has U+0000 in it
        it has more than 65536 bytes
        ");
        let names: Vec<String> = beside.into_texts().into_keys().collect();
        assert_eq!(names, ["a.hbs", "conf/b.hbs", "link"]);
    }

    #[test]
    fn what_was_read_is_not_read_again() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("a"), "one").unwrap();
        let beside = Beside::file(&dir.path().join("x.yaml"));
        assert_eq!(beside.read("a").as_deref(), Ok("one"));
        fs::remove_file(dir.path().join("a")).unwrap();
        assert_eq!(beside.read("a").as_deref(), Ok("one"));
    }

    #[test]
    fn all_of_them_together_have_a_limit() {
        let text = "x".repeat(MAX_FILE);
        let names: Vec<String> = (0..=MAX_BYTES / MAX_FILE).map(|n| n.to_string()).collect();
        let beside = Beside::texts(names.iter().map(|name| (name.clone(), text.clone())));
        let (last, first) = names.split_last().unwrap();
        assert!(first.iter().all(|name| beside.read(name).is_ok()));
        assert!(beside.read(last).is_err());
        assert!(Beside::nothing().read("a").is_err());
    }
}
