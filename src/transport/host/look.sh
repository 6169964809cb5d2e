# Read by the host, before one of the other scripts here. POSIX shell; dash and busybox run it too.

# What is at the path $1, in one line: `absent`, `file MODE UID GID BYTES SHA256`, or `other` and words.
look() {
    if [ -L "$1" ]; then
        echo 'other a symbolic link'
    elif [ ! -e "$1" ]; then
        echo absent
    elif [ ! -f "$1" ]; then
        printf 'other a %s\n' "$(stat -c %F -- "$1")"
    else
        case $(lsattr -d -- "$1" 2>/dev/null) in
            ????i*)
                echo 'other an immutable file (chattr +i)'
                return
                ;;
        esac
        links=$(stat -c %h -- "$1")
        if [ "$links" != 1 ]; then
            printf 'other a file with %s hard links\n' "$links"
            return
        fi
        sum=$(sha256sum <"$1")
        printf 'file %s %s\n' "$(stat -c '%a %u %g %s' -- "$1")" "${sum%% *}"
    fi
}

# Ends with one line of an answer. What comes before it is not ours.
say() {
    answer=$(printf '%s' "$*" | tr '\n' ' ')
    printf '\n%s %s\n' "$mark" "$answer"
    exit 0
}

# Ends where this is not the host with the machine-id $1.
same_machine() {
    here=$(cat /etc/machine-id 2>/dev/null)
    [ -z "$1" ] || [ -z "$here" ] || [ "$1" = "$here" ] || say another "$here"
}

# Takes the host's lock, or ends after $1 seconds of waiting. Whoever holds it says so in `holder`.
# It is let go when this ends, however it ends.
take_lock() {
    mkdir -p -m 700 /run/runbook 2>/dev/null || say failed 'no folder /run/runbook can be made'
    exec 9>>/run/runbook/lock
    waited=0
    until flock -n 9; do
        [ "$waited" -lt "$1" ] || say busy "$(cat /run/runbook/holder 2>/dev/null)"
        waited=$((waited + 1))
        sleep 1
    done
}
