# Sets `pid` to a process that is called $1; false and empty where there is none. What a name tells is not
# to be trusted: others may run here, in containers of their own.
find_process() {
    for comm in /proc/[0-9]*/comm; do
        called=
        { read -r called <"$comm"; } 2>/dev/null
        [ "$called" = "$1" ] || continue
        pid=${comm#/proc/} pid=${pid%/comm}
        [ -e "/proc/$pid/ns/pid" ] && [ ! "/proc/$pid/ns/pid" -ef /proc/self/ns/pid ] && continue
        # Only root sees the namespaces of others; that a process has a number of its own there, all see.
        inner=
        while read -r key _ rest; do
            [ "$key" != NSpid: ] || inner=$rest
        done 2>/dev/null <"/proc/$pid/status"
        [ -z "$inner" ] || continue
        return 0
    done
    pid=
    return 1
}
