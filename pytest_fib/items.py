"""The items of a run: one workload, further shapes, or something that cannot be read."""

from __future__ import annotations

import hashlib
import os
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

from pytest_fib.data.text import escape, escape_lines, slug
from pytest_fib.data.workload import Workload
from pytest_fib.errors import DataError, NoDevice, NoTensors, NotJudgeable, SandboxIncomplete
from pytest_fib.rows import Row
from pytest_fib.session import FibSession

if TYPE_CHECKING:
    from pytest_fib.collection import SolutionCollector
    from pytest_fib.data.evaluation import Build, Evaluation
    from pytest_fib.data.fuzzing import Search

T = TypeVar("T")

BUILD = "build"
"""The name of the item that builds a solution."""

FUZZ = "fuzz"
"""The name of the item that judges further shapes."""

SECONDS_PER_SHAPE = 1.0
LEAST_SEARCH_S = 20.0


class SolutionItem(pytest.Function):
    """One solution on something."""

    parent: SolutionCollector

    @property
    def fib(self) -> FibSession:
        """The run's session."""
        return self.parent.parent.fib

    def command(self, *flags: str) -> str:
        """A command that reproduces this one item, quoted for a shell."""
        named, here = self.parent.named, self.config.invocation_params.dir
        # Alone on a command line, a solution needs no disambiguation: its id is its plain slug.
        node = "::".join((shown_from(here, self.path), slug(named.loaded.solution.name), self.name))
        settings = self.fib.settings
        words = [
            "pytest",
            f"--fib-solution={shown_from(here, named.loaded.path)}",
            *settings.repeated,
            *flags,
        ]
        if self.config.inipath and not self.path.is_relative_to(self.config.rootpath):
            words += [
                "-c",
                shown_from(here, self.config.inipath),
            ]  # a path outside would move pytest's rootdir
        return " ".join(quote(word) for word in [*words, node])

    def show_output(self, printed: str) -> None:
        """Have pytest show what the candidate ``printed`` where the item fails; it must not steer a terminal."""
        self.add_report_section("call", "candidate", escape_lines(printed))

    def asked(self, judge: Callable[[], T]) -> T:
        """What the judge says; skips what cannot be judged here, and fails where there is no verdict."""
        from pytest_fib.report.record import SKIP_KEY
        from pytest_fib.report.recording import record_unjudged

        try:
            return judge()
        except NotJudgeable as reason:
            if not isinstance(reason, NoDevice) or not self.fib.settings.require_device:
                self.stash[SKIP_KEY] = reason.together if isinstance(reason, NoTensors) else str(reason)
                pytest.skip(str(reason))
            problem = str(reason)
        except (DataError, SandboxIncomplete) as error:
            problem = str(error)
        record_unjudged(self, problem)
        pytest.fail(problem, pytrace=False)


class WorkloadItem(SolutionItem):
    """One solution on one workload."""

    row: Row

    def reportinfo(self) -> tuple[os.PathLike[str] | str, int | None, str]:
        """Point at the workload's line."""
        return self.path, self.row.lineno - 1, f"{self.parent.name}::{self.name}"

    def judge(self, benchmark: Any = None) -> None:
        """Ask the judge, keep what it found, and fail unless it passed."""
        from pytest_fib.bridge.benchmark import add_samples, leave_out
        from pytest_fib.report.failure import failure_text, first_time, gate_text
        from pytest_fib.report.recording import record_evaluation

        try:
            workload, evaluation = self.asked(self._judged)
        except BaseException:
            # No verdict, or an interrupt: pytest-benchmark would warn of a fixture that was not used.
            leave_out(benchmark)
            raise
        loaded = self.parent.named.loaded
        record_evaluation(self, evaluation, workload, loaded)
        add_samples(benchmark, evaluation)
        self.show_output(evaluation.output)
        if not evaluation.passed:
            shown_before = not first_time(
                self.fib.session_dir, f"{evaluation.status.value} {loaded.solution.content_hash}"
            )
            text = failure_text(evaluation, command=self.command(), shown_before=shown_before)
            pytest.fail(text, pytrace=False)
        gating = evaluation.gating
        if gating is not None and gating.fails(strict=self.fib.settings.gate == "strict"):
            pytest.fail(gate_text(evaluation, gating, command=self.command()), pytrace=False)

    def _judged(self) -> tuple[Workload, Evaluation]:
        file = self.parent.parent
        workload = file.workload(self.row)
        return workload, self.fib.evaluate(
            file.definition, workload, self.parent.named.loaded, file.traceset.root
        )


class BuildItem(SolutionItem):
    """One solution built and loaded, and not run."""

    def reportinfo(self) -> tuple[os.PathLike[str] | str, int | None, str]:
        """Point at the workload file."""
        return self.path, None, f"{self.parent.name}::{self.name}"

    def build(self) -> None:
        """Build the solution, and fail with what the compiler said if it cannot be built."""
        from pytest_fib.report.failure import build_text
        from pytest_fib.report.recording import record_build, record_unjudged

        built = self.asked(self._built)
        self.show_output(built.output)
        if built.log:
            record_unjudged(self, "COMPILE_ERROR")
            pytest.fail(build_text(built, command=self.command()), pytrace=False)
        record_build(self, built, self.parent.named.loaded)

    def _built(self) -> Build:
        file = self.parent.parent
        return self.fib.build(file.definition, self.parent.named.loaded, file.workloads)


class OnlyEmptyShapesFail(pytest.fail.Exception):  # type: ignore[misc, name-defined]
    """Raised by the item that judges further shapes where only shapes with an axis of size 0 fail."""


class FuzzItem(SolutionItem):
    """One solution on shapes that nobody published."""

    def reportinfo(self) -> tuple[os.PathLike[str] | str, int | None, str]:
        """Point at the workload file."""
        return self.path, None, f"{self.parent.name}::{self.name}"

    def search(self) -> None:
        """Search for shapes that fail, keep what was found, and fail if there are some."""
        from pytest_fib.report.failure import fuzz_text
        from pytest_fib.report.recording import record_fuzz

        found = self.asked(self._searched)
        if found.first is None:
            pytest.skip(f"no shape of {escape(self.parent.parent.definition.name, 120)}: {found.refused}")
        loaded = self.parent.named.loaded
        record_fuzz(self, found, loaded)
        for failing in found.failing:
            self.show_output(failing.evaluation.output)
        if found.failing:
            text = fuzz_text(
                found,
                command=self.command(f"--fib-fuzz={found.wanted}"),
                path=shown_from(self.config.invocation_params.dir, self.path),
            )
            if all(failing.shape.empty for failing in found.failing):
                raise OnlyEmptyShapesFail(text, pytrace=False)
            pytest.fail(text, pytrace=False)

    def _searched(self) -> Search:
        from pytest_fib.fuzz.search import Effort, search
        from pytest_fib.fuzz.shapes import Shapes

        file, loaded = self.parent.parent, self.parent.named.loaded
        definition, root = file.definition, file.traceset.root
        judge = self.fib.fuzz_judge(definition, loaded.solution)
        wanted = self.fib.settings.fuzz
        about = f"{definition.name}\0{loaded.solution.name}".encode("utf-8", "surrogatepass")
        key = hashlib.blake2b(about, digest_size=8).digest()
        effort = Effort(
            shapes=wanted,
            seed=int.from_bytes(hashlib.blake2b(about, key=self.fib.secret, digest_size=8).digest(), "big"),
            seconds=max(LEAST_SEARCH_S, SECONDS_PER_SHAPE * wanted),
            database=self._database(f"{slug(definition.name)[:100]}-{key.hex()}"),
        )
        return search(
            Shapes(definition, file.workloads),
            lambda workload: judge.evaluate(definition, workload, loaded, root),
            lambda workload: judge.answers(definition, workload, root),
            effort,
        )

    def _database(self, name: str) -> Path | None:
        """The folder below pytest's cache where failing shapes are kept, if there is a cache."""
        cache = getattr(self.config, "cache", None)
        try:
            return None if cache is None else Path(cache.mkdir("fib-fuzz")) / name
        except OSError:
            return None


def judge(request: pytest.FixtureRequest) -> None:
    """Run a workload's item."""
    request.node.judge()


def search(request: pytest.FixtureRequest) -> None:
    """Run an item that judges further shapes."""
    request.node.search()


def build(request: pytest.FixtureRequest) -> None:
    """Run an item that builds."""
    request.node.build()


def judge_with_benchmark(request: pytest.FixtureRequest, benchmark: Any) -> None:
    """Run a workload's item with pytest-benchmark's fixture, so that its samples get a row there."""
    request.node.judge(benchmark)


class BadItem(pytest.Item):
    """An item that fails with one sentence: a line or a solution that cannot be read."""

    problem: str

    @classmethod
    def of(cls, parent: pytest.Collector, name: str, problem: str) -> BadItem:
        """Make an item that fails with ``problem``."""
        item: BadItem = cls.from_parent(parent, name=name)
        item.problem = problem
        return item

    def runtest(self) -> None:
        """Fail."""
        from pytest_fib.report.recording import record_unjudged

        record_unjudged(self, self.problem)
        pytest.fail(self.problem, pytrace=False)

    def reportinfo(self) -> tuple[os.PathLike[str] | str, int | None, str]:
        """Point at the file."""
        return self.path, None, self.name


def shown_from(here: Path, path: Path) -> str:
    """``path`` as one would type it in the folder ``here``."""
    return os.path.relpath(path, here) if path.is_relative_to(here) else str(path)


def quote(word: str) -> str:
    """Quote a word for a shell; what is unfit to print becomes bytes in bash's ``$'…'``."""
    if word.isprintable():
        return shlex.quote(word)
    return "$'" + "".join(map(_quoted_character, word)) + "'"


def _quoted_character(character: str) -> str:
    if character in "\\'":
        return "\\" + character
    if character.isprintable():
        return character
    return "".join(f"\\x{byte:02x}" for byte in os.fsencode(character))
