#!/bin/sh
# Lines that the tests reached, file by file, from the counts in the directory of a coverage build.

set -u

find "$1/obj/lib" "$1/obj/src" -name '*.gcno' | sort | while read -r data; do
    gcov -n -o "$(dirname "$data")" "$data" 2>/dev/null
done | awk -F"'" '
    /^File/ { file = $2 }
    /^Lines executed/ && file ~ /^(lib|src)\/.*\.c$/ {
        split($0, part, /[:% ]+/)
        share = part[3]; lines = part[5]
        if (lines > most[file]) { most[file] = lines; reached[file] = share * lines / 100 }
        file = ""
    }
    END {
        for (f in most) {
            printf "%6.1f %%  %5d lines  %s\n", 100 * reached[f] / most[f], most[f], f | "sort -n"
            all += most[f]; hit += reached[f]
        }
        close("sort -n")
        if (all) printf "%6.1f %%  %5d lines  in all\n", 100 * hit / all, all
    }'
