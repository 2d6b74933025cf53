"""On a CUDA device: honest kernels pass, whatever the stream; work that is not done at "done" is not done."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch

from pytest_fib.data.evaluation import Evaluation, Gating
from pytest_fib.data.solution import LoadedSolution
from pytest_fib.data.trace import EvaluationStatus
from pytest_fib.judge import JudgeSession, Limits, blocks
from pytest_fib.judge.places import Measured, Stand

from .conftest import CONFIG, HONEST, SCALE_ADD, Judge, solution, workload

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device"),
]

DPS = "import torch\n\ndef run(x, w, bias, y):\n"
# What a cheat would do first: make the harness's own wait for the device a no-op.
NO_WAIT = "import pytest_fib.candidate.cuda as c\nc.CudaSide.finish = lambda self: None\n" + DPS


@pytest.fixture(scope="module")
def cuda_session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JudgeSession]:
    limits = Limits(timeout_s=30, build_timeout_s=120, memory_bytes=16 << 30)
    folder = tmp_path_factory.mktemp("cache")
    with JudgeSession(replace(CONFIG, device="cuda:0", limits=limits, cache_dir=folder)) as session:
        yield session


@pytest.fixture
def judged(cuda_session: JudgeSession) -> Judge:
    def evaluate(source: str | LoadedSolution, rows: int = 64) -> Evaluation:
        subject = source if isinstance(source, LoadedSolution) else solution(source)
        return cuda_session.evaluate(SCALE_ADD, workload(rows), subject, None)

    return evaluate


HONEST_KERNELS = {
    "returns": HONEST,
    "writes": DPS + "    torch.mul(x, w, out=y).add_(bias)\n",
    "joins a stream": "import torch\nside = torch.cuda.Stream()\n\ndef run(x, w, bias, y):\n"
    "    side.wait_stream(torch.cuda.current_stream())\n"
    "    with torch.cuda.stream(side):\n        torch.mul(x, w, out=y).add_(bias)\n"
    "    torch.cuda.current_stream().wait_stream(side)\n",
    "waits for results": DPS + "    float(x.sum())\n    torch.mul(x, w, out=y).add_(bias)\n",
    "synchronizes": DPS + "    torch.mul(x, w, out=y).add_(bias)\n    torch.cuda.synchronize()\n",
    "replays a graph": "import torch\ngraphs = {}\n\ndef run(x, w, bias, y):\n"
    "    key = x.data_ptr(), w.data_ptr(), y.data_ptr()\n"
    "    if key not in graphs:\n        torch.mul(x, w, out=y).add_(bias)\n"
    "        graph = torch.cuda.CUDAGraph()\n"
    "        with torch.cuda.graph(graph):\n            torch.mul(x, w, out=y).add_(bias)\n"
    "        graphs[key] = graph\n"
    "    graphs[key].replay()\n",
    "copies into a graph": "import torch\ngraphs = {}\n\ndef run(x, w, bias, y):\n"
    "    if x.shape not in graphs:\n        own = [torch.empty_like(tensor) for tensor in (x, w, y)]\n"
    "        torch.mul(own[0], own[1], out=own[2]).add_(bias)\n        graph = torch.cuda.CUDAGraph()\n"
    "        with torch.cuda.graph(graph):\n            torch.mul(own[0], own[1], out=own[2]).add_(bias)\n"
    "        graphs[x.shape] = graph, own\n"
    "    graph, own = graphs[x.shape]\n    own[0].copy_(x)\n    own[1].copy_(w)\n    graph.replay()\n"
    "    y.copy_(own[2])\n",
    "uses a workspace": DPS + "    work = torch.empty_like(x)\n    torch.mul(x, w, out=work)\n"
    "    torch.add(work, bias, out=y)\n",
    "dispatches on the shape": DPS + "    if x.shape[0] % 2:\n        y.copy_(x * w + bias)\n    else:\n"
    "        torch.addcmul(torch.full_like(x, bias), x, w, out=y)\n",
    "has two streams": "import torch\nsides = [torch.cuda.Stream() for _ in range(2)]\n\ndef run(x, w, bias, y):\n"
    "    here, half = torch.cuda.current_stream(), x.shape[0] // 2\n"
    "    for side, rows in zip(sides, (slice(0, half), slice(half, None))):\n        side.wait_stream(here)\n"
    "        with torch.cuda.stream(side):\n            torch.mul(x[rows], w, out=y[rows]).add_(bias)\n"
    "        here.wait_stream(side)\n",
    "long": DPS + "    torch.cuda._sleep(1_000_000)\n    torch.mul(x, w, out=y).add_(bias)\n",
}


@pytest.mark.parametrize("source", HONEST_KERNELS.values(), ids=HONEST_KERNELS)
def test_honest_kernels_pass(judged: Judge, source: str) -> None:
    evaluation = judged(source)
    assert evaluation.status is EvaluationStatus.PASSED, evaluation.log or evaluation.mismatch
    assert evaluation.device == "cuda:0"
    if "Stream" not in source:  # a call alone has to wait longer for another stream than one of many
        assert not [remark for remark in evaluation.remarks if "the solution" in remark]


def test_what_needs_no_result_is_timed_behind_a_gate(judged: Judge) -> None:
    gated, waiting = judged(HONEST_KERNELS["writes"]), judged(HONEST_KERNELS["waits for results"])
    assert gated.timing
    assert gated.timing.clock == "cupti"
    assert waiting.timing
    assert waiting.timing.clock == "judge"


@pytest.mark.parametrize("clock", ["gated", "judge"])
def test_a_kernel_of_known_length_has_that_length(judged: Judge, clock: str) -> None:
    # 1.0 ms or so: cycles of the device's clock, which floats between 1.2 and 2.0 GHz.
    wait = "    float(x[0, 0])\n" if clock == "judge" else ""
    source = f"{DPS}{wait}    torch.cuda._sleep(1_500_000)\n    torch.mul(x, w, out=y).add_(bias)\n"
    timing = judged(source).timing
    assert timing
    assert timing.clock == clock  # a millisecond is long enough for the judge's clock alone
    assert 0.7 < timing.latency_ms < 1.5


DISHONEST = {
    "launches and does not wait": NO_WAIT + "    torch.cuda._sleep(20_000_000)\n"
    "    torch.mul(x, w, out=y).add_(bias)\n",
    "leaves a kernel spinning": NO_WAIT + "    torch.mul(x, w, out=y).add_(bias)\n"
    "    with torch.cuda.stream(torch.cuda.Stream()):\n        torch.cuda._sleep(1 << 40)\n",
    "remembers addresses": "import torch\nseen = {}\n\ndef run(x, w, bias):\n"
    "    key = x.data_ptr()\n    if key not in seen:\n        seen[key] = x * w + bias\n"
    "    return seen[key].clone()\n",
    "does nothing": DPS + "    pass\n",
    "changes an input": DPS + "    torch.mul(x, w, out=y).add_(bias)\n    x.zero_()\n",
    "replays a graph of other inputs": "import torch\ngraphs = []\n\ndef run(x, w, bias, y):\n"
    "    if not graphs:\n        torch.mul(x, w, out=y).add_(bias)\n"
    "        graph = torch.cuda.CUDAGraph()\n        copy = x.clone()\n"
    "        with torch.cuda.graph(graph):\n            torch.mul(copy, w, out=y).add_(bias)\n"
    "        graphs.append((graph, copy))\n"
    "    graphs[0][0].replay()\n",
    "reads out of bounds": DPS + "    y.copy_(x[torch.full((64,), 10**9, device=x.device)])\n",
    "takes all memory": DPS + "    torch.empty(1 << 44, dtype=torch.uint8, device=x.device)\n",
    "writes beyond its output": DPS + "    torch.mul(x, w, out=y).add_(bias)\n"
    "    torch.as_strided(y, (y.numel() + 16,), (1,))[-16:] = 1.0\n",
}


@pytest.mark.parametrize("source", DISHONEST.values(), ids=DISHONEST)
def test_dishonest_kernels_fail_alone(judged: Judge, source: str) -> None:
    evaluation = judged(source)
    assert evaluation.status is not EvaluationStatus.PASSED, evaluation.timing
    assert judged(HONEST).status is EvaluationStatus.PASSED


# 50 µs of work that a cheat would like to hide, and what he would try: the harness is in his process, after all.
WORK = "    torch.cuda._sleep(90_000)\n    torch.mul(x, w, out=y).add_(bias)\n"
NO_GATE = """
import ctypes, random
import pytest_fib.candidate.cuda as c

def launch(self, gate, sequence):
    beat = ctypes.c_uint64(gate.reply + c.BEAT * 8)
    stream = ctypes.c_void_p(c.torch.cuda.current_stream().cuda_stream)
    self._driver.check("cuStreamWriteValue32_v2", stream, beat, ctypes.c_uint32(random.getrandbits(31)), 0)

c.CudaSide._launch = launch
"""
# What is enqueued waits for the first byte of an input that is not zero, not for the judge.
TRIGGERED = """
import ctypes, random
import pytest_fib.candidate.cuda as c

asked = []

def wait_at(self, gate, sequence):
    asked[:] = [self, gate, sequence]

c.CudaSide.wait_at = wait_at
import torch

def run(x, w, bias, y):
    stream = ctypes.c_void_p(torch.cuda.current_stream().cuda_stream)
    if asked:
        side, gate, sequence = asked
        asked.clear()
        wake = torch.cuda.Stream()
        with torch.cuda.stream(wake):
            x.view(-1)[-1:].zero_()
            wake.synchronize()
            at = ctypes.c_void_p(wake.cuda_stream)
            word = ctypes.c_uint64(gate.control + c.WAKE * 8)
            side._driver.check("cuStreamWaitValue32_v2", at, word, ctypes.c_uint32(sequence), 1)
            beat = ctypes.c_uint64(gate.reply + c.BEAT * 8)
            side._driver.check("cuStreamWriteValue32_v2", at, beat, ctypes.c_uint32(random.getrandbits(31)), 0)
        last = ctypes.c_uint64(x.data_ptr() + x.numel() * 4 - 4)
        side._driver.check("cuStreamWaitValue32_v2", stream, last, ctypes.c_uint32(0xFFFFFFFF), 2)
"""
# Only the last call of a request works, for all of them.
ALL_AT_ONCE = """
import gc, torch

pending = []

def run(x, w, bias, y):
    worker = next(found for found in gc.get_objects() if type(found).__name__ == "Worker")
    pending.append((x, w, y))
    if len(pending) >= worker._memory.control[8]:
        torch.cuda._sleep(90_000)
        for x, w, y in pending:
            torch.mul(x, w, out=y).add_(bias)
        pending.clear()
"""
CHEATS = {
    "leaves the gate out": NO_GATE + DPS + WORK,
    "is triggered by the inputs": TRIGGERED + WORK,
    "does all calls at once": ALL_AT_ONCE,
    "has another stream, not joined": "import torch\nside = torch.cuda.Stream()\n\ndef run(x, w, bias, y):\n"
    "    with torch.cuda.stream(side):\n    " + WORK.replace("\n    ", "\n        "),
    "launches later": "import pytest_fib.candidate.cuda as c\nc.CudaSide.finish = lambda self: None\n"
    "import threading, time, torch\n\ndef work(x, w, bias, y):\n    time.sleep(0.002)\n" + WORK + "\n"
    "def run(x, w, bias, y):\n    threading.Thread(target=work, args=(x, w, bias, y)).start()\n",
    "patches events": "import torch\ntorch.cuda.Event.elapsed_time = lambda *_: 1e-6\n\n"
    "def run(x, w, bias, y):\n" + WORK,
    "patches CUPTI": "import pytest_fib.candidate.cupti as c\nc.ActivityClock.stop = lambda self, calls: 1\n"
    + DPS
    + WORK,
    "keeps lines in the cache": "import ctypes\n"
    "ctypes.CDLL('libcuda.so.1').cuCtxSetLimit(6, ctypes.c_size_t(1 << 25))\n" + DPS + WORK,
    "holds most of the memory": "import torch\nheld = []\n\ndef run(x, w, bias, y):\n    if not held:\n"
    "        free = torch.cuda.mem_get_info()[0]\n"
    "        held.append(torch.empty(int(free * 0.9), dtype=torch.uint8, device=x.device))\n" + WORK,
    "finds answers in fresh memory": "import torch\n\ndef run(x, w, bias, y):\n    y.copy_(torch.empty_like(y))\n",
}


@pytest.fixture(scope="module")
def honest_ms(cuda_session: JudgeSession) -> float:
    timing = cuda_session.evaluate(SCALE_ADD, workload(64), solution(DPS + WORK), None).timing
    assert timing
    return timing.latency_ms


@pytest.mark.parametrize("source", CHEATS.values(), ids=CHEATS)
def test_cheats_gain_nothing(judged: Judge, honest_ms: float, source: str) -> None:
    evaluation = judged(source)
    if evaluation.status is EvaluationStatus.PASSED:
        assert evaluation.timing
        assert evaluation.timing.latency_ms > 0.8 * honest_ms, evaluation.remarks
    after = judged(DPS + WORK).timing
    assert after
    assert after.latency_ms == pytest.approx(honest_ms, rel=0.1)


def test_one_candidate_serves_many_workloads(cuda_session: JudgeSession) -> None:
    """What was mapped and shown to the device for one workload is gone when the next one comes."""
    config = replace(cuda_session.config, isolation="solution")
    subject = solution(HONEST_KERNELS["writes"])
    with JudgeSession(config) as kept:
        found = [
            kept.evaluate(SCALE_ADD, workload(rows), subject, None) for rows in (64, 8, 65, 64, 16, 2048)
        ]
    assert all(evaluation.passed for evaluation in found), [evaluation.log for evaluation in found]
    assert {evaluation.timing.clock for evaluation in found if evaluation.timing} == {"cupti"}
    assert not [remark for evaluation in found for remark in evaluation.remarks if "the solution" in remark]


@pytest.mark.parametrize("name", ["joins a stream", "has two streams"])
def test_streams_that_are_joined_are_no_trick(judged: Judge, name: str) -> None:
    found = [judged(HONEST_KERNELS[name]) for _ in range(4)]
    assert not [remark for evaluation in found for remark in evaluation.remarks if "the solution" in remark]


CLAMPED = {
    "cupti": DPS + "    torch.mul(x.clamp(-6.5, 6.5), w, out=y).add_(bias)\n",
    "judge": DPS + "    float(x[0, 0])\n    torch.mul(x.clamp(-6.5, 6.5), w, out=y).add_(bias)\n",
}


@pytest.mark.parametrize("clock", CLAMPED)
def test_who_is_wrong_elsewhere_is_timed_again_with_normal_inputs(
    cuda_session: JudgeSession, judged: Judge, monkeypatch: pytest.MonkeyPatch, clock: str
) -> None:
    varied: list[bool] = []
    measure = cuda_session.place.measure

    def measured(stand: Stand) -> Measured:
        varied.append(stand.bench.inputs.varied)
        return measure(stand)

    monkeypatch.setattr(cuda_session.place, "measure", measured)
    evaluation = judged(CLAMPED[clock])
    assert evaluation.passed, evaluation.log or evaluation.mismatch
    assert any("not standard normal" in remark for remark in evaluation.remarks)
    assert varied == [True, False]
    assert evaluation.timing
    assert evaluation.timing.clock == clock


class TestSideBySide:
    @pytest.fixture(autouse=True)
    def few_blocks(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Leave no time for more blocks than the least."""
        monkeypatch.setattr(blocks, "_STAGE_S", 0.0)

    @staticmethod
    def compared(session: JudgeSession, ours: str, theirs: str) -> Gating:
        # Loaded with other text, so that it is another solution even where it does the same.
        subject, baseline = solution(ours), solution(theirs + "\n# the baseline\n")
        evaluation = session.evaluate(SCALE_ADD, workload(64), subject, None)
        assert evaluation.passed, evaluation.log or evaluation.mismatch
        gating = session.compare(evaluation, SCALE_ADD, workload(64), subject, None, baseline, 0.02).gating
        assert gating is not None
        return gating

    @pytest.mark.parametrize("name", ["writes", "has two streams", "long", "waits for results"])
    def test_equal_code_is_not_slower(self, cuda_session: JudgeSession, name: str) -> None:
        gating = self.compared(cuda_session, HONEST_KERNELS[name], HONEST_KERNELS[name])
        assert gating.verdict != "SLOWER"
        assert gating.ratio == pytest.approx(1.0, abs=0.5 if name == "waits for results" else 0.1)

    def test_equal_code_that_is_wrong_elsewhere_is_not_slower(self, cuda_session: JudgeSession) -> None:
        gating = self.compared(cuda_session, CLAMPED["cupti"], CLAMPED["cupti"])
        assert gating.verdict in ("FASTER", "SAME", "AMBIGUOUS")
        assert gating.ratio == pytest.approx(1.0, abs=0.1)

    def test_a_slower_kernel_is_slower(self, cuda_session: JudgeSession) -> None:
        gating = self.compared(cuda_session, DPS + WORK, DPS + WORK.replace("90_000", "60_000"))
        assert gating.verdict == "SLOWER"
        assert gating.ratio == pytest.approx(1.45, abs=0.15)

    def test_a_baseline_that_is_wrong_is_no_baseline(self, cuda_session: JudgeSession) -> None:
        gating = self.compared(cuda_session, HONEST_KERNELS["writes"], DPS + "    pass\n")
        assert gating.verdict is None
        assert "INCORRECT_NUMERICAL" in gating.reason


def test_short_latencies_repeat(judged: Judge) -> None:
    first, second = (judged(HONEST_KERNELS["writes"]).timing for _ in range(2))
    assert first
    assert second
    assert second.latency_ms == pytest.approx(first.latency_ms, rel=0.02, abs=0.2e-3)


def test_a_long_wait_is_a_timeout(cuda_session: JudgeSession, judged: Judge) -> None:
    config = cuda_session.config
    cuda_session.config = replace(config, limits=replace(config.limits, timeout_s=2.0))
    try:
        assert judged(DPS + "    torch.cuda._sleep(1 << 40)\n").status is EvaluationStatus.TIMEOUT
    finally:
        cuda_session.config = config
    assert judged(HONEST).status is EvaluationStatus.PASSED


CUDA_SOURCE = """
#include <tvm/ffi/container/tensor.h>
#include <tvm/ffi/extra/c_env_api.h>
#include <tvm/ffi/function.h>

__global__ void scale_add(const float* x, const float* w, float bias, float* y, long rows, long h) {
  long at = blockIdx.x * static_cast<long>(blockDim.x) + threadIdx.x;
  if (at < rows * h) y[at] = x[at] * w[at % h] + bias;
}

void run(tvm::ffi::TensorView x, tvm::ffi::TensorView w, double bias, tvm::ffi::TensorView y) {
  DLDevice device = x.device();
  cudaStream_t stream = static_cast<cudaStream_t>(TVMFFIEnvGetStream(device.device_type, device.device_id));
  long rows = x.size(0), h = x.size(1);
  scale_add<<<(rows * h + 255) / 256, 256, 0, stream>>>(
      static_cast<const float*>(x.data_ptr()), static_cast<const float*>(w.data_ptr()), bias,
      static_cast<float*>(y.data_ptr()), rows, h);
}

TVM_FFI_DLL_EXPORT_TYPED_FUNC(run, run);
"""


def cuda_solution(text: str = CUDA_SOURCE, **spec: object) -> LoadedSolution:
    return solution({"kernel.cu": text}, language="cuda", target_hardware=["cuda"], **spec)


def test_cuda_sources_are_compiled_for_the_device_and_pass(judged: Judge) -> None:
    pytest.importorskip("tvm_ffi")
    evaluation = judged(cuda_solution(destination_passing_style=True))
    assert evaluation.status is EvaluationStatus.PASSED, evaluation.log or evaluation.mismatch
    assert evaluation.timing
    assert evaluation.timing.clock == "cupti"


TORCH_EXTENSION = """
#include <ATen/core/Tensor.h>
#include <c10/cuda/CUDAStream.h>
#include <torch/library.h>

__global__ void scale_add(const float* x, const float* w, float bias, float* y, long rows, long h) {
  long at = blockIdx.x * static_cast<long>(blockDim.x) + threadIdx.x;
  if (at < rows * h) y[at] = x[at] * w[at % h] + bias;
}

void run(const at::Tensor& x, const at::Tensor& w, double bias, at::Tensor y) {
  long rows = x.size(0), h = x.size(1);
  scale_add<<<(rows * h + 255) / 256, 256, 0, c10::cuda::getCurrentCUDAStream()>>>(
      x.const_data_ptr<float>(), w.const_data_ptr<float>(), static_cast<float>(bias),
      y.mutable_data_ptr<float>(), rows, h);
}

TORCH_LIBRARY(scale_add, m) { m.def("run(Tensor x, Tensor w, float bias, Tensor(a!) y) -> ()", &run); }
"""


def test_an_extension_of_torch_is_compiled_for_the_device_and_passes(judged: Judge) -> None:
    evaluation = judged(cuda_solution(TORCH_EXTENSION, binding="torch", destination_passing_style=True))
    assert evaluation.status is EvaluationStatus.PASSED, evaluation.log or evaluation.mismatch


def test_what_the_device_was_like_is_known(judged: Judge) -> None:
    pytest.importorskip("pynvml")
    conditions = judged(HONEST).conditions
    assert conditions is not None
    assert not conditions.problem
    assert conditions.driver
    assert conditions.sm_mhz is not None
    assert 0 < conditions.sm_mhz[0] <= conditions.sm_mhz[1] <= (conditions.max_sm_mhz or 0)
    assert conditions.blocks == CONFIG.sampling.trials + conditions.repeated_blocks


def test_the_roof_of_a_device_is_what_it_does(cuda_session: JudgeSession) -> None:
    roof = cuda_session.floors.roof
    assert roof.bytes_per_ns(1e9) > 100
    rates = [roof.operations_per_ns(name) for name in ("float8_e4m3fn", "bfloat16", "float32")]
    assert all(rate and rate > 1e3 for rate in rates)
    assert rates == sorted(rates, key=lambda rate: -(rate or 0))
