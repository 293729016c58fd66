#!/bin/sh
# Fuzzers, all that were built in a directory.
#
#   fuzz.sh smoke DIR SECONDS   the seconds are shared among the fuzzers; new inputs stay in DIR
#   fuzz.sh keep DIR            new inputs that reach new code go to test/fuzz/corpus
#
# An input that breaks something is left in DIR/broken/NAME-*; run DIR/fuzz_NAME FILE to see it again.

set -u
. "$(dirname "$0")/counts.sh"

dir=$2
seconds=${3:-10}
fuzzers=$(find "$dir" -maxdepth 1 -name 'fuzz_*' -type f -perm -100 | sort)
number=$(echo "$fuzzers" | grep -c .)

smoke_one() {
    name=$(basename "$1")
    name=${name#fuzz_}
    found=$dir/found/$name
    kept=test/fuzz/corpus/$name
    mkdir -p "$found" "$dir/broken"
    set -- "$1" -max_total_time="$each" -timeout=10 -rss_limit_mb=1024 -print_final_stats=1 -verbosity=0 \
        -artifact_prefix="$dir/broken/$name-" "$found"
    if [ -d "$kept" ]; then set -- "$@" "$kept"; fi
    if timeout $((each + 60)) "$@" >"$dir/$name.log" 2>&1; then
        runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$dir/$name.log")
        echo "  $name: ${runs:-?} inputs in $each s"
        add_counts 1 0 0
    else
        tail -n 60 "$dir/$name.log"
        echo "FAILED: fuzz_$name"
        add_counts 0 1 0
    fi
}

keep_one() {
    name=$(basename "$1")
    name=${name#fuzz_}
    mkdir -p "test/fuzz/corpus/$name" "$dir/found/$name"
    "$1" -merge=1 "test/fuzz/corpus/$name" "$dir/found/$name"
}

case $1 in
smoke)
    start_counting
    each=$((number > 0 ? (seconds + number - 1) / number : 0))
    for fuzzer in $fuzzers; do smoke_one "$fuzzer"; done
    finish_counting fuzz
    ;;
keep)
    for fuzzer in $fuzzers; do keep_one "$fuzzer" || exit 1; done
    ;;
esac
