//! Where the tests happen: namespaces of their own, with users, folders and a network that nobody
//! else sees.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Set once the namespaces are there.
const INSIDE: &str = "RUNBOOK_HOSTS_INSIDE";
/// What is made for the tests stands here; short, for the sockets of OpenSSH.
pub const ROOT: &str = "/media";
/// The password of every user, and its hash as it stands in shadow(5).
pub const PASSWORD: &str = "correct-horse-battery";
const HASH: &str = "$6$rounds=1000$runbooktest$EwuMdqO5RDJOXxtrbwfBtv2BZGvXomhXgJf.WjQ11s1jQvRR7ul6SeusanaYFqOiF27po.SpAUj2i4LafSO/b/";

/// The users of all machines besides root, with their login shells. Their numbers follow from their
/// place here.
const USERS: &[(&str, &str)] = &[
    ("ops", "/bin/bash"),
    ("pw", "/bin/bash"),
    ("nosudo", "/bin/bash"),
    ("needstty", "/bin/bash"),
    ("terminal", "/bin/bash"),
    ("terminalpw", "/bin/bash"),
    ("csh", "/bin/tcsh"),
    ("fish", "/usr/bin/fish"),
    ("noisy", "/bin/bash"),
    ("barred", "/usr/sbin/nologin"),
    ("restricted", "/bin/rbash"),
];
const FIRST_NUMBER: usize = 42001;

const SUDOERS: &str = "\
Defaults env_reset
Defaults:needstty requiretty
Defaults:terminal,terminalpw use_pty
root ALL=(ALL:ALL) ALL
ops,needstty,terminal,csh,fish,noisy ALL=(ALL:ALL) NOPASSWD: ALL
pw,terminalpw ALL=(ALL:ALL) ALL
";

/// What a login of `noisy` prints, on both outputs, before anything else is read.
const NOISY: &str = "\
i=0
while [ $i -lt 3000 ]; do echo \"line $i of what nobody asked for: password:\"; i=$((i + 1)); done
echo on stderr >&2
printf 'and no newline at the end: assword:'
";

/// What must be there; tests/prepare.sh installs it.
const PROGRAMS: &[&str] = &[
    "/bin/busybox",
    "/usr/bin/setfacl",
    "/usr/bin/setfattr",
    "/usr/bin/chattr",
    "/bin/bash",
    "/bin/tcsh",
    "/usr/bin/fish",
    "/bin/rbash",
    "/usr/sbin/nologin",
    "/usr/sbin/sshd",
    "/usr/bin/sudo",
    "/usr/bin/ssh",
    "/usr/bin/ssh-keygen",
    "/usr/bin/unshare",
];

pub struct Place {
    /// On a real disk, unlike all else.
    disk: tempfile::TempDir,
    numbers: AtomicUsize,
}

pub fn is_inside() -> bool {
    std::env::var_os(INSIDE).is_some()
}

/// Begins this program again in namespaces of its own. Returns only why it could not.
pub fn enter() -> String {
    if !rustix::process::geteuid().is_root() {
        return "they make machines: run them as root".to_owned();
    }
    let mut missing: Vec<&str> = PROGRAMS.to_vec();
    missing.retain(|program| !Path::new(program).exists());
    if !missing.is_empty() {
        return format!("install {}", missing.join(", "));
    }
    let own = match std::env::current_exe() {
        Ok(own) => own,
        Err(e) => return e.to_string(),
    };
    // The shell is the first process, and so waits for whatever loses its parent.
    let error = Command::new("unshare")
        .args(["--net", "--mount", "--pid", "--ipc", "--uts", "--fork"])
        .args(["--mount-proc", "--kill-child", "--"])
        .args(["/bin/sh", "-c", "\"$@\"; exit $?", "sh"])
        .arg(own)
        .args(std::env::args_os().skip(1))
        .env(INSIDE, "1")
        .env("TMPDIR", format!("{ROOT}/t"))
        .env_remove("XDG_RUNTIME_DIR")
        .env_remove("SSH_AUTH_SOCK")
        .exec();
    format!("unshare: {error}")
}

impl Place {
    pub fn make() -> Result<Self, String> {
        // As the mounts that come now hide nothing of where the tests are built.
        let disk = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).map_err(text)?;
        call("ip", &["link", "set", "lo", "up"])?;
        call("hostname", &["localhost"])?;
        call("mount", &["-t", "tmpfs", "-o", "mode=755", "tmpfs", ROOT])?;
        for folder in ["t", "keys", "home", "etc", "sudoers.d", "machines", "disk"] {
            fs::create_dir(path(folder)).map_err(text)?;
        }
        fs::set_permissions(path("t"), fs::Permissions::from_mode(0o700)).map_err(text)?;
        fs::set_permissions(disk.path(), fs::Permissions::from_mode(0o755)).map_err(text)?;
        bind(disk.path(), &path("disk"))?;
        users()?;
        for key in ["client", "stranger"] {
            make_key(&path(&format!("keys/{key}")))?;
        }
        Ok(Self {
            disk,
            numbers: AtomicUsize::new(2),
        })
    }

    /// Never the same twice.
    pub fn number(&self) -> usize {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // What a test that failed left immutable could not be removed with the folder.
        let _ = Command::new("chattr")
            .args(["-R", "-f", "-i", "-a"])
            .arg(self.disk.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
    }
}

/// A path of the tests' own.
pub fn path(name: &str) -> PathBuf {
    Path::new(ROOT).join(name)
}

/// Puts private copies of the files that say who there is over the machine's own.
fn users() -> Result<(), String> {
    let read = |name: &str| fs::read_to_string(format!("/etc/{name}")).map_err(text);
    let others = |of: &str| -> String {
        of.lines()
            .filter(|line| !line.starts_with("root:"))
            .map(|line| format!("{line}\n"))
            .collect()
    };
    let mut passwd = format!("root:x:0:0:root:{ROOT}/home/root:/bin/bash\n");
    passwd += &others(&read("passwd")?);
    let mut group = read("group")?;
    let mut shadow = format!("root:{HASH}:19000:0:99999:7:::\n");
    shadow += &others(&read("shadow")?);
    make_home("root", 0)?;
    for (number, (user, shell)) in (FIRST_NUMBER..).zip(USERS) {
        passwd += &format!("{user}:x:{number}:{number}::{ROOT}/home/{user}:{shell}\n");
        group += &format!("{user}:x:{number}:\n");
        shadow += &format!("{user}:{HASH}:19000:0:99999:7:::\n");
        make_home(user, number)?;
    }
    fs::write(path("home/noisy/.bashrc"), NOISY).map_err(text)?;
    let shells: String = USERS
        .iter()
        .map(|(_, shell)| format!("{shell}\n"))
        .collect();
    let files = [
        ("passwd", passwd, 0o644),
        ("group", group, 0o644),
        ("shadow", shadow, 0o600),
        ("shells", read("shells")? + &shells, 0o644),
        ("sudoers", SUDOERS.to_owned(), 0o440),
        ("hosts", "127.0.0.1 localhost\n".to_owned(), 0o644),
        ("machine-id", format!("{}\n", "5e".repeat(16)), 0o444),
    ];
    for (name, content, mode) in files {
        let own = path("etc").join(name);
        fs::write(&own, content).map_err(text)?;
        fs::set_permissions(&own, fs::Permissions::from_mode(mode)).map_err(text)?;
        bind(&own, &Path::new("/etc").join(name))?;
    }
    bind(&path("sudoers.d"), Path::new("/etc/sudoers.d"))
}

fn make_home(user: &str, number: usize) -> Result<(), String> {
    let home = path("home").join(user);
    let number = u32::try_from(number).map_err(text)?;
    fs::create_dir(&home).map_err(text)?;
    chown(&home, Some(number), Some(number)).map_err(text)
}

pub fn make_key(at: &Path) -> Result<(), String> {
    let at = at.to_str().ok_or("a path that is no text")?;
    call("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-f", at])
}

fn bind(from: &Path, over: &Path) -> Result<(), String> {
    let text = |path: &Path| path.to_string_lossy().into_owned();
    call("mount", &["--bind", &text(from), &text(over)])
}

/// Runs a command that must succeed.
pub fn call(program: &str, args: &[&str]) -> Result<(), String> {
    let output = Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .output()
        .map_err(|e| format!("{program}: {e}"))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(format!(
            "{program} {}: {}",
            args.join(" "),
            String::from_utf8_lossy(&output.stderr)
        )),
    }
}

pub fn text(e: impl ToString) -> String {
    e.to_string()
}
