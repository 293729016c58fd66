"""Lines of a bridge's section that are wrong: the broker does not start, and says where and why."""

import re
import subprocess

import pytest
from broker_process import binary, environment, free_port, whose

pytestmark = pytest.mark.ours
GOOD = ["connection b", "address 127.0.0.1:1", "topic a/# out 1"]


def run(tmp_path, *lines, arguments=()):
    config = tmp_path / "bridge.conf"
    head = [f"listener {free_port()} 127.0.0.1", *whose(lines)]
    config.write_text("\n".join([*head, *lines]) + "\n")
    return subprocess.run([binary(), "-c", config, *arguments], capture_output=True, text=True, env=environment(),
                          timeout=20, check=False, cwd=tmp_path), len(head)


WRONG = [
    (["connection"], "connection"),
    ([*GOOD, *GOOD], "(?i)duplicate|twice|already|of its own"),
    (["connection b", "topic a/# out 1"], "(?i)address"),
    ([*GOOD, "address 127.0.0.1:70000"], "(?i)port|address"),
    (["connection b", "address 127.0.0.1:0x", "topic a/# out"], "(?i)port"),
    (["connection b", "address", "topic a/# out"], "(?i)address"),
    ([*GOOD, "topic"], "(?i)topic"),
    ([*GOOD, "topic a sideways 1"], "(?i)sideways|direction"),
    ([*GOOD, "topic a out 3"], "(?i)qos"),
    ([*GOOD, "topic a out x"], "(?i)qos"),
    ([*GOOD, "topic a/#/b out 1"], "(?i)a/#/b"),
    ([*GOOD, "topic a+ out 1"], r"(?i)a\+"),
    ([*GOOD, 'topic "" out 1'], "(?i)prefix|empty"),
    ([*GOOD, 'topic "" out 1 l/ ""'], "(?i)prefix|empty"),
    ([*GOOD, 'topic "a b out 1'], "(?i)quot"),
    ([*GOOD, "topic a out 1 l/+/ r/"], r"(?i)prefix|l/\+/"),
    ([*GOOD, "topic a out 1 l r x"], "(?i)topic|x"),
    ([*GOOD, "start_type manual"], "(?i)manual|start_type"),
    ([*GOOD, "start_type often"], "(?i)often"),
    ([*GOOD, "keepalive_interval 4"], "(?i)keepalive_interval"),
    ([*GOOD, "keepalive_interval 65536"], "(?i)keepalive_interval"),
    ([*GOOD, "idle_timeout 0"], "(?i)idle_timeout"),
    ([*GOOD, "threshold 0"], "(?i)threshold"),
    ([*GOOD, "restart_timeout 0"], "(?i)restart_timeout"),
    ([*GOOD, "restart_timeout 10 5"], "(?i)restart_timeout"),
    ([*GOOD, "restart_timeout 3601"], "(?i)restart_timeout"),
    ([*GOOD, "round_robin maybe"], "(?i)round_robin"),
    ([*GOOD, "cleansession 2"], "(?i)cleansession"),
    ([*GOOD, "bridge_protocol_version mqttv4"], "(?i)mqttv4|bridge_protocol_version"),
    ([*GOOD, "bridge_tls_version tlsv9"], "(?i)tlsv9|bridge_tls_version"),
    ([*GOOD, "bridge_max_packet_size -1"], "(?i)bridge_max_packet_size"),
    ([*GOOD, "bridge_bind_address nonsense.invalid x"], "(?i)bridge_bind_address"),
    ([*GOOD, "bridge_reload_type never"], "(?i)never|bridge_reload_type"),
    ([*GOOD, "notification_topic a/#"], "(?i)notification_topic|a/#"),
    ([*GOOD, "remote_password secret"], "(?i)user ?name"),
    ([*GOOD, "bridge_psk 12"], "(?i)bridge_identity"),
    ([*GOOD, "bridge_identity me"], "(?i)bridge_psk"),
    ([*GOOD, "bridge_identity me", "bridge_psk xyz"], "(?i)bridge_psk|hex"),
    ([*GOOD, "bridge_identity me", "bridge_psk 12", "bridge_cafile /tmp"], "(?i)bridge_psk|both|certificate"),
    ([*GOOD, "bridge_unknown x"], "(?i)bridge_unknown"),
    (["topic a/# out 1", *GOOD], "(?i)topic|connection"),
    ([*GOOD, "connection c", "address 127.0.0.1:2", "topic a out", "clientid x", "local_clientid same",
      "connection d", "address 127.0.0.1:2", "topic a out", "clientid y", "local_clientid same"], "(?i)same"),
]


@pytest.mark.parametrize(("lines", "pattern"), WRONG, ids=[" / ".join(lines[-3:]) or "none" for lines, _ in WRONG])
def test_wrong_lines(tmp_path, lines, pattern):
    done, head = run(tmp_path, *lines)
    text = done.stdout + done.stderr
    assert done.returncode == 3, text
    assert re.search(pattern, text), text
    found = re.search(r"bridge\.conf:(\d+)", text)
    assert found, text
    assert head < int(found[1]) <= head + len(lines), text


def test_a_password_is_not_repeated(tmp_path):
    done, _ = run(tmp_path, *GOOD, "remote_password TopSecret")
    assert "TopSecret" not in done.stdout + done.stderr


@pytest.mark.parametrize("line", [
    "bridge_receive_maximum 10", "bridge_session_expiry_interval 60", "bridge_max_topic_alias 5",
])
def test_options_of_mqtt_5_are_told_once(tmp_path, line):
    done, _ = run(tmp_path, *GOOD, line, arguments=["--test-config"])
    text = done.stdout + done.stderr
    assert done.returncode == 0, text
    assert len(re.findall(line.split()[0], text)) == 1, text


@pytest.mark.parametrize("lines", [
    ["addresses 127.0.0.1 localhost:1884"], ["address [::1]:1883"], ["address example.org"],
    ["start_type lazy", "threshold 1", "idle_timeout 1"], ["restart_timeout 3600 7200"], ["restart_timeout 5 30 60"],
    ["bridge_tcp_keepalive 10 5 3", "bridge_tcp_user_timeout 3000"], ["local_username u", "local_password p"],
    ["bridge_require_ocsp true"], ["bridge_alpn mqtt"], ["try_private 1"], ["round_robin 0"],
    ["topic b/# in 2 l/ r/", 'topic "a b" both', 'topic "" in 0 x y', "topic # # a comment"],
])
def test_lines_that_are_right(tmp_path, lines):
    good = [line for line in GOOD if not (line.startswith("address") and lines[0].startswith("address"))]
    done, _ = run(tmp_path, *good, *lines, arguments=["--test-config"])
    assert done.returncode == 0, done.stdout + done.stderr
