# Arguments: path, key of the effect, seconds to wait for it. With the lock held, nothing that was begun
# on this host is under way any more: what is seen is the end of it.
path=$1
find_effect "$2" "$3"
now=$(look "$path")
case $now in
    file*) not_immutable "$path" ;;
esac
say "is $now"
