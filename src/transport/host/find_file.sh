# Arguments: mark, machine-id, path, seconds to wait for the lock. With the lock held, nothing that was
# begun on this host is under way any more: what is seen is the end of it.
mark=$1 machine=$2 path=$3 patience=$4
echo begun
same_machine "$machine"
take_lock "$patience"
now=$(look "$path")
case $now in
    file*) not_immutable "$path" ;;
esac
say "is $now"
