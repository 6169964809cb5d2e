# Arguments: key of the effect, who does it, seconds to wait for the lock, seconds for each program,
# exit code of the check once it is done (0 or 1), `look` or `blind` (it is run whatever the check says
# before), then check, apply and verify; check and verify may be empty. Checks, applies and checks again
# under the lock. Where it is to be put back if nobody comes back: after how many seconds, what runs
# then, the undo, and whether it is put back `at once` where apply fails, or `settled`: by whoever comes back,
# or else when the time is up. Whether it is done is then looked at over another connection.
key=$1 who=$2 patience=$3 limit=$4 done=$5 first=$6 check=$7 verify=$9 after=${10}
take_in check "$7"
take_in apply "$8"
take_in verify "$9"
take_lock "$patience" || or_busy
begin_effect "$key" "$who"
if [ -n "$check" ] && [ "$first" = look ]; then
    run check "$limit"
    case $code in
        "$done") say already ;;
        0 | 1) ;;
        *) say unchecked "$code" ;;
    esac
fi
marks
find "$marks" -type f -mtime +365 -exec rm -f {} + 2>/dev/null
[ -z "$after" ] || arm "$key" "$after" "${11}" "${12}"
mark_as "$key" begun
trouble=broken
run apply "$limit"
mark_as "$key" "ended $code"
if [ -n "$after" ]; then
    [ "$code" = 0 ] || [ "${13}" = settled ] || fire_now "apply $code"
    say applied "$code"
fi
[ "$code" = 0 ] || say applied "$code"
if [ -n "$verify" ]; then
    run verify "$limit"
    [ "$code" = 0 ] || say unverified "$code"
fi
if [ -n "$check" ]; then
    run check "$limit"
    [ "$code" = "$done" ] || say unverified "$code"
fi
say done
