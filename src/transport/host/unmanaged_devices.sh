# Keeps NetworkManager's hands off devices, by one of its files. Arguments: `check`, `apply` or `undo`; the
# file; its state before and after, as `look` has it; the content that is put there, for printf's %b;
# whether NetworkManager may be started anew where it does not let go of a device otherwise (`restart` or
# `never`); then the devices, as NetworkManager has them.
what=$1 path=$2 before=$3 after=$4 content=$5 restart=$6
shift 6
folder=${path%/*} name=${path##*/}
new=$folder/.$name.runbook-new
# That the file was written, and NetworkManager is yet to be seen to go by it. A boot makes it so anyway.
begun=/run/runbook/network-manager

fail() {
    printf '%s\n' "$*"
    exit 1
}

runs() {
    find_process NetworkManager
}

# Puts the file from the state $1 into the state $2, in one step. Nothing was written where `unwritten`
# ends it.
put() {
    # One that was ended in the middle may have left it.
    rm -f -- "$new" 2>/dev/null
    now=$(look "$path")
    [ "$now" != "$2" ] || return 0
    [ "$now" = "$1" ] ||
        unwritten "$path is no longer as it was, and is left alone: it is $now"
    if [ "$2" = absent ]; then
        rm -- "$path" || fail "$path cannot be removed"
    else
        wanted=$2
        (set -C && umask 077 && : >"$new") 2>/dev/null || unwritten "$new cannot be made"
        printf %b "$content" >"$new" || give_up "it cannot be written"
        sum=$(sha256sum <"$new")
        [ "${sum%% *}" = "${wanted##* }" ] || give_up "it did not arrive whole"
        # shellcheck disable=SC2086
        set -- $wanted
        # ACLs, labels and attributes of the old file stay, where this host's `cp` can keep them.
        if [ "$now" != absent ] && keeps_attributes; then
            cp --attributes-only --preserve=all -- "$path" "$new" || give_up "its attributes cannot be kept"
            touch -- "$new"
        fi
        chown "$3:$4" "$new" || give_up "its owner cannot be set"
        # Changing the owner may have taken bits away.
        chmod "$2" "$new" || give_up "its mode cannot be set"
        sync -- "$new" 2>/dev/null || sync
        mv -f -- "$new" "$path" || give_up "it cannot be put there"
        set -- '' "$wanted"
    fi
    sync -- "$folder" 2>/dev/null || sync
    now=$(look "$path")
    [ "$now" = "$2" ] || fail "$path was written, and a moment later it is $now"
}

give_up() {
    rm -f -- "$new"
    unwritten "$path was not changed: $1"
}

unwritten() {
    [ "$what" != apply ] || rm -f -- "$begun"
    fail "$*"
}

# Sets `lacks` to a device of "$@" that is not in NetworkManager's list, as its files are now.
lacking() {
    printed=$(NetworkManager --print-config 2>&1) ||
        fail "NetworkManager cannot read its configuration: $printed"
    in='' list=''
    while IFS= read -r line; do
        case $line in
            '['*) in=$line ;;
            unmanaged-devices=*) [ "$in" != '[keyfile]' ] || list=${line#*=} ;;
        esac
    done <<END
$printed
END
    lacks=
    for device; do
        case ";$list;" in
            *[\;,\ ]"$device"[\;,\ ]*) ;;
            *) lacks=$device && return ;;
        esac
    done
}

# Sets `kept` to the devices of "$@" that NetworkManager manages.
managed() {
    devices=$(nmcli -t -f DEVICE,STATE device 2>&1) || fail "nmcli does not answer: $devices"
    kept=
    while IFS= read -r line; do
        state=${line##*:} link=${line%:*}
        [ "$state" != unmanaged ] || continue
        for device; do
            pattern=${device#interface-name:}
            pattern=${pattern#[=~]}
            # shellcheck disable=SC2254
            case $link in
                $pattern) kept="$kept $link ($state)" && break ;;
            esac
        done
    done <<END
$devices
END
}

# Waits at most $1 seconds until NetworkManager has let go of the rest of "$@".
let_go() {
    left=$1
    shift
    managed "$@"
    while [ -n "$kept" ] && [ "$left" -gt 0 ]; do
        left=$((left - 1))
        sleep 1
        managed "$@"
    done
    [ -z "$kept" ]
}

reload() {
    said=$(nmcli general reload conf 2>&1) || said=$(systemctl reload NetworkManager 2>&1) ||
        fail "NetworkManager does not read its configuration anew: $said"
}

check() {
    now=$(look "$path")
    if [ "$before" = "$after" ] && [ "$now" = "$after" ]; then
        # Nothing to write: it is yet to read what is there.
        runs || exit 0
        managed "$@"
        [ -z "$kept" ]
        exit
    fi
    case $now in
        "$before") exit 1 ;;
        "$after") ;;
        *)
            echo "$path is neither as it was before nor as this leaves it: it is $now"
            exit 2
            ;;
    esac
    open=
    { read -r open <"$begun"; } 2>/dev/null
    [ "$open" != "$path $after" ]
    exit
}

apply() {
    runs || fail "NetworkManager does not run any more: nothing was changed"
    # Where the file stays as it is, that is what an earlier run left, and is not in doubt.
    if [ "$before" != "$after" ]; then
        mkdir -p "${begun%/*}" || fail "${begun%/*} cannot be made"
        printf '%s\n' "$path $after" >"$begun" || fail "$begun cannot be written"
    fi
    put "$before" "$after"
    lacking "$@"
    [ -z "$lacks" ] ||
        fail "$path is written, and $lacks is not in NetworkManager's list all the same: another file takes it out"
    reload
    if ! let_go 10 "$@"; then
        [ "$restart" = restart ] ||
            fail "NetworkManager was told to read its configuration, and keeps$kept until it is started anew: systemctl restart NetworkManager"
        said=$(systemctl restart NetworkManager 2>&1) || fail "NetworkManager cannot be started anew: $said"
        let_go 20 "$@" || fail "NetworkManager was started anew, and still manages$kept"
    fi
    rm -f -- "$begun"
}

undo() {
    put "$after" "$before"
    rm -f -- "$begun"
    # Told to read it now, NetworkManager would take the devices' addresses off. That is done only where
    # this host puts it back as nobody has come back: its link may be gone for it.
    case $RUNBOOK_PUTS_BACK in
        time | long | boot) ! runs || reload ;;
    esac
}

"$what" "$@"
