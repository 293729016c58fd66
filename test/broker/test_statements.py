"""Every statement that binds a server has its tests, or a reason why none can exist."""

import io

import statements


def test_every_server_statement_is_covered():
    known = statements.read_statements()
    assert statements.join(known, statements.read_marks()) == []
    out = io.StringIO()
    statements.report(known, out)
    assert "MQTT-3.1.2-24" in out.getvalue()


def test_the_list_is_whole():
    """As many as in appendix B, numbered without gaps within each section."""
    known = statements.read_statements()
    assert len(known) == 141
    last = {}
    for found in known:
        section, number = found.rsplit("-", 1)
        assert int(number) == last.get(section, 0) + 1, found
        last[section] = int(number)


def test_the_check_itself_can_fail():
    known = statements.read_statements()
    problems = statements.join(known, [("some/test", "MQTT-9.9.9-9")])
    assert any("MQTT-9.9.9-9" in line for line in problems)
    assert any("MQTT-3.1.2-24 has neither" in line for line in problems)
