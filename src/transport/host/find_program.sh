# Arguments: key of the effect, seconds to wait for it, seconds for each program, exit code of the check
# once it is done, then check and verify, which may be empty. Looks what became of a program: by its
# check, where it has one, and by the marks that it left.
key=$1 limit=$3 done=$4 check=$5 verify=$6
take_in check "$5"
take_in verify "$6"
find_effect "$key" "$2"
marks
now=unbegun
{ read -r now <"$marks/$key"; } 2>/dev/null
checked=none
if [ -n "$check" ]; then
    run check "$limit"
    checked=$code
fi
case $checked:$now in
    "$done":* | 'none:ended 0')
        if [ -n "$verify" ]; then
            run verify "$limit"
            [ "$code" = 0 ] || say unverified "$code"
        fi
        ;;
esac
say found "$checked" "$now"
