# Arguments: mark, machine-id, path, the most bytes that are printed. Only reads, and takes no lock.
mark=$1 machine=$2 path=$3 most=$4
echo begun
same_machine "$machine"
missing=
for tool in cat chmod chown cp flock mkdir mv rm sha256sum sleep stat sync timeout; do
    command -v "$tool" >/dev/null || missing="$missing $tool"
done
[ -z "$missing" ] || say tools "$missing"
[ -d "${path%/*}/" ] || say folder "${path%/*}"
only_roots "$path"
now=$(look "$path")
# shellcheck disable=SC2086
set -- $now
[ "$1" != file ] || not_immutable "$path"
if [ "$1" = file ] && [ "$5" -le "$most" ]; then
    printf '\n%s %s\n' "$mark" "is $now"
    cat -- "$path"
else
    say "is $now"
fi
