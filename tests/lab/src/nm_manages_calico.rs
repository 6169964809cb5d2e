//! NetworkManager takes Calico's links for its own.

use crate::Lab;
use crate::breakage::Variant;
use crate::error::Result;
use crate::machine::Node;

/// What Calico makes on a node. A dummy stands for the host's end of a pod's pair: NetworkManager's own udev rule keeps
/// it from pairs. It takes notice of a link only once that has an address.
fn links(node: Node) -> String {
    let block = node.pods().replace(".0/24", "");
    format!(
        "set -e; modprobe ipip; ip link add cali0123456789a type dummy; \
         ip link add vxlan.calico type vxlan id 4096 dev vec0 dstport 4789; \
         ip address add 169.254.1.1/32 dev cali0123456789a; ip address add {block}.254/32 dev tunl0; \
         ip address add {block}.253/32 dev vxlan.calico; \
         for link in cali0123456789a tunl0 vxlan.calico; do ip link set $link up; done; "
    )
}

fn files(variant: Variant) -> &'static str {
    match variant {
        // The file that Calico's documentation asks for, and a later one that has the same key.
        Variant::Overridden => {
            "printf '[keyfile]\\nunmanaged-devices=interface-name:cali*;interface-name:tunl*;\
             interface-name:vxlan.calico;interface-name:vxlan-v6.calico;interface-name:wireguard.cali;\
             interface-name:wg-v6.cali\\n' > calico.conf; \
             printf '[keyfile]\\nunmanaged-devices=interface-name:docker0\\n' > zz-site.conf; "
        }
        // A list of somebody else's, which must stay.
        Variant::OwnList => {
            "printf '[keyfile]\\nunmanaged-devices=interface-name:docker0;mac:02:00:00:00:00:01\\n' \
             > 10-site.conf; "
        }
        _ => "",
    }
}

impl Lab {
    pub(crate) fn break_nm(&self, variant: Variant, node: Node) -> Result<String> {
        let files = files(variant);
        // Before the links are there: NetworkManager takes them as it finds them.
        self.ssh_text(
            node,
            &format!(
                "set -e; cd /etc/NetworkManager/conf.d; {files}systemctl restart NetworkManager; {}",
                links(node)
            ),
        )?;
        let look =
            "nmcli -t -f DEVICE,STATE device | grep -E '^(cali0123456789a|tunl0|vxlan.calico):'";
        self.progress.part("links managed", || {
            self.until("links that NetworkManager manages", 60, || {
                let said = self.ssh(node, look)?;
                let said = String::from_utf8_lossy(&said.stdout).into_owned();
                let managed = said.lines().filter(|line| !line.ends_with(":unmanaged"));
                Ok((managed.count() == 3).then_some(said))
            })
        })
    }
}
