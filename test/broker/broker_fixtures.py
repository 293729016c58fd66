"""Fixtures of the black-box tests: brokers, and names that no other test uses."""

import itertools

import pytest
from broker_process import Broker


class Brokers:
    """The brokers of one test process, by configuration."""

    def __init__(self, factory):
        self.factory = factory
        self.shared = {}
        self.own = []

    def start(self, *lines, **options):
        broker = Broker(self.factory.mktemp("broker"), lines, **options)
        self.own.append(broker)
        return broker

    def get(self, *lines, verbose=True):
        """The running broker with this configuration, started when there is none."""
        key = (lines, verbose)
        if key not in self.shared:
            self.shared[key] = Broker(self.factory.mktemp("broker"), lines, verbose=verbose)
        return self.shared[key]

    def after_test(self):
        own, self.own = self.own, []
        problems = []
        for broker in own:
            problems += self.attempt(broker.stop)
        for key, broker in list(self.shared.items()):
            broker.drop_clients()
            found = self.attempt(broker.check)
            if found:
                del self.shared[key]
            problems += found
        assert not problems, "\n".join(problems)

    def stop(self):
        problems = []
        for broker in self.shared.values():
            problems += self.attempt(broker.stop)
        assert not problems, "\n".join(problems)

    @staticmethod
    def attempt(action):
        try:
            action()
        except AssertionError as error:
            return [str(error)]
        return []


@pytest.fixture(scope="session")
def all_brokers(tmp_path_factory):
    brokers = Brokers(tmp_path_factory)
    yield brokers
    brokers.stop()


@pytest.fixture
def brokers(all_brokers):
    """Brokers by configuration: `brokers.get(line, …)` shared, `brokers.start(line, …)` own."""
    yield all_brokers
    all_brokers.after_test()


@pytest.fixture
def broker(brokers):
    """The shared broker with defaults. Topics of a test begin with its own `name`."""
    return brokers.get()


@pytest.fixture
def own_broker(brokers):
    """A broker for this test alone, with defaults, for tests that look at everything."""
    return brokers.start()


SERIAL = itertools.count(1)


@pytest.fixture
def name():
    """A topic level and client id that is this test's own within a broker."""
    return f"t{next(SERIAL)}"
