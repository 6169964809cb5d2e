# Reads which calicoctl a host has and what it is set up for, and takes no lock.
need grep head sed timeout
program=$(command -v calicoctl)
[ -n "$program" ] || say absent
calicoctl_for ''
part calicoctl "$program"
# Before v3.20 there was no --client; it asked the cluster as well then, and said its own version first.
version=$(timeout 10 calicoctl version --client 2>/dev/null) || version=$(timeout 10 calicoctl version 2>/dev/null)
printf '%s\n' "$version" | sed -n 's/^Client Version: *//p' | head -n 1
config=none
[ ! -e /etc/calico/calicoctl.cfg ] || config=/etc/calico/calicoctl.cfg
part config "$config"
printf '%s\n' "$stores"
say read
