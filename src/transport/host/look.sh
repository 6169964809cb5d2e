# Files, as they are.

# What is at the path $1, in one line: `absent`, `file MODE UID GID BYTES SHA256`, or `other` and words.
# With $2, a file of more bytes than that is not looked through: `long BYTES`.
look() {
    if [ -L "$1" ]; then
        echo 'other a symbolic link'
    elif [ ! -e "$1" ]; then
        echo absent
    elif [ ! -f "$1" ]; then
        printf 'other a %s\n' "$(stat -c %F -- "$1")"
    else
        state=$(stat -c '%h %a %u %g %s' -- "$1")
        if [ "${state%% *}" != 1 ]; then
            printf 'other a file with %s hard links\n' "${state%% *}"
            return
        fi
        if [ -n "$2" ] && [ "${state##* }" -gt "$2" ]; then
            echo "long ${state##* }"
            return
        fi
        sum=$(sha256sum <"$1")
        printf 'file %s %s\n' "${state#* }" "${sum%% *}"
    fi
}

# Ends where the file $1 must not be touched by anybody.
not_immutable() {
    case $(lsattr -d -- "$1" 2>/dev/null) in
        ????i*) say 'is other an immutable file (chattr +i)' ;;
        ?????a*) say 'is other a file that only grows (chattr +a)' ;;
    esac
}

# Ends where this user cannot see what is at the path $1: it would look as if there were nothing.
or_denied() {
    way=$1 denied=
    while [ -n "${way%/*}" ]; do
        way=${way%/*}
        [ ! -d "$way" ] || [ -x "$way" ] || denied=$way
    done
    [ -z "$denied" ] || say denied "$denied"
    [ ! -f "$1" ] || [ -r "$1" ] || say denied "$1"
}

# Ends where others than root and this user ($2) can change a folder on the way to the file $1:
# whoever can, could lead us astray to another file.
only_own() {
    way=$1 self=$2
    set --
    while [ -n "${way%/*}" ]; do
        way=${way%/*}
        set -- "$@" "$way"
    done
    unsafe=$(stat -L -c '%u %a %n' -- / "$@" | while read -r owner mode name; do
        case $owner/$mode in
            */*[2367]? | */*[2367]) echo "$name" ;;
            0/* | "$self"/*) ;;
            *) echo "$name" ;;
        esac
    done)
    [ -z "$unsafe" ] || say unsafe "$unsafe"
}

# Whether this host's `cp` keeps ACLs, labels and attributes. That of busybox keeps mode and owner only.
keeps_attributes() {
    cp=$(command -v cp)
    case $cp in
        /*) [ ! "$cp" -ef "$(command -v busybox)" ] ;;
        *) false ;;
    esac
}
