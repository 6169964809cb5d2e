//! Units of systemd and swap, by tools that do what systemd's and util-linux's do, on a host that has neither:
//! the scripts that look and put are those of every host.

use super::Case;
use super::client::{Client, block, same};
use super::kinds::Machines;
use super::machine::{Kind, Machine};
use super::place::{Place, text};
use super::shells::over_sh;
use runbook::model::Verdict;
use serde_json::{Value, json};
use std::fs;

pub const CASES: &[Case] = &[
    Case {
        name: "units_are_put_and_taken_back_by_dash",
        run: |place| units(place, "dash"),
    },
    Case {
        name: "units_are_put_and_taken_back_by_busybox",
        run: |place| units(place, "busybox"),
    },
    Case {
        name: "swap_is_turned_off_and_taken_back_by_dash",
        run: |place| swap(place, "dash"),
    },
    Case {
        name: "swap_is_turned_off_and_taken_back_by_busybox",
        run: |place| swap(place, "busybox"),
    },
];

/// A unit is a file with its properties; `starts` are counted in another.
const SYSTEMCTL: &str = r#"
mkdir -p /run/systemd/system /run/tools /run/units
cat >/run/tools/systemctl <<'END'
#!/bin/sh
put() {
    sed -i "/^$1=/d" "/run/units/$unit"
    echo "$1=$2" >>"/run/units/$unit"
}
verb=$1
for unit; do :; done
[ "$verb" != daemon-reload ] || {
    sed -i s/NeedDaemonReload=yes/NeedDaemonReload=no/ /run/units/*
    exit
}
case $verb in
    list-units) exit ;;
    show)
        if [ -e "/run/units/$unit" ]; then
            cat "/run/units/$unit"
        else
            printf 'LoadState=not-found\nActiveState=inactive\n'
        fi
        ;;
    start | restart)
        # By its file as it was read last.
        if ! grep -q NeedDaemonReload=yes "/run/units/$unit"; then
            put ActiveState active
            put SubState running
            put InvocationID "$(cat /proc/sys/kernel/random/uuid)"
        fi
        ;;
    stop)
        put ActiveState inactive
        put SubState dead
        ;;
    enable) put UnitFileState enabled ;;
    disable) put UnitFileState disabled ;;
    mask)
        put LoadState masked
        put UnitFileState masked
        ;;
    unmask)
        put LoadState loaded
        put UnitFileState disabled
        ;;
esac
END
unit() {
    printf '%s\n' LoadState=loaded ActiveState=active SubState=running UnitFileState=enabled NRestarts=0 \
        InvocationID=first ActiveEnterTimestampMonotonic=1 "FragmentPath=/run/systemd/system/$1" >"/run/units/$1"
    printf '[Unit]\n[Install]\n' >"/run/systemd/system/$1"
}
unit a.service
unit b.service
printf '[Unit]\n' >/run/systemd/system/b.service
chmod 755 /run/tools/*
mount --bind /run/tools /usr/local/sbin
"#;

fn units(place: &Place, shell: &str) -> Result<(), String> {
    let kind = Kind {
        prepare: &(over_sh(shell) + SYSTEMCTL),
        ..Kind::default()
    };
    let machine = Machine::of_kind(place, &kind)?;
    let client = Client::of(&[&machine])?;
    let file = |unit: &str| machine.inside(&format!("/run/units/{unit}"));
    let property = |unit: &str, name: &str| {
        let all = fs::read_to_string(file(unit)).map_err(text)?;
        let line = all
            .lines()
            .find_map(|line| line.strip_prefix(&format!("{name}=")));
        Ok::<_, String>(line.unwrap_or_default().to_owned())
    };
    block(async {
        let machines = Machines::new(&machine, &client).await?;
        // What is asked for, the property that shows it, and how that is before and after.
        for (with, name, before, after) in [
            (
                json!({"unit": "a", "state": "stopped"}),
                "ActiveState",
                "active",
                "inactive",
            ),
            (
                json!({"unit": "a", "enabled": false}),
                "UnitFileState",
                "enabled",
                "disabled",
            ),
            (
                json!({"unit": "a", "masked": true}),
                "UnitFileState",
                "enabled",
                "masked",
            ),
        ] {
            let made = machines.plan("host.service", &with).await?;
            let Verdict::Change { effects, .. } = &made.verdict else {
                return Err(format!("{with}: {:?}", made.verdict));
            };
            same("before", property("a.service", name)?.as_str(), before)?;
            for effect in effects {
                machines.put(effect, &made.blobs).await?;
            }
            same("after", property("a.service", name)?.as_str(), after)?;
            let again = machines.plan("host.service", &with).await?;
            let nothing = matches!(again.verdict, Verdict::NoChange { .. });
            same("nothing left to do", nothing, true)?;
            for effect in effects.iter().rev() {
                let inverse = effect.inverse().ok_or("it has no inverse")?;
                machines.put(&inverse, &made.blobs).await?;
            }
            same("after all", property("a.service", name)?.as_str(), before)?;
        }

        // What a mask hides is told before it is lifted.
        let lifted = async |unit: &str| {
            let with = json!({"unit": unit, "masked": false, "enabled": false});
            let path = file(&format!("{unit}.service"));
            let masked = fs::read_to_string(&path).map_err(text)?;
            let masked = masked
                .replace("LoadState=loaded", "LoadState=masked")
                .replace("UnitFileState=enabled", "UnitFileState=masked");
            fs::write(&path, masked).map_err(text)?;
            let made = machines.plan("host.service", &with).await?;
            match &made.verdict {
                Verdict::Change { details, .. } => Ok(details[0].after.clone().unwrap_or_default()),
                other => Err(format!("{other:?}")),
            }
        };
        same("a's", lifted("a").await?.as_str(), "disabled")?;
        same("b's", lifted("b").await?.as_str(), "static")
    })?;
    restarts(&machine, &client)
}

fn restarts(machine: &Machine, client: &Client) -> Result<(), String> {
    let file = machine.inside("/run/units/a.service");
    let put = |more: &str| {
        let unit = format!(
            "LoadState=loaded\nActiveState=active\nSubState=running\nUnitFileState=enabled\nNRestarts=0\nActiveEnterTimestampMonotonic=1\n{more}"
        );
        fs::write(&file, unit).map_err(text)
    };
    let read = || fs::read_to_string(&file).map_err(text);
    block(async {
        let machines = Machines::new(machine, client).await?;
        let with = json!({"unit": "a", "restart_when_changed": [true]});
        let planned = async |with: &Value| {
            let made = machines.plan("host.service", with).await?;
            match &made.verdict {
                Verdict::Change { effects, .. } => Ok((effects[0].clone(), made)),
                other => Err(format!("{with}: {other:?}")),
            }
        };
        // Its files have changed, and somebody else starts it anew before the step's turn comes.
        put("InvocationID=planned\nNeedDaemonReload=yes\n")?;
        let (effect, made) = planned(&with).await?;
        put("InvocationID=another\nNeedDaemonReload=yes\n")?;
        machines.put(&effect, &made.blobs).await?;
        let now = read()?;
        let anew = !now.contains("=planned") && !now.contains("=another") && now.contains("=no");
        same(&format!("started by its new files: {now}"), anew, true)?;

        // systemd before 232 knows no InvocationID, and one that stays as it was was not started anew.
        put("")?;
        let (effect, made) = planned(&with).await?;
        put("NeedDaemonReload=yes\n")?;
        let stub = machine.inside("/run/tools/systemctl");
        let tool = fs::read_to_string(&stub).map_err(text)?;
        fs::write(&stub, tool.replace("    start | restart)", "    nothing)")).map_err(text)?;
        let said = machines.put(&effect, &made.blobs).await;
        same(&format!("not anew: {said:?}"), said.is_err(), true)?;

        // What starts and fails again and again, and what systemd is asked to do still.
        for (more, words) in [
            ("NRestarts=3\n", "again and again"),
            ("Job=7\n", "stopping just now"),
        ] {
            let unit = read()?.replace("NRestarts=0\n", "");
            let (up, _) = fs::read_to_string("/proc/uptime")
                .map_err(text)?
                .split_once('.')
                .map(|(up, rest)| (up.to_owned(), rest.to_owned()))
                .ok_or("no uptime")?;
            let unit = unit.replace(
                "MonotonicTimestamp=1",
                &format!("MonotonicTimestamp={up}000000"),
            );
            let unit = unit.replace(
                "ActiveEnterTimestampMonotonic=1",
                &format!("ActiveEnterTimestampMonotonic={up}000000"),
            );
            fs::write(&file, unit + more).map_err(text)?;
            let with = match words.starts_with("again") {
                true => json!({"unit": "a", "state": "running"}),
                false => json!({"unit": "a", "state": "stopped"}),
            };
            let made = machines.plan("host.service", &with).await?;
            let said = format!("{:?}", made.verdict);
            same(&format!("{words} in {said}"), said.contains(words), true)?;
            put("")?;
        }
        Ok(())
    })
}

/// Areas are lines of a file in the place of /proc/swaps.
const SWAPS: &str = r#"
mkdir -p /run/tools '/run/disk 1'
: >'/run/disk 1/7swap'
printf 'Filename Type Size Used Priority\n/run/disk\\0401/7swap file 1024 0 5\n/run/other file 1024 0 -2\n' >/run/swaps
cat >/run/tools/swapoff <<'END'
#!/bin/sh
for area; do :; done
area=$(printf %s "$area" | sed 's/ /\\\\040/g')
left=$(grep -v "^$area " /run/swaps)
printf '%s\n' "$left" >/run/swaps
END
cat >/run/tools/swapon <<'END'
#!/bin/sh
priority=-2
[ "$1" != -p ] || { priority=$2; shift 2; }
for area; do :; done
printf '%s file 1024 0 %s\n' "$(printf %s "$area" | sed 's/ /\\040/g')" "$priority" >>/run/swaps
END
chmod 755 /run/tools/*
mount --bind /run/tools /usr/local/sbin
mount --bind /run/swaps /proc/swaps
"#;

fn swap(place: &Place, shell: &str) -> Result<(), String> {
    let kind = Kind {
        prepare: &(over_sh(shell) + SWAPS),
        ..Kind::default()
    };
    let machine = Machine::of_kind(place, &kind)?;
    let client = Client::of(&[&machine])?;
    let areas = || {
        let all = fs::read_to_string(machine.inside("/run/swaps")).map_err(text)?;
        let mut areas: Vec<String> = all.lines().skip(1).map(str::to_owned).collect();
        areas.sort();
        Ok::<_, String>(areas)
    };
    block(async {
        let machines = Machines::new(&machine, &client).await?;
        let before = areas()?;
        same("areas", before.len(), 2)?;
        let made = machines.plan("host.swap", &json!({})).await?;
        let Verdict::Change { effects, .. } = &made.verdict else {
            return Err(format!("{:?}", made.verdict));
        };
        same("effects", effects.len(), 2)?;
        for effect in effects {
            machines.put(effect, &made.blobs).await?;
        }
        same("what is on", areas()?, Vec::<String>::new())?;
        let again = machines.plan("host.swap", &json!({})).await?;
        let nothing = matches!(again.verdict, Verdict::NoChange { .. });
        same("nothing left to do", nothing, true)?;
        for effect in effects.iter().rev() {
            let inverse = effect.inverse().ok_or("it has no inverse")?;
            machines.put(&inverse, &made.blobs).await?;
        }
        same("what is on after all", areas()?, before)
    })
}
