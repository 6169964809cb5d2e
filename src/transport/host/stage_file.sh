# Arguments: digest and size of a content, the path that it is for, and from which byte on the frame's
# input is. Adds the input to what is staged where it comes next, and says how many bytes are there.
digest=$1 size=$2 path=$3 offset=$4
umask 077
need cat rm stat
# Of two attempts, one after the other adds to it.
take_lock 20 "$home/stage.lock" || say failed "$home/stage.lock is held"
or_fenced
find_staged "$digest"
if [ -z "$staged" ]; then
    # Those of earlier contents: nobody puts them any more.
    unstage_all
    or_no_room "$path" "$size"
    [ "$place" != "$lasting" ] || marks
    staged=$place/staged.$digest
    (set -C && : >"$staged") 2>/dev/null || say failed "$staged cannot be made"
fi
here=$(stat -c %s -- "$staged")
if [ "$here" = "$offset" ] && [ -s "$frame/input" ]; then
    cat <"$frame/input" >>"$staged" || say failed "$staged cannot be written"
    here=$(stat -c %s -- "$staged")
fi
say at "$here"
