# Argument: a bridge. Says which of docker's networks is on it, with its containers; takes no lock. Docker
# names the bridge of a network by the first 12 digits of its id (docker 28).
need head timeout
command -v docker >/dev/null || say silent 'there is no docker program'
case $1 in
    br-*) id=${1#br-} ;;
    *) id=bridge ;;
esac
form='{{.Name}}{{range .Containers}} {{.Name}}{{end}}'
if network=$(timeout 5 docker network inspect --format "$form" "$id" 2>"$frame/said"); then
    say is "$network"
fi
said=$(head -c 300 "$frame/said")
case $said in
    *'No such network'* | *'not found'*) say unknown ;;
esac
say silent "${said:-it does not answer}"
