//! A table of connections that is too small for what a program does.

use crate::Lab;
use crate::breakage::Variant;
use crate::command;
use crate::error::{Error, Result};
use crate::machine::Node;

const PROGRAM: &str = include_str!("../faults/chatter.pl");
const MESSAGE: &str = "nf_conntrack: table full, dropping packet";

/// As many hash buckets as entries, which is what a kernel chooses by itself: it throws one of the entries in eight
/// buckets out for a new connection, if it finds one there that has not gone both ways yet. With more buckets it hardly
/// finds any.
const SIZE: u32 = 512;

/// Connections that are held, and questions that are asked every two seconds.
///
/// Busy leaves some of the table to the questions, so that a new login gets in nearly always, if not at once.
/// Shut leaves nothing: a login that is there goes on, and a new one does not get in.
fn load(variant: Variant) -> (u32, u32) {
    if variant == Variant::Shut {
        (SIZE + 88, 0)
    } else {
        (SIZE - 80, 100)
    }
}

impl Lab {
    pub(crate) fn break_conntrack(
        &self,
        variant: Variant,
        node: Node,
        persistent: bool,
    ) -> Result<String> {
        if persistent && variant == Variant::Shut {
            return Err(Error::state(
                "a node that is shut at each boot is one that nobody gets back into",
                "leave out --persistent, or use --variant busy",
            ));
        }
        let program = "cat > /usr/local/sbin/lab-chatter; chmod 755 /usr/local/sbin/lab-chatter";
        command::feed(
            self.ssh_command(node).arg(program),
            PROGRAM,
            "placing a program that fills the table",
        )?;
        // The look is in the same login as the fault: a later one may not get in.
        let mut shell = self.ssh_command(node);
        let seen = self.progress.part("table full", || {
            command::text(
                shell.arg(script(variant, persistent)),
                "waiting for the kernel's message",
            )
        })?;
        if variant == Variant::Shut {
            self.progress.part("no new login gets in", || {
                // One may slip through before the program has taken the last entry.
                self.until("two logins on end that do not get in", 120, || {
                    for _ in 0..2 {
                        if self.ssh(node, "true")?.status.success() {
                            return Ok(None);
                        }
                    }
                    Ok(Some(()))
                })
            })?;
        }
        Ok(seen)
    }
}

fn script(variant: Variant, persistent: bool) -> String {
    let (hold, ask) = load(variant);
    let at_boot = if persistent {
        format!(
            "echo nf_conntrack > /etc/modules-load.d/conntrack.conf; \
             printf 'net.netfilter.nf_conntrack_buckets=%s\\nnet.netfilter.nf_conntrack_max=%s\\n' {SIZE} {SIZE} \
             > /etc/sysctl.d/60-conntrack.conf; systemctl -q enable lab-chatter; "
        )
    } else {
        String::new()
    };
    // What an earlier program left stays in the table for two minutes, and would leave no room for a login.
    format!(
        "set -e; cat > /etc/systemd/system/lab-chatter.service <<'END'\n\
         [Unit]\nDescription=A program with many connections\n\n\
         [Service]\nExecStart=/usr/local/sbin/lab-chatter {hold} {ask}\nLimitNOFILE=8192\n\n\
         [Install]\nWantedBy=multi-user.target\nEND\n\
         systemctl daemon-reload; {at_boot}\
         since=$(date +%s); cd /proc/sys/net/netfilter; \
         conntrack -F 2>/dev/null; \
         echo {SIZE} > nf_conntrack_buckets; echo {SIZE} > nf_conntrack_max; systemctl restart lab-chatter; \
         n=0; until [ $(($(cat nf_conntrack_count) * 100)) -ge $(({SIZE} * 90)) ] && \
         journalctl -k --since=@$since -o cat --no-pager | grep -m 1 -F '{MESSAGE}'; \
         do n=$((n+1)); [ $n -gt 60 ] && exit 9; sleep 1; done; \
         echo \"$(cat nf_conntrack_count) of $(cat nf_conntrack_max) entries\""
    )
}
