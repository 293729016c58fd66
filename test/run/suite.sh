#!/bin/sh
# All parts of the tests in order, or those that are named. A part that fails does not stop the others, but
# fails the whole. The last line, "N passed, N failed, N skipped", is read by machines.

set -u
. "$(dirname "$0")/counts.sh"

failed_parts=

# part NAME BUILD-DIRECTORY ARGUMENTS...: run one target of the Makefile and add its counts
part() {
    name=$1
    RESULT=$2/results/$1
    shift 2
    label="$name${*:+ ($*)}"
    printf '\n== %s\n' "$label"
    rm -f "$RESULT"
    began=$(date +%s)
    # shellcheck disable=SC2086
    if ! $MAKE $JOBS WERROR=yes "$@" "$name"; then failed_parts="$failed_parts, $label"; fi
    if [ -s "$RESULT" ]; then
        read -r p f s <"$RESULT"
        add_counts "$p" "$f" "$s"
    else
        echo "FAILED: $label could not be run"
        add_counts 0 1 0
    fi
    echo "   $(($(date +%s) - began)) s"
}

asan_parts() {
    for name in unit sim pytest; do
        part "$name" "$BUILD/asan" BUILD="$BUILD/asan" SAN=address,undefined CFLAGS='-O1 -g'
    done
}

start_counting
if [ $# = 0 ]; then set -- unit sim fuzz pytest lint asan; fi
for wanted; do
    case $wanted in
    asan) asan_parts ;;
    *) part "$wanted" "$BUILD" ;;
    esac
done

echo
if [ -n "$failed_parts" ]; then echo "Failed:${failed_parts#,}"; fi
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ] && [ -z "$failed_parts" ]
