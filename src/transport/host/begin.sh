# The first thing a host reads: becomes who it is to be, and goes on as the loop. Before it: `nonce`,
# `method`, `user`, `ask` (-n: no password can be given) and `loop`. Whatever is said here comes
# mixed with what login shells and their files print.
exec 2>&1
LC_ALL=C
export LC_ALL
if [ "$method" != login ]; then
    wanted=$(id -u -- "$user" 2>/dev/null)
    [ -n "$wanted" ] || { printf '\n%s nobody\n' "$nonce"; exit 1; }
    [ "$wanted" != "$(id -u)" ] || method=login
fi
case $method in
    login) exec /bin/sh -c "$loop" ;;
    sudo)
        command -v sudo >/dev/null || { printf '\n%s missing sudo\n' "$nonce"; exit 1; }
        # shellcheck disable=SC2086
        exec sudo $ask -p "$nonce prompt" -u "$user" -- /bin/sh -c "$loop"
        ;;
    su)
        command -v su >/dev/null || { printf '\n%s missing su\n' "$nonce"; exit 1; }
        # It has no prompt of our own: only what comes after this can be one.
        printf '\n%s su\n' "$nonce"
        exec su -s /bin/sh "$user" -c "$loop"
        ;;
esac
