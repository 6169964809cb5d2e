# Arguments: kind of the setting, its place.
look_setting "$1" "$2"
say "is $is"
