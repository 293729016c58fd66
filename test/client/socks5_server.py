"""A SOCKS5 proxy (RFC 1928, 1929) whose manners a test chooses.

    proxy = Proxy({"broker.example": 1883})          names that it knows, as ports of this machine
    proxy = Proxy(names, users={"u": "p"})           who has to log in
    proxy = Proxy(names, reply=5)                    refuses, with this code
    proxy = Proxy(names, pace=0.01)                  a byte at a time, with a pause before each
    proxy = Proxy(names, dies="method")              hangs up there: "method", "login", "reply" or "middle"

`proxy.asked` has what clients wanted to reach, names unresolved; `proxy.users_seen` who they said they were.
"""

import contextlib
import select
import socket
import struct
import threading
import time


class Hangup(Exception):
    """This connection has come to its end."""


class Proxy:
    def __init__(self, names, users=None, reply=0, pace=0.0, dies=None):
        self.names, self.users, self.reply, self.pace, self.dies = names, users, reply, pace, dies
        self.asked, self.users_seen = [], []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.open = []
        threading.Thread(target=self.accept, daemon=True).start()

    def close(self):
        self.listener.close()
        self.cut()

    def cut(self):
        """Everything that goes through it breaks."""
        for sock in self.open:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                client.settimeout(20)
                self.open.append(client)
                threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def serve(self, client):
        with client, contextlib.suppress(Hangup, OSError):
            self.greet(client)
            host, port = self.request(client)
            self.asked.append((host, port))
            self.at("reply")
            if self.reply:
                self.say(client, bytes([5, self.reply, 0, 1, 0, 0, 0, 0, 0, 0]))
                return
            with socket.create_connection(("127.0.0.1", self.names[host])) as beyond:
                self.open.append(beyond)
                whole = b"\5\0\0\3\x05bound" + struct.pack(">H", 4711)
                self.say(client, whole[:6] if self.dies == "middle" else whole)
                self.at("middle")
                self.carry(client, beyond)

    def at(self, place):
        if self.dies == place:
            raise Hangup

    @staticmethod
    def hear(client, n):
        got = b""
        while len(got) < n:
            more = client.recv(n - len(got))
            if not more:
                raise Hangup
            got += more
        return got

    def say(self, client, what):
        if not self.pace:
            client.sendall(what)
            return
        for byte in what:
            time.sleep(self.pace)
            client.sendall(bytes([byte]))

    def greet(self, client):
        version, count = self.hear(client, 2)
        methods = self.hear(client, count)
        self.at("method")
        wanted = 2 if self.users is not None else 0
        if version != 5 or wanted not in methods:
            self.say(client, b"\5\xff")
            raise Hangup
        self.say(client, bytes([5, wanted]))
        if wanted == 2:
            self.log_in(client)

    def log_in(self, client):
        assert self.hear(client, 1) == b"\1"
        user = self.hear(client, self.hear(client, 1)[0]).decode()
        password = self.hear(client, self.hear(client, 1)[0]).decode()
        self.users_seen.append(user)
        self.at("login")
        good = self.users.get(user) == password
        self.say(client, b"\1\0" if good else b"\1\1")
        if not good:
            raise Hangup

    def request(self, client):
        version, command, _, kind = self.hear(client, 4)
        assert (version, command) == (5, 1)
        if kind == 3:
            host = self.hear(client, self.hear(client, 1)[0]).decode()
        else:
            family, size = (socket.AF_INET, 4) if kind == 1 else (socket.AF_INET6, 16)
            host = socket.inet_ntop(family, self.hear(client, size))
        return host, struct.unpack(">H", self.hear(client, 2))[0]

    @staticmethod
    def carry(client, beyond):
        other = {client: beyond, beyond: client}
        while True:
            for sock in select.select(list(other), [], [])[0]:
                data = sock.recv(65536)
                if not data:
                    return
                other[sock].sendall(data)
