# Where it is written down that a program was begun, and that it ended. It outlives a reboot, unlike
# `home`: a program without a check leaves nothing else that could be looked at.
marks() {
    marks=$lasting
    [ -d "$marks" ] || mkdir -m 700 "$marks" 2>/dev/null
    if [ ! -d "$marks" ] || [ -L "$marks" ] || [ ! -O "$marks" ]; then
        say failed "$marks is not a folder of this user's own"
    fi
}

# Writes down how far the program $1 has come; it is on the disk then.
mark_as() {
    printf '%s\n' "$2" >"$marks/$1" || say "$trouble" "$marks cannot be written to"
    keep "$marks/$1"
    keep "$marks"
}
