# Calico's own datastore, by calicoctl.

# The value of the key $1 in calicoctl's configuration file, which is YAML or JSON; comments are none of it.
calicoctl_config() {
    sed -e 's/^#.*$//' -e 's/[[:space:]]#.*$//' /etc/calico/calicoctl.cfg |
        sed -n "s/^\(.*[[:space:]{,\"']\)\{0,1\}$1[\"']\{0,1\}[[:space:]]*:[[:space:]]*[\"']\{0,1\}\([^\"'}[:space:]]*\).*\$/\2/p" |
        head -n 1
}

# Sets calicoctl up for the etcd with the endpoints $1. A configuration file of its own replaces the whole
# environment (calicoctl v3.31); without one, the certificates are those that Calico's install-cni puts on
# each host. `stores` is what it is set up for then: etcdv3, kubernetes, or nothing that can be told.
calicoctl_for() {
    stores='' endpoints=$1
    if [ -e /etc/calico/calicoctl.cfg ]; then
        endpoints=$(calicoctl_config etcdEndpoints)
        stores=$(calicoctl_config datastoreType)
        [ -n "$stores" ] || [ -z "$endpoints" ] || stores=etcdv3
        ca=$(calicoctl_config etcdCACertFile) cert=$(calicoctl_config etcdCertFile) key=$(calicoctl_config etcdKeyFile)
        return 0
    fi
    [ -n "$1" ] || return 0
    stores=etcdv3 ca='' cert='' key=''
    export DATASTORE_TYPE=etcdv3 ETCD_ENDPOINTS="$1"
    tls=/etc/cni/net.d/calico-tls
    [ ! -e $tls/etcd-ca ] || export ETCD_CA_CERT_FILE="${ca:=$tls/etcd-ca}"
    [ ! -e $tls/etcd-cert ] || export ETCD_CERT_FILE="${cert:=$tls/etcd-cert}"
    [ ! -e $tls/etcd-key ] || export ETCD_KEY_FILE="${key:=$tls/etcd-key}"
}

# Whether two lists with commas between have an item in common, or the second names this host itself.
one_of() {
    case ,$2, in *//127.* | *//localhost[:/,]* | *//\[::1\]*) return 0 ;; esac
    for item in $(printf '%s\n' "$1" | sed 's/,/ /g'); do
        case ,$2, in *",${item%/},"* | *",${item%/}/,"*) return 0 ;; esac
    done
    return 1
}

# Where calicoctl works on another store than calico-node, what it says is not about this cluster.
etcd_by_calicoctl() {
    command -v calicoctl >/dev/null || say tools calicoctl
    calicoctl_for "$1"
    [ "$stores" = etcdv3 ] || say failed \
        "calicoctl is not set up for Calico's etcd here: /etc/calico/calicoctl.cfg says ${stores:-nothing of a datastore}"
    [ -z "$1" ] || one_of "$1" "$endpoints" || say failed \
        "calicoctl is set up for another etcd here ($endpoints) than calico-node ($1)"
}

# What calicoctl said, in one line; its own log lines are none of it.
calicoctl_said() {
    said=$(grep -v 'level=\|\[INFO\]\|\[WARNING\]' "$frame/said" | head -c 600)
    echo ${said:-it says nothing}
}

# How the field of the node stands that $1 names: field, node, endpoints of etcd. Keeps the whole node in
# `calico_node`, whose resourceVersion a change rests on.
look_calico_node() {
    set -f
    # shellcheck disable=SC2086
    set -- $1
    field=$1
    need awk grep head sed timeout
    etcd_by_calicoctl "${3-}"
    if ! calico_node=$(timeout 15 calicoctl get node "$2" -o yaml 2>"$frame/said"); then
        case $(cat "$frame/said") in
            *'does not exist'*) say failed "there is no node $2 in Calico's datastore" ;;
        esac
        say failed "calicoctl: $(calicoctl_said)"
    fi
    value=$(printf '%s\n' "$calico_node" | calico_field '{ print $2 }')
    case $value in
        *"$newline"*) say failed "calicoctl prints more than one $field of the node $2" ;;
        '') is=absent ;;
        *) is="is $value" ;;
    esac
}

# Runs an action of awk on the line of `field` in the `spec.bgp` of what is read.
calico_field() {
    awk -v field="$field:" "
        /^[^ ]/ { top = \$1 }
        /^  [^ ]/ { part = \$1 }
        top == \"spec:\" && part == \"bgp:\" && /^    [^ ]/ && \$1 == field { gsub(/[\"']/, \"\", \$2); $1 }
        $2"
}

# Puts the value $1 into the field that was looked at. All else of the node stays as it was read, and where it
# is no longer so, etcd refuses. The value is never part of a program.
put_calico_node() {
    printf '%s\n' "$calico_node" |
        value=$1 calico_field '$0 = "    " field " \"" ENVIRON["value"] "\""' '{ print }' >"$frame/node.yaml"
    code=0
    timeout 15 calicoctl replace -f "$frame/node.yaml" >"$frame/said" 2>&1 || code=$?
    [ "$code" = 0 ] || calicoctl_said
    return "$code"
}

# What the endpoint $1 of etcd says of itself, asked with calicoctl's own certificates.
endpoint_health() {
    if ! command -v curl >/dev/null; then
        echo 'not asked: there is no curl'
        return
    fi
    answer=$(curl -sS -m 3 ${ca:+--cacert "$ca"} ${cert:+--cert "$cert"} ${key:+--key "$key"} "$1/health" 2>&1 | head -c 300)
    echo ${answer:-no answer}
}

# Begins a part of an answer.
part() {
    printf '\n%s %s\n' "$mark" "$*"
}
