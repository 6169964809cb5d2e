# How this host reaches its peers of BGP, and what may stand in the way. Only reads, and takes no lock. The
# first argument is BGP's port; then come the peers that are to be tried, each by its address.
port=$1
shift
need cat grep head id ip mkdir rm sed timeout uname wc
tries=$frame/tries
rm -rf "$tries"
mkdir "$tries" || say failed "no folder $tries can be made"
# Bytes of one set of rules; where there are more, it is not read.
most=8388608

part() {
    printf '\n%s %s\n' "$mark" "$*"
}

# Sets `word` to what became of an attempt, by its exit code $1 and what the tool said ($2); empty where the
# tool is of no use here.
weigh() {
    word=
    case $1 in 126 | 127) return ;; esac
    case $2 in
        *[Rr]efused*) word=refused ;;
        *'o route to host'* | *'ost is unreachable'* | *'etwork is unreachable'* | *'etwork unreachable'* | \
            *'nvalid argument'* | *'ermission denied'* | *'not permitted'*) word=unreachable ;;
        *'timed out'* | *TIMEOUT*) word=silent ;;
        *) case $1 in 124 | 137 | 143) word=silent ;; esac ;;
    esac
}

# Whether TCP to the address $1 gets through, by the first tool that can tell; sets `word`, `tool` and `told`.
connect() {
    word='' told=''
    for tool in bash nc curl perl python3; do
        command -v "$tool" >/dev/null || continue
        code=0
        case $tool in
            bash)
                told=$(timeout 2 bash -c 'exec 3<>"/dev/tcp/$0/$1"' "$1" "$port" 2>&1) || code=$?
                ;;
            nc)
                told=$(timeout 3 nc -v -z -w 2 "$1" "$port" 2>&1 </dev/null) || code=$?
                weigh "$code" "$told"
                if [ "$code" -ne 0 ] && [ -z "$word" ]; then
                    # One that knows neither option ends by itself where it got no connection in 2 s.
                    code=0
                    told=$(timeout 4 nc -w 2 "$1" "$port" 2>&1 </dev/null) || code=$?
                    case $code:$told in 124: | 143: | 137:) code=0 ;; esac
                    # What the other end said before it closed is no error: busybox then ends as if it had failed.
                    case $told in
                        '' | nc:* | *ailed* | *[Rr]efused* | *imed\ out* | *nreachable* | *'o route'* | *'sage:'* | *'rror'* | \
                            *'ermission'* | *'ermitted'* | *'nvalid'* | *'option'* | *'esolve'*) ;;
                        *) code=0 ;;
                    esac
                fi
                ;;
            curl)
                case $1 in *:*) url="telnet://[$1]:$port" ;; *) url="telnet://$1:$port" ;; esac
                told=$(timeout 4 curl -q -sv --noproxy '*' --connect-timeout 2 --max-time 2 "$url" 2>&1 </dev/null) || code=$?
                case $told in *'Connected to'* | *'Established connection'*) code=0 ;; esac
                ;;
            perl)
                # shellcheck disable=SC2016
                told=$(timeout 2 perl -MSocket=:all -e '
                    my ($e, $a) = Socket::getaddrinfo($ARGV[0], $ARGV[1],
                        {flags => Socket::AI_NUMERICHOST(), socktype => SOCK_STREAM});
                    $e and die "no address";
                    socket(my $s, $a->{family}, SOCK_STREAM, 0) or die "no socket";
                    connect($s, $a->{addr}) or die "$!\n"' "$1" "$port" 2>&1) || code=$?
                ;;
            python3)
                told=$(timeout 3 python3 -c '
import socket, sys
try:
    socket.create_connection((sys.argv[1], int(sys.argv[2])), 2)
except OSError as e:
    sys.exit(str(e))' "$1" "$port" 2>&1) || code=$?
                ;;
        esac
        if [ "$code" -eq 0 ]; then
            word=connected told=
            return
        fi
        weigh "$code" "$told"
        [ -z "$word" ] || return 0
    done
    tool='' told='' word=untried
}

# Whether the address $1 answers a ping; sets `code` (`none` where there is no ping) and `told`.
answers() {
    to=$1
    set -- ping
    case $to in
        *:*)
            set -- ping6
            command -v ping6 >/dev/null || set -- ping -6
            ;;
    esac
    told='' code=none
    command -v "$1" >/dev/null || return 0
    # A first packet may be lost while the neighbour's address is asked for.
    for _ in 1 2; do
        code=0
        told=$(timeout 4 "$@" -n -c 1 -W 2 "$to" 2>&1) || code=$?
        # Not each one knows -n.
        case $told in
            *'invalid option'* | *'nrecognized option'* | *'llegal option'*)
                code=0
                told=$(timeout 4 "$@" -c 1 -W 2 "$to" 2>&1) || code=$?
                ;;
        esac
        [ "$code" -ne 0 ] || return 0
    done
}

# All tries of one peer, as parts in the file $2.
try() {
    peer=$1 file=$2
    (
        answers "$peer"
        part ping "$code"
        printf '%s\n' "$told"
    ) >"$file.ping" &
    (
        connect "$peer"
        part tcp "$word" "$tool"
        printf '%s\n' "$told"
    ) >"$file.tcp" &
    code=0
    route=$(timeout 2 ip route get "$peer" 2>&1) || code=$?
    hop=$peer dev=''
    set -f
    # shellcheck disable=SC2086
    set -- $route
    while [ "$#" -gt 2 ]; do
        case $1 in
            via)
                hop=$2
                [ "$2" != inet6 ] || hop=$3
                ;;
            dev)
                dev=$2
                break
                ;;
        esac
        shift
    done
    wait
    {
        part peer "$peer"
        part route "$code"
        printf '%s\n' "$route"
        # Which routes of no way out are for it.
        if [ "$code" -ne 0 ]; then
            case $peer in *:*) set -- -6 ;; *) set -- -4 ;; esac
            part routes
            timeout 2 ip "$1" route show table all match "$peer" 2>/dev/null |
                grep -E '^(blackhole|unreachable|prohibit|throw) ' | head -n 4
        fi
        cat "$file.ping" "$file.tcp"
        part neighbour "$hop"
        # The same address may be asked for at other links.
        timeout 2 ip neigh show to "$hop" ${dev:+dev "$dev"} 2>/dev/null | head -n 4
    } >"$file"
}

part arch
uname -m
number=0
for peer; do
    number=$((number + 1))
    try "$peer" "$tries/$number" &
    # So many side by side; each takes some seconds at most.
    [ $((number % 16)) -ne 0 ] || wait
done
wait
while [ "$number" -gt 0 ]; do
    cat "$tries/$number" 2>/dev/null
    number=$((number - 1))
done

hex=$(printf %04X "$port")
for table in tcp tcp6; do
    if [ -r "/proc/net/$table" ]; then
        part listens "$table"
        grep -E "^ *[0-9]+: [0-9A-F]+:$hex [0-9A-F]+:0000 0A " "/proc/net/$table"
    fi
done
if [ -r /proc/net/unix ]; then
    part sockets
    grep -E '/bird6?\.ctl$' /proc/net/unix
fi

# What the rules are, as the tool $2 prints them, as a part of the kind $1.
rules() {
    kind=$1
    shift
    code=0
    # No more is written than is read, and its code is kept beside it.
    {
        timeout 10 "$@" 2>"$tries/said" </dev/null || code=$?
        echo "$code" >"$tries/code"
    } | case $kind in
        # Nothing is dropped in `nat`, which may have thousands of rules.
        ip*) sed '/^\*nat$/,/^COMMIT$/d' ;;
        *) cat ;;
    esac | head -c "$((most + 1))" >"$tries/rules"
    read -r code <"$tries/code" || code=1
    if [ "$(wc -c <"$tries/rules")" -gt "$most" ]; then
        part unread "$1 printed more than $most bytes"
        return
    fi
    if [ "$code" -ne 0 ]; then
        said=
        { read -r said <"$tries/said"; } 2>/dev/null
        part unread "$1 failed ($code)${said:+: $said}"
        return
    fi
    part rules "$kind" "$1"
    cat "$tries/rules"
}

if [ "$(id -u)" != 0 ]; then
    part unread 'only root sees the rules of the firewall'
else
    # Where the kernel has no nf_tables, there are no such rules, and asking for them would load it.
    tables=there
    if [ ! -r /proc/kallsyms ]; then
        tables=unknown
    elif ! grep -q '[[:space:]]nf_tables_' /proc/kallsyms; then
        tables=
    fi
    if [ -n "$tables" ] && command -v nft >/dev/null; then
        rules nft nft -a list ruleset
    elif [ "$tables" = there ]; then
        part unread 'there is no nft here to read the rules of nftables with'
    elif [ -n "$tables" ]; then
        part unread 'there is no nft here, and whether the kernel has rules of nftables is not known'
    fi
    for ip in ip ip6; do
        names=/proc/net/${ip}_tables_names
        usual=$(command -v "${ip}tables-save")
        modern=$(command -v "${ip}tables-nft-save")
        legacy=$(command -v "${ip}tables-legacy-save")
        [ -z "$modern" ] || [ -z "$tables" ] || rules "$ip" "${ip}tables-nft-save" -c
        # Both are one program by two names as a rule.
        [ -z "$usual" ] || [ "$usual" -ef "$modern" ] || [ "$usual" -ef "$legacy" ] ||
            rules "$ip" "${ip}tables-save" -c
        # Only where there are such tables: nothing is loaded into the kernel by looking.
        if [ -r "$names" ] && read -r _ <"$names"; then
            if [ -n "$legacy" ]; then
                rules "$ip" "${ip}tables-legacy-save" -c
            else
                part legacy "$ip"
            fi
        fi
    done
fi
rm -rf "$tries"
say read
