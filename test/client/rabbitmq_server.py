"""A rabbitmq-server with its MQTT plugin, on loopback, as man/mosquitto-scale.7 sets it up.

Erlang's directory of nodes, epmd, would be started in the background by the first server and outlive it;
so it is started first, as a child of ours that is ended by its own pid.
"""

import contextlib
import os
import signal
import subprocess
from pathlib import Path

import scale_page
import upstream
from broker_process import free_port

PROGRAM = "/usr/lib/rabbitmq/bin/rabbitmq-server"


class RabbitMq(upstream.Server):
    credentials = {"username": "edge", "password": "secret"}

    def __init__(self, directory):
        self.directory = Path(directory)
        port, self.epmd_port = free_port(), free_port()
        super().__init__(directory, [PROGRAM], port, self.environment())
        body = scale_page.here(scale_page.display("/etc/rabbitmq/rabbitmq.conf"), {"0.0.0.0:1883": f"127.0.0.1:{port}"})
        (self.directory / "rabbitmq.conf").write_text(body)
        (self.directory / "enabled_plugins").write_text(scale_page.display("enabled_plugins"))
        self.epmd = subprocess.Popen(["epmd", "-port", str(self.epmd_port), "-address", "127.0.0.1"],
                                     stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            self.start()
            self.await_port()
        except BaseException:
            self.stop()
            raise

    def environment(self):
        place = self.directory
        return {
            "HOME": str(place), "RABBITMQ_NODENAME": "upstream@localhost",
            "RABBITMQ_CONFIG_FILE": str(place / "rabbitmq.conf"), "RABBITMQ_CONF_ENV_FILE": str(place / "none"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(place / "enabled_plugins"),
            "RABBITMQ_MNESIA_BASE": str(place / "mnesia"), "RABBITMQ_LOG_BASE": str(place), "RABBITMQ_LOGS": "-",
            "RABBITMQ_DIST_PORT": str(free_port()),
            "ERL_EPMD_PORT": str(self.epmd_port), "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
        }

    @property
    def hosts(self):
        return {"rabbitmq.example.org:1883": f"127.0.0.1:{self.port}"}

    def signal(self, number):
        """To the server itself; its script, which is our child, waits for it."""
        script = self.process.pid
        with contextlib.suppress(OSError):
            for pid in Path(f"/proc/{script}/task/{script}/children").read_text().split():
                os.kill(int(pid), number)

    def kill(self):
        self.signal(signal.SIGKILL)
        try:
            self.process.wait(upstream.STOP_LIMIT)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def restart(self, hard):
        """Again on the same store, after a crash or after having been told to stop."""
        if hard:
            self.kill()
        else:
            self.end_server()
        self.start()
        self.await_port()

    def end_server(self):
        if not self.alive():
            return
        self.signal(signal.SIGTERM)
        try:
            self.process.wait(upstream.STOP_LIMIT)
        except subprocess.TimeoutExpired:
            self.kill()

    def stop(self):
        try:
            self.end_server()
        finally:
            self.epmd.kill()
            self.epmd.wait()
