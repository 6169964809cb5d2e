//! Settings of hosts: what they hold beside files. What is put is put by one script that looks,
//! compares, puts and looks again under the host's lock.

use super::calico::no_calicoctl;
use super::script::{LOCK_PATIENCE, Said, Script, refusal};
use super::ssh::Hosts;
use crate::fault::{Fault, NO_SYSTEMD};
use crate::inventory::Destination;
use crate::journal::Permit;
use crate::model::{Effect, HostRef, Setting, SettingRef, SettingState};
use std::time::Duration;

const READ: &str = concat!(
    include_str!("host/guard.sh"),
    include_str!("host/calicoctl.sh"),
    include_str!("host/setting.sh"),
    include_str!("host/read_setting.sh")
);
const FIND: &str = concat!(
    include_str!("host/end_all.sh"),
    include_str!("host/guard.sh"),
    include_str!("host/calicoctl.sh"),
    include_str!("host/setting.sh"),
    include_str!("host/find_setting.sh")
);
const PUT: &str = concat!(
    include_str!("host/guard.sh"),
    include_str!("host/calicoctl.sh"),
    include_str!("host/setting.sh"),
    include_str!("host/put_setting.sh")
);

const UNIT: &str = concat!(
    include_str!("host/guard.sh"),
    include_str!("host/calicoctl.sh"),
    include_str!("host/setting.sh"),
    include_str!("host/read_unit.sh")
);

/// A unit of systemd.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnitReading {
    /// `running`, `stopped`, `failed`, `restarting`, `starting`, `stopping` or `absent`.
    pub activity: SettingState,
    /// `enabled`, `disabled`, `masked` and so on, as systemctl(1) has it for `is-enabled`; `none` where it
    /// has no file.
    pub file: SettingState,
    /// Of one that is masked: what it is once it is not; of others `-`.
    pub under: SettingState,
    /// What tells this start of it from all others: its id, or before systemd 232 the time; `-` where it
    /// was not started.
    pub invocation: String,
    /// Of its file; empty where it has none.
    pub path: String,
}

/// How long `find_setting.sh` waits for systemd to end what it was asked for.
const SETTLES: Duration = Duration::from_secs(60);

impl Hosts {
    /// How a setting stands, for a plan. Takes no lock.
    pub async fn read_setting(
        &self,
        host: &Destination,
        of: &SettingRef,
    ) -> Result<SettingState, Fault> {
        let place = of.setting.place();
        let args = [of.setting.kind(), place.as_str()];
        let mut script = Script::new(READ, &args);
        // calicoctl waits for its etcd.
        if matches!(of.setting, Setting::CalicoNode { .. }) {
            script.limit += Duration::from_secs(15);
        }
        let said = self.ask(host, &of.host, &script).await?;
        state(host, of, &said)
    }

    /// What is known of a unit of systemd.
    pub async fn read_unit(
        &self,
        host: &Destination,
        of: &HostRef,
        name: &str,
    ) -> Result<UnitReading, Fault> {
        let unit = name.to_owned();
        let setting = Setting::Unit { name: unit }.of(of);
        let said = self.ask(host, of, &Script::new(UNIT, &[name])).await?;
        let unclear = || match said.word.as_str() {
            "failed" => unread(&setting, &said.rest),
            _ => wrong(host, &setting, &said),
        };
        if said.word != "is" {
            return Err(unclear());
        }
        let words: Vec<&str> = said.rest.split(' ').collect();
        let [activity, file, under, invocation, path @ ..] = words.as_slice() else {
            return Err(unclear());
        };
        Ok(UnitReading {
            activity: SettingState::new(*activity),
            file: SettingState::new(*file),
            under: SettingState::new(*under),
            invocation: (*invocation).to_owned(),
            path: path.join(" "),
        })
    }

    /// How a setting stands after everything that was begun on its host has ended. The effect `key` does
    /// not begin any more.
    pub async fn find_setting(
        &self,
        host: &Destination,
        of: &SettingRef,
        key: &str,
    ) -> Result<SettingState, Fault> {
        let place = of.setting.place();
        // What is under way may take its time, and is not cut short.
        let patience = LOCK_PATIENCE.max(takes(&of.setting));
        let seconds = patience.as_secs().to_string();
        let args = [of.setting.kind(), place.as_str(), key, &seconds];
        let mut script = Script::new(FIND, &args);
        script.limit += patience + SETTLES;
        let said = self.ask(host, &of.host, &script).await?;
        state(host, of, &said)
    }

    /// Puts a setting into another state, once. `key` tells this attempt from all others, `holder` is
    /// what others are told while it is under way.
    pub async fn put_setting(
        &self,
        host: &Destination,
        permit: Permit,
        key: &str,
        holder: &str,
    ) -> Result<(), Fault> {
        let Effect::PutSetting {
            setting: of,
            before,
            after,
        } = permit.effect()
        else {
            return Err(Fault::internal("this is not done to a setting"));
        };
        let place = of.setting.place();
        let patience = LOCK_PATIENCE.as_secs().to_string();
        let args = [
            of.setting.kind(),
            place.as_str(),
            before.as_str(),
            after.as_str(),
            key,
            holder,
            &patience,
        ];
        let mut script = Script::new(PUT, &args);
        script.limit += LOCK_PATIENCE + takes(&of.setting);
        let said = match self.tell(host, &of.host, &script).await {
            Ok(said) => said,
            Err(lost) => return Err(lost.of_change(format_args!("changing the {of}"))),
        };
        match said.word.as_str() {
            // That it is so already was not so a moment ago: whoever did it, it is as wanted.
            "written" | "already" => Ok(()),
            "drift" => Err(Fault::definite(
                "drift",
                format!(
                    "the {of} is no longer as it was: it is {}",
                    SettingState::new(said.rest)
                ),
            )),
            "unverified" => {
                let (now, words) = said.rest.split_once(" ;").unwrap_or((&said.rest, ""));
                let words = match words.trim() {
                    "" => String::new(),
                    words => format!(" ({words})"),
                };
                let now = SettingState::new(now);
                Err(Fault::indeterminate(
                    "unverified",
                    format!("the {of} was changed, and a moment later it is {now}{words}"),
                )
                .next("look what else changes it"))
            }
            _ => Err(wrong(host, of, &said)),
        }
    }
}

/// How long a change of it may take: what was swapped out comes back into memory at the speed of a disk,
/// and units take what they need to stop.
const fn takes(setting: &Setting) -> Duration {
    match setting {
        Setting::Swap { .. } => Duration::from_secs(1800),
        Setting::Unit { .. } => Duration::from_secs(300),
        Setting::Sysctl { .. }
        | Setting::Module { .. }
        | Setting::UnitFile { .. }
        | Setting::CalicoNode { .. } => Duration::from_secs(60),
    }
}

fn state(host: &Destination, of: &SettingRef, said: &Said) -> Result<SettingState, Fault> {
    match said.word.as_str() {
        "is" if !said.rest.is_empty() => Ok(SettingState::new(said.rest.as_str())),
        "failed" => Err(unread(of, &said.rest)),
        _ => Err(wrong(host, of, said)),
    }
}

fn unread(of: &SettingRef, why: &str) -> Fault {
    Fault::refused("host_read", format!("the {of} cannot be looked at: {why}")).next(
        match of.setting {
            Setting::CalicoNode { .. } => {
                "look at calicoctl there, at /etc/calico/calicoctl.cfg, and at Calico's etcd"
            }
            _ => "look at it there",
        },
    )
}

fn wrong(host: &Destination, of: &SettingRef, said: &Said) -> Fault {
    match said.word.as_str() {
        "no_systemd" => Fault::refused(
            NO_SYSTEMD,
            format!(
                "{} is not run by systemd, and so has no {}",
                host.name, of.setting
            ),
        ),
        "tools" if said.rest.trim() == "calicoctl" => no_calicoctl(&host.name, &of.host.node),
        "denied" => Fault::refused(
            "setting_denied",
            format!(
                "{} may not look at {} on {}",
                of.host.identity.user(),
                said.rest,
                host.name
            ),
        )
        .next("name a user in `become` who may"),
        _ => refusal(host, &of.host, &format!("the {of}"), said),
    }
}
