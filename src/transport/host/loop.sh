# What runs on a host for as long as the connection lasts: each line that it reads is a frame, which
# runs in a session of its own and is answered. `nonce` is set before it, and end_all.sh goes before
# it. POSIX shell; it runs under dash, bash and busybox sh.
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
LC_ALL=C
export PATH LC_ALL
unset ENV BASH_ENV CDPATH IFS
cd /
umask 077

fail() {
    printf '\n%s failed %s\n' "$nonce" "$*"
    exit 1
}

missing=
for tool in cat grep head id mkdir rm setsid sleep timeout; do
    command -v "$tool" >/dev/null || missing="$missing $tool"
done
[ -z "$missing" ] || fail "it lacks$missing"

uid=$(id -u)
case $uid in
    0) home=/run/runbook ;;
    *) home=/tmp/runbook.$uid ;;
esac
[ -d "$home" ] || mkdir -m 700 "$home" 2>/dev/null
# Somebody else may have put it there.
if [ ! -d "$home" ] || [ -L "$home" ] || [ ! -O "$home" ]; then
    fail "$home is not a folder of this user's own"
fi
# What loops left behind that were killed.
for old in "$home"/loop.*; do
    [ ! -d "$old" ] || [ -d "/proc/${old##*.}" ] || rm -rf "$old"
done
dir=$home/loop.$$
rm -rf "$dir"
mkdir -m 700 "$dir" || fail "no folder $dir can be made"

# Runs a step and answers. What it prints goes to files: whatever it leaves running holds those, and
# not the connection.
answer() {
    setsid timeout -s KILL "$limit" /bin/sh "$dir/step" "$dir" "$home" \
        </dev/null >"$dir/out" 2>"$dir/err" &
    echo "$!" >"$dir/session"
    wait "$!"
    code=$?
    [ "$code" -lt 124 ] || end_step "$dir"
    printf '\n%s out %s\n' "$nonce" "$seq"
    [ ! -s "$dir/out" ] || cat "$dir/out"
    printf '\n%s err %s\n' "$nonce" "$seq"
    [ ! -s "$dir/err" ] || cat "$dir/err"
    # It may have been secret.
    : >"$dir/step" >"$dir/out" >"$dir/err" >"$dir/session"
    [ ! -e "$dir/input" ] || rm -f "$dir/input"
    printf '\n%s end %s %s\n' "$nonce" "$seq" "$code"
}

# Whether the process $1 runs.
runs() {
    state=
    { read -r state <"/proc/$1/stat"; } 2>/dev/null
    state=${state##*) }
    case ${state%% *} in '' | Z | X) return 1 ;; esac
}

trap 'rm -rf "$dir"' EXIT
trap 'exit 1' HUP INT TERM
boot=
read -r boot </proc/sys/kernel/random/boot_id
printf '\n%s ready %s %s\n' "$nonce" "$uid" "$boot"
# The answer is given by a process beside this one, so that this one sees the end of its input at once.
job=
while IFS=' ' read -r sign seq limit bytes text; do
    [ "$sign" = "$nonce" ] || break
    wait
    # No process is needed for it, and nothing of it is seen in the list of processes.
    if printf %b "$text" >"$dir/step" && { [ "$bytes" = 0 ] || head -c "$bytes" >"$dir/input"; }; then
        answer &
        job=$!
    else
        printf '\n%s full %s\n' "$nonce" "$seq"
    fi
done
# A step that was not answered is ended, also where it is only about to begin.
rounds_left=100
while [ -n "$job" ] && [ -s "$dir/step" ] && runs "$job" && [ "$rounds_left" -gt 0 ]; do
    rounds_left=$((rounds_left - 1))
    end_step "$dir"
    runs "$job" || break
    sleep 0.1 2>/dev/null || sleep 1
done
wait
