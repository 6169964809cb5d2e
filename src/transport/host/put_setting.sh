# Arguments: kind of the setting, its place, state before, state after, key of the effect, who does it,
# seconds to wait for the lock. Looks, compares, puts and looks again under the lock, so that nothing is
# put over what was not expected.
kind=$1 place=$2 before=$3 after=$4
take_lock "$7" || or_busy
begin_effect "$5" "$6"
look_setting "$kind" "$place"
[ "$is" != "$after" ] || say already
[ "$after/$is" != loaded/in_use ] || say already
[ "$is" = "$before" ] || say drift "$is"
said=$(turn "$kind" "$place" "$before" "$after" 2>&1)
code=$?
# What starts and ends again at once does not run.
[ "$kind/$after" != unit/running ] || sleep 3
# Where it cannot be looked at any more, nobody may say that nothing was changed.
rm -f -- "$frame/is"
(
    look_setting "$kind" "$place"
    printf '%s\n' "$is" >"$frame/is"
) >"$frame/again"
[ -e "$frame/is" ] || say unverified "other not known" ";" "$said" "$(tail -n 1 "$frame/again" | cut -d ' ' -f 2-)"
read -r is <"$frame/is"
# What waited for a module may use it at once.
[ "$after/$is" != loaded/in_use ] || say written
[ "$is" != "$after" ] || say written
# Whoever was ended in the middle may have asked for it already.
[ "$code" != 124 ] || say unverified "$is" ";" "$said"
[ "$is" != "$before" ] || say failed "${said:-it stayed as it was}"
say unverified "$is" ";" "$said"
