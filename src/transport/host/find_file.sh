# Arguments: path, key of the effect, seconds to wait for it, and the most bytes that are looked through.
# With the lock held, nothing that was begun on this host is under way any more: what is seen is the end
# of it.
path=$1
find_effect "$2" "$3"
now=$(look "$path" "$4")
case $now in
    long*) say "$now" ;;
    file*) not_immutable "$path" ;;
esac
say "is $now"
