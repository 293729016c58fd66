#!/bin/sh
# All checks that look at the sources instead of running them. The arguments are the objects of the broker.

set -u
here=$(dirname "$0")
. "$here/../run/counts.sh"

# check NAME COMMAND...: one line when it is well, everything it said when not
check() {
    name=$1
    shift
    if out=$("$@" 2>&1); then
        echo "  ok      $name"
        add_counts 1 0 0
    else
        printf '%s\n' "$out"
        echo "  FAILED  $name"
        add_counts 0 1 0
    fi
}

formatted() {
    find lib src include test -name '*.[ch]' 2>/dev/null | sort | xargs -r "$CLANG_FORMAT" --dry-run -Werror
}

# One target of the Makefile with a rule for each file, so that files that did not change are not looked at again.
each_file() {
    # shellcheck disable=SC2086
    $MAKE -k $JOBS "$1"
}

manuals() {
    find man -name '*.[1-8]' 2>/dev/null | sort | xargs -r mandoc -Tlint -W warning
}

start_counting
check 'layers: who may include whom, no circles' "$PYTHON" -B "$here/layers.py"
check 'src/README.md names every file' "$PYTHON" -B "$here/house.py"
check 'text: guards, #if, words that promise work' "$PYTHON" -B "$here/text.py"
check 'headers stand alone' each_file lint-headers
check 'manual pages' manuals
check 'format' formatted
check 'symbols: what a room may call' "$PYTHON" -B "$here/symbols.py" calls "$BUILD/obj" "$@"
check 'symbols: no mutable globals' "$PYTHON" -B "$here/symbols.py" globals "$BUILD/obj" "$@"
check 'clang-tidy' each_file lint-tidy
finish_counting lint
