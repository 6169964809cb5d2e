# Arguments: path, state before, state after, key of the effect, who does it, seconds to wait for the
# lock, and the digest of a new content that is staged; without one, it is the frame's input. Looks,
# compares, writes and looks again under the lock, so that nothing is written over what was not expected.
path=$1 before=$2 after=$3 digest=$7
umask 077
take_lock "$6" || or_busy
begin_effect "$4" "$5"

folder=${path%/*}/
content=$frame/input
if [ -n "$digest" ]; then
    find_staged "$digest"
    content=$staged
fi
old=$folder.${path##*/}.runbook-
new=$old$mark
trap ': >"$home/holder"; unstage "$digest"; [ ! -e "$new" ] || rm -f -- "$new"; [ ! -e "$new.like" ] || rm -f -- "$new.like"' EXIT
# What an earlier attempt left that was killed; with the lock held, nobody uses it.
for left in "$old"*; do
    [ ! -e "$left" ] || rm -f -- "$left"
done

# Runs a command; where it fails, nothing was changed yet.
try() {
    said=$("$@" 2>&1) || say failed "$said"
}

# shellcheck disable=SC2086
set -- $after
if [ "$1" = file ]; then
    mode=$2 owner=$3:$4 wanted=$6
    [ -n "$content" ] || say cut
    [ -e "$content" ] || : >"$content"
fi
now=$(look "$path")
[ "$now" != "$after" ] || say already
[ "$now" = "$before" ] || say drift "$now"
if [ "$1" = file ]; then
    # Made here and nowhere else: what somebody put in its place is not followed. Nobody else has it open
    # or can open it before it is as it is to be: the new content may not be for those who knew the old.
    (set -C && : >"$new") 2>/dev/null || say failed "$new cannot be made"
    cat <"$content" >"$new" || say failed "$new cannot be written"
    # A connection that broke cuts the input short. What counts is what was copied.
    sum=$(sha256sum <"$new")
    [ "${sum%% *}" = "$wanted" ] || say cut
    # shellcheck disable=SC2086
    set -- $before
    if [ "$1" = file ] && keeps_attributes; then
        # The ACLs, labels and attributes of the old file stay; they are put together beside it.
        try cp --attributes-only --preserve=all -- "$path" "$new.like"
        [ "$3:$4" = "$owner" ] || try chown "$owner" "$new.like"
        [ "$2 $3:$4" = "$mode $owner" ] || try chmod "$mode" "$new.like"
        try cp --attributes-only --preserve=all -- "$new.like" "$new"
        try touch -- "$new"
        rm -f -- "$new.like"
    else
        # Of a new file nothing is taken for granted: its folder may give it a group.
        try chown "$owner" "$new"
        # Changing the owner may have taken bits away.
        try chmod "$mode" "$new"
    fi
    keep "$new"
    try mv -f -- "$new" "$path"
else
    try rm -- "$path"
fi
keep "$folder"
now=$(look "$path")
[ "$now" = "$after" ] || say unverified "$now"
say written
