//! A host on which a runbook changes what it holds beside files, and how it stands.

use crate::five::{script, script_text};
use lab::Lab;

pub const RUNBOOK: &str = "tests/in_lab/settings.yaml";

/// Two units: one that does not run, and one that keeps what it read when it started.
const UNITS: &str = "\
cat >/etc/systemd/system/lab-one.service <<'END'
[Service]
ExecStart=/bin/sleep infinity
[Install]
WantedBy=multi-user.target
END
cat >/etc/systemd/system/lab-two.service <<'END'
[Service]
ExecStart=/bin/sh -c 'cp /etc/lab-two.conf /run/lab-two; exec sleep infinity'
END
echo old >/etc/lab-two.conf
chmod 0644 /etc/lab-two.conf
systemctl daemon-reload
systemctl start lab-two
";

/// Puts everything as it is before the steps.
pub fn reset(lab: &Lab) -> Result<(), String> {
    clear(lab)?;
    script(lab, UNITS)
}

/// Takes away all that the steps are about.
pub fn clear(lab: &Lab) -> Result<(), String> {
    script(
        lab,
        "systemctl disable -q --now lab-one lab-two 2>/dev/null
         cd /etc && rm -f systemd/system/lab-*.service lab-two.conf sysctl.d/50-lab-sweep.conf modules-load.d/zram.conf
         rm -rf /run/lab-two /run/runbook /var/lib/runbook
         systemctl daemon-reload
         modprobe -r zram
         sysctl -qw net.ipv4.conf.lo.log_martians=0",
    )
}

/// All that the steps own.
pub fn state(lab: &Lab) -> Result<String, String> {
    script_text(
        lab,
        "sysctl net.ipv4.conf.lo.log_martians
         cat /etc/sysctl.d/50-lab-sweep.conf /etc/modules-load.d/zram.conf 2>&1
         ls -d /sys/module/zram 2>&1
         systemctl is-enabled lab-one; systemctl is-active lab-one lab-two
         cat /etc/lab-two.conf /run/lab-two",
    )
}
