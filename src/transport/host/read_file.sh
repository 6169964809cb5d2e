# Arguments: path, the most bytes that are printed, user, group, and the most bytes that are looked
# through. Only reads, and takes no lock. Says
# the numbers of the user and the group that are asked for, and what this host's `cp` keeps.
path=$1 most=$2 user=$3 group=$4
need cat chmod chown cp flock head id mkdir mv rm sha256sum sleep stat sync timeout touch
or_denied "$path"
[ -d "${path%/*}/" ] || say folder "${path%/*}"
self=$(id -u)
only_own "$path" "$self"

# The number of a group, by its name.
number_of() {
    getent group "$1" 2>/dev/null || grep -- "^$1:" /etc/group
}
case $user in
    *[!0-9]*) user=$(id -u -- "$user" 2>/dev/null) || say nobody "user $3" ;;
esac
case $group in
    *[!0-9]*)
        found=$(number_of "$group") || say nobody "group $4"
        found=${found#*:*:}
        group=${found%%:*}
        ;;
esac
attributes=lost
! keeps_attributes || attributes=kept
own_group=0
[ "$self" = 0 ] || own_group=$(id -g)
printf '\n%s who %s,%s,%s,%s,%s\n' "$mark" "$self" "$own_group" "$user" "$group" "$attributes"

now=$(look "$path" "$5")
# shellcheck disable=SC2086
set -- $now
[ "$1" != long ] || say "$now"
[ "$1" != file ] || not_immutable "$path"
if [ "$1" = file ] && [ "$5" -le "$most" ]; then
    printf '\n%s %s\n' "$mark" "is $now"
    cat -- "$path"
else
    say "is $now"
fi
