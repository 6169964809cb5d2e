# Says who has this host. Only reads.
held=
{ read -r held by rest <"$lasting/claim"; } 2>/dev/null
[ -n "$held" ] || say free
say held "$by" "$held" "$rest"
