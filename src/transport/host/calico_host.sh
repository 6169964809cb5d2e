# Reads what a host has that the mesh rests on, and takes no lock: its links, and its BGP sessions.
need timeout
part links
ip -json -details address show 2>/dev/null
program=$(command -v calicoctl)
[ -n "$program" ] || say read
part calicoctl "$program"
# It ends well whatever the sessions' state, and says what is wrong on either channel.
timeout 20 calicoctl node status 2>&1
say read
