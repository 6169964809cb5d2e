# Argument: endpoints of Calico's etcd. Reads its nodes and how they peer by calicoctl, and takes no lock.
need cat grep head sed timeout
etcd_by_calicoctl "$1"
for kind in nodes bgppeers bgpconfigurations; do
    timeout 15 calicoctl get $kind -o json >"$frame/$kind" 2>"$frame/$kind.said" || echo $? >"$frame/$kind.code" &
done
wait
for kind in nodes bgppeers bgpconfigurations; do
    if [ -e "$frame/$kind.code" ]; then
        cat "$frame/$kind.said" "$frame/$kind" >"$frame/said"
        # Of several endpoints one may be ill: each says itself how it is.
        part said
        calicoctl_said
        for endpoint in $(printf '%s\n' "$endpoints" | sed 's/,/ /g'); do
            part endpoint "$endpoint"
            endpoint_health "$endpoint"
        done
        say unread
    fi
done
for kind in nodes bgppeers bgpconfigurations; do
    part $kind
    cat "$frame/$kind"
done
say read
