#!/bin/sh
# Build the programs and run the unit tests with each feature switch off by itself, then with the switches of
# the build on, and once with clang. The arguments are the names of the feature switches.

set -u

bad=

try() {
    dir=$1
    shift
    printf '\n== %s\n' "$*"
    # shellcheck disable=SC2086
    $MAKE $JOBS BUILD="$BUILD/$dir" WERROR=yes "$@" all unit || bad="$bad $*"
}

for switch; do try "no_$switch" "WITH_$switch=no"; done
try lto WITH_LTO=yes
try clang CC="$CLANG"

echo
if [ -n "$bad" ]; then
    echo "Failed:$bad"
    exit 1
fi
echo "Every switch builds and passes."
