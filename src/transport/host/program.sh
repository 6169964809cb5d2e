# Programs that the author of a runbook wrote.

# Bytes of a program's output that are kept of its beginning, and of its end.
most=16384
# The word of an answer where a program cannot be run: nothing was changed, until one has begun to.
trouble=failed

# Takes in the program $1 with the text $2.
take_in() {
    [ -d "$frame/programs" ] || mkdir "$frame/programs" || say failed "$frame is full"
    printf %s "$2" >"$frame/programs/$1" || say failed "$frame is full"
}

# Runs the program $1 for at most $2 seconds: in a session of its own, without input, its output bounded.
# Sets `code` to its exit code, to `timeout` or to `killed`, `held` where something it started holds its output on.
run_program() {
    at=$frame/programs/$1 held= own=$frame.$$.$1
    rm -f "$at.out" "$at.kept" "$at.alive" "$at.code" "$at.head" "$at.rest" "$at.tail"
    mkfifo "$at.out" "$at.kept" "$at.alive" || say "$trouble" "no pipe can be made in $frame"
    cat <"$at.out" >"$at.kept" &
    reader=$!
    bound "$at" <"$at.kept" &
    bounding=$!
    # In a shell below it, so that the program may end as it likes. What shows that it lives is not for
    # what it leaves running.
    RUNBOOK_PROGRAM=$own setsid /bin/sh -c '
        at=$1
        (
            shift
            umask 022
            . "$at"
        ) 8>&-
        echo "$?" >"$at.code"' program "$at" </dev/null >"$at.out" 2>&1 8>"$at.alive" 9>&- &
    leader=$!
    echo "$leader $own" >"$frame/program"
    code=
    # Ends with the program, or when its time is up. All that it has started is still bound to it then.
    if timeout "$2" cat <"$at.alive" >/dev/null; then
        wait "$leader"
        { read -r code <"$at.code"; } 2>/dev/null
        [ -n "$code" ] || code=killed
    else
        code=timeout
        end_all "$own" "$leader"
        wait "$leader"
    fi 2>/dev/null
    : >"$frame/program"
    # Its output ends when nobody holds it any more. Something that it left running may hold it for ever:
    # then what is there is read, and no more is waited for.
    tries=0
    while :; do
        state=
        { read -r _ _ state _ <"/proc/$reader/stat"; } 2>/dev/null
        case $state in
            S)
                tries=$((tries + 1))
                [ "$tries" -lt 25 ] || sleep 0.1 2>/dev/null || sleep 1
                [ "$tries" -lt 35 ] || {
                    held=yes
                    # Without a reader, that something would end with the next line that it prints.
                    setsid cat <"$at.out" >/dev/null 2>&1 9>&- &
                    sleep 0.1 2>/dev/null || sleep 1
                    kill "$reader"
                    break
                }
                ;;
            R | D) ;;
            *) break ;;
        esac
    done 2>/dev/null
    wait "$reader" "$bounding" 2>/dev/null
}

# Keeps the head and the tail of its input, and counts all that comes after the head.
bound() {
    # Not `head`: some read more than they print, and what is lost is not counted.
    dd bs="$most" count=1 iflag=fullblock >"$1.head" 2>/dev/null ||
        dd bs=1 count="$most" >"$1.head" 2>/dev/null
    if [ "$(wc -c <"$1.head")" -ge "$most" ]; then
        { tee /dev/fd/3 | wc -c >"$1.rest"; } 3>&1 | tail -c "$most" >"$1.tail"
    fi
}

# Says what the program $1 printed, and how it ended.
report() {
    at=$frame/programs/$1 rest=0
    { read -r rest <"$at.rest"; } 2>/dev/null
    printf '\n%s ran %s %s %s %s\n' "$mark" "$1" "$code" "$rest" "$held"
    [ ! -s "$at.head" ] || cat "$at.head"
    printf '\n%s tail\n' "$mark"
    [ ! -s "$at.tail" ] || cat "$at.tail"
}

# Runs and reports.
run() {
    run_program "$1" "$2"
    report "$1"
}
