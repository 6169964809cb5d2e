# The dead man's switch of an effect: its undo lies on the host, and systemd runs it where nobody comes
# back. One rename of `armed` decides, whoever makes it: to `fired`, and it is put back; to `disarmed`,
# and it stays. It outlives a reboot.

# Where the switch of the effect $1 is.
switch_of() {
    switch=/var/lib/runbook/switch/$1 unit=runbook-$1
    service=/etc/systemd/system/$unit.service
    wanted=/etc/systemd/system/multi-user.target.wants/$unit.service
    timer=/run/systemd/system/$unit.timer
}

# Whether this was the one that renamed the token $1 to $2.
decide() {
    mv -T -- "$switch/$1" "$switch/$2" 2>/dev/null || return 1
    keep "$switch"
}

# Takes away by what systemd would run it.
forget_units() {
    systemctl stop "$unit.timer" 2>/dev/null
    rm -f "$wanted" "$service" "$timer"
    keep "${wanted%/*}"
}

# Arms it, before anything is changed: $1 is the key of the effect, $2 the seconds after which it fires,
# $3 what runs then, $4 the undo. All of it is on the disk when this returns.
arm() {
    switch_of "$1"
    [ -d /run/systemd/system ] || say failed "systemd does not run here"
    for other in "${switch%/*}"/*/armed; do
        [ ! -e "$other" ] || say failed "the switch of another attempt is armed there: $other"
    done
    find "${switch%/*}" -mindepth 1 -type d -empty -exec rmdir {} + 2>/dev/null
    mkdir -p "$switch" "${wanted%/*}" "${timer%/*}" || unarmed "no folder $switch can be made"
    boot=
    { read -r boot </proc/sys/kernel/random/boot_id; } 2>/dev/null
    now
    printf '%s %s\n' "$boot" "$((up + $2))" >"$switch/due" &&
        printf %s "$3" >"$switch/fire" &&
        printf %s "$4" >"$switch/undo" &&
        : >"$switch/arming" || unarmed "$switch cannot be written to"
    # The next boot fires it, without being held up by it.
    printf '%s\n' '[Unit]' "Description=Puts back what runbook did there ($1)" \
        'After=network.target' "RequiresMountsFor=$switch" '[Service]' \
        "ExecStart=/bin/sh $switch/fire" 'KillMode=process' >"$service" &&
        printf '%s\n' '[Unit]' "Description=Waits for runbook to come back ($1)" '[Timer]' \
            "OnActiveSec=$2s" 'AccuracySec=100ms' "Unit=$unit.service" >"$timer" &&
        chmod 644 "$service" "$timer" &&
        ln -sf "$service" "$wanted" || unarmed "systemd's units cannot be written"
    sync -- "$switch/due" "$switch/fire" "$switch/undo" "$switch" "${switch%/*}" "$marks" \
        "$service" "${service%/*}" "${wanted%/*}" 2>/dev/null || sync
    said=$(systemctl start "$unit.timer" 2>&1) || unarmed "systemd does not take it: $said"
    decide arming armed || unarmed "it took longer than the $2 s after which it is put back"
}

# Ends where it cannot be armed.
unarmed() {
    forget_units
    rm -rf "$switch"
    say failed "what would put it back cannot be made ready: $*"
}

# Has it put back at once, for the reason $*. systemd does it: it does not end with this connection.
fire_now() {
    printf '%s\n' "$*" >"$switch/now"
    systemctl start --no-block "$unit.service" 2>/dev/null
}

# With the lock held: where it has fired, waits at most $1 seconds until all is put back, and says how
# that ended.
or_put_back() {
    [ -e "$switch/fired" ] || return 0
    : >"$home/holder"
    flock -u 9
    # It goes on where it was broken off; where it runs, nothing happens.
    [ -e "$switch/ended" ] || systemctl start --no-block "$unit.service" 2>/dev/null
    now
    until=$((up + $1))
    until [ -e "$switch/ended" ]; do
        now
        [ "$up" -lt "$until" ] || say back running
        sleep 1
    done
    [ ! -e "$switch/said" ] || sed "s/^undo ran /$mark ran /; s/^undo tail\$/$mark tail/" "$switch/said"
    read -r ended <"$switch/ended"
    # shellcheck disable=SC2086
    say back $ended
}

# With the lock held: where it is armed, it is decided here, as somebody has come back. It stays where
# $2 is `good`; otherwise it is put back for the reason $3.
settle_switch() {
    [ -e "$switch/armed" ] || return 0
    if [ "$2" = good ] && decide armed disarmed; then
        forget_units
        rm -rf "$switch"
        return 0
    fi
    [ ! -e "$switch/armed" ] || fire_now "$3"
    now
    until=$((up + $1))
    : >"$home/holder"
    flock -u 9
    until [ -e "$switch/fired" ]; do
        now
        [ "$up" -lt "$until" ] || say back running
        sleep 0.2 2>/dev/null || sleep 1
    done
    or_put_back "$1"
}
