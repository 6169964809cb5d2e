# Goes before each script that takes part in effects. POSIX shell; dash and busybox run it too. Every
# process counts on a small host: what the shell can do itself, it does. `frame` is a folder of this
# frame, `home` one of this user on this host; both are gone after a reboot. The first argument is
# always the mark of the answer, the second the machine-id, the third the sitting of the run for which
# this is done (empty where nothing is claimed).
mark=$1 machine=$2 sitting=$3
shift 3
# What outlives a reboot, unlike `home`.
case $home in
    /run/runbook) lasting=/var/lib/runbook ;;
    *) lasting=/var/tmp/${home##*/} ;;
esac

# Ends with one line of an answer. What comes before it is not ours.
say() {
    # Split and put together again, so that it is one line.
    set -f
    # shellcheck disable=SC2048,SC2086
    set -- $*
    printf '\n%s %s\n' "$mark" "$*"
    [ ! -d "$frame/programs" ] || rm -rf "$frame/programs"
    exit 0
}

# Ends where this is not the host with the machine-id $1.
same_machine() {
    here=
    { read -r here </etc/machine-id; } 2>/dev/null
    [ -z "$1" ] || [ -z "$here" ] || [ "$1" = "$here" ] || say another "$here"
}

# Ends where one of these programs is not there.
need() {
    missing=
    for tool; do
        command -v "$tool" >/dev/null || missing="$missing $tool"
    done
    [ -z "$missing" ] || say tools "$missing"
}

# Seconds since this host was started.
now() {
    read -r up _ </proc/uptime
    up=${up%.*}
}

# Takes the lock of this user on this host (or that in the file $2), or returns false after $1 seconds of
# waiting. It is let go when this ends, however it ends.
take_lock() {
    exec 9>>"${2:-$home/lock}"
    now
    until=$((up + $1))
    until flock -n 9; do
        now
        [ "$up" -lt "$until" ] || return 1
        sleep 1
    done
}

# Writes down who has the lock, and the step that does: $1 is its key, $2 what it is for people.
has_lock() {
    boot=
    { read -r boot </proc/sys/kernel/random/boot_id; } 2>/dev/null
    printf '%s %s %s, boot %s\n' "$1" "$frame" "$2" "$boot" >"$home/holder"
    trap ': >"$home/holder"' EXIT
    trap 'exit 1' HUP INT TERM
}

# Ends where somebody else has the lock.
or_busy() {
    holder=
    { read -r _ _ holder <"$home/holder"; } 2>/dev/null
    say busy "$holder"
}

# Ends where this host was claimed for another sitting since.
or_fenced() {
    [ -n "$sitting" ] || return 0
    held='' by=
    { read -r held by rest <"$lasting/claim"; } 2>/dev/null
    [ "$held" = "$sitting" ] || say fenced "$by" "$held" "$rest"
}

# From here on the effect $1 is under way, by $2, with the lock held. An attempt of which somebody has
# looked already what became of it does not begin any more.
begin_effect() {
    [ ! -e "$home/revoked/$1" ] || say revoked
    or_fenced
    has_lock "$1" "$2"
}

# Waits $2 seconds for the effect $1 to end, ends it otherwise, and keeps it from beginning still.
find_effect() {
    if ! take_lock "$2"; then
        holder= place=
        { read -r holder place _ <"$home/holder"; } 2>/dev/null
        [ "$holder" = "$1" ] || or_busy
        end_step "$place"
        take_lock 5 || or_busy
    fi
    has_lock look "somebody who looks what became of a step"
    [ -d "$home/revoked" ] || mkdir "$home/revoked" || say failed "no folder $home/revoked can be made"
    : >"$home/revoked/$1"
}

# Puts on the disk what is in a file or a folder.
keep() {
    sync -- "$1" 2>/dev/null || sync
}

same_machine "$machine"
