"""What `make bench` measures: the rows of its table, and how each is asked of mosquitto_bench.

A scenario is one run of the generator against each broker; a figure is a row of the table, read from the
answer. Goals are ratios to the peer's figure of the same run, since times depend on the machine; goals of
memory are bytes.
"""

from dataclasses import dataclass
from typing import Callable

KB = 1000


@dataclass(frozen=True)
class Goal:
    """For the median of ours: `times` better than the peer, `most` at most, or `floors` of the floor."""

    times: float = None
    most: float = None
    floors: float = None

    def text(self):
        if self.times is not None:
            return f"{self.times:g}×"
        return f"≤ {self.most:,g}" if self.most is not None else f"≤ {self.floors:g} of floor"

    def reached(self, median):
        """None when what it is compared with was not measured."""
        ours = median["ours"]
        if self.most is not None:
            return ours <= self.most
        other, factor = ("peer", 1 / self.times) if self.times is not None else ("floor", self.floors)
        return ours <= median[other] * factor if other in median else None


@dataclass(frozen=True)
class Figure:
    """A row: `read` finds its number in the generator's answer, `cost` the CPU times, where it has any."""

    name: str
    read: Callable
    unit: str = "µs"
    goal: Goal = None
    cost: Callable = None


@dataclass(frozen=True)
class Scenario:
    """`floor`: a relay without wildcards, sessions and retained messages can do it, too."""

    arguments: str
    figures: list
    timed: bool = True  # --seconds applies
    anew: bool = False  # each round has a new process: what an earlier one left behind would be used again
    floor: bool = True
    quick: str = ""  # further arguments that make it short


def part(answer, name):
    """A stretch of a run that consists of several."""
    return next(one for one in answer["parts"] if one["name"] == name)


def whole(answer):
    return answer


def of_part(name):
    return lambda answer: part(answer, name)


def cpu(name, goal=None, stretch=whole, key="cpu_us"):
    """The broker's CPU time for a message (connection, subscription)."""
    return Figure(name, lambda answer: stretch(answer)["broker"][key], goal=goal, cost=stretch)


def memory(name, most, stretch):
    """The bytes by which the broker grew in a stretch, for each thing that was counted there."""
    return Figure(name, lambda answer: stretch(answer)["bytes_each"], "bytes", Goal(most=most))


def latency(name, key, goal=None):
    return Figure(name, lambda answer: answer["latency_us"][key], goal=goal, cost=whole)


def traffic(name, arguments, times=None):
    return Scenario(arguments, [cpu(name, Goal(times) if times else None)])


ONE = "--window 1"
Q2 = "--qos 2 --inflight 100"
PACED = "--clients 10 --rate 10000 --latency pairs"
NO_TAIL = Goal(most=30000)  # a delayed acknowledgement would be 34 to 48 ms


def idle(name, arguments, most, *more):
    figure = Figure(name, lambda answer: answer["bytes_per_connection"], "bytes", Goal(most=most))
    return Scenario(arguments, [figure, *more], timed=False, anew=True, quick="--clients 500")


PROCESS = Figure("process without clients", lambda answer: answer["start_bytes"] / KB, "kB", Goal(most=3000))

SCENARIOS = [
    traffic("pairs-100, QoS 0", "--clients 100 pairs", 30),
    traffic("pairs-100, QoS 1", "--clients 100 --qos 1 pairs", 26),
    traffic("pairs-100, QoS 2", f"--clients 100 {Q2} pairs", 60),
    traffic("pairs-100, 1 KB", "--clients 100 --payload 1024 pairs", 10),
    traffic("fanout-100, QoS 0", "--clients 100 fanout", 40),
    traffic("fanout-100, QoS 1", "--clients 100 --qos 1 fanout", 20),
    traffic("fanin-100, QoS 0", "--clients 100 fanin", 16),
    traffic("fanin-100, QoS 1", "--clients 100 --qos 1 fanin", 20),
    traffic("pairs-200-one, QoS 0", f"--clients 200 {ONE} pairs", 1.5),
    traffic("pairs-200-one, QoS 1", f"--clients 200 {ONE} --qos 1 pairs", 1.2),
    traffic("fanout-100-one", f"--clients 100 {ONE} fanout", 1.4),
    traffic("fanout-1000-one", f"--clients 1000 {ONE} fanout", 2.2),
    traffic("fanin-200-one", f"--clients 200 {ONE} fanin", 2),
    traffic("connect", "--clients 20 connect", 1.15),
    Scenario(PACED, [latency("latency p50, QoS 0", "p50", Goal(floors=1.05)),
                     latency("latency p99, QoS 0", "p99")]),
    Scenario(f"--qos 1 {PACED}", [latency("latency p50, QoS 1", "p50", Goal(floors=1.05)),
                                  latency("latency p99, QoS 1", "p99", NO_TAIL)]),
    Scenario("--subscriptions 100000 wild",
             [cpu("subscribe (wild)", Goal(2.5), of_part("subscribe")),
              cpu("wild, user part only", Goal(4.5), of_part("publish"), "user_us"),
              memory("subscription (mixture)", 110, of_part("subscribe"))],
             anew=True, floor=False, quick="--subscriptions 10000"),
    Scenario("--messages 300000 retained",
             [cpu("retained: set", Goal(10), of_part("set")),
              cpu("retained: deliver to #", Goal(5), of_part("deliver")),
              memory("retained message", 200, of_part("set"))],
             timed=False, anew=True, floor=False, quick="--messages 10000"),
    Scenario("--messages 300000 queue",
             [cpu("queue: in", Goal(10), of_part("in")), cpu("queue: out", Goal(5), of_part("out")),
              memory("queued message", 180, of_part("in"))],
             timed=False, anew=True, floor=False, quick="--messages 10000"),
    idle("idle connection", "--clients 5000 idle", 500, PROCESS),
    idle("idle subscriber", "--clients 5000 --subscribe idle", 700),
]
