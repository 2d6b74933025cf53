"""Functions of the tests run in real sandboxed processes: their source travels, nothing else of the test does."""

from __future__ import annotations

import inspect
import json
import os
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import pytest_fib
from pytest_fib.candidate.sandbox import Report

PACKAGE_PARENT = str(Path(pytest_fib.__file__).resolve().parent.parent)
NOBODY = 65534

RUNNER = """
import json, os, sys, traceback
sys.path.append(sys.argv[1])
from pytest_fib.candidate.sandbox import Policy, default_readable, launch
order = json.load(sys.stdin)
settings = order["policy"]
settings["without"] = frozenset(settings.get("without", ()))
policy = Policy(default_readable(order["readable"]), **settings)
for path in order["opened"]:
    order["arguments"][f"fd_{len(order['arguments'])}"] = os.open(path, os.O_RDONLY)
for name in order["preimport"]:
    __import__(name)
reader, writer = os.pipe()
os.set_inheritable(writer, False)

def main(report):
    answer = {"layers": report.to_text()}
    scope = {}
    try:
        exec(order["source"], scope)
        answer["returned"] = scope[order["name"]](**order["arguments"])
    except BaseException as error:
        answer["raised"] = f"{type(error).__name__}: {error}"
        answer["traceback"] = traceback.format_exc()
    sys.stderr.flush()
    os.write(writer, json.dumps(answer).encode())
    return 0

pid = launch(policy, main, (writer,))
os.close(writer)
answer = b""
while piece := os.read(reader, 65536):
    answer += piece
status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
print(json.dumps({**json.loads(answer or "{}"), "status": status}))
"""


@dataclass(frozen=True)
class Outcome:
    """How a function fared in the sandbox."""

    report: Report
    returned: Any
    raised: str | None
    status: int
    printed: str


@dataclass(frozen=True)
class Sandboxed:
    """Calls functions in sandboxes of their own, started by one user."""

    python: str
    user: int | None

    def __call__(
        self,
        function: Callable[..., Any],
        *,
        needs: tuple[str, ...] = (),
        readable: tuple[str, ...] = (),
        opened: tuple[str, ...] = (),
        preimport: tuple[str, ...] = (),
        policy: dict[str, Any] | None = None,
        timeout_s: float = 120.0,
        **arguments: Any,
    ) -> Outcome:
        order = {
            "policy": policy or {},
            "readable": readable,
            "opened": opened,
            "preimport": preimport,
            "source": "from __future__ import annotations\n" + textwrap.dedent(inspect.getsource(function)),
            "name": function.__name__,
            "arguments": arguments,
        }
        done = subprocess.run(
            [self.python, "-I", "-B", "-c", RUNNER, PACKAGE_PARENT],
            input=json.dumps(order),
            capture_output=True,
            text=True,
            timeout=timeout_s,
            cwd="/",
            env={
                "PATH": os.pathsep.join((str(Path(self.python).parent), os.environ.get("PATH", os.defpath))),
                "LANG": "C.UTF-8",
            },
            **({} if self.user is None else {"user": self.user, "group": self.user, "extra_groups": []}),
        )
        assert done.returncode == 0, done.stderr
        answer = json.loads(done.stdout)
        report = Report.from_text(answer.get("layers", "[]"))
        if needs:
            self._skip_unless_possible(needs, report)
        raised = answer.get("raised")
        printed = done.stderr + answer.get("traceback", "")
        return Outcome(report, answer.get("returned"), raised, answer["status"], printed)

    def _skip_unless_possible(self, needs: tuple[str, ...], report: Report) -> None:
        """Skip if this machine lacks a layer; that it is missing for this policy alone is a fault."""
        for layer in report.layers:
            if layer.name in needs and not layer.active:
                assert not self(nothing).report.active(layer.name), f"{layer.name}: {layer.reason}"
                pytest.skip(f"no {layer.name} layer here: {layer.reason}")


def nothing() -> None:
    """Do nothing, to see what a plain policy gets."""


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that everybody may enter and write to; above ``tmp_path`` lie folders that are not ours to open."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        folder.chmod(0o777)
        yield folder


def _python_of_nobody() -> str | None:
    """Return a Python that a user without rights can start, or None."""
    for python in (sys.executable, "/usr/bin/python3"):
        try:
            subprocess.run(
                [python, "-I", "-c", f"open({pytest_fib.__file__!r})"],
                user=NOBODY,
                group=NOBODY,
                extra_groups=[],
                check=True,
                capture_output=True,
                cwd="/",
            )
        except (OSError, subprocess.CalledProcessError):
            continue
        return python
    return None


@pytest.fixture(scope="session")
def as_caller() -> Sandboxed:
    """Sandboxes of this user, with this Python and its packages."""
    return Sandboxed(sys.executable, None)


@pytest.fixture(scope="session", params=["caller", "nobody"])
def sandboxed(request: pytest.FixtureRequest) -> Sandboxed:
    """Sandboxes of this user, and, if this is root, of an unprivileged one too."""
    if request.param == "caller":
        return Sandboxed(sys.executable, None)
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    python = _python_of_nobody()
    if python is None:
        pytest.skip("no Python here can be started by an unprivileged user")
    return Sandboxed(python, NOBODY)
