# Reads how NetworkManager is set up, and takes no lock: whether it runs, its files, what it makes of them,
# the devices that it knows, and the links without which nobody reaches this host.
need cat grep head tr

part() {
    printf '\n%s %s\n' "$mark" "$*"
}

# Where others' processes are hidden, one that is not seen may run all the same.
[ -r /proc/1/comm ] || say denied /proc
daemon=idle
! find_process NetworkManager || daemon=running
program=$(command -v NetworkManager)
[ -n "$program" ] || [ "$daemon" = running ] || say absent
part daemon "$daemon"
for tool in NetworkManager nmcli; do
    ! command -v "$tool" >/dev/null || part tool "$tool"
done
[ ! -d /run/systemd/system ] || ! command -v systemctl >/dev/null || part tool systemd
[ "$daemon" = running ] || say read

part arguments
cat "/proc/$pid/cmdline" 2>/dev/null
# Files in a folder that this user may not list would be left out.
for folder in /usr/lib/NetworkManager /run/NetworkManager /etc/NetworkManager \
    /usr/lib/NetworkManager/conf.d /run/NetworkManager/conf.d /etc/NetworkManager/conf.d; do
    [ -d "$folder" ] || continue
    [ -r "$folder" ] && [ -x "$folder" ] || say denied "$folder"
done
for file in /usr/lib/NetworkManager/conf.d/*.conf /usr/lib/NetworkManager/conf.d/.*.conf \
    /run/NetworkManager/conf.d/*.conf /run/NetworkManager/conf.d/.*.conf \
    /etc/NetworkManager/NetworkManager.conf \
    /etc/NetworkManager/conf.d/*.conf /etc/NetworkManager/conf.d/.*.conf; do
    [ -e "$file" ] || continue
    [ -r "$file" ] || say denied "$file"
    part file "$file"
    head -c 1048576 -- "$file"
done
if [ -n "$program" ]; then
    printed=$(NetworkManager --print-config 2>&1)
    part printed "$?"
    printf '%s\n' "$printed"
fi
if command -v nmcli >/dev/null; then
    devices=$(nmcli -t -f DEVICE,TYPE,STATE device 2>&1)
    part devices "$?"
    printf '%s\n' "$devices"
fi

# sudo and su take it out of the environment; one of those that began this still has it.
from=$SSH_CONNECTION ancestor=$$
while [ -z "$from" ] && [ "${ancestor:-0}" -gt 1 ]; do
    from=$({ tr '\0' '\n' <"/proc/$ancestor/environ" | grep '^SSH_CONNECTION='; } 2>/dev/null)
    stat=
    { read -r stat <"/proc/$ancestor/stat"; } 2>/dev/null
    stat=${stat##*) }
    ancestor=${stat#* } ancestor=${ancestor%% *}
done
from=${from#SSH_CONNECTION=} from=${from%% *}
part route "$from"
case $from in
    # Of a link that only it reaches, the address says which.
    *%*) printf 'dev %s\n' "${from#*%}" ;;
    '' | *[!0-9a-fA-F:.]*) ;;
    *) ip route get "$from" 2>/dev/null ;;
esac
# What lies under a link is needed with it.
part lower
for lower in /sys/class/net/*/lower_*; do
    [ -e "$lower" ] || continue
    link=${lower%/*}
    printf '%s %s\n' "${link##*/}" "${lower##*/lower_}"
done
part routes4
cat /proc/net/route 2>/dev/null
part routes6
cat /proc/net/ipv6_route 2>/dev/null
say read
