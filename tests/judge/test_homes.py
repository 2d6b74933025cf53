"""Which keepers are made, kept and closed, with zygotes that make none."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from pytest_fib.border.order import Confinement
from pytest_fib.judge.homes import Homes


@dataclass
class FakeKeeper:
    confinement: Confinement
    closed: bool = False

    def close(self) -> None:
        self.closed = True


@dataclass(eq=False)
class FakeZygote:
    made: list[FakeKeeper] = field(default_factory=list)

    def keep(self, confinement: Confinement) -> FakeKeeper:
        self.made.append(FakeKeeper(confinement))
        return self.made[-1]


@pytest.fixture
def zygote() -> Any:
    return FakeZygote()


ONE, OTHER = Confinement(artifact_dir="/one"), Confinement(artifact_dir="/other")


def test_a_keeper_that_was_expected_is_used_once(tmp_path: Path, zygote: Any) -> None:
    homes = Homes(tmp_path)
    homes.expect(zygote, ONE)
    homes.expect(zygote, ONE)
    assert len(zygote.made) == 1
    assert homes.new(zygote, ONE) is zygote.made[0]
    assert homes.new(zygote, ONE) is zygote.made[1]


def test_a_keeper_for_another_is_not_used(tmp_path: Path, zygote: Any) -> None:
    homes = Homes(tmp_path)
    homes.expect(zygote, ONE)
    assert homes.new(zygote, OTHER) is zygote.made[1]
    assert homes.new(FakeZygote(), ONE) is not zygote.made[0]
    homes.expect(zygote, OTHER)
    assert zygote.made[0].closed
    homes.close()
    assert [keeper.closed for keeper in zygote.made] == [True, False, True]  # what was given away is not ours


def test_every_keeper_has_a_folder_of_its_own(tmp_path: Path, zygote: Any) -> None:
    homes = Homes(tmp_path)
    for _ in range(2):
        homes.new(zygote, ONE)
    folders = [Path(keeper.confinement.scratch_dir) for keeper in zygote.made]
    assert len(set(folders)) == 2
    assert all(folder.parent == tmp_path for folder in folders)


def test_the_judges_own_share_a_keeper_until_the_end(tmp_path: Path, zygote: Any) -> None:
    homes = Homes(tmp_path)
    assert homes.trusted(zygote, ONE) is homes.trusted(zygote, ONE)
    homes.expect(zygote, ONE)
    assert homes.new(zygote, ONE) is not homes.trusted(zygote, ONE)
    homes.close()
    assert [keeper.closed for keeper in zygote.made] == [True, False]
