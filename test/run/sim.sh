#!/bin/sh
# Run the simulator: sim.sh PROGRAM SEED STEPS SECONDS, where empty means "the program's choice".

set -u
. "$(dirname "$0")/counts.sh"

start_counting
if [ -n "$1" ]; then
    # The simulator stops by itself; a turn that never ends must not hold up the tests forever.
    limit=$((${4:-0} + 120))
    if [ -n "$3" ]; then limit=0; fi
    if timeout "$limit" env ${2:+SEED="$2"} ${3:+STEPS="$3"} ${4:+SECONDS="$4"} "$1"; then
        add_counts 1 0 0
    else
        echo "FAILED: $1 (exit code $?)"
        add_counts 0 1 0
    fi
fi
finish_counting sim
