# Argument: an address. Says by which address of this host it is reached; takes no lock.
need ip sed
route=$(ip route get "$1" 2>/dev/null) || say none
from=$(printf '%s\n' "$route" | sed -n 's/^.* src \([^ ]*\).*$/\1/p')
[ -n "$from" ] || say none
say from "$from"
