"""The library's functions, group by group, by the programs in lib/, against a broker."""

import pytest
from lib_programs import all_programs, cases, is_ours, programs  # noqa: F401

GROUPS = ("lifecycle", "publish", "subscribe", "wills", "connect", "loops", "callbacks", "simple")
CASES = [(group, case) for group in GROUPS for case in cases(group, "CASE", "OURS")]
OURS = {(group, case) for group in GROUPS for case in cases(group, "OURS")}


@pytest.mark.parametrize("group, case", CASES)
def test_program(programs, broker, name, group, case):  # noqa: F811
    if (group, case) in OURS and not is_ours():
        pytest.skip("a choice of this library")
    programs.run(group, case, broker.port, name)
