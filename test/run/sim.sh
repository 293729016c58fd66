#!/bin/sh
# Run the simulators: sim.sh PROGRAMS SEED STEPS SECONDS, where empty means "the program's choice".
# The first has two thirds of the time.

set -u
. "$(dirname "$0")/counts.sh"

# The simulator stops by itself; a turn that never ends must not hold up the tests forever.
run_one() {
    limit=$((${4:-0} + 120))
    if [ -n "$3" ]; then limit=0; fi
    if timeout "$limit" env ${2:+SEED="$2"} ${3:+STEPS="$3"} ${4:+SECONDS="$4"} "$1"; then
        add_counts 1 0 0
    else
        echo "FAILED: $1 (exit code $?)"
        add_counts 0 1 0
    fi
}

start_counting
seconds=$4
others=$(($(echo "$1" | wc -w) - 1))
if [ -n "$seconds" ] && [ "$others" -gt 0 ]; then seconds=$((seconds * 2 / 3)); fi
for program in $1; do
    run_one "$program" "$2" "$3" "$seconds"
    if [ "$others" -gt 0 ] && [ -n "$4" ]; then seconds=$((($4 + 2) / 3 / others)); fi
done
finish_counting sim
