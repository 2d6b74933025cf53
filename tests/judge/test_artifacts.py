from __future__ import annotations

import os
from pathlib import Path

import pytest

from pytest_fib.data.trace import EvaluationStatus as Status
from pytest_fib.judge.artifacts import Artifacts
from pytest_fib.judge.failures import CandidateError

from .conftest import solution

SUBJECT = solution("int x;", "cpp").solution


def artifacts(tmp_path: Path, run: str = "run") -> Artifacts:
    return Artifacts(tmp_path / "cache", tmp_path / run)


def build(folder: Path) -> None:
    (folder / "solution.so").write_bytes(b"machine code")


def test_a_product_is_built_once(tmp_path: Path) -> None:
    folder, seconds = artifacts(tmp_path).product(SUBJECT, build)
    assert (folder / "solution.so").read_bytes() == b"machine code"
    assert seconds > 0

    def never(folder: Path) -> None:
        raise AssertionError("built again")

    assert artifacts(tmp_path, "next run").product(SUBJECT, never) == (folder, 0.0)


def test_other_sources_have_another_product(tmp_path: Path) -> None:
    other = solution("int y;", "cpp").solution
    cache = artifacts(tmp_path)
    assert cache.product(SUBJECT, build)[0] != cache.product(other, build)[0]


def test_what_is_linked_and_in_which_language_makes_another_product(tmp_path: Path) -> None:
    cache = artifacts(tmp_path)
    changes = {"dependencies": ("cublas",)}, {"language": "cuda"}
    others = [SUBJECT.model_copy(update={"spec": SUBJECT.spec.model_copy(update=each)}) for each in changes]
    assert len({cache.product(each, build)[0] for each in (SUBJECT, *others)}) == 3


def test_entry_points_of_the_same_sources_share_a_product(tmp_path: Path) -> None:
    entry = SUBJECT.spec.model_copy(update={"entry_point": SUBJECT.spec.entry_point + "_2"})
    other = SUBJECT.model_copy(update={"spec": entry, "name": "other", "definition": "of something else"})
    cache = artifacts(tmp_path)
    folder, _ = cache.product(SUBJECT, build)
    assert other.content_hash != SUBJECT.content_hash
    assert cache.product(other, build) == (folder, 0.0)


def test_only_regular_files_are_kept(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("not yours")

    def hostile(folder: Path) -> None:
        build(folder)
        (folder / "link").symlink_to(secret)
        (folder / "sub").mkdir()
        os.mkfifo(folder / "pipe")

    folder, _ = artifacts(tmp_path).product(SUBJECT, hostile)
    assert os.listdir(folder) == ["solution.so"]


def test_a_failed_build_is_remembered_for_this_run_only(tmp_path: Path) -> None:
    builds = []

    def failing(folder: Path) -> None:
        builds.append(folder)
        raise CandidateError("error: no such type", Status.COMPILE_ERROR)

    for _ in range(2):
        with pytest.raises(CandidateError, match="no such type"):
            artifacts(tmp_path).product(SUBJECT, failing)
    assert len(builds) == 1
    assert artifacts(tmp_path, "next run").product(SUBJECT, build)[1] > 0
