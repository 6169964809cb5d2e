# Argument: name of a unit.
look_setting unit "$1"
active=$is
look_setting unit_file "$1"
unit=$(systemctl show --property=InvocationID,NRestarts,ActiveEnterTimestampMonotonic,FragmentPath -- "$1" 2>&1) ||
    say failed "$unit"
since=$(property ActiveEnterTimestampMonotonic) invocation=$(property InvocationID)
# One that starts and fails again and again runs for a moment each time.
case $active/$(property NRestarts) in
    running/0 | running/) ;;
    running/*)
        now
        [ "$((up - ${since:-0} / 1000000))" -ge 15 ] || active=restarting
        ;;
esac
say "is $active $is ${invocation:--}" "$(property FragmentPath)"
