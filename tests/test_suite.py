"""The tests themselves: none is left out without anybody noticing."""

from __future__ import annotations

from fnmatch import fnmatch
from pathlib import Path

import pytest

TESTS = Path(__file__).parent


def test_every_folder_of_tests_is_collected(pytestconfig: pytest.Config) -> None:
    folders = [path for path in TESTS.rglob("*") if path.is_dir() and list(path.glob("test_*.py"))]
    assert len(folders) > 10
    patterns = [
        pattern for pattern in pytestconfig.getini("norecursedirs") if not Path(pattern).name.startswith(".")
    ]
    for folder in folders:
        matched = [
            pattern
            for pattern in patterns
            if fnmatch(
                str(folder) if "/" in pattern else folder.name, f"*/{pattern}" if "/" in pattern else pattern
            )
        ]
        assert not matched, f"pytest leaves {folder} out because of norecursedirs {matched}"
