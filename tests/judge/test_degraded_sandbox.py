"""Layers that the kernel refuses: solutions are judged all the same, and what was missing is named."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest

import pytest_fib
from pytest_fib.data.evaluation import Evaluation
from pytest_fib.data.layers import OPTIONAL, missing_layers
from pytest_fib.data.solution import LoadedSolution
from pytest_fib.errors import SandboxIncomplete
from pytest_fib.judge import JudgeSession
from pytest_fib.judge.artifacts import Artifacts
from pytest_fib.judge.orders import zygote_kind

from .conftest import CONFIG, CORRECTNESS, QUICK, SCALE_ADD, solution, workload

NAMESPACES = {"user", "mount", "pid", "network", "ipc", "uts", "cgroup"}
IDENTITY = {"uid", "capabilities", "no_new_privs"}
LANDLOCK = {"landlock_files", "landlock_tcp", "landlock_scopes"}
ALL = frozenset(NAMESPACES | IDENTITY | LANDLOCK | {"root", "proc", "seccomp"})
# What cannot be had without the layer either.
FOLLOWS = {"mount": {"root", "proc", "uid"}, "root": {"uid"}, "pid": {"proc"}, "user": ALL}

WRITES_FILES = """
import os, tempfile
with tempfile.NamedTemporaryFile("w", dir=os.environ["TMPDIR"]) as file:
    file.write("something")
def run(x, w, bias):
    with tempfile.TemporaryFile() as file:
        file.write(b"something")
    return x * w + bias
"""
CPP = """
#include <tvm/ffi/tvm_ffi.h>
using tvm::ffi::TensorView;
void scale_add(TensorView x, TensorView w, double bias, TensorView y) {
  auto* from = static_cast<float*>(x.data_ptr());
  auto* by = static_cast<float*>(w.data_ptr());
  auto* to = static_cast<float*>(y.data_ptr());
  for (int64_t i = 0; i < x.numel(); ++i) to[i] = from[i] * by[i % 64] + static_cast<float>(bias);
}
TVM_FFI_DLL_EXPORT_TYPED_FUNC(run, scale_add);
"""

Without = Callable[..., Evaluation]


def in_order(layers: set[str]) -> str:
    """An id that is the same in every process."""
    return "all" if layers == ALL else "-".join(sorted(layers))


@pytest.fixture(scope="module")
def shared(cache_dir: Path) -> Iterator[JudgeSession]:
    with JudgeSession(replace(CONFIG, cache_dir=cache_dir, sampling=CORRECTNESS)) as session:
        yield session


@pytest.fixture
def without(shared: JudgeSession, tmp_path: Path) -> Iterator[Without]:
    """Judge a solution without some layers; one session for all, because starting one takes longer than a test."""
    before, artifacts = shared.config, shared.artifacts
    shared.artifacts = Artifacts(tmp_path / "cache", tmp_path / "session")

    def evaluate(layers: frozenset[str], loaded: LoadedSolution, **changes: object) -> Evaluation:
        shared.config = replace(before, sandbox_without=layers, **changes)  # type: ignore[arg-type]
        return shared.evaluate(SCALE_ADD, workload(), loaded, None)

    yield evaluate
    shared.config, shared.artifacts, shared.sandbox = before, artifacts, ()


@pytest.mark.parametrize(
    "layers", [*({layer} for layer in sorted(ALL)), NAMESPACES, LANDLOCK, ALL], ids=in_order
)
def test_what_is_missing_is_named_and_the_rest_stands(without: Without, layers: set[str]) -> None:
    usual = missing_layers(without(frozenset(), solution()).sandbox)
    evaluation = without(frozenset(layers), solution(WRITES_FILES))
    assert evaluation.passed, evaluation.log
    missing = missing_layers(evaluation.sandbox)
    assert layers - OPTIONAL <= set(missing)
    follow = layers.union(*(FOLLOWS.get(layer, set()) for layer in layers))
    assert set(missing) <= follow | set(usual)
    assert all(missing.values())


@pytest.mark.parametrize("layers", [{"mount"}, {"proc"}, {"pid"}, ALL], ids=in_order)
def test_a_timed_run_needs_no_layer(without: Without, shared: JudgeSession, layers: set[str]) -> None:
    evaluation = without(frozenset(layers), solution(), sampling=QUICK)
    assert evaluation.passed, evaluation.log
    assert evaluation.timing is not None
    start = time.monotonic()
    shared.zygotes.get(zygote_kind(solution().solution, shared.threads)).settle()
    assert time.monotonic() - start < 5, "processes that are told to go stay"


@pytest.mark.skipif(
    not (find_spec("tvm_ffi") and shutil.which("c++")), reason="needs apache-tvm-ffi and a C++ compiler"
)
@pytest.mark.parametrize("layers", [{"root"}, {"uid"}, ALL], ids=in_order)
def test_a_build_finds_its_folder(without: Without, layers: set[str]) -> None:
    evaluation = without(frozenset(layers), solution(CPP, "cpp"))
    assert evaluation.passed, evaluation.log
    assert evaluation.build_seconds > 0


@pytest.mark.parametrize("layers", [{"mount"}, {"pid"}, ALL], ids=in_order)
def test_nothing_runs_on(without: Without, layers: set[str]) -> None:
    name = f"stray{time.monotonic_ns() % 10**8}"
    evaluation = without(
        frozenset(layers),
        solution(
            "import ctypes, os, time\n"
            "if os.fork() == 0:\n"
            "    os.setsid()\n"
            "    if os.fork() == 0:\n"
            f"        ctypes.CDLL(None).prctl(15, b'{name}', 0, 0, 0)\n"
            "        time.sleep(60)\n"
            "    os._exit(0)\n"
            "os.wait()\n"
            "def run(x, w, bias):\n"
            "    return x * w + bias\n"
        ),
    )
    assert evaluation.passed, evaluation.log
    deadline = time.monotonic() + 5
    while name in command_names():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def command_names() -> set[str]:
    names = set()
    for path in Path("/proc").glob("[0-9]*/comm"):
        with suppress(OSError):
            names.add(path.read_text().strip())
    return names


def test_a_required_layer_that_is_missing_is_no_verdict(without: Without, tmp_path: Path) -> None:
    trace = tmp_path / "ran"
    loaded = solution(f"open({str(trace)!r}, 'w')\ndef run(x, w, bias):\n    return x * w + bias\n")
    with pytest.raises(SandboxIncomplete, match=r"without .*seccomp \(not asked for\)"):
        without(ALL, loaded, require_sandbox=True)
    assert not trace.exists()


def test_a_layer_that_a_whole_sandbox_can_do_without_is_not_required(without: Without) -> None:
    if missing_layers(without(frozenset(), solution()).sandbox):
        pytest.skip("the sandbox is incomplete on this machine")
    assert without(OPTIONAL, solution(), require_sandbox=True).passed


REFUSED = """
import sys
sys.path.insert(0, sys.argv[1])
from pytest_fib.candidate.sandbox.capabilities import drop_all
from pytest_fib.candidate.sandbox.namespaces import enter_user_namespace
try:
    enter_user_namespace()
    with open("/proc/sys/user/max_user_namespaces", "w") as file:
        file.write("0")
except OSError as error:
    sys.exit(f"SKIP {error}")
drop_all()
from pytest_fib.judge import JudgeSession
from pytest_fib.selftest import Selftest
from pytest_fib.selftest_cases import CASES
with Selftest(JudgeSession) as selftest:
    for finding in selftest.run(tuple(case for case in CASES if case.name in sys.argv[2:])):
        print(finding.line())
    print(selftest.describe_sandbox())
"""


def test_a_kernel_that_refuses_namespaces_is_believed() -> None:
    """No user namespaces and no capabilities, as an ordinary user has it in many containers."""
    root = str(Path(pytest_fib.__file__).parents[1])
    cases = ["plain", "remembers results by address"]
    done = subprocess.run(
        [sys.executable, "-c", REFUSED, root, *cases], capture_output=True, text=True, timeout=120
    )
    if done.stderr.startswith("SKIP"):
        pytest.skip(f"user namespaces are refused here already: {done.stderr}")
    assert done.returncode == 0, done.stderr
    *findings, sandbox = done.stdout.splitlines()
    assert [line.split()[0] for line in findings] == ["ok"] * len(cases), done.stdout
    assert sandbox.startswith("sandbox incomplete: user (unshare: ")
    for layer in ("mount (unshare: ", "pid (unshare: ", "root (there is no mount namespace)"):
        assert layer in sandbox
