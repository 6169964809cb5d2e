//! The kernel's settings on a real host: planned, put, planned again, and taken back. The keys are those
//! of the tests' own network namespace, and the files lie in a folder of the machine's own.

use super::Case;
use super::client::{Client, block, same};
use super::kinds::Machines;
use super::machine::{Kind, Machine};
use super::place::{Place, text};
use super::shells::{APPLETS, over_sh};
use runbook::model::{Effect, UndoClass, Verdict};
use serde_json::json;
use std::fs;

pub const CASES: &[Case] = &[
    Case {
        name: "sysctls_are_put_once_and_are_taken_back_by_dash",
        run: |place| put_and_taken_back(place, &over_sh("dash"), "log_martians", true),
    },
    Case {
        name: "sysctls_are_put_once_and_are_taken_back_by_busybox",
        run: |place| {
            let busybox = over_sh("busybox") + APPLETS;
            put_and_taken_back(place, &busybox, "accept_redirects", false)
        },
    },
    Case {
        name: "sysctls_that_cannot_be_put_are_refused_and_what_others_put_stays",
        run: left_alone,
    },
];

/// An /etc of its own, in which nobody sets anything.
const ETC: &str = "
cp -a /etc /run/etc
rm -rf /run/etc/sysctl.d
mkdir /run/etc/sysctl.d
mount --bind /run/etc /etc
";
const OWN: &str = "/etc/sysctl.d/50-own.conf";
const LATER: &str = "/etc/sysctl.d/60-later.conf";
const OLD: &str = "# mine\nx.y = 1\n";

fn key(name: &str) -> String {
    format!("net.ipv4.conf.lo.{name}")
}

/// What the kernel says, seen by our own eyes: the tests run in the same network namespace.
fn running(name: &str) -> Result<String, String> {
    let value = fs::read_to_string(format!("/proc/sys/net/ipv4/conf/lo/{name}"));
    Ok(value.map_err(text)?.trim().to_owned())
}

fn set(name: &str, value: &str) -> Result<(), String> {
    fs::write(format!("/proc/sys/net/ipv4/conf/lo/{name}"), value).map_err(text)
}

struct Host {
    machine: Machine,
    client: Client,
}

impl Host {
    fn new(place: &Place, prepare: &str) -> Result<Self, String> {
        let kind = Kind {
            prepare: &(ETC.to_owned() + prepare),
            ..Kind::default()
        };
        let machine = Machine::of_kind(place, &kind)?;
        let client = Client::of(&[&machine])?;
        Ok(Self { machine, client })
    }

    fn write(&self, path: &str, content: &str) -> Result<(), String> {
        fs::write(self.machine.inside(path), content).map_err(text)
    }

    fn read(&self, path: &str) -> Result<String, String> {
        fs::read_to_string(self.machine.inside(path)).map_err(text)
    }
}

fn effects(verdict: &Verdict) -> Result<(&[Effect], &UndoClass), String> {
    match verdict {
        Verdict::Change { effects, undo, .. } => Ok((effects, undo)),
        other => Err(format!("{other:?}")),
    }
}

fn put_and_taken_back(
    place: &Place,
    prepare: &str,
    name: &str,
    exactly: bool,
) -> Result<(), String> {
    let host = Host::new(place, prepare)?;
    host.write(OWN, OLD)?;
    set(name, "0")?;
    block(async {
        let machines = Machines::new(&host.machine, &host.client).await?;
        let with = json!({"values": {key(name): 1}, "file": OWN});
        let made = machines.plan("host.sysctl", &with).await?;
        let (effects, undo) = effects(&made.verdict)?;
        same("effects", effects.len(), 2)?;
        same("an exact undo", *undo == UndoClass::Exact, exactly)?;
        same("before", running(name)?.as_str(), "0")?;
        for effect in effects {
            machines.put(effect, &made.blobs).await?;
        }
        same("the value", running(name)?.as_str(), "1")?;
        let new = format!("{OLD}{} = 1\n", key(name));
        same("the file", host.read(OWN)?, new)?;

        let again = machines.plan("host.sysctl", &with).await?;
        let nothing = matches!(again.verdict, Verdict::NoChange { .. });
        same("nothing left to do", nothing, true)?;
        // A second attempt finds it done.
        machines.put(&effects[0], &made.blobs).await?;

        for effect in effects.iter().rev() {
            let inverse = effect.inverse().ok_or("it has no inverse")?;
            machines.put(&inverse, &made.blobs).await?;
        }
        same("the value after all", running(name)?.as_str(), "0")?;
        same("the file after all", host.read(OWN)?.as_str(), OLD)
    })
}

fn left_alone(place: &Place) -> Result<(), String> {
    let host = Host::new(place, "")?;
    let name = "send_redirects";
    set(name, "0")?;
    block(async {
        let machines = Machines::new(&host.machine, &host.client).await?;
        let refused = async |with, words: &str| {
            let made = machines.plan("host.sysctl", &with).await?;
            match &made.verdict {
                Verdict::Refused { why, .. } if why.contains(words) => Ok(()),
                other => Err(format!("{with}: {other:?}")),
            }
        };
        let only = |key: &str| json!({"values": {key: 1}, "at_boot": false});
        refused(only("net.ipv4.conf.none.send_redirects"), "has no net.ipv4").await?;
        refused(only("net.ipv4.conf.lo"), "a folder of settings").await?;

        let with = json!({"values": {key(name): 1}, "file": OWN});
        host.write(LATER, &format!("x = 1\n{} = 0\n", key(name)))?;
        refused(with.clone(), "60-later.conf line 2 sets").await?;
        host.write(LATER, "")?;

        // The kernel does not take this one, and says so.
        let odd = json!({"values": {"net.ipv4.conf.lo.medium_id": "many"}, "at_boot": false});
        let made = machines.plan("host.sysctl", &odd).await?;
        let (wrong, _) = effects(&made.verdict)?;
        let said = machines.put(&wrong[0], &made.blobs).await;
        let invalid = said.clone().is_err_and(|why| why.contains("nvalid"));
        same(&format!("invalid: {said:?}"), invalid, true)?;

        // Somebody else was faster.
        let made = machines.plan("host.sysctl", &with).await?;
        let (effects, _) = effects(&made.verdict)?;
        set(name, "7")?;
        let said = machines.put(&effects[0], &made.blobs).await;
        let drift = said.clone().is_err_and(|why| why.contains("it is 7"));
        same(&format!("drift: {said:?}"), drift, true)?;
        same("the value", running(name)?.as_str(), "7")?;
        set(name, "0")
    })
}
