# Arguments: sitting. Lets this host go, if it is still that sitting's.
take_lock 10 "$home/claim.lock" || say failed "$home/claim.lock is held"
marks
held=
{ read -r held _ <"$marks/claim"; } 2>/dev/null
if [ "$held" = "$1" ]; then
    rm -f "$marks/claim" || say failed "$marks cannot be written to"
    keep "$marks"
fi
# What was staged for a change that did not come about, where it is nobody else's. As long as this has
# the claim's lock, nobody else comes to it; whoever stages something just now goes on with it.
if [ -z "$held" ] || [ "$held" = "$1" ]; then
    exec 8>>"$home/stage.lock"
    ! flock -n 8 || unstage_all
fi
# Where nothing else is kept here, nothing is left.
rmdir "$marks" 2>/dev/null
say released
