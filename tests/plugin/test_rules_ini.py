"""``fib_rules``: definitions are judged by the rule that the ini says, and the report says so."""

from __future__ import annotations

import json

import pytest

from pytest_fib.errors import SettingsError
from pytest_fib.rule_lines import RuleLine
from pytest_fib.settings import Settings

LINES = """
[pytest]
fib_rules =
    my_mtp_*: default, in_place=buffer more, atol=0.5
    moe: matched_ratio, required_matched_ratio=0.9, formula=allclose
"""


def read(pytester: pytest.Pytester, *args: str) -> Settings:
    return Settings.from_config(pytester.parseconfig(*args))


def test_lines_are_read(pytester: pytest.Pytester) -> None:
    pytester.makeini(LINES)
    settings = read(pytester)
    assert settings.rules == (
        RuleLine("my_mtp_*", "default", atol=0.5, in_place=("buffer", "more")),
        RuleLine("moe", "matched_ratio", formula="allclose", required_matched_ratio=0.9),
    )


def test_a_line_that_makes_no_sense_is_named(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\nfib_rules = moe: no_such_rule\n")
    with pytest.raises(
        SettingsError, match=r"fib_rules has the line 'moe: no_such_rule': the rule should be one of"
    ):
        read(pytester)


def test_the_report_says_rules_and_tracks(pytester: pytest.Pytester) -> None:
    pytester.makeini(LINES)
    resolved = json.loads(json.dumps(read(pytester, "--fib-profile=mlsys26", "--fib-atol=0.2").resolved()))
    assert resolved["rules"][0] == {
        "pattern": "my_mtp_*",
        "rule": "default",
        "atol": 0.5,
        "in_place": ["buffer", "more"],
    }
    moe, prefill, others = resolved["tracks"]
    assert (moe["pattern"], moe["rtol"], moe["atol"], moe["required_matched_ratio"]) == ("moe", 0.3, 0.2, 0.9)
    assert [prefill[name] for name in ("warmup_runs", "iterations", "trials")] == [1, 5, 3]
    assert [others[name] for name in ("warmup_runs", "iterations", "trials")] == [10, 50, 3]
    assert (others["rtol"], others["atol"]) == (None, 0.2)
