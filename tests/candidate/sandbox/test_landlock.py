"""What Landlock is asked for."""

from __future__ import annotations

import pytest

from pytest_fib.candidate.sandbox import Policy, Report
from pytest_fib.candidate.sandbox.landlock import Access, handled_access, rules_of


@pytest.mark.parametrize(
    ("version", "newest"), [(1, "MAKE_SYM"), (2, "REFER"), (3, "TRUNCATE"), (5, "IOCTL_DEV")]
)
def test_landlock_is_asked_only_for_what_it_knows(version: int, newest: str) -> None:
    handled = handled_access(version)
    assert handled & Access[newest]
    assert handled < Access[newest] * 2


def test_without_a_private_root_landlock_names_every_path() -> None:
    policy = Policy(
        ("/usr",), artifact_dir="/srv/product", build_dir="/srv/build", scratch_dir="/srv/scratch"
    )
    rules = dict(rules_of(policy, Report()))
    assert "/" not in rules
    assert "/tmp" not in rules
    assert not rules["/usr"] & Access.WRITE_FILE
    assert not rules["/srv/product"] & Access.MAKE_REG
    assert rules["/srv/build"] & rules["/srv/scratch"] & Access.MAKE_REG
