# Argument: name of a unit.
look_setting unit "$1"
active=$is
look_setting unit_file "$1"
unit=$(systemctl show --property=InvocationID,ActiveEnterTimestampMonotonic,FragmentPath -- "$1" 2>&1) ||
    say failed "$unit"
since=$(property ActiveEnterTimestampMonotonic) invocation=$(property InvocationID)
case $since in 0) since= ;; esac
invocation=${invocation:-$since}
# What a mask hides, in the order of systemd.unit(5).
under=-
if [ "$is" = masked ]; then
    under=absent
    for folder in /run/systemd/generator.early /run/systemd/system /run/systemd/generator \
        /usr/local/lib/systemd/system /usr/lib/systemd/system /lib/systemd/system /run/systemd/generator.late; do
        [ -e "$folder/$1" ] || continue
        under=static
        ! grep -q '^\[Install\]' "$folder/$1" || under=disabled
        case $folder in */generator*) under=generated ;; esac
        break
    done
fi
say "is $active $is $under ${invocation:--}" "$(property FragmentPath)"
