# Arguments: sitting, run, `leased` or `alone`, since when, who, then the runs whose claim may be taken
# over. Claims this host for a sitting of a run: from then on no other sitting begins anything here. The
# claim outlives a reboot.
sitting=$1 run=$2 how=$3 since=$4 who=$5
shift 5
trouble=failed
# Not the lock of effects: one may be under way for long, of a sitting that was cut off.
take_lock 10 "$home/claim.lock" || say failed "$home/claim.lock is held"
marks
held='' by=
{ read -r held by rest <"$marks/claim"; } 2>/dev/null
if [ -n "$held" ] && [ "$held" != "$sitting" ]; then
    case " $* " in
        *" $by "*) ;;
        *) say held "$by" "$held" "$rest" ;;
    esac
fi
printf '%s %s %s %s %s\n' "$sitting" "$run" "$how" "$since" "$who" >"$marks/claim.new" &&
    keep "$marks/claim.new" &&
    mv -f "$marks/claim.new" "$marks/claim" || say failed "$marks cannot be written to"
keep "$marks"
say claimed
