# Arguments: kind of the setting, its place, key of the effect, seconds to wait for it. With the lock
# held, nothing that was begun on this host is under way any more: what is seen is the end of it.
kind=$1 place=$2
find_effect "$3" "$4"
left=60
while
    look_setting "$kind" "$place"
    # systemd goes on with what it was asked for.
    case $is in starting | stopping) [ "$left" -gt 0 ] ;; *) false ;; esac
do
    left=$((left - 1))
    sleep 1
done
say "is $is"
