"""Marks and the order of the black-box tests; the fixtures are in broker_fixtures.py."""

import pytest

pytest.register_assert_rewrite("mqtt_wire", "broker_process", "broker_fixtures", "certificates")

from broker_fixtures import all_brokers, broker, brokers, name, own_broker  # noqa: E402,F401
from certificates import pki  # noqa: E402,F401
from order import spread  # noqa: E402


def pytest_configure(config):
    config.addinivalue_line(
        "markers", "statements(*ids): normative statements of MQTT 3.1.1 that the test covers"
    )
    config.addinivalue_line(
        "markers", "ours: a choice or a wording of this broker; another one may differ"
    )
    config.addinivalue_line("markers", "slow: waits for a time limit or for servers; begins early")


def pytest_collection_modifyitems(items):
    spread(items)
