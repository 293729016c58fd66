#!/bin/sh
# Figures of the broker in the directory given, and beside them those of the distribution's mosquitto when it
# is there. Pinned to two processors if there are two: the broker has one, the load the other.

set -u
build=$1
seconds=${BENCH_SECONDS:-2}
work=$(mktemp -d)
broker=

stop_broker() {
    if [ -n "$broker" ]; then
        kill "$broker" 2>/dev/null
        wait "$broker" 2>/dev/null
    fi
    broker=
}
trap 'stop_broker; rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

on_cpu() {
    cpu=$1
    shift
    if [ "$(nproc)" -gt 1 ]; then exec taskset -c "$cpu" "$@"; fi
    exec "$@"
}

free_port() {
    "$PYTHON" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

wait_for_port() {
    for _ in $(seq 50); do
        "$PYTHON" -c "import socket; socket.create_connection(('127.0.0.1', $port)).close()" 2>/dev/null && return
        sleep 0.1
    done
    cat "$work/log" >&2
    exit 1
}

measure() {
    (on_cpu 1 "$build/mosquitto_bench" --host 127.0.0.1 --port "$port" --pid "$broker" \
        --seconds "$seconds" "$@")
}

bench() {
    printf '\n== %s\n' "$1"
    port=$(free_port)
    printf 'listener %s 127.0.0.1\nallow_anonymous true\n' "$port" >"$work/conf"
    chmod 755 "$work"
    (on_cpu 0 "$1" -c "$work/conf") >"$work/log" 2>&1 &
    broker=$!
    wait_for_port
    for qos in 0 1 2; do measure --clients 100 --qos $qos pairs; done
    for qos in 0 1; do measure --clients 1 --qos $qos fanout; done
    for qos in 0 1; do measure --clients 100 --qos $qos fanout; done
    for qos in 0 1; do measure --clients 100 --qos $qos fanin; done
    stop_broker
}

bench "$build/mosquitto"
if [ -x /usr/sbin/mosquitto ]; then bench /usr/sbin/mosquitto; fi
