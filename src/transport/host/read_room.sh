# Arguments: path, bytes. Only reads: whether they can be put there.
or_no_room "$1" "$2"
say enough
