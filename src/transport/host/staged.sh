# Large contents, which come to a host in pieces: where they lie until they are whole. A folder of this
# user's own has them, in a file that is called by their digest, so that a connection that broke goes on
# where it was.

# Whether the folder $1 is one of this user's own: in its place could be somebody else's.
is_own() {
    [ -d "$1" ] && [ ! -L "$1" ] && [ -O "$1" ]
}

# Sets `staged` to the file for the digest $1; empty where there is none.
find_staged() {
    staged=
    for place in "$lasting" "$home"; do
        is_own "$place" && [ -f "$place/staged.$1" ] && [ ! -L "$place/staged.$1" ] || continue
        staged=$place/staged.$1
    done
}

# Removes what is staged for all digests.
unstage_all() {
    for place in "$lasting" "$home"; do
        ! is_own "$place" || rm -f -- "$place"/staged.*
    done
}

# Removes it.
unstage() {
    [ -n "$1" ] || return 0
    for place in "$lasting" "$home"; do
        ! is_own "$place" || rm -f -- "$place/staged.$1"
    done
    # Where nothing else is kept there, nothing is left.
    rmdir "$lasting" 2>/dev/null
}

# Prints how many bytes are free where the file or folder $1 is; nothing where nobody can tell.
free_at() {
    # shellcheck disable=SC2046
    set -- $(stat -f -c '%a %S' -- "$1" 2>/dev/null)
    [ -z "$2" ] || echo $(($1 * $2))
}

# Ends where the path $1 has no room for $2 bytes beside what is there. Sets `place` to the folder in which
# they can be staged: that on a disk, or else that in memory.
or_no_room() {
    folder=${1%/*}/
    free=$(free_at "$folder")
    [ -z "$free" ] || [ "$free" -ge "$2" ] || say room "$free" "$2" "$folder"
    said=
    for place in "$lasting" "$home"; do
        over=$place
        [ -d "$over" ] || over=${place%/*}
        wanted=$2
        # On the same disk there are two of them for a moment.
        [ "$(stat -L -c %d -- "$over")" != "$(stat -L -c %d -- "$folder")" ] || wanted=$(($2 * 2))
        free=$(free_at "$over")
        [ -n "$free" ] && [ "$free" -lt "$wanted" ] || return 0
        said="${said:-$free $wanted $over}"
    done
    say room "$said"
}
