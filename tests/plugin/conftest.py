"""A project in a temporary folder, with a dataset, solutions and a judge that needs no second process."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

# pytester forgets what an inner run imported first: torch cannot be imported twice, the others need not be.
import pytest_fib.fixtures
import pytest_fib.guard
import pytest_fib.judge
import pytest_fib.report.failure
import pytest_fib.report.table  # noqa: F401

REFERENCE = "def run(x):\n    return x\n"

FAKE_JUDGE = '''
import os
from pathlib import Path
from pytest_fib.data.evaluation import Evaluation, Timing
from pytest_fib.data.trace import EvaluationStatus
from pytest_fib.errors import DataError, NotJudgeable
from pytest_fib.judges import JUDGE_FACTORY

SAID = "said hello\\n\\x1b[2J"

class FakeJudge:
    """Says what the solution's source says: its first word is a status, 'skip' or 'data-error'."""

    def __init__(self, config):
        self.config = config
        self.log(f"start {config.device} {config.secret.hex()} {config.sampling} {config.tolerance}")

    def log(self, line):
        with open(Path(__file__).parent / "judge.log", "a") as file:
            file.write(line + "\\n")

    def evaluate(self, definition, workload, loaded, traceset_root):
        self.log(f"judge {definition.name} {workload.uuid} {loaded.solution.name} {Path(traceset_root).name}")
        word, _, rest = loaded.solution.sources[0].content.partition(" ")
        if word == "skip":
            raise NotJudgeable(rest.strip())
        if word == "data-error":
            raise DataError(rest.strip())
        timing = Timing(((1.0,) * 5,) * 2, 2.0, 0.001, 1, None)
        return Evaluation(
            definition=definition.name, op_type=definition.op_type, workload=workload.uuid,
            axes=dict(workload.axes), solution=loaded.solution.name,
            solution_hash=loaded.solution.content_hash, status=EvaluationStatus(word),
            timestamp="2026-01-01T00:00:00+00:00", log=rest, output=SAID,
            timing=timing if word == "PASSED" and self.config.sampling.timing else None,
        )

    def close(self):
        self.log("close")

def pytest_configure(config):
    config.stash[JUDGE_FACTORY] = FakeJudge
'''


class Project:
    """Writes datasets and solutions below a folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def definition(
        self, name: str, op_type: str = "op", traceset: str = "tracesets/one", axis: str = "batch_size"
    ) -> Path:
        content = {
            "name": name,
            "op_type": op_type,
            "axes": {axis: {"type": "var"}, "h": {"type": "const", "value": 8}},
            "inputs": {"x": {"shape": [axis, "h"], "dtype": "float32"}},
            "outputs": {"y": {"shape": [axis, "h"], "dtype": "float32"}},
            "reference": REFERENCE,
        }
        return self.write(f"{traceset}/definitions/{op_type}/{name}.json", json.dumps(content))

    def workloads(
        self, name: str, sizes: list[int], op_type: str = "op", traceset: str = "tracesets/one"
    ) -> Path:
        lines = [self.line(name, size, f"{size:08x}-0000-4000-8000-000000000000") for size in sizes]
        return self.write(f"{traceset}/workloads/{op_type}/{name}.jsonl", "\n".join(lines) + "\n")

    def line(self, definition: str, size: int, uuid: str) -> str:
        workload = {"uuid": uuid, "axes": {"batch_size": size}, "inputs": {"x": {"type": "random"}}}
        return json.dumps(
            {"definition": definition, "solution": None, "workload": workload, "evaluation": None}
        )

    def solution(
        self, name: str, definition: str, says: str = "PASSED", path: str | None = None, **changes: Any
    ) -> Path:
        content = {
            "name": name,
            "definition": definition,
            "author": "somebody",
            "spec": {
                "language": "python",
                "target_hardware": ["cpu"],
                "entry_point": "main.py::run",
                "destination_passing_style": False,
            },
            "sources": [{"path": "main.py", "content": says}],
            **changes,
        }
        return self.write(path or f"solutions/{name}.json", json.dumps(content))

    def kit(self, name: str, definition: str, says: str = "PASSED", folder: str = "kit") -> Path:
        self.write(
            f"{folder}/config.toml",
            f'[solution]\nname = "{name}"\ndefinition = "{definition}"\nauthor = "somebody"\n'
            '[build]\nlanguage = "python"\nentry_point = "main.py::run"\ndestination_passing_style = false\n',
        )
        self.write(f"{folder}/solution/python/main.py", says)
        return self.root / folder

    def write(self, path: str, text: str) -> Path:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
        return file

    def judge_log(self) -> list[str]:
        log = self.root / "judge.log"
        return log.read_text().splitlines() if log.exists() else []


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Project:
    """An empty project with an ini file."""
    monkeypatch.delenv("FIB_DATASET_PATH", raising=False)
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    pytester.makeini("[pytest]\n")
    return Project(pytester.path)


@pytest.fixture
def two_ops(project: Project) -> Project:
    """A project with a fake judge and two definitions: ``norm`` (3 workloads) and ``moe_fp8_x`` (2, op_type moe)."""
    project.write("conftest.py", FAKE_JUDGE)
    project.definition("norm")
    project.workloads("norm", [1, 7, 16])
    project.definition("moe_fp8_x", "moe")
    project.workloads("moe_fp8_x", [2, 3], "moe")
    return project
