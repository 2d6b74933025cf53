"""On a CUDA device: honest kernels pass, whatever the stream; work that is not done at "done" is not done."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch

from pytest_fib.data.evaluation import Evaluation
from pytest_fib.data.solution import LoadedSolution
from pytest_fib.data.trace import EvaluationStatus
from pytest_fib.judge import JudgeSession, Limits

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
    "long": DPS + "    torch.cuda._sleep(1_000_000)\n    torch.mul(x, w, out=y).add_(bias)\n",
}


@pytest.mark.parametrize("source", HONEST_KERNELS.values(), ids=HONEST_KERNELS)
def test_honest_kernels_pass(judged: Judge, source: str) -> None:
    evaluation = judged(source)
    assert evaluation.status is EvaluationStatus.PASSED, evaluation.log or evaluation.mismatch
    assert evaluation.device == "cuda:0"
    assert not [remark for remark in evaluation.remarks if "the solution" in remark]


def test_what_needs_no_result_is_timed_behind_a_gate(judged: Judge) -> None:
    gated, waiting = judged(HONEST_KERNELS["writes"]), judged(HONEST_KERNELS["waits for results"])
    assert gated.timing
    assert gated.timing.clock == "gated"
    assert waiting.timing
    assert waiting.timing.clock == "judge"


@pytest.mark.parametrize("clock", ["gated", "judge"])
def test_a_kernel_of_known_length_has_that_length(judged: Judge, clock: str) -> None:
    # 1.0 ms or so: cycles of the device's clock, which floats between 1.2 and 2.0 GHz.
    wait = "    float(x[0, 0])\n" if clock == "judge" else ""
    source = f"{DPS}{wait}    torch.cuda._sleep(1_500_000)\n    torch.mul(x, w, out=y).add_(bias)\n"
    timing = judged(source).timing
    assert timing
    assert timing.clock == clock
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
    assert evaluation.timing.clock == "gated"
