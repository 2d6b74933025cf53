"""Attacks and honest kernels judged on this machine before anything is believed that the judge says here."""

from __future__ import annotations

import secrets
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from pytest_fib.data.layers import describe, missing_layers
from pytest_fib.data.text import escape
from pytest_fib.errors import FibError
from pytest_fib.judge.config import JudgeConfig, Limits, Sampling
from pytest_fib.selftest_cases import CASES, LEAK, Case, definition, solution, workload

if TYPE_CHECKING:
    from pytest_fib.data.evaluation import Evaluation
    from pytest_fib.judges import Judge

_SAMPLING = Sampling(warmup_runs=2, iterations=8, trials=3, budget_s=None)
_LIMITS = Limits(timeout_s=10.0, build_timeout_s=20.0, memory_bytes=2 << 30)
_LOOKS = 3


@dataclass(frozen=True)
class Finding:
    """What became of one case; ``problem`` says what is wrong with that, or nothing."""

    case: Case
    got: str
    latency_ms: float | None
    problem: str

    def line(self) -> str:
        """Return the finding as one line: verdict, name, expectation, status, latency."""
        latency = "" if self.latency_ms is None else f"{self.latency_ms * 1e3:9.1f} µs"
        verdict = "WRONG" if self.problem else "ok"
        return f"{verdict:5}  {self.case.name:28}  {self.case.expected:13}  {self.got:19}  {latency}".rstrip()

    def sentence(self) -> str:
        """Return what is wrong as one sentence."""
        return (
            f"selftest: the case '{self.case.name}' {self.problem}, so results of this machine cannot be "
            "believed: run 'fib selftest' when nothing else is running, and report it if it happens again"
        )


class Selftest:
    """One selftest; a context manager, because it owns a judge and a folder.

    Parameters
    ----------
    factory
        Makes the judge that is tested.
    changes
        Fields of the judge's config.
    """

    def __init__(self, factory: Callable[[JudgeConfig], Judge], **changes: object) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="pytest-fib-selftest-"))
        self._secret = secrets.token_hex(16)
        self._secret_file.write_text(self._secret, encoding="ascii")
        self._secret_file.chmod(0o644)
        self._folder.chmod(0o755)
        fields = {"limits": _LIMITS, "sampling": _SAMPLING, "cache_dir": self._folder / "cache", **changes}
        self._judge = factory(JudgeConfig(secret=secrets.token_bytes(32), **fields))  # type: ignore[arg-type]
        self._costs: dict[str, float] = {}
        self._layers: tuple[tuple[str, bool, str], ...] = ()

    @property
    def _secret_file(self) -> Path:
        return self._folder / "secret.txt"

    def __enter__(self) -> Selftest:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._judge.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def run(self, cases: tuple[Case, ...] = CASES) -> Iterator[Finding]:
        """Judge the cases and yield what became of each."""
        for case in cases:
            yield self._finding(case)

    def describe_sandbox(self) -> str:
        """Return in words whether the sandbox around the cases was whole."""
        return describe(self._layers)

    def _finding(self, case: Case) -> Finding:
        try:
            found = self._evaluate(case)
        except FibError as error:
            return Finding(case, "no verdict", None, f"got no verdict ({escape(str(error), 300)})")
        if missing_layers(found.sandbox) or not self._layers:
            self._layers = found.sandbox
        problem = self._wrong(case, found)
        return Finding(case, found.status.value, _latency_ms(found), problem)

    def _wrong(self, case: Case, found: Evaluation) -> str:
        if self._secret in found.output + found.log or LEAK in found.output:
            return "read a file outside its sandbox"
        if case.expected == "passes":
            return "" if found.passed else f"is honest and got {found.status.value}: {escape(found.log, 200)}"
        if not found.passed:
            return ""
        if case.expected == "is caught":
            return "cheats and PASSED"
        return "cheats and was timed at less than half of its cost" if self._too_fast(case, found) else ""

    def _too_fast(self, case: Case, found: Evaluation) -> bool:
        """Whether ``case`` is faster than honest work allows, each time that both are measured.

        On a machine with other work a single comparison of two latencies says nothing.
        """
        for look in range(_LOOKS):
            if look:
                found = self._evaluate(case)
            cost, latency = self._honest_cost_ms(case, again=look > 0), _latency_ms(found)
            if latency is None or latency >= 0.5 * cost:
                return False
        return True

    def _honest_cost_ms(self, case: Case, again: bool) -> float:
        if again or case.problem not in self._costs:
            plain = next(
                other for other in CASES if other.problem == case.problem and other.expected == "passes"
            )
            latency = _latency_ms(self._evaluate(plain))
            known = self._costs.get(case.problem, float("inf"))
            self._costs[case.problem] = min(known, latency if latency is not None else 0.0)
        return self._costs[case.problem]

    def _evaluate(self, case: Case) -> Evaluation:
        loaded = solution(case, self._secret_file)
        return self._judge.evaluate(definition(case.problem), workload(case.problem), loaded, self._folder)


def run_selftest(factory: Callable[[JudgeConfig], Judge], write: Callable[[str], object]) -> str:
    """Judge all cases and write a line on each; return a sentence on the first that came out wrong, or nothing."""
    start = time.monotonic()
    with Selftest(factory) as selftest:
        findings = []
        for finding in selftest.run():
            write(finding.line())
            findings.append(finding)
        wrong = [finding for finding in findings if finding.problem]
        right = len(findings) - len(wrong)
        took = time.monotonic() - start
        write(
            f"selftest: {right} of {len(findings)} as expected in {took:.1f} s; {selftest.describe_sandbox()}"
        )
    return wrong[0].sentence() if wrong else ""


def _latency_ms(found: Evaluation) -> float | None:
    return found.timing.latency_ms if found.passed and found.timing is not None else None
