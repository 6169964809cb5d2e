# What this host is and has. Only reads, and takes no lock. Each part is there with its bytes (`got NAME`),
# or it is said why it cannot be read (`no NAME WHY`), or why there is nothing to read (`none NAME WHY`).
# Of a part that was begun and then broke off, `no` comes after `got`, and counts. Arguments: units of
# systemd, sockets; with blanks between them.
units=$1 sockets=$2
need cat grep head timeout tr
set -f
# Bytes of one part; one more is printed where there are more.
most=262144

got() {
    printf '\n%s got %s\n' "$mark" "$*"
}
no() {
    printf '\n%s no %s\n' "$mark" "$*"
}
none() {
    printf '\n%s none %s\n' "$mark" "$*"
}

# The folder on the way to the file $1 that this user may not enter; empty where there is none.
closed() {
    way=$1 shut=
    while [ -n "${way%/*}" ]; do
        way=${way%/*}
        [ ! -d "$way" ] || [ -x "$way" ] || shut=$way
    done
}

# The file $2 as the part $1; $3 says what it means where it is not there.
file() {
    closed "$2"
    if [ -n "$shut" ]; then
        no "$1" "no permission to look into $shut"
    elif [ ! -e "$2" ]; then
        none "$1" "${3:-there is no $2}"
    elif [ ! -r "$2" ]; then
        no "$1" "no permission to read $2"
    else
        got "$1"
        head -c "$((most + 1))" "$2" 2>/dev/null || no "$1" "$2 cannot be read"
    fi
}

# What a tool prints, as the part $1; its output stays in $frame/facts.out. Where systemd hangs, it is not
# waited for again and again.
hung=
tool() {
    part=$1
    shift
    : >"$frame/facts.out"
    if ! command -v "$1" >/dev/null; then
        no "$part" "no such tool: $1"
        return 1
    fi
    case $1 in
        systemctl | timedatectl)
            if [ -n "$hung" ]; then
                no "$part" "$hung"
                return 1
            fi
            ;;
    esac
    timeout 15 "$@" </dev/null >"$frame/facts.out" 2>"$frame/facts.err"
    code=$?
    if [ "$code" -ne 0 ]; then
        said=
        { read -r said <"$frame/facts.err"; } 2>/dev/null
        case $code in
            124 | 143)
                said='it did not end within 15 s'
                if [ "$1" = systemctl ]; then
                    hung='systemctl did not end within 15 s'
                    no "$part" "$hung"
                    return 1
                fi
                ;;
        esac
        no "$part" "$1 failed ($code)${said:+: $said}"
        return 1
    fi
    got "$part"
    head -c "$((most + 1))" "$frame/facts.out"
}

if [ -e /etc/os-release ]; then
    file os /etc/os-release
else
    file os /usr/lib/os-release
fi
file kernel_release /proc/sys/kernel/osrelease
file kernel_version /proc/sys/kernel/version
tool arch uname -m
file hostname /proc/sys/kernel/hostname
file hostname_configured /etc/hostname
file machine_id /etc/machine-id
file boot_id /proc/sys/kernel/random/boot_id
file memory /proc/meminfo

# Thousands of mounts are there where many pods are.
if [ -r /proc/mounts ]; then
    got cgroup
    grep -E '^[^ ]+ [^ ]+ cgroup2? ' /proc/mounts
else
    no cgroup 'no permission to read /proc/mounts'
fi

file swaps /proc/swaps 'this kernel has no swap'
file fstab /etc/fstab
# What a device is called besides.
for by in uuid label partuuid partlabel; do
    if [ ! -d "/dev/disk/by-$by" ]; then
        none "by_$by" "there is no /dev/disk/by-$by"
    else
        tool "by_$by" ls -l "/dev/disk/by-$by"
    fi
done

# A file of an earlier look that was broken off is not taken for one of this.
: >"$frame/facts.words"
: >"$frame/facts.start"
: >"$frame/facts.swaps"
pid='' manager='' files='' hidden='' unseen='' has_unit='' no_manager=''
# Who may not see the processes of others cannot tell that there is none.
[ -r /proc/1/comm ] || unseen='no permission to see the processes of others'
fields=Id,Following,LoadState,ActiveState,SubState,UnitFileState,FragmentPath,SourcePath,Documentation
if [ ! -d /run/systemd/system ]; then
    none units 'no systemd'
    none swap_units 'no systemd'
else
    # shellcheck disable=SC2086
    tool units systemctl show --no-pager \
        -p "$fields,MainPID,NeedDaemonReload" -- $units || hidden='systemctl does not say'
    # Blocks of KEY=VALUE, in no certain order, with an empty line after each.
    printf '\n\n' >>"$frame/facts.out"
    id='' main='' state='' load=''
    while IFS= read -r line; do
        case $line in
            Id=*) id=${line#*=} ;;
            MainPID=*) main=${line#*=} ;;
            ActiveState=*) state=${line#*=} ;;
            LoadState=*) load=${line#*=} ;;
            '')
                case $id/$state in
                    kubelet.service/*)
                        pid=$main
                        [ "$load" = not-found ] || has_unit=yes
                        ;;
                    NetworkManager.service/active) manager=yes ;;
                esac
                id='' main='' state='' load=''
                ;;
        esac
    done <"$frame/facts.out"
    [ "$pid" != 0 ] || pid=
    tool kubelet_start systemctl show --no-pager -p ExecStart,Environment,EnvironmentFiles -- kubelet.service
    while IFS= read -r line; do
        case $line in
            EnvironmentFiles=*) files="$files${line#*=}
" ;;
        esac
    done <"$frame/facts.out"
    cat "$frame/facts.out" >"$frame/facts.start"

    # Those that are loaded, and those that are written down.
    listed=$([ -z "$hung" ] && timeout 15 systemctl list-units --type=swap --all --plain --no-legend --no-pager 2>/dev/null)
    answered=$? swaps=
    while read -r unit _; do
        case $unit in
            *.swap) swaps="$swaps $unit" ;;
        esac
    done <<END
$listed
END
    # To have systemctl list them takes it many seconds on a small host.
    set +f
    for folder in /etc/systemd/system /run/systemd/system /run/systemd/generator.early \
        /run/systemd/generator /run/systemd/generator.late /usr/local/lib/systemd/system \
        /usr/lib/systemd/system /lib/systemd/system; do
        for file in "$folder"/*.swap; do
            unit=${file##*/}
            [ -e "$file" ] || [ -L "$file" ] || continue
            case " $swaps " in
                *" $unit "*) ;;
                *) swaps="$swaps $unit" ;;
            esac
        done
    done
    set -f
    if [ "$answered" -ne 0 ]; then
        no swap_units "${hung:-systemctl does not list the units of swap}"
    elif [ -z "$swaps" ]; then
        got swap_units
    else
        # shellcheck disable=SC2086
        tool swap_units systemctl show --no-pager -p "$fields,What" -- $swaps
        cat "$frame/facts.out" >"$frame/facts.swaps"
    fi
fi

# Where what fstab and units name leads to, as the kernel names it: lines of both, with a tab between them.
got swap_links
set +f
{
    while read -r what _ kind _; do
        case $what/$kind in
            /*/swap) printf '%s\n' "$what" ;;
        esac
    done </etc/fstab
    while IFS= read -r line; do
        case $line in
            What=/*) printf '%s\n' "${line#*=}" ;;
        esac
    done <"$frame/facts.swaps"
} 2>/dev/null | while IFS= read -r what; do
    to=$(readlink -f -- "$what" 2>/dev/null) && [ "$to" != "$what" ] && printf '%s\t%s\n' "$what" "$to"
done

# Partitions that systemd-gpt-auto-generator(8) turns on at a boot where fstab names no swap: those of the
# disk of the root, or of all disks where it cannot be told which that is.
generator=
for folder in /usr/lib /lib; do
    [ ! -x "$folder/systemd/system-generators/systemd-gpt-auto-generator" ] || generator=yes
done
if [ -z "$generator" ] || grep -qsE '(^| )(rd\.)?systemd\.gpt_auto=(0|no|off|false)( |$)' /proc/cmdline; then
    none gpt_auto 'there is no systemd-gpt-auto-generator'
elif [ ! -r /run/udev/data ]; then
    no gpt_auto 'there is no /run/udev/data to read'
else
    got gpt_auto
    disk=
    while read -r _ _ device _ mount _; do
        [ "$mount" != / ] || disk=$(readlink -f "/sys/dev/block/$device")
    done </proc/self/mountinfo
    [ -e "$disk" ] || disk=
    case $disk in
        '' | */virtual/*) disk= ;;
        *) [ ! -e "$disk/partition" ] || disk=${disk%/*} ;;
    esac
    for partition in /sys/class/block/*/partition; do
        partition=${partition%/partition}
        on=$(readlink -f "$partition") && [ -r "$partition/dev" ] || continue
        read -r device <"$partition/dev"
        type='' scheme='' flags=''
        while IFS= read -r line; do
            case $line in
                E:ID_PART_ENTRY_TYPE=*) type=${line#*=} ;;
                E:ID_PART_ENTRY_SCHEME=*) scheme=${line#*=} ;;
                E:ID_PART_ENTRY_FLAGS=*) flags=${line#*=} ;;
            esac
        done <"/run/udev/data/b$device"
        case $scheme/$type in gpt/0657fd6d-a4ab-43c4-84e5-0933c84b4f4f) ;; *) continue ;; esac
        # Bit 63: it is not to be turned on by itself.
        case $flags in 0x[89a-f]???????????????) continue ;; esac
        [ -z "$disk" ] || [ "${on%/*}" = "$disk" ] || continue
        printf '/dev/%s\n' "${partition##*/}"
    done 2>/dev/null
fi

# Where systemd does not say, processes do.
if [ ! -d /run/systemd/system ] || [ -n "$hidden" ]; then
    if find_process NetworkManager; then
        manager=yes
    else
        no_manager=$unseen
    fi
    pid=
fi
if [ -z "$pid" ] || [ ! -e "/proc/$pid" ]; then
    # Only of a unit that is there and has no process does systemd say that it does not run. Some run it
    # under another one (RKE2, k0s).
    if [ -z "$has_unit" ] || [ -n "$pid" ]; then
        hidden=${hidden:-$unseen}
    fi
    find_process kubelet
fi
set -f

# How kubelet is started, and its configuration, which that names. One that fails again and again may have
# ended since.
if [ -n "$pid" ] && [ -e "/proc/$pid" ]; then
    if [ -r "/proc/$pid/cmdline" ] && head -c "$most" "/proc/$pid/cmdline" >"$frame/facts.out" 2>/dev/null &&
        [ -s "$frame/facts.out" ]; then
        got kubelet_running "$pid"
        cat "$frame/facts.out"
        cat "$frame/facts.out" >>"$frame/facts.words"
    elif [ -e "/proc/$pid" ] && [ ! -r "/proc/$pid/cmdline" ]; then
        no kubelet_running "no permission to read /proc/$pid/cmdline"
    else
        pid=
    fi
else
    pid=
fi
if [ -n "$pid" ]; then
    :
elif [ -n "$hidden" ]; then
    no kubelet_running "$hidden"
else
    none kubelet_running 'kubelet does not run'
    cat "$frame/facts.start" >>"$frame/facts.words"
fi
for named in /etc/default/kubelet /etc/sysconfig/kubelet /var/lib/kubelet/kubeadm-flags.env; do
    case $files in
        *"$named "*) ;;
        *) files="$files$named (if there)
" ;;
    esac
done
while read -r named _; do
    case $named in
        /*) file "kubelet_file=$named" "$named" ;;
        *) continue ;;
    esac
    if [ -z "$pid" ] && [ -r "$named" ]; then
        head -c "$most" "$named" | grep -v '^[[:blank:]]*[#;]' >>"$frame/facts.words"
        echo >>"$frame/facts.words"
    fi
done <<END
$files
END
configs='' folders='' before=''
# One word in each line. All that may be meant is read: which of them is, is told from how the words are put
# together.
tr '\000\011\040\042\047' '\012\012\012\012\012' <"$frame/facts.words" >"$frame/facts.each"
while read -r word; do
    case $before in
        --config) configs="$configs$word
" ;;
        --config-dir) folders="$folders$word
" ;;
    esac
    case $word in
        --config=* | *=--config=*) configs="$configs${word#*--config=}
" ;;
        --config-dir=* | *=--config-dir=*) folders="$folders${word#*--config-dir=}
" ;;
    esac
    before=${word#*=}
done <"$frame/facts.each"
while IFS= read -r config; do
    case $config in
        /*) file "kubelet_config=$config" "$config" ;;
    esac
done <<END
$configs
END
while IFS= read -r folder; do
    case $folder in
        /*)
            closed "$folder/."
            if [ -n "$shut" ] || [ -d "$folder" ] && [ ! -r "$folder" ]; then
                no "kubelet_folder=$folder" "no permission to look into ${shut:-$folder}"
            elif [ ! -d "$folder" ]; then
                none "kubelet_folder=$folder" "there is no folder $folder"
            else
                got "kubelet_folder=$folder"
                set +f
                for more in "$folder"/*.conf "$folder"/*/*.conf; do
                    [ ! -f "$more" ] || file "kubelet_more=$more" "$more"
                done
                set -f
            fi
            ;;
    esac
done <<END
$folders
END

got sockets
for socket in $sockets; do
    closed "$socket"
    if [ -n "$shut" ]; then
        printf 'closed %s\n' "$socket"
    elif [ -S "$socket" ]; then
        printf 'there %s\n' "$socket"
    fi
done

if [ -d /sys/module/nf_conntrack ] || [ -e /proc/sys/net/netfilter/nf_conntrack_max ]; then
    for key in count max buckets; do
        file "conntrack_$key" "/proc/sys/net/netfilter/nf_conntrack_$key"
    done
    file conntrack_hashsize /sys/module/nf_conntrack/parameters/hashsize
else
    for key in count max buckets hashsize; do
        none "conntrack_$key" 'nf_conntrack is not loaded'
    done
fi

# One that runs is there, wherever its program is.
if [ -z "$manager" ] && [ -z "$no_manager" ] && ! command -v NetworkManager >/dev/null; then
    for part in manager manager_config manager_devices; do
        none "$part" 'NetworkManager is not installed'
    done
else
    if [ -n "$no_manager" ]; then
        no manager "$no_manager"
    else
        got manager
        printf '%s\n' "${manager:-no}"
    fi
    tool manager_config NetworkManager --print-config
    if [ -n "$manager" ]; then
        tool manager_devices nmcli -t -f DEVICE,STATE device
    elif [ -n "$no_manager" ]; then
        no manager_devices "$no_manager"
    else
        none manager_devices 'NetworkManager does not run'
    fi
fi

# Each in one line: name, index, index of its other end, MTU, state, flags, address, type, and what it is.
got links
set +f
for link in /sys/class/net/*; do
    [ -e "$link/ifindex" ] || continue
    index='' other='' mtu='' state='' flags='' address='' kind='' type=''
    {
        read -r index <"$link/ifindex"
        read -r other <"$link/iflink"
        read -r mtu <"$link/mtu"
        read -r state <"$link/operstate"
        read -r flags <"$link/flags"
        read -r address <"$link/address"
        read -r type <"$link/type"
        while read -r line; do
            case $line in
                DEVTYPE=*) kind=${line#*=} ;;
            esac
        done <"$link/uevent"
    } 2>/dev/null
    [ ! -d "$link/bridge" ] || kind=bridge
    [ ! -d "$link/bonding" ] || kind=bond
    [ ! -e "$link/tun_flags" ] || kind=tun
    [ -n "$kind" ] || [ ! -e "$link/device" ] || kind=device
    # One that went meanwhile, as a pod's does, is left out.
    if [ ! -e "$link/ifindex" ] || [ -z "$index" ] || [ -z "$mtu" ] || [ -z "$flags" ] || [ -z "$type" ]; then
        continue
    fi
    printf '%s|%s|%s|%s|%s|%s|%s|%s|%s\n' \
        "${link##*/}" "$index" "$other" "$mtu" "$state" "$flags" "$address" "$type" "$kind"
done
set -f
# This form is the same in iproute2 and busybox.
tool addresses ip -o address
tool routes_v4 ip -o -4 route
tool routes_v6 ip -o -6 route

if [ -L /etc/localtime ] && command -v readlink >/dev/null; then
    got timezone
    readlink /etc/localtime
else
    file timezone /etc/timezone
fi
if [ -d /run/systemd/system ]; then
    tool synchronized timedatectl show -p NTPSynchronized
else
    tool synchronized adjtimex
fi
# Last, so that little time passes until it is compared.
tool clock date +%s
rm -f "$frame/facts.out" "$frame/facts.err" "$frame/facts.words" "$frame/facts.start" "$frame/facts.each"
say facts
