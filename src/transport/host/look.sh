# Read by the host, before one of the other scripts here. POSIX shell; dash and busybox run it too.
# Every process counts on a small host: what the shell can do itself, it does.

# What is at the path $1, in one line: `absent`, `file MODE UID GID BYTES SHA256`, or `other` and words.
look() {
    if [ -L "$1" ]; then
        echo 'other a symbolic link'
    elif [ ! -e "$1" ]; then
        echo absent
    elif [ ! -f "$1" ]; then
        printf 'other a %s\n' "$(stat -c %F -- "$1")"
    else
        state=$(stat -c '%h %a %u %g %s' -- "$1")
        if [ "${state%% *}" != 1 ]; then
            printf 'other a file with %s hard links\n' "${state%% *}"
            return
        fi
        sum=$(sha256sum <"$1")
        printf 'file %s %s\n' "${state#* }" "${sum%% *}"
    fi
}

# Ends where the file $1 must not be touched by anybody.
not_immutable() {
    case $(lsattr -d -- "$1" 2>/dev/null) in
        ????i*) say 'is other an immutable file (chattr +i)' ;;
    esac
}

# Ends with one line of an answer. What comes before it is not ours.
say() {
    # Split and put together again, so that it is one line.
    set -f
    # shellcheck disable=SC2048,SC2086
    set -- $*
    printf '\n%s %s\n' "$mark" "$*"
    exit 0
}

# Ends where this is not the host with the machine-id $1.
same_machine() {
    here=
    { read -r here </etc/machine-id; } 2>/dev/null
    [ -z "$1" ] || [ -z "$here" ] || [ "$1" = "$here" ] || say another "$here"
}

# Ends where others than root can change a folder on the way to the file $1: whoever can, could lead
# root astray to another file.
only_roots() {
    way=$1
    set --
    while [ -n "${way%/*}" ]; do
        way=${way%/*}
        set -- "$@" "$way"
    done
    unsafe=$(stat -L -c '%u %a %n' -- / "$@" | while read -r owner mode name; do
        case $owner/$mode in
            0/*[2367]? | 0/*[2367]) echo "$name" ;;
            0/*) ;;
            *) echo "$name" ;;
        esac
    done)
    [ -z "$unsafe" ] || say unsafe "$unsafe"
}

# Takes the host's lock, or ends after $1 seconds of waiting. Whoever holds it says so in `holder`.
# It is let go when this ends, however it ends.
take_lock() {
    # Somebody else may make it at the same moment.
    [ -d /run/runbook ] || mkdir -m 700 /run/runbook 2>/dev/null || [ -d /run/runbook ] ||
        say failed 'no folder /run/runbook can be made'
    exec 9>>/run/runbook/lock
    waited=0
    until flock -n 9; do
        [ "$waited" -lt "$1" ] || say busy "$(cat /run/runbook/holder 2>/dev/null)"
        waited=$((waited + 1))
        sleep 1
    done
}
