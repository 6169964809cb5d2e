# Ends the processes of the sessions $2 and so on, those that have $1 in their environment (empty: none
# are looked for), and all that these have started, as whomever and in whatever session it runs.
end_all() {
    sign=$1
    shift
    sessions=" $* "
    rounds=0
    while [ "$rounds" -lt 10 ]; do
        rounds=$((rounds + 1)) all=' '
        if [ -n "$sign" ]; then
            for found in $(grep -lF -- "$sign" /proc/[0-9]*/environ 2>/dev/null); do
                found=${found#/proc/}
                all="$all${found%/*} "
            done
        fi
        more=yes
        while [ -n "$more" ]; do
            more=
            for stat in /proc/[0-9]*/stat; do
                line=
                { read -r line <"$stat"; } 2>/dev/null
                pid=${line%% *}
                case $all in *" $pid "*) continue ;; esac
                # A name may have anything in it. After it: state, parent, group, session.
                rest=${line##*) }
                parent=${rest#* } state=${rest%% *}
                session=${parent#* * }
                parent=${parent%% *} session=${session%% *}
                case $state in '' | Z | X) continue ;; esac
                case "$sessions:$all" in
                    *" $session "*:* | *:*" $parent "*) all="$all$pid " more=yes ;;
                esac
            done
        done
        [ "$all" != ' ' ] || return 0
        # shellcheck disable=SC2086
        kill -KILL $all 2>/dev/null
    done
}

# Ends the step whose folder is $1, with the program that it runs just now. What earlier programs of it
# have left running stays: it was meant to.
end_step() {
    step= program= running=
    { read -r step <"$1/session"; } 2>/dev/null
    { read -r program running <"$1/program"; } 2>/dev/null
    # shellcheck disable=SC2086
    end_all "$running" $step $program
}
