# Arguments: key of the effect, seconds to wait for it. Answers once what was begun of it is over: whoever
# reads that has reached this host after whatever it did. Says `waiting` where it has not begun.
[ -d "/var/lib/runbook/switch/$1" ] || [ -e "$lasting/$1" ] || say waiting
# One that goes on for longer is ended by whoever looks next.
take_lock "$2"
say over
