"""Judging a case with real processes, and everything around it that a case must not reach."""

from __future__ import annotations

import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from pytest_fib.data.evaluation import Evaluation
from pytest_fib.data.layers import OPTIONAL
from pytest_fib.data.solution import LoadedSolution, Solution
from pytest_fib.judge import JudgeSession
from pytest_fib.judge.config import JudgeConfig, Limits, Sampling
from redteam import problems
from redteam.cases import Attack, Case, Honest, ProblemName
from redteam.sources import headers, source

LEAK = "LEAK:"
SAMPLING = Sampling(warmup_runs=2, iterations=8, trials=3, budget_s=None)
ONE_TRIAL = Sampling(warmup_runs=2, iterations=24, trials=1, budget_s=None)
# Seconds for all calls of a case together, and for building or loading it.
_PATIENCE = {"normal": (30.0, 60.0), "alone": (30.0, 60.0), "short": (1.0, 4.0), "patient": (300.0, 300.0)}
_GONE_S = 5.0

# The plain way to compute a problem, by its name and whether outputs are passed; ``@HONEST@`` in a case's source.
_HONEST = {
    ("scale_add", True): "torch.addcmul(b, x, w, out=y)",
    ("scale_add", False): "torch.addcmul(b, x, w)",
    ("tiny", True): "torch.addcmul(b, x, w, out=y)",
    ("project", True): "torch.mm(x, w, out=y).mul_(0.0625).tanh_().mul_(8.0).add_(b)",
    ("project", False): "torch.mm(x, w).mul_(0.0625).tanh_().mul_(8.0).add_(b)",
}
_PLAIN = {
    True: "import torch\n\ndef run(x, w, b, y):\n    @HONEST@\n",
    False: "import torch\n\ndef run(x, w, b):\n    return @HONEST@\n",
}


@dataclass
class Canaries:
    """Things outside that no candidate may touch: a folder, a file, a port, a process, a variable."""

    folder: Path
    port: int = 0
    pid: int = 0
    secret: str = field(default_factory=lambda: secrets.token_hex(16))
    _socket: socket.socket | None = None
    _process: subprocess.Popen[bytes] | None = None

    @classmethod
    @contextmanager
    def placed(cls, folder: Path) -> Iterator[Canaries]:
        """Place them in and around ``folder``."""
        canaries = cls(folder)
        canaries.secret_file.write_text(canaries.secret)
        with socket.create_server(("127.0.0.1", 0)) as server:
            server.setblocking(False)
            canaries._socket, canaries.port = server, server.getsockname()[1]
            process = subprocess.Popen(
                [sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE
            )
            canaries._process, canaries.pid = process, process.pid
            try:
                yield canaries
            finally:
                process.communicate()

    @property
    def secret_file(self) -> Path:
        """A file with a secret that only this process and its user know."""
        return self.folder / "secret.txt"

    def touched(self) -> list[str]:
        """Say what has been touched."""
        assert self._socket is not None
        assert self._process is not None
        found = [f"{path.name} was written" for path in self.folder.iterdir() if path != self.secret_file]
        if self.secret_file.read_text() != self.secret:
            found.append("the secret file was changed")
        try:
            self._socket.accept()[0].close()
            found.append("the port was connected to")
        except BlockingIOError:
            pass
        if self._process.poll() is not None:
            found.append("the process was killed")
        return found


@dataclass(frozen=True)
class Outcome:
    """What the judge said about a case, and how long it took to say it."""

    evaluation: Evaluation
    wall_s: float

    @property
    def passed(self) -> bool:
        return self.evaluation.passed

    @property
    def latency_ms(self) -> float:
        assert self.evaluation.timing is not None
        return self.evaluation.timing.latency_ms

    def explain(self) -> str:
        """Return what a failing test should show."""
        found = self.evaluation
        latency = f", {found.timing.latency_ms * 1e3:.2f} us" if found.timing else ""
        return f"{found.status.value}{latency}: {found.log or found.mismatch or ''} {found.output}".strip()


class Lab:
    """Judges cases in sessions that are started once; honest costs are measured in the same sessions."""

    def __init__(self, folder: Path, canaries: Canaries) -> None:
        self._folder = folder
        self._sessions: dict[tuple[str, bool, Sampling], JudgeSession] = {}
        self._costs: dict[tuple[ProblemName, bool], float] = {}
        self._layers: frozenset[str] | None = None
        self.canaries = canaries
        self.marker = f"rt{secrets.token_hex(6)}"  # a command name holds 15 characters

    def session(
        self, patience: str = "normal", strict: bool = False, sampling: Sampling = SAMPLING
    ) -> JudgeSession:
        """Return the session with the given patience."""
        key = (patience, strict, sampling)
        if key not in self._sessions:
            calls_s, build_s = _PATIENCE[patience]
            self._sessions[key] = JudgeSession(
                JudgeConfig(
                    secret=secrets.token_bytes(32),
                    limits=Limits(timeout_s=calls_s, build_timeout_s=build_s, memory_bytes=4 << 30),
                    sampling=sampling,
                    cache_dir=self._folder / "cache",
                    strict=strict,
                )
            )
        return self._sessions[key]

    def judge(self, case: Case, strict: bool = False, patience: str = "normal") -> Outcome:
        """Judge ``case``; what it prints and where it reaches is in the outcome and the canaries.

        An attack knows itself how ``strict`` and with how much ``patience`` it is judged.
        """
        if isinstance(case, Attack):
            patience, strict = case.patience, case.strict
        if patience == "alone" and (patience, strict, SAMPLING) in self._sessions:
            self._sessions.pop((patience, strict, SAMPLING)).close()
        compiles = isinstance(case, Honest) and case.compiles
        session = self.session(patience, strict, ONE_TRIAL if compiles else SAMPLING)
        start = time.monotonic()
        evaluation = session.evaluate(
            problems.definition(case.problem),
            problems.workload(case.problem),
            LoadedSolution(self._solution(case), Path(f"{case.name}.json")),
            None,
        )
        return Outcome(evaluation, time.monotonic() - start)

    def honest_cost_ms(self, case: Case, again: bool = False) -> float:
        """Return the latency of the plain honest kernel with the calling convention of ``case``: the lowest seen,
        measured once more if ``again``."""
        key = _cost_key(case)
        if again or key not in self._costs:
            self._costs[key] = min(self.plain(*key).latency_ms, self._costs.get(key, float("inf")))
        return self._costs[key]

    def too_fast(self, attack: Attack, outcome: Outcome) -> bool:
        """Whether ``attack`` takes less than half of its honest cost, each time that it is looked at.

        A machine with other work makes single comparisons of two latencies worthless, so a suspicion is looked at
        three times, honest kernel and attack by turns.
        """
        for again in (False, True, True):
            if again:
                outcome = self.judge(attack)
            honest = self.honest_cost_ms(attack, again) * attack.honest_cost_factor
            if not outcome.passed or outcome.latency_ms >= 0.5 * honest:
                return False
        return True

    def quiet_cost_ms(self) -> float:
        """Return the lowest latency seen of the plain honest matrix product."""
        return self.honest_cost_ms(Honest("plain", "", problem="project"), again=True)

    def plain(self, problem: ProblemName = "project", dps: bool = True) -> Outcome:
        """Judge the plain honest kernel now; it always passes."""
        if problem == "narrow":
            kernel = Honest("plain", source("plain.cc"), problem, language="cpp", files=headers())
        else:
            kernel = Honest("plain", _PLAIN[dps], problem, dps=dps)
        outcome = self.judge(kernel)
        assert outcome.passed, outcome.explain()
        return outcome

    def left_running(self) -> list[str]:
        """Return the processes that carry this lab's marker and do not go away by themselves."""
        deadline = time.monotonic() + _GONE_S
        while True:
            left = [name for name in _process_names() if self.marker in name]
            if not left or time.monotonic() > deadline:
                return left
            time.sleep(0.02)

    def layers(self) -> frozenset[str]:
        """Return the layers of defence that are active here, as the evaluation of an honest kernel says it."""
        if self._layers is None:
            held = self.plain().evaluation.sandbox
            missing = [name for name, holds, _ in held if not holds and name not in OPTIONAL]
            whole = {"sandbox"} if held and not missing else set()
            self._layers = frozenset(whole | {name for name, holds, _ in held if holds})
        return self._layers

    def close(self) -> None:
        """End all sessions."""
        for session in self._sessions.values():
            session.close()

    def _solution(self, case: Case) -> Solution:
        return Solution.model_validate(
            {
                "name": case.name,
                "definition": problems.definition(case.problem).name,
                "author": "redteam",
                "spec": {
                    "language": case.language,
                    "target_hardware": ["cpu"],
                    "entry_point": case.entry_point,
                    "destination_passing_style": case.dps,
                },
                "sources": [
                    {"path": path, "content": self._filled(text, case)}
                    for path, text in case.sources().items()
                ],
            }
        )

    def _filled(self, text: str, case: Case) -> str:
        """Tell the case where the canaries are; an attacker who knows that must still not reach them."""
        values = {
            "@HONEST@": _HONEST.get(_cost_key(case), ""),
            "@MARKER@": self.marker,
            "@LEAK@": LEAK,
            "@FOLDER@": str(self.canaries.folder),
            "@SECRET_FILE@": str(self.canaries.secret_file),
            "@PORT@": str(self.canaries.port),
            "@PID@": str(self.canaries.pid),
            "@JUDGE@": str(os.getpid()),
        }
        for name, value in values.items():
            text = text.replace(name, value)
        return text


def _cost_key(case: Case) -> tuple[ProblemName, bool]:
    return "scale_add" if case.problem == "routed" else case.problem, case.dps


def _process_names() -> Iterator[str]:
    """Yield command line and command name of every process that can be seen."""
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            try:
                raw = Path(entry.path, "comm").read_bytes() + Path(entry.path, "cmdline").read_bytes()
                yield raw.replace(b"\0", b" ").decode("utf-8", "replace")
            except OSError:
                continue
