# What systemd runs, when the time is up, at the next boot, or as it was asked to. Before it: `key` and
# `limit`, the seconds for the undo. Nobody waits for its answer.
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
LC_ALL=C
export PATH LC_ALL
cd /
umask 077
home=/run/runbook frame=/run/runbook/switch.$key
mkdir -p "$frame"
switch_of "$key"

# Writes down how it ended, and takes away what is not needed any more.
say() {
    why=time
    { read -r why <"$switch/why"; } 2>/dev/null
    printf '%s %s %s\n' "$1" "$(date +%s)" "$why" >"$switch/ended.new"
    mv -f -- "$switch/ended.new" "$switch/ended"
    sync -- "$switch/ended" "$switch" 2>/dev/null || sync
    tidy
}

tidy() {
    forget_units
    # A boot knows them until it is told to read anew what there is.
    [ "$why" != boot ] || systemctl daemon-reload
    rm -rf "$frame" "$switch/fire" "$switch/undo" "$switch/now" "$switch/due"
    exit 0
}

if [ ! -e "$switch/fired" ]; then
    boot= due=0 here=
    { read -r boot due <"$switch/due"; } 2>/dev/null
    { read -r here </proc/sys/kernel/random/boot_id; } 2>/dev/null
    now
    if [ "$boot" != "$here" ]; then
        why=boot
    elif [ -e "$switch/now" ]; then
        read -r why <"$switch/now"
    elif [ "$up" -ge "$due" ]; then
        why=time
    else
        # Somebody has started the target that starts it at a boot.
        exit 0
    fi
    printf '%s\n' "$why" >"$switch/why"
    if ! decide armed fired && [ ! -e "$switch/fired" ]; then
        # It is disarmed, or was never armed: nothing is put back.
        decide arming off
        forget_units
        rm -rf "$frame" "$switch"
        exit 0
    fi
fi
# A reboot in the middle leaves it fired and not ended: then all of it is done again.
[ ! -e "$switch/ended" ] || tidy
holder= place= why=
{ read -r holder place _ <"$home/holder"; } 2>/dev/null
if [ "$holder" = "$key" ]; then
    { read -r why <"$switch/why"; } 2>/dev/null
    [ "$why" != time ] || echo long >"$switch/why"
    end_step "$place"
fi
# Others are given time to end. A host that nobody reaches cannot wait longer.
if take_lock 30; then
    has_lock "switch-$key" "what puts back $key"
fi
# What it is put back for, for an undo that has to know: `time`, `long` or `boot`, where nobody came back, or
# another, where somebody did.
RUNBOOK_PUTS_BACK=
{ read -r RUNBOOK_PUTS_BACK <"$switch/why"; } 2>/dev/null
export RUNBOOK_PUTS_BACK
mark=undo
take_in undo "$(cat "$switch/undo")"
run_program undo "$limit"
report undo >"$switch/said"
say "$code"
