"""Whatever a solution does becomes the right status for that workload only."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from pytest_fib.data.trace import EvaluationStatus as Status
from pytest_fib.errors import NotJudgeable
from pytest_fib.judge import JudgeSession, Limits

from .conftest import CONFIG, CORRECTNESS, HONEST, SCALE_ADD, Judge, in_call, solution, workload

CPP = """
#include <tvm/ffi/container/tensor.h>
#include <tvm/ffi/function.h>

void run(tvm::ffi::TensorView x, tvm::ffi::TensorView w, double bias, tvm::ffi::TensorView y) {
  auto* in = static_cast<const float*>(x.data_ptr());
  auto* scale = static_cast<const float*>(w.data_ptr());
  auto* out = static_cast<float*>(y.data_ptr());
  for (int64_t row = 0; row < x.shape()[0]; ++row)
    for (int64_t i = 0; i < x.shape()[1]; ++i)
      out[row * 64 + i] = in[row * 64 + i] * scale[i] + static_cast<float>(bias);
}

TVM_FFI_DLL_EXPORT_TYPED_FUNC(run, run);
"""


def test_an_honest_solution_passes(judge: Judge) -> None:
    evaluation = judge()
    assert evaluation.status is Status.PASSED
    assert evaluation.verified_calls == evaluation.calls >= 20
    assert evaluation.timing is not None
    assert evaluation.timing.latency_ms > 0
    assert evaluation.timing.reference_latency_ms > 0


def test_destination_passing_is_inferred(judge: Judge) -> None:
    evaluation = judge("def run(x, w, bias, y):\n    y.copy_(x * w + bias)\n")
    assert evaluation.status is Status.PASSED
    assert not [remark for remark in evaluation.remarks if "style" in remark]


def test_a_declared_style_that_contradicts_the_signature_is_remarked(judge: Judge) -> None:
    evaluation = judge(solution(HONEST, destination_passing_style=True))
    assert evaluation.status is Status.PASSED
    assert any("destination_passing_style" in remark for remark in evaluation.remarks)


def test_cpp_solutions_are_built_once(judge: Judge) -> None:
    first = judge(solution(CPP, "cpp"))
    assert (first.status, first.log) == (Status.PASSED, "")
    again = judge(solution(CPP, "cpp"), workload(9))
    assert again.status is Status.PASSED
    assert again.build_seconds == 0.0


def test_cpp_that_does_not_compile_shows_the_compiler(judge: Judge) -> None:
    broken = solution(CPP.replace("auto* in", "no_such_type* in"), "cpp")
    for rows in (1, 2):
        evaluation = judge(broken, workload(rows))
        assert evaluation.status is Status.COMPILE_ERROR
        assert "no_such_type" in evaluation.log


def test_triton_runs_through_the_interpreter(judge: Judge) -> None:
    source = """
import torch, triton, triton.language as tl

@triton.jit
def kernel(x, w, bias, y, H: tl.constexpr):
    row = tl.program_id(0)
    i = tl.arange(0, H)
    tl.store(y + row * H + i, tl.load(x + row * H + i) * tl.load(w + i) + bias)

def run(x, w, bias, y):
    kernel[(x.shape[0],)](x, w, bias, y, H=64)
"""
    evaluation = judge(solution(source, "triton"))
    assert (evaluation.status, evaluation.log) == (Status.PASSED, "")


def test_several_files_import_each_other(judge: Judge) -> None:
    files = {
        "pkg/main.py": "from .scale import scaled\nfrom offsets import shifted\n"
        "def run(x, w, bias):\n    return shifted(scaled(x, w), bias)\n",
        "pkg/scale.py": "def scaled(x, w):\n    return x * w\n",
        "pkg/offsets.py": "def shifted(x, bias):\n    return x + bias\n",
    }
    assert judge(solution(files)).status is Status.PASSED


def test_a_file_named_like_a_library_does_not_hide_it(judge: Judge) -> None:
    files = {"torch.py": "from torch import ones\ndef run(x, w, bias):\n    return x * w + bias * ones(())\n"}
    assert judge(solution(files)).status is Status.PASSED


@pytest.mark.parametrize(
    ("source", "status", "log"),
    [
        ("def run(x, w, bias):\n    return x * w\n", Status.INCORRECT_NUMERICAL, ""),
        ("def run(x, w, bias):\n    return (x * w)[:, :3]\n", Status.INCORRECT_SHAPE, "shape [4, 3]"),
        ("def run(x, w, bias):\n    return (x * w).double()\n", Status.INCORRECT_DTYPE, "float64"),
        ("def run(x, w, bias):\n    return None\n", Status.INCORRECT_SHAPE, "returned nothing"),
        ("def run(x, w, bias):\n    return x, w\n", Status.INCORRECT_SHAPE, "2 values"),
        ("def run(x, w, bias):\n    return {'z': x}\n", Status.INCORRECT_SHAPE, "no output 'y'"),
        ("def run(x, w, bias, y):\n    pass\n", Status.INCORRECT_NUMERICAL, ""),
        ("def run(x, w, bias):\n    return x * float('nan')\n", Status.INCORRECT_NUMERICAL, ""),
        (in_call("raise ValueError('boom')"), Status.RUNTIME_ERROR, "ValueError: boom"),
        (in_call("sys.exit(3)"), Status.RUNTIME_ERROR, "SystemExit"),
        (in_call("os._exit(0)"), Status.RUNTIME_ERROR, "exited with code 0"),
        (in_call("os.kill(os.getpid(), signal.SIGKILL)"), Status.RUNTIME_ERROR, "SIGKILL"),
        (in_call("ctypes.string_at(0)"), Status.RUNTIME_ERROR, "SIGSEGV"),
        (in_call("hog = [bytearray(1 << 26) for _ in range(100)]"), Status.RUNTIME_ERROR, "MemoryError"),
        (in_call("x.zero_()"), Status.RUNTIME_ERROR, "read-only"),
        ("def run run\n", Status.COMPILE_ERROR, "SyntaxError"),
        ("import no_such_module\n", Status.COMPILE_ERROR, "no_such_module"),
        ("def walk(): pass\n", Status.COMPILE_ERROR, "defines no 'run'"),
        ("raise SystemExit\n", Status.COMPILE_ERROR, "SystemExit"),
        ("run = 3\n", Status.COMPILE_ERROR, "not a function"),
    ],
)
def test_each_way_to_fail_has_its_status(judge: Judge, source: str, status: Status, log: str) -> None:
    evaluation = judge(source)
    assert evaluation.status is status
    assert log in evaluation.log
    assert "pytest_fib" not in evaluation.log  # the harness's own frames help nobody
    assert judge().status is Status.PASSED


def test_what_a_dying_candidate_printed_is_kept(judge: Judge) -> None:
    evaluation = judge(in_call("print('last words')", "os._exit(3)"))
    assert "last words" in evaluation.output
    assert "exited with code 3" in evaluation.log


def test_a_flood_of_output_is_capped_and_harmless(session: JudgeSession, judge: Judge) -> None:
    evaluation = judge(in_call("print('begin', 'x' * 10_000_000, 'end')"))
    assert evaluation.status is Status.PASSED
    assert evaluation.output.startswith("begin")
    assert evaluation.output.rstrip().endswith("end")
    assert len(evaluation.output) < 40_000


@pytest.mark.parametrize("sleep", ["time.sleep(1000)", "signal.pause()", "while True: pass"])
def test_a_hang_is_a_timeout(cache_dir: Path, sleep: str) -> None:
    config = replace(CONFIG, cache_dir=cache_dir, limits=replace(CONFIG.limits, timeout_s=0.5))
    with JudgeSession(config) as session:
        start = time.monotonic()
        evaluation = session.evaluate(SCALE_ADD, workload(), solution(in_call(sleep)), None)
        assert evaluation.status is Status.TIMEOUT
        assert "0.5 s" in evaluation.log
        assert time.monotonic() - start < 15
        assert session.evaluate(SCALE_ADD, workload(), solution(), None).status is Status.PASSED


def test_an_import_that_hangs_is_a_timeout(cache_dir: Path) -> None:
    config = replace(CONFIG, cache_dir=cache_dir, limits=replace(CONFIG.limits, build_timeout_s=0.5))
    with JudgeSession(config) as session:
        hanging = solution("import time\ntime.sleep(1000)\n")
        assert session.evaluate(SCALE_ADD, workload(), hanging, None).status is Status.TIMEOUT


@pytest.mark.parametrize("timing", [True, False])
def test_nothing_survives_the_session(cache_dir: Path, timing: bool) -> None:
    marker = f"fib-survivor-{os.getpid()}-{timing}"
    linger = in_call(
        "if os.fork() == 0:",
        "    os.setsid()",
        f"    os.execvp('sleep', ['{marker}', '1000'])",
    )
    config = replace(CONFIG, cache_dir=cache_dir, sampling=CONFIG.sampling if timing else CORRECTNESS)
    with JudgeSession(config) as session:
        session.evaluate(SCALE_ADD, workload(), solution(linger), None)
    assert not _processes_named(marker)


def _processes_named(marker: str) -> list[str]:
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with suppress(OSError):
            found += [pid] if marker in Path(f"/proc/{pid}/cmdline").read_text() else []
    return found


def test_what_one_trial_leaves_behind_is_gone_before_the_next(judge: Judge) -> None:
    """Each process counts those that an earlier one started and left; process 1 of the namespace ends them."""
    evaluation = judge(
        in_call(
            "left = [pid for pid in os.listdir('/proc') if pid.isdigit() and b'left-behind' in "
            "open(f'/proc/{pid}/cmdline', 'rb').read()]",
            "if not hasattr(sys, 'started'):",
            "    print('left', len(left), flush=True)",
            "    sys.started = True",
            "    if os.fork() == 0:",
            "        os.setsid()",
            "        os.execvp('sleep', ['left-behind', '1000'])",
        )
    )
    assert evaluation.status is Status.PASSED
    assert evaluation.output.split() == ["left", "0"]


def test_correctness_only_makes_no_timing(cache_dir: Path) -> None:
    with JudgeSession(replace(CONFIG, cache_dir=cache_dir, sampling=CORRECTNESS)) as session:
        evaluation = session.evaluate(SCALE_ADD, workload(), solution(), None)
    assert evaluation.status is Status.PASSED
    assert evaluation.timing is None
    assert evaluation.verified_calls == evaluation.calls >= CORRECTNESS.trials


def test_one_candidate_per_solution_keeps_its_processes(cache_dir: Path) -> None:
    source = in_call("print('pid', os.getpid())")
    config = replace(CONFIG, cache_dir=cache_dir, isolation="solution", sampling=CORRECTNESS)
    with JudgeSession(config) as session:
        loaded = solution(source)
        outputs = [session.evaluate(SCALE_ADD, workload(rows), loaded, None).output for rows in (1, 2)]
    assert len(set(outputs[1].split()) - {"pid"}) == 1


def test_kept_candidates_are_woken_for_each_workload(cache_dir: Path) -> None:
    with JudgeSession(replace(CONFIG, cache_dir=cache_dir, isolation="solution")) as session:
        loaded = solution()
        for rows in (4, 5, 6):
            assert session.evaluate(SCALE_ADD, workload(rows), loaded, None).status is Status.PASSED


def test_an_unsupported_language_is_not_judged(judge: Judge) -> None:
    with pytest.raises(NotJudgeable, match="tilelang"):
        judge(solution(HONEST, language="tilelang"))


def test_a_workload_that_is_too_large_is_not_judged(cache_dir: Path) -> None:
    config = replace(CONFIG, cache_dir=cache_dir, limits=Limits(input_bytes=1 << 20))
    with JudgeSession(config) as session, pytest.raises(NotJudgeable, match="the limit is"):
        session.evaluate(SCALE_ADD, workload(1 << 20), solution(), None)


def test_no_rows_at_all_is_judged_like_any_shape(judge: Judge) -> None:
    assert judge(HONEST, workload(0)).status is Status.PASSED


def test_inputs_without_dimensions_are_judged(judge: Judge) -> None:
    definition = SCALE_ADD.model_validate(
        {
            **SCALE_ADD.model_dump(),
            "inputs": {
                "x": {"shape": ["rows", "h"], "dtype": "float32"},
                "s": {"shape": [], "dtype": "float32"},
            },
            "reference": "def run(x, s):\n    return x * s\n",
        }
    )
    case = workload().model_copy(update={"inputs": {}})
    subject = solution("# triton\ndef run(x, s, y):\n    y.copy_(x * s)\n")  # with writable inputs
    assert judge(subject, case, definition).status is Status.PASSED


def test_processes_that_multiply_between_requests_are_a_violation(judge: Judge) -> None:
    evaluation = judge(in_call("import subprocess", "subprocess.run(['true'], check=True)"))
    assert evaluation.status is Status.PASSED  # starting a program within the call is nobody's business
