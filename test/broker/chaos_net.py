"""A bad network between two brokers: a proxy that delays, cuts, resets and swallows, and a kernel that drops packets.

The proxy lives in the event loop of whoever uses it. What it does to a connection is chosen by the caller; by itself it
is transparent. Packets are dropped by nftables in a network namespace of the test's own.
"""

import selectors
import socket
import struct
import subprocess

from crash_ledger import now

MS = 1_000_000
RECEIVE = 1 << 16
RESET = struct.pack("ii", 1, 0)
FORGOTTEN = 15_000 * MS  # so long a connection that is swallowed may be held by one side


class End:
    """One of the two sockets of a connection through the proxy."""

    def __init__(self, wire, sock):
        self.wire = wire
        self.sock = sock
        self.late = []  # (when it may go, bytes)
        self.out = bytearray()
        self.writing = False
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        wire.proxy.selector.register(sock, selectors.EVENT_READ, self)

    def readable(self):
        try:
            data = self.sock.recv(RECEIVE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            self.wire.carry(self, data)
        else:
            self.wire.ended(self)

    def flush(self):
        while self.late and self.late[0][0] <= now():
            self.out += self.late.pop(0)[1]
        if not self.sock:
            return
        try:
            sent = self.sock.send(self.out) if self.out else 0
        except (BlockingIOError, OSError) as error:
            if not isinstance(error, BlockingIOError):
                self.out.clear()  # the end is seen by reading
            sent = 0
        del self.out[:sent]
        if self.writing != bool(self.out):
            self.writing = bool(self.out)
            more = selectors.EVENT_WRITE if self.writing else 0
            self.wire.proxy.selector.modify(self.sock, selectors.EVENT_READ | more, self)

    def close(self, reset=False):
        if not self.sock:
            return
        self.wire.proxy.selector.unregister(self.sock)
        if reset:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self.sock.close()
        self.sock = None


class Wire:
    """A connection through the proxy."""

    def __init__(self, proxy, near, far):
        self.proxy = proxy
        self.ends = [End(self, near), End(self, far)]
        self.began = now()
        self.mute = 0  # since when nothing goes through any more
        self.cut_next = False

    def carry(self, end, data):
        if self.mute:
            return
        other = self.ends[1] if end is self.ends[0] else self.ends[0]
        if self.cut_next and len(data) > 1:
            other.out += b"".join(late for _, late in other.late) + data[: self.proxy.rng.randrange(1, len(data))]
            other.late.clear()
            other.flush()
            self.close(reset=self.proxy.rng.random() < 0.5)
            return
        for piece in self.proxy.pieces(data):
            when = now() + self.proxy.delay()
            other.late.append((max(when, other.late[-1][0] if other.late else 0), piece))
        other.flush()

    def ended(self, end):
        """One side has closed; of a mute connection the other side learns nothing."""
        if self.mute:
            end.close()
            return
        other = self.ends[1] if end is self.ends[0] else self.ends[0]
        other.out += b"".join(late for _, late in other.late)
        other.late.clear()
        other.flush()
        self.close()

    def close(self, reset=False):
        for end in self.ends:
            end.close(reset)
        self.proxy.wires.discard(self)

    def tick(self):
        if self.mute and (now() - self.mute > FORGOTTEN or not any(end.sock for end in self.ends)):
            self.close(reset=True)
            return
        for end in self.ends:
            if end.late:
                end.flush()


class Proxy:
    """A port that leads to another one."""

    def __init__(self, selector, rng, port, target):
        self.selector = selector
        self.rng = rng
        self.target = target
        self.wires = set()
        self.refusing = False
        self.swallowing = False  # also what is new goes nowhere
        self.delay_ms = 0  # at most
        self.trickling = False
        self.accepted = 0
        self.sock = socket.socket()
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.sock.bind(("127.0.0.1", port))
        self.sock.listen(64)
        self.sock.setblocking(False)
        selector.register(self.sock, selectors.EVENT_READ, self)

    def readable(self):
        try:
            near, _ = self.sock.accept()
        except OSError:
            return
        self.accepted += 1
        if self.refusing:
            near.close()
            return
        far = socket.socket()
        far.setblocking(False)
        far.connect_ex(("127.0.0.1", self.target))
        wire = Wire(self, near, far)
        wire.mute = now() if self.swallowing else 0
        self.wires.add(wire)

    def flush(self):
        """A listening socket has nothing to write."""

    def delay(self):
        return int(self.rng.random() * self.delay_ms * MS)

    def pieces(self, data):
        """As it came, or in a few pieces that are not packets."""
        if not self.trickling:
            return [data]
        places = sorted({0, len(data), *(self.rng.randrange(len(data)) for _ in range(12))})
        return [data[a:b] for a, b in zip(places, places[1:])]

    def tick(self):
        for wire in list(self.wires):
            wire.tick()

    # --- what can happen to all connections that there are ---

    def reset(self):
        for wire in list(self.wires):
            wire.close(reset=True)

    def finish(self):
        for wire in list(self.wires):
            wire.close()

    def cut(self):
        """In the middle of what comes next."""
        for wire in self.wires:
            wire.cut_next = True

    def swallow(self):
        for wire in self.wires:
            wire.mute = wire.mute or now()

    def forget_mute(self):
        """Half-open connections are found out, if nobody has noticed by now."""
        for wire in list(self.wires):
            if wire.mute:
                wire.close(reset=True)

    def close(self):
        self.reset()
        self.selector.unregister(self.sock)
        self.sock.close()


class Kernel:
    """Packets to and from these ports are lost; only in a namespace of our own."""

    def __init__(self, ports):
        self.ports = "{ " + ", ".join(str(port) for port in ports) + " }"
        self.nft("add table inet chaos", "add chain inet chaos in { type filter hook input priority 0 ; }")

    @staticmethod
    def nft(*commands):
        subprocess.run(["nft", "-f", "-"], input="\n".join(commands) + "\n", text=True, check=True)

    def lose(self, percent):
        """So many of a hundred; 100 is a black hole."""
        chance = f"numgen random mod 100 < {percent} " if percent < 100 else ""
        self.nft(*(f"add rule inet chaos in tcp {which} {self.ports} {chance}drop" for which in ("dport", "sport")))

    def heal(self):
        self.nft("flush chain inet chaos in")


def own_network():
    """The command that runs something in a network of its own, with a loopback that works; None if we may not."""
    script = 'ip link set lo up && nft list tables >/dev/null && exec "$@"'
    command = ["unshare", "-n", "sh", "-c", script, "sh"]
    try:
        allowed = subprocess.run([*command, "true"], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return None
    return command if allowed else None
