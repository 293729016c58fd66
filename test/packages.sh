#!/bin/sh
# The packages that building and testing need, in one place; installs those that are missing.
#
#   test/packages.sh build     what `make run` needs
#   test/packages.sh test      that, and what `make test` needs
#   test/packages.sh list      every package, for whoever prepares a machine beforehand
#
# A line of the table is a thing to look for and the Debian package that has it. The thing is looked for
# first, so that a compiler, a Python or a node from elsewhere is left alone, and a machine that
# has everything needs no root. Python is always the distribution's own: another one on the PATH
# would not have the modules.

set -u

CC=${CC:-gcc}
PYTHON=/usr/bin/python3
self=$0

build_table() {
    cat <<TABLE
command:make                make
command:$CC                 gcc
header:stdio.h              libc6-dev
header:xxhash.h             libxxhash-dev
header:uuid/uuid.h          uuid-dev
header:cjson/cJSON.h        libcjson-dev
header:tcpd.h               libwrap0-dev
header:openssl/ssl.h        libssl-dev
header:argon2.h             libargon2-dev
header:ares.h               libc-ares-dev
TABLE
}

test_table() {
    cat <<TABLE
clang14:clang               clang-14
clang14:clang-format        clang-format-14
clang14:clang-tidy          clang-tidy-14
fuzzer:runtime              libclang-rt-14-dev
cmocka:cmocka.h             libcmocka-dev
header:MQTTClient.h         libpaho-mqtt-dev
header:mosquitto.h          libmosquitto-dev
command:abidiff             abigail-tools
command:pkg-config          pkgconf
command:g++                 g++
python:pytest               python3-pytest
python:xdist                python3-pytest-xdist
python:paho.mqtt.client     python3-paho-mqtt
python:hypothesis           python3-hypothesis
file:/usr/sbin/mosquitto    mosquitto
command:mosquitto_sub       mosquitto-clients
command:tshark              tshark
command:mandoc              mandoc
command:pgrep               procps
command:strace              strace
command:openssl             openssl
command:ip                  iproute2
file:/usr/sbin/dnsmasq      dnsmasq-base
command:nft                 nftables
file:/usr/sbin/haproxy      haproxy
file:/usr/sbin/nats-server  nats-server
command:epmd                erlang-base
file:/usr/lib/rabbitmq/bin/rabbitmq-server rabbitmq-server
command:faketime            faketime
command:valgrind            valgrind
command:systemd-analyze     systemd
TABLE
}

# ---- Is it there? ---------------------------------------------------------------------------

compiler() {
    if command -v "$CC" >/dev/null 2>&1; then echo "$CC"; else echo cc; fi
}

has_header() {
    printf '%s#include <%s>\n' "${2:-}" "$1" | $(compiler) -fsyntax-only -xc - >/dev/null 2>&1
}

cmocka_first='#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
'

has_clang14() {
    command -v "$1-14" >/dev/null 2>&1 || "$1" --version 2>/dev/null | grep -q 'version 14\.'
}

has_fuzzer() {
    clang=$(command -v clang-14 || echo clang)
    dir=$(mktemp -d) || return 1
    echo 'int LLVMFuzzerTestOneInput(const char *p, long n) { return !p && n; }' >"$dir/f.c"
    "$clang" -fsanitize=fuzzer,address,undefined -o "$dir/f" "$dir/f.c" >/dev/null 2>&1
    found=$?
    rm -rf "$dir"
    return $found
}

is_there() {
    what=${1#*:}
    case $1 in
    command:*) command -v "$what" >/dev/null 2>&1 ;;
    file:*) test -x "$what" ;;
    header:*) has_header "$what" ;;
    cmocka:*) has_header "$what" "$cmocka_first" ;;
    clang14:*) has_clang14 "$what" ;;
    fuzzer:*) has_fuzzer ;;
    python:*) "$PYTHON" -c "import $what" >/dev/null 2>&1 ;;
    *) echo "$self: cannot look for $1" >&2 && exit 2 ;;
    esac
}

missing_from() {
    while read -r thing package; do
        is_there "$thing" </dev/null || printf '%s ' "$package"
    done
}

# ---- Installing -----------------------------------------------------------------------------

# Debian starts a service as soon as its package is installed. A broker started that way would hold
# port 1883, so the script that invoke-rc.d asks for permission says no for as long as we install.
policy=/usr/sbin/policy-rc.d
aside=$policy.before-test-packages

forbid_services() {
    if [ -e "$policy" ]; then mv "$policy" "$aside"; fi
    trap restore_policy EXIT
    trap 'exit 1' HUP INT TERM
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
}

restore_policy() {
    rm -f "$policy"
    if [ -e "$aside" ]; then mv "$aside" "$policy"; fi
}

# Nor should a peer that was installed for tests come up with the next boot.
disable_peers() {
    for peer in mosquitto haproxy nats-server rabbitmq-server erlang-base; do
        case " $* " in
        *" $peer "*)
            if command -v systemctl >/dev/null 2>&1; then
                # shellcheck disable=SC2046
                systemctl --quiet disable $(units_of "$peer") >/dev/null 2>&1 || true
            elif command -v update-rc.d >/dev/null 2>&1; then
                update-rc.d "$peer" disable >/dev/null 2>&1 || true
            fi
            ;;
        esac
    done
}

# What systemd starts for a package. Erlang's directory of nodes would listen on every address.
units_of() {
    case $1 in
    erlang-base) echo epmd.socket epmd.service ;;
    *) echo "$1.service" ;;
    esac
}

install_as_root() {
    export DEBIAN_FRONTEND=noninteractive
    forbid_services
    log=$(mktemp)
    if ! { apt-get update && apt-get install -y --no-install-recommends "$@"; } >"$log" 2>&1; then
        tail -n 20 "$log" >&2
        rm -f "$log"
        echo "$self: apt-get could not install: $*" >&2
        exit 1
    fi
    rm -f "$log"
    disable_peers "$@"
}

install_missing() {
    if ! command -v apt-get >/dev/null 2>&1; then
        echo "Missing, by their Debian names: $*" >&2
        echo "There is no apt-get here; please install what this system calls them." >&2
        exit 1
    fi
    if [ "$(id -u)" = 0 ]; then
        install_as_root "$@"
    elif command -v sudo >/dev/null 2>&1 && { sudo -n true 2>/dev/null || [ -t 0 ]; }; then
        sudo CC="$CC" sh "$self" as-root "$@" || exit 1
    else
        echo "Missing packages: $*" >&2
        echo "Please run as root:  $self as-root $*" >&2
        exit 1
    fi
}

ensure() {
    missing=$(missing_from)
    if [ -z "$missing" ]; then return; fi
    echo "Installing: $missing"
    # shellcheck disable=SC2086
    install_missing $missing
    still=$("${1}_table" | missing_from)
    if [ -n "$still" ]; then
        echo "$self: installed, but what they should bring is not found: $still" >&2
        exit 1
    fi
}

case ${1:-} in
build)
    build_table | ensure build
    ;;
test)
    build_table | ensure build && test_table | ensure test || exit 1
    if ! { command -v node && command -v npm; } >/dev/null 2>&1; then
        echo "No node and npm here: the tests with MQTT.js will be skipped."
    fi
    ;;
list)
    { build_table && test_table; } | awk '{ print $2 }'
    ;;
as-root)
    shift
    install_as_root "$@"
    ;;
*)
    echo "usage: $self build | test | list" >&2
    exit 2
    ;;
esac
