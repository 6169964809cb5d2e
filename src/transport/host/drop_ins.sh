# Arguments: folders, the one that hides others first. Gives the files in them that end in .conf.
for folder; do
    [ -d "$folder" ] || continue
    [ -r "$folder" ] && [ -x "$folder" ] || say denied "$folder"
    # Where two names are one folder, it is read once.
    real=$(cd -P -- "$folder" 2>/dev/null && pwd -P) || continue
    case "$seen" in
        *"|$real|"*) continue ;;
    esac
    seen="$seen|$real|"
    for file in "$folder"/*.conf; do
        [ -e "$file" ] || continue
        [ -r "$file" ] || say denied "$file"
        printf '\n%s file %s\n' "$mark" "$file"
        # A link to /dev/null hides what it names.
        [ ! -f "$file" ] || head -c 1048576 -- "$file"
    done
done
say read
