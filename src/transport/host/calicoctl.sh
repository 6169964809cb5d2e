# Calico's own datastore, by calicoctl.

# Sets calicoctl up for the etcd with the endpoints $1. A configuration file of its own replaces the whole
# environment (calicoctl v3.31); without one, the certificates are those that Calico's install-cni puts on
# each host. `stores` is what it is set up for then: etcdv3, kubernetes, or nothing that can be told.
calicoctl_for() {
    stores=
    if [ -e /etc/calico/calicoctl.cfg ]; then
        stores=$(sed -n 's/^.*datastoreType"\{0,1\}: *"\{0,1\}\([A-Za-z0-9]*\).*$/\1/p' /etc/calico/calicoctl.cfg | head -n 1)
        if [ -z "$stores" ]; then
            ! grep -q etcdEndpoints /etc/calico/calicoctl.cfg || stores=etcdv3
        fi
        return 0
    fi
    [ -n "$1" ] || return 0
    stores=etcdv3
    export DATASTORE_TYPE=etcdv3 ETCD_ENDPOINTS="$1"
    tls=/etc/cni/net.d/calico-tls
    [ ! -e $tls/etcd-ca ] || export ETCD_CA_CERT_FILE=$tls/etcd-ca
    [ ! -e $tls/etcd-cert ] || export ETCD_CERT_FILE=$tls/etcd-cert
    [ ! -e $tls/etcd-key ] || export ETCD_KEY_FILE=$tls/etcd-key
}

# Where calicoctl works on another store than etcd, what it says is not about this cluster.
etcd_by_calicoctl() {
    command -v calicoctl >/dev/null || say tools calicoctl
    calicoctl_for "$1"
    [ "$stores" = etcdv3 ] || say failed \
        "calicoctl is not set up for Calico's etcd here: /etc/calico/calicoctl.cfg says ${stores:-nothing of a datastore}"
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
    if ! calico_node=$(timeout 30 calicoctl get node "$2" -o yaml 2>"$frame/said"); then
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
# is no longer so, etcd refuses.
put_calico_node() {
    printf '%s\n' "$calico_node" | calico_field "\$0 = \"    \" field \" $1\"" '{ print }' >"$frame/node.yaml"
    timeout 30 calicoctl replace -f "$frame/node.yaml" >"$frame/said" 2>&1 && return
    calicoctl_said
    return 1
}

# The value of the key $1 in calicoctl's configuration file, or of the variable $2 where there is none.
etcd_file() {
    if [ -e /etc/calico/calicoctl.cfg ]; then
        sed -n "s/^.*$1\"\\{0,1\\}: *\"\\{0,1\\}\\([^\", ]*\\).*\$/\\1/p" /etc/calico/calicoctl.cfg | head -n 1
    else
        echo "$2"
    fi
}

# What the endpoint $1 of etcd says of itself, asked with calicoctl's own certificates.
endpoint_health() {
    if ! command -v curl >/dev/null; then
        echo 'not asked: there is no curl'
        return
    fi
    ca=$(etcd_file etcdCACertFile "${ETCD_CA_CERT_FILE-}")
    cert=$(etcd_file etcdCertFile "${ETCD_CERT_FILE-}")
    key=$(etcd_file etcdKeyFile "${ETCD_KEY_FILE-}")
    answer=$(curl -sS -m 3 ${ca:+--cacert "$ca"} ${cert:+--cert "$cert"} ${key:+--key "$key"} "$1/health" 2>&1 | head -c 300)
    echo ${answer:-no answer}
}

# Begins a part of an answer.
part() {
    printf '\n%s %s\n' "$mark" "$*"
}
