# Reads which calicoctl a host has and what it is set up for, and takes no lock.
need grep head sed timeout
program=$(command -v calicoctl)
[ -n "$program" ] || say absent
calicoctl_for ''
part calicoctl "$program"
# Old ones (v3.21 is one) know no --client; they ask the cluster as well, and say their own version first.
version=$(timeout 10 calicoctl version --client 2>/dev/null) || version=$(timeout 10 calicoctl version 2>/dev/null)
printf '%s\n' "$version" | sed -n 's/^Client Version: *//p' | head -n 1
config=none
[ ! -e /etc/calico/calicoctl.cfg ] || config=/etc/calico/calicoctl.cfg
part config "$config"
printf '%s\n' "$stores"
say read
