"""A name server in a network of a test's own."""

import ctypes
import subprocess

SILENT = "10.9.9.9"  # an address from which nothing comes back
NETWORK = f"""
ip link set lo up
ip link add near type veth peer name far
ip address add 10.9.9.1/24 dev near
ip link set near up
ip link set far up
ip neighbour add {SILENT} lladdr 02:00:00:00:00:09 dev near
echo ready
exec cat
"""
CLONE_NEWNET = 0x40000000


def enter(path):
    """This thread's sockets and children belong to that network from now on."""
    with open(path, "rb") as network:
        if ctypes.CDLL(None, use_errno=True).setns(network.fileno(), CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "setns")


class Names:
    """The name server, which answers with these records when it is started."""

    def __init__(self):
        self.process = None

    def start(self, *records):
        command = ["dnsmasq", "--keep-in-foreground", "--no-resolv", "--no-hosts", "--listen-address=127.0.0.53",
                   "--bind-interfaces", "--user=root", "--conf-file=/dev/null", "--pid-file=", "--log-facility=-",
                   *records]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        for line in self.process.stderr:
            if "started" in line:
                return
        raise AssertionError("the name server has not started")

    def stop(self):
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process.stderr.close()
        self.process = None
