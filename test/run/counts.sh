# shellcheck shell=sh disable=SC2034
# Counting, for the scripts beside this one, which source it.
#
# A part of the tests says how it went in a file of one line, "PASSED FAILED SKIPPED", named by
# RESULT. A part that dies before it wrote the line has failed: the file is removed first.

start_counting() {
    passed=0
    failed=0
    skipped=0
    if [ -n "${RESULT:-}" ]; then
        mkdir -p "$(dirname "$RESULT")"
        rm -f "$RESULT"
    fi
}

add_counts() {
    passed=$((passed + $1))
    failed=$((failed + $2))
    skipped=$((skipped + $3))
}

# Says the sum, keeps it, and is false when something failed.
finish_counting() {
    echo "$1: $passed passed, $failed failed, $skipped skipped"
    if [ -n "${RESULT:-}" ]; then echo "$passed $failed $skipped" >"$RESULT"; fi
    [ "$failed" = 0 ]
}
