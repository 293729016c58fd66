#!/bin/sh
# Run the unit test programs given as arguments, a few at a time; show the output of those that fail.

set -u
. "$(dirname "$0")/counts.sh"

LIMIT=${UNIT_LIMIT:-120} # seconds for one program

# Run one program and leave its output and exit code beside it.
if [ "${1:-}" = --one ]; then
    timeout "$LIMIT" "$2" >"$2.log" 2>&1
    echo $? >"$2.code"
    exit 0
fi

# "[  PASSED  ] 12 test(s)." → 12
count_of() {
    sed -n "s/^\[  $1 *\] \([0-9][0-9]*\) test.*/\1/p" "$2" | awk '{ n += $1 } END { print n + 0 }'
}

report() {
    log=$1.log
    code=$(cat "$1.code" 2>/dev/null || echo 125)
    p=$(count_of PASSED "$log")
    f=$(count_of FAILED "$log")
    s=$(count_of SKIPPED "$log")
    # A crash, a leak found at exit or a timeout is a failure that cmocka could not count. A program
    # that runs no test at all proves nothing either.
    if [ "$code" != 0 ] && [ "$f" = 0 ]; then f=1; fi
    if [ "$((p + f + s))" = 0 ]; then f=1; fi
    if [ "$f" != 0 ]; then
        cat "$log"
        echo "FAILED: $1 (exit code $code)"
    fi
    add_counts "$p" "$f" "$s"
}

start_counting
if [ $# -gt 0 ]; then
    for program; do rm -f "$program.code"; done
    printf '%s\n' "$@" | xargs -P "$(nproc)" -n 1 "$0" --one
    for program; do report "$program"; done
fi
finish_counting unit
