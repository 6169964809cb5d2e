# Arguments: mark, machine-id, path, state before, state after, who does it, seconds to wait for the
# lock. The new content comes on standard input. Looks, compares, writes and looks again under the
# lock, so that nothing is written over what was not expected.
mark=$1 machine=$2 path=$3 before=$4 after=$5 holder=$6 patience=$7
umask 077
echo begun
same_machine "$machine"
take_lock "$patience"
printf '%s\n' "$holder" >/run/runbook/holder

folder=${path%/*}/
content=/run/runbook/content
old=$folder.${path##*/}.runbook-
new=$old$mark
trap ': >"$content"; : >/run/runbook/holder; [ ! -e "$new" ] || rm -f -- "$new"' EXIT
trap 'exit 1' HUP INT TERM
# What an earlier attempt left that was killed; with the lock held, nobody uses it.
for left in "$old"*; do
    [ ! -e "$left" ] || rm -f -- "$left"
done

# Runs a command; where it fails, nothing was changed yet.
try() {
    said=$("$@" 2>&1) || say failed "$said"
}
# Puts on the disk what is in a file or a folder.
keep() {
    sync -- "$1" 2>/dev/null || sync
}

# shellcheck disable=SC2086
set -- $after
if [ "$1" = file ]; then
    mode=$2 owner=$3:$4 wanted=$6
    cat >"$content" || say failed "$content cannot be written"
    sum=$(sha256sum <"$content")
    # A connection that broke cuts the input short.
    [ "${sum%% *}" = "$wanted" ] || say cut
fi
now=$(look "$path")
[ "$now" != "$after" ] || say already
[ "$now" = "$before" ] || say drift "$now"
if [ "$1" = file ]; then
    # shellcheck disable=SC2086
    set -- $before
    # Of a new file nothing is taken for granted: its folder may give it a group.
    old_mode= old_owner=
    if [ "$1" = file ]; then
        # A copy of the old file brings its ACLs, labels and attributes along.
        try cp -a -- "$path" "$new"
        old_mode=$2 old_owner=$3:$4
    else
        # Made here and nowhere else: what somebody put in its place is not followed.
        (set -C && : >"$new") 2>/dev/null || say failed "$new cannot be made"
    fi
    cat <"$content" >"$new" || say failed "$new cannot be written"
    [ "$old_owner" = "$owner" ] || try chown "$owner" "$new"
    # Changing the owner may have taken bits away.
    [ "$old_mode $old_owner" = "$mode $owner" ] || try chmod "$mode" "$new"
    keep "$new"
    try mv -f -- "$new" "$path"
else
    try rm -- "$path"
fi
keep "$folder"
now=$(look "$path")
[ "$now" = "$after" ] || say unverified "$now"
say written
