#!/usr/bin/env python3
"""A long queue for an absent client: what the broker keeps in memory, and how fast it gives it out. By hand.

    python3 test/broker/queue_memory.py --messages 2000000

Publishes to a lasting session whose client is away, with persistence_memory_limit; prints the broker's
resident memory, and the rate at which the queue then drains, checked for order. Exits with 1 when memory
was above --bound at any time.
"""

import argparse
import shutil
import sys
import tempfile
import time

from bursts import Sink, Source
from stored_broker import UNLIMITED, StoredBroker, absent_session

TOPIC = "queue/of/one/client"
MIB = 1 << 20


def fill(broker, options):
    source = Source(broker.connect(keepalive=0), TOPIC, options.payload, window=250)
    began = time.monotonic()
    for step in range(10):
        source.send_all(options.messages // 10)
        print(f"  {(step + 1) * options.messages // 10} queued after {time.monotonic() - began:.1f} s, "
              f"{broker.memory() / MIB:.0f} MiB resident", flush=True)


def drain(broker, options):
    began = time.monotonic()
    client = broker.connect("absent", clean=False, keepalive=0)
    sink = Sink(client, TOPIC, options.payload)
    for step in range(10):
        sink.take_all(options.messages // 10)
        print(f"  {(step + 1) * options.messages // 10} drained after {time.monotonic() - began:.1f} s, "
              f"{broker.memory() / MIB:.0f} MiB resident", flush=True)
    client.quiet()
    return options.messages / (time.monotonic() - began)


def measure(options, directory):
    lines = [UNLIMITED, f"max_inflight_messages {options.inflight}", f"persistence_memory_limit {options.limit}"]
    broker = StoredBroker(directory, lines)
    try:
        absent_session(broker, "absent", "queue/#")
        fill(broker, options)
        peak = broker.memory("VmHWM")
        if options.restart:
            broker.kill()
            before = time.monotonic()
            broker = broker.again()
            print(f"  started again in {time.monotonic() - before:.1f} s, {broker.memory() / MIB:.0f} MiB resident")
        rate = drain(broker, options)
        peak = max(peak, broker.memory("VmHWM"))
        print(f"{options.messages} messages of {options.payload} bytes: at most {peak / MIB:.0f} MiB resident, "
              f"drained in order, {rate:.0f} a second, {rate * options.payload / MIB:.0f} MiB/s")
    finally:
        broker.drop_clients()
        if broker.alive():
            broker.kill()
    return peak


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--messages", type=int, default=2_000_000)
    parser.add_argument("--payload", type=int, default=1024)
    parser.add_argument("--limit", default="256M", help="persistence_memory_limit")
    parser.add_argument("--bound", type=int, default=512, help="of resident memory, MiB")
    parser.add_argument("--inflight", type=int, default=100)
    parser.add_argument("--restart", action="store_true", help="kill and start the broker between in and out")
    parser.add_argument("--directory", help="for the store")
    options = parser.parse_args()
    directory = tempfile.mkdtemp(prefix="queue-", dir=options.directory)
    try:
        peak = measure(options, directory)
    finally:
        shutil.rmtree(directory)
    if peak > options.bound * MIB:
        sys.exit(f"{peak / MIB:.0f} MiB are more than {options.bound}")


if __name__ == "__main__":
    main()
