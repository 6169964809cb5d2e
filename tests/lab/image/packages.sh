# Runs inside the new Debian tree: the packages of a node, and two whose programs go into container images.
set -e
export DEBIAN_FRONTEND=noninteractive
apt-get -qq update
apt-get -qq -y --no-install-recommends install libpam-systemd openssh-server network-manager polkitd bird containerd \
    crun containernetworking-plugins iptables conntrack fdisk sudo iputils-ping curl less ethtool
mkdir -p /opt/lab/extra
cd /opt/lab/extra
apt-get -qq download busybox-static runit
for package in *.deb; do
    dpkg -x "$package" .
    rm "$package"
done
apt-get -qq clean
rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin /usr/share/doc/* /usr/share/man/* /usr/share/locale/*
rm -f /usr/sbin/policy-rc.d /etc/resolv.conf /etc/ssh/ssh_host_*
