# Runs inside a copy of the tree, after the files under rootfs/ and the built programs are in place.
set -e
chmod 440 /etc/sudoers.d/ops
useradd -m -s /bin/sh ops
# iptables-nft does not work in user-mode Linux: TABLE_ADD fails.
update-alternatives --quiet --set iptables /usr/sbin/iptables-legacy
update-alternatives --quiet --set ip6tables /usr/sbin/ip6tables-legacy
mkdir -p /opt/cni/bin /etc/cni/net.d /etc/kubernetes/manifests /etc/kubernetes/pki
for plugin in /usr/lib/cni/*; do ln -sf "$plugin" /opt/cni/bin/; done
for version in /lib/modules/*; do depmod "${version##*/}"; done
: > /etc/machine-id
rm -f /var/lib/dbus/machine-id
# No user@.service for each login: it costs 3 to 5 seconds at the first one.
sed -i '/pam_systemd.so/d' /etc/pam.d/common-session
systemctl -q set-default multi-user.target
systemctl -q mask modprobe@dm_mod modprobe@drm modprobe@configfs modprobe@efi_pstore modprobe@loop modprobe@fuse \
    e2scrub_reap e2scrub_all.timer systemd-pcrphase-sysinit dpkg-db-backup.timer fstrim.timer getty@tty1 \
    NetworkManager-dispatcher || true
systemctl -q enable lab-cpuinfo lab-golden lab-seed kubelet systemd-networkd systemd-networkd-wait-online containerd ssh
systemctl -q disable NetworkManager-wait-online bird bird6 apt-daily.timer apt-daily-upgrade.timer || true
