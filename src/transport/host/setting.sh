# Settings of this host: what it holds beside files.

newline='
'

# How the setting of the kind $1 at the place $2 stands: one line in `is`. Where this user may not see it,
# or where there is no such thing on this host, it ends here.
look_setting() {
    case $1 in
        sysctl)
            at=/proc/sys/$2
            if [ ! -e "$at" ]; then
                is=absent
            elif [ ! -f "$at" ]; then
                is='other a folder of settings'
            else
                [ -r "$at" ] || say denied "$at"
                value=$(cat -- "$at" 2>&1) || say failed "$value"
                set -f
                # Blanks are one each.
                # shellcheck disable=SC2086
                set -- $value
                is=is${*:+" $*"}
            fi
            ;;
        module)
            users=
            { read -r users <"/sys/module/$2/refcnt"; } 2>/dev/null
            if [ "${users:-0}" != 0 ]; then
                is=in_use
            elif [ -e "/sys/module/$2/initstate" ]; then
                is=loaded
            elif [ -d "/sys/module/$2" ] || listed "$2" modules.builtin; then
                is=built_in
            else
                need modprobe
                is=not_loaded
                # That of busybox knows no -n.
                modprobe -n -- "$2" >/dev/null 2>&1 || listed "$2" modules.dep || is=absent
            fi
            ;;
        unit)
            with_systemd
            unit=$(systemctl show -p LoadState,ActiveState,SubState,Job,NRestarts,ActiveEnterTimestampMonotonic -- \
                "$2" 2>&1) || say failed "$unit"
            case $(property LoadState)/$(property ActiveState)/$(property SubState) in
                not-found/inactive/*) is=absent ;;
                */active/* | */reloading/*) is=running ;;
                */activating/auto-restart*) is=restarting ;;
                */activating/*) is=starting ;;
                */deactivating/*) is=stopping ;;
                */failed/*) is=failed ;;
                *) is=stopped ;;
            esac
            # One that starts and fails again and again runs for a moment each time.
            since=$(property ActiveEnterTimestampMonotonic)
            case $is/$(property NRestarts) in
                */ | */0) ;;
                starting/*) is=restarting ;;
                running/*)
                    now
                    [ "$((up - ${since:-0} / 1000000))" -ge 15 ] || is=restarting
                    ;;
            esac
            # What was asked for goes on where whoever asked is gone.
            case $is/$(property Job) in
                */ | */0) ;;
                stopped/* | failed/*) is=starting ;;
                running/*) is=stopping ;;
            esac
            ;;
        unit_file)
            with_systemd
            unit=$(systemctl show --property=LoadState,UnitFileState -- "$2" 2>&1) || say failed "$unit"
            is=$(property UnitFileState)
            case $(property LoadState)/$is in
                not-found/*) is=absent ;;
                */) is=none ;;
            esac
            ;;
        swap)
            is=off
            need swapoff swapon
            # Of a link, such as those of /dev/mapper, the kernel names what it leads to.
            leads_to=$(readlink -f -- "$2" 2>/dev/null)
            while read -r area _ _ _ priority; do
                # As the kernel escapes it; `printf` takes up to three digits behind a 0.
                area=$(printf %b "$(printf '%s\n' "$area" | sed 's/\\\([0-7][0-7][0-7]\)/\\0\1/g')")
                [ "$area" = "$2" ] || [ "$area" = "$leads_to" ] || continue
                case $priority in
                    -*) is='on auto' ;;
                    *) is="on $priority" ;;
                esac
            done </proc/swaps
            ;;
        calico_node) look_calico_node "$2" ;;
        *) say failed "it is not known here what a $1 is" ;;
    esac
}

# The property $1 among the lines of `unit`.
property() {
    value=${newline}${unit}
    case $value in
        *"$newline$1="*) value=${value#*"$newline$1="} ;;
        *) value= ;;
    esac
    echo "${value%%"$newline"*}"
}

# Whether the list $2 of the kernel's modules has the module $1: those that are part of it, or can be loaded.
listed() {
    release=
    { read -r release </proc/sys/kernel/osrelease; } 2>/dev/null
    grep -qs "^[^:]*/$(printf %s "$1" | sed 's/_/[-_]/g')\.ko" "/lib/modules/$release/$2"
}

# Ends where this host is not run by systemd.
with_systemd() {
    [ -d /run/systemd/system ] || say no_systemd
    need systemctl
}

# Puts the setting of the kind $1 at the place $2 from the state $3 into $4. Where that fails, it says so
# by its exit code, and why in words.
turn() {
    case $1/$4 in
        # A shell's own `printf` does not say why the kernel takes no value.
        sysctl/is | sysctl/is\ *)
            value=${4#is}
            printf '%s\n' "${value# }" | cat >"/proc/sys/$2"
            ;;
        module/loaded) modprobe -- "$2" ;;
        module/not_loaded) modprobe -r -- "$2" ;;
        unit/running)
            case $(systemctl show --property=NeedDaemonReload -- "$2") in
                *=yes) systemctl daemon-reload || return 1 ;;
            esac
            systemctl start -- "$2"
            ;;
        unit/stopped) systemctl stop -- "$2" ;;
        unit_file/*)
            [ "$3" != masked ] || systemctl unmask -- "$2" || return 1
            case $4 in
                masked) systemctl mask -- "$2" ;;
                enabled) systemctl enable -- "$2" ;;
                disabled) systemctl disable -- "$2" ;;
                *) [ "$3" = masked ] ;;
            esac
            ;;
        swap/off) swapoff -- "$2" ;;
        swap/on\ auto) swapon -- "$2" ;;
        swap/on\ *) swapon -p "${4#on }" -- "$2" ;;
        calico_node/is\ *) put_calico_node "${4#is }" ;;
        *)
            echo "nothing puts it into the state $4"
            return 1
            ;;
    esac
}
