#!/bin/sh
# Black-box tests: pytest.sh "DIRECTORIES" ARGUMENTS..., with the distribution's Python.
#
# The programs under test are named by MOSQUITTO_BIN and BENCH_BIN. What Python leaves behind goes to BUILD.

set -u
. "$(dirname "$0")/counts.sh"

tests=$1
shift
report=$BUILD/results/pytest.xml

# attribute NAME: its value in the report's testsuite
attribute() {
    sed -n "s/.*<testsuite [^>]*\b$1=\"\([0-9]*\)\".*/\1/p" "$report" 2>/dev/null | head -n 1
}

count_report() {
    total=$(attribute tests)
    bad=$(($(attribute failures) + $(attribute errors)))
    skips=$(attribute skipped)
    add_counts $((total - bad - skips)) "$bad" "$skips"
    # A run that was interrupted has few failures in its report, but it is one.
    if [ "$1" != 0 ] && [ "$bad" = 0 ]; then add_counts 0 1 0; fi
}

start_counting
rm -f "$report"
# shellcheck disable=SC2086
if [ -n "$tests" ] && find ${tests%%::*} -name 'test_*.py' | grep -q .; then
    PYTHONPYCACHEPREFIX=$(realpath "$BUILD")/pycache timeout "${PYTEST_LIMIT:-600}" \
        "$PYTHON" -m pytest -rs -o cache_dir="$(realpath "$BUILD")/pytest_cache" \
        --junitxml="$report" "$@" $tests
    code=$?
    if [ -s "$report" ]; then
        count_report $code
    else
        echo "FAILED: pytest ended with $code and left no report"
        add_counts 0 1 0
    fi
fi
finish_counting pytest
