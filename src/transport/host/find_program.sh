# Arguments: key of the effect, seconds to wait for it, seconds for each program, exit code of the check
# once it is done, then check and verify, which may be empty; where it has a switch, the seconds within
# which that has put it back, and `live` where it may be yet to begin. Looks what became of a program: by
# its switch, then by its check, where it has one, and by the marks that it left.
key=$1 limit=$3 done=$4 check=$5 verify=$6 back=$7 live=$8
take_in check "$5"
take_in verify "$6"
marks
[ -z "$back" ] || switch_of "$key"
[ -z "$live" ] || [ -d "$switch" ] || [ -e "$marks/$key" ] || say waiting
find_effect "$key" "$2"
[ -z "$back" ] || or_put_back "$back"
now=unbegun
{ read -r now <"$marks/$key"; } 2>/dev/null
checked=none good= wrong=
if [ -n "$check" ]; then
    run check "$limit"
    checked=$code
fi
case $checked:$now in
    "$done":* | 'none:ended 0')
        good=good
        if [ -n "$verify" ]; then
            run verify "$limit"
            [ "$code" = 0 ] || good= wrong="verify $code"
        fi
        ;;
    none:*) wrong=cut ;;
    *) wrong="check $checked" ;;
esac
if [ -n "$back" ]; then
    case $now in
        # Armed, and then nothing was done.
        unbegun) good=good ;;
        begun | 'ended 0') ;;
        *) good= wrong="apply ${now#ended }" ;;
    esac
    settle_switch "$back" "$good" "$wrong"
fi
case $wrong in verify*) say unverified "${wrong#* }" ;; esac
say found "$checked" "$now"
