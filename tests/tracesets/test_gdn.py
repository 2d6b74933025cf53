"""The gated delta net: its references against loops in float64, its interfaces, the contest's sizes."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from pytest_fib.data.readers import read_definition, read_workloads
from pytest_fib.data.workload import WorkloadLine
from pytest_fib.inputs import Pool, plan_inputs
from pytest_fib.judge.reference import Reference

TRACESETS = Path(__file__).resolve().parents[2] / "tracesets"
SECRET = bytes(range(32))
HEADS, VALUE_HEADS, DIM = 2, 4, 32
Array = np.ndarray[Any, Any]
Inputs = dict[str, Any]


def mini(stage: str) -> Callable[..., Any]:
    name = f"gdn_{stage}_qk{HEADS}_v{VALUE_HEADS}_d{DIM}_k_last"
    namespace: dict[str, Any] = {}
    exec(read_definition(TRACESETS / f"mini/definitions/gdn/{name}.json").reference, namespace)
    run: Callable[..., Any] = namespace["run"]
    return run


def tokens(rng: np.random.Generator, *shape: int) -> Inputs:
    """Tokens and gates of ``shape``; keys are not quite as long as 1, so that normalising them again shows."""

    def normal(*own: int, dtype: torch.dtype = torch.bfloat16, scale: float = 1.0) -> torch.Tensor:
        return torch.from_numpy(rng.standard_normal((*own,)) * scale).to(dtype)

    return {
        "q": normal(*shape, HEADS, DIM),
        "k": normal(*shape, HEADS, DIM, scale=0.8 / math.sqrt(DIM)),
        "v": normal(*shape, VALUE_HEADS, DIM),
        "A_log": normal(VALUE_HEADS, dtype=torch.float32),
        "a": normal(*shape, VALUE_HEADS),
        "dt_bias": normal(VALUE_HEADS, dtype=torch.float32) - 1,
        "b": normal(*shape, VALUE_HEADS),
        "scale": 0.3,
    }


def states(rng: np.random.Generator, *shape: int) -> torch.Tensor:
    return torch.from_numpy(rng.standard_normal((*shape, VALUE_HEADS, DIM, DIM))).to(torch.float32)


def wide(x: Inputs) -> dict[str, Array]:
    return {name: value.double().numpy() for name, value in x.items() if isinstance(value, torch.Tensor)}


def steps(
    state: Array, x: dict[str, Array], rows: list[tuple[int, ...]], scale: float
) -> Iterator[tuple[Array, Array]]:
    """Yield output [heads, v] and state [heads, v, k] after each of the tokens that lie at ``rows``.

    Written as the key's old value fading out and a new one coming in, element by element over the keys.
    """
    state = state.copy()
    for row in rows:
        output = np.zeros((VALUE_HEADS, DIM))
        for head in range(VALUE_HEADS):
            q, k, v = x["q"][row][head // 2], x["k"][row][head // 2], x["v"][row][head]
            step = math.log1p(math.exp(x["a"][row][head] + x["dt_bias"][head]))
            beta = 1 / (1 + math.exp(-x["b"][row][head]))
            state[head] *= math.exp(-math.exp(x["A_log"][head]) * step)
            old = sum(k[i] * state[head, :, i] for i in range(DIM))
            new = beta * v + (1 - beta) * old
            for i in range(DIM):
                state[head, :, i] += k[i] * (new - old)
                output[head] += scale * q[i] * state[head, :, i]
        yield output, state.copy()


def assert_output(got: torch.Tensor, expected: Array) -> None:
    """Equal within half a unit of bfloat16's last place, and what float32 adds where terms cancel."""
    assert got.dtype == torch.bfloat16
    np.testing.assert_allclose(got.double().numpy(), expected, rtol=2.0**-8, atol=1e-5)


def assert_state(got: torch.Tensor, expected: Array) -> None:
    assert got.dtype == torch.float32
    np.testing.assert_allclose(got.numpy(), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("batch", [0, 1, 3])
def test_decode(batch: int) -> None:
    rng = np.random.default_rng(1)
    x = {**tokens(rng, batch, 1), "state": states(rng, batch)}
    output, new_state = mini("decode")(**x)
    assert output.shape == (batch, 1, VALUE_HEADS, DIM)
    assert new_state.shape == (batch, VALUE_HEADS, DIM, DIM)
    for n in range(batch):
        ((read, after),) = steps(wide(x)["state"][n], wide(x), [(n, 0)], 0.3)
        assert_output(output[n, 0], read)
        assert_state(new_state[n], after)


@pytest.mark.parametrize("chunk", [1, 2, 64])
@pytest.mark.parametrize("lengths", [[3], [1, 4, 2], [0, 3, 0], [2, 0, 7], [0], []], ids=str)
def test_prefill(lengths: list[int], chunk: int) -> None:
    rng = np.random.default_rng(2)
    x = {**tokens(rng, sum(lengths)), "state": states(rng, len(lengths))}
    bounds = np.concatenate(([0], np.cumsum(lengths))).astype(np.int64)
    run = mini("prefill")
    run.__globals__["CHUNK"] = chunk
    output, new_state = run(**x, cu_seqlens=torch.from_numpy(bounds))
    assert output.shape == (sum(lengths), VALUE_HEADS, DIM)
    assert new_state.shape == (len(lengths), VALUE_HEADS, DIM, DIM)
    for n, (first, last) in enumerate(pairwise(bounds.tolist())):
        rows: list[tuple[int, ...]] = [(t,) for t in range(first, last)]
        expected = list(steps(wide(x)["state"][n], wide(x), rows, 0.3))
        for (t,), (read, _) in zip(rows, expected, strict=True):
            assert_output(output[t], read)
        empty = np.zeros((VALUE_HEADS, DIM, DIM))  # whatever its initial state was
        assert_state(new_state[n], expected[-1][1] if expected else empty)


def test_mtp_writes_the_states_between_into_the_buffer_and_leaves_the_pool() -> None:
    rng = np.random.default_rng(3)
    batch, length, places = 3, 3, [4, 0, 2]
    x = {**tokens(rng, batch, length), "initial_state": states(rng, 5)}
    buffer = states(rng, 5, length)
    before, pool = buffer.clone(), x["initial_state"].clone()
    indices = torch.tensor(places, dtype=torch.int32)
    output, final_state = mini("mtp")(**x, initial_state_indices=indices, intermediate_states_buffer=buffer)
    assert torch.equal(final_state, pool)
    assert final_state.data_ptr() != x["initial_state"].data_ptr()
    for n, place in enumerate(places):
        between = steps(wide(x)["initial_state"][place], wide(x), [(n, t) for t in range(length)], 0.3)
        for t, (read, after) in enumerate(between):
            assert_output(output[n, t], read)
            assert_state(buffer[place, t], after)
    unused = [place for place in range(5) if place not in places]
    assert torch.equal(buffer[unused], before[unused])


def test_mtp_goes_without_a_buffer() -> None:
    rng = np.random.default_rng(4)
    x = {**tokens(rng, 2, 2), "initial_state": states(rng, 2)}
    indices = torch.tensor([1, 0], dtype=torch.int32)
    output, _ = mini("mtp")(**x, initial_state_indices=indices, intermediate_states_buffer=None)
    with_buffer, _ = mini("mtp")(
        **x, initial_state_indices=indices, intermediate_states_buffer=states(rng, 2, 2)
    )
    assert torch.equal(output, with_buffer)


@pytest.mark.parametrize("scale", [None, 0.0])
def test_no_scale_is_one_over_the_root_of_the_head_size(scale: float | None) -> None:
    rng = np.random.default_rng(5)
    x = {**tokens(rng, 2, 1), "state": states(rng, 2)}
    expected = mini("decode")(**{**x, "scale": DIM**-0.5})
    assert torch.equal(mini("decode")(**{**x, "scale": scale})[0], expected[0])


def test_no_state_is_a_state_of_zeros() -> None:
    rng = np.random.default_rng(6)
    x = tokens(rng, 2, 1)
    zeros = torch.zeros(2, VALUE_HEADS, DIM, DIM)
    for ours, theirs in zip(mini("decode")(**x, state=None), mini("decode")(**x, state=zeros), strict=True):
        assert torch.equal(ours, theirs)
    packed, bounds = tokens(rng, 3), torch.tensor([0, 1, 3])
    for ours, theirs in zip(
        mini("prefill")(**packed, state=None, cu_seqlens=bounds),
        mini("prefill")(**packed, state=zeros, cu_seqlens=bounds),
        strict=True,
    ):
        assert torch.equal(ours, theirs)


def test_prefill_of_one_token_each_is_decode() -> None:
    rng = np.random.default_rng(7)
    x, state = tokens(rng, 4), states(rng, 4)
    output, new_state = mini("prefill")(**x, state=state, cu_seqlens=torch.arange(5))
    single = {name: x[name].unsqueeze(1) for name in ("q", "k", "v", "a", "b")}
    decoded, decoded_state = mini("decode")(**{**x, **single}, state=state)
    assert_output(output, decoded[:, 0].double().numpy())
    assert_state(new_state, decoded_state.double().numpy())


KEY_SIZE = 64


def unit(rng: np.random.Generator, *shape: int) -> Array:
    vectors = rng.standard_normal(shape)
    directions: Array = vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
    return directions


def keys_of(kind: str, rng: np.random.Generator, length: int) -> Array:
    """Keys [heads, tokens, d]: as in models, longer, in turns the same two, always nearly or just the same one."""
    drawn = unit(rng, VALUE_HEADS, length, KEY_SIZE)
    near = drawn[:, :1] + 0.1 * drawn
    kinds: dict[str, Array] = {
        "directions": drawn,
        "longer": 1.2 * drawn,
        "two in turns": drawn[:, np.arange(length) % 2],
        "nearly equal": near / np.linalg.norm(near, axis=-1, keepdims=True),
        "equal": np.repeat(drawn[:, :1], length, axis=1),
    }
    return kinds[kind]


def decays_of(kind: str, rng: np.random.Generator, length: int) -> Array:
    """Decays [heads, tokens]: those of Mamba's initialisation, and the ends of the range, alone and mixed."""
    share = rng.random((VALUE_HEADS, length))
    rate, bias = rng.uniform(1, 16, (VALUE_HEADS, 1)), rng.uniform(-7, -2, (VALUE_HEADS, 1))
    nearly_one = 1 - 1e-4 * share
    kinds: dict[str, Array] = {
        "usual": np.exp(-rate * np.log1p(np.exp(rng.standard_normal(share.shape) + bias))),
        "one": np.ones_like(share),
        "nearly one": nearly_one,
        "zero": np.zeros_like(share),
        "tiny": np.full_like(share, 1e-20),
        "some small": np.where(rng.random(share.shape) < 0.3, np.exp(-5 * share), nearly_one),
        "some zero": np.where(rng.random(share.shape) < 0.1, np.exp(-500 * share), nearly_one),
    }
    return kinds[kind]


def taken(
    step: Callable[..., Any], state: torch.Tensor, inputs: list[torch.Tensor], at_once: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """What is read, and the state at the end, if of [1, heads, tokens, ...] so many tokens are taken at a time."""
    reads = []
    for parts in zip(*(x.split(at_once, dim=2) for x in inputs), strict=True):
        state, read = step(state, *(parts if at_once > 1 else (part.squeeze(2) for part in parts)))
        reads.append(read if at_once > 1 else read.unsqueeze(2))
    return torch.cat(reads, dim=2), state


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Thousands of small operations wait for each other's threads where cores are shared."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("beta", ["usual", "one"])
@pytest.mark.parametrize("decay", ["usual", "one", "nearly one", "zero", "tiny", "some small", "some zero"])
@pytest.mark.parametrize("key", ["directions", "longer", "two in turns", "nearly equal", "equal"])
def test_chunks_are_as_near_to_the_recurrence_in_float64_as_its_steps_are(
    key: str, decay: str, beta: str, generate: ModuleType
) -> None:
    source = generate.load_sources()["gdn"]
    rng = np.random.default_rng(8)
    length = 3 * source.CHUNK - 7
    gates = {"usual": 1 / (1 + np.exp(-rng.standard_normal((VALUE_HEADS, length))))}
    drawn = [
        unit(rng, VALUE_HEADS, length, KEY_SIZE),
        keys_of(key, rng, length),
        2 * rng.standard_normal((VALUE_HEADS, length, KEY_SIZE)),
        decays_of(decay, rng, length),
        gates.get(beta, np.ones((VALUE_HEADS, length))),
    ]
    x = [torch.from_numpy(array).float().unsqueeze(0) for array in drawn]
    state = torch.from_numpy(rng.standard_normal((1, VALUE_HEADS, KEY_SIZE, KEY_SIZE))).float()
    by_chunks = taken(source.delta_chunk, state, x, source.CHUNK)
    by_steps = taken(source.delta_step, state, x, 1)
    exact = taken(source.delta_step, state.double(), [tensor.double() for tensor in x], 1)
    # What is new among nearly equal keys is small beside what chunks sum up to find it, a few roundings more.
    roots, largest = (4.0, 4.0) if key == "nearly equal" else (2.0, 3.0)
    for ours, theirs, right in zip(by_chunks, by_steps, exact, strict=True):
        assert torch.isfinite(ours).all()
        for most, size in ((roots, root_mean_square), (largest, largest_magnitude)):
            error = size(ours.double() - right)
            assert error <= most * max(size(theirs.double() - right), 2.0**-24 * size(right))
            assert error <= 2.0**-19 * size(right)


def root_mean_square(values: torch.Tensor) -> float:
    return float(values.square().mean().sqrt())


def largest_magnitude(values: torch.Tensor) -> float:
    return float(values.abs().max())


def test_prefill_in_float64_is_the_recurrence_to_the_last_digits() -> None:
    lengths = [130, 0, 1, 64, 65]
    rng = np.random.default_rng(9)
    x = {**tokens(rng, sum(lengths)), "state": states(rng, len(lengths))}
    x["a"][::7] = 600.0  # decays of 0, or nearly
    bounds = np.concatenate(([0], np.cumsum(lengths))).astype(np.int64)
    path = TRACESETS / f"mini/definitions/gdn/gdn_prefill_qk{HEADS}_v{VALUE_HEADS}_d{DIM}_k_last.json"
    shapes = {"output": tuple(x["v"].shape), "new_state": tuple(x["state"].shape)}
    exact = Reference(read_definition(path)).in_float64({**x, "cu_seqlens": torch.from_numpy(bounds)}, shapes)
    assert exact is not None
    output, new_state = exact
    assert output is not None
    assert new_state is not None
    for n, (first, last) in enumerate(pairwise(bounds.tolist())):
        expected = list(steps(wide(x)["state"][n], wide(x), [(t,) for t in range(first, last)], 0.3))
        for t, (read, after) in enumerate(expected, first):
            np.testing.assert_allclose(output[t].numpy(), read, rtol=1e-9, atol=1e-12)
            if t == last - 1:
                np.testing.assert_allclose(new_state[n].numpy(), after, rtol=1e-9, atol=1e-12)


def test_what_is_not_finite_stays_in_its_sequence() -> None:
    rng = np.random.default_rng(10)
    x, bounds = {**tokens(rng, 90), "state": states(rng, 3)}, torch.tensor([0, 70, 75, 90])
    clean = mini("prefill")(**x, cu_seqlens=bounds)
    for name in ("q", "k", "v", "a", "b"):
        x[name][72] = math.nan
    x["v"][74] = math.inf
    output, new_state = mini("prefill")(**x, cu_seqlens=bounds)
    for rows, n in ((slice(0, 70), 0), (slice(75, 90), 2)):
        assert torch.equal(output[rows], clean[0][rows])
        assert torch.equal(new_state[n], clean[1][n])
    assert not torch.isfinite(new_state[1]).all()


def axes_of(path: Path, *names: str) -> Counter[tuple[int, ...]]:
    lines = [line for line in read_workloads(path) if isinstance(line, WorkloadLine)]
    return Counter(tuple(line.workload.axes[name] for name in names) for line in lines)


@pytest.mark.parametrize(
    ("stage", "names", "count"),
    [("decode", ("batch_size",), 54), ("prefill", ("total_seq_len", "num_seqs", "len_cu_seqlens"), 100)],
)
def test_the_contest_has_as_many_workloads_of_the_same_sizes(
    shared_dataset: Path, stage: str, names: tuple[str, ...], count: int
) -> None:
    file = f"workloads/gdn/gdn_{stage}_qk4_v8_d128_k_last.jsonl"
    ours = axes_of(TRACESETS / "mlsys26" / file, *names)
    assert ours.total() == count
    assert ours == axes_of(shared_dataset / "contest" / file, *names)


def test_definitions_have_the_official_interfaces(shared_dataset: Path) -> None:
    found = sorted((shared_dataset / "interfaces" / "gdn").glob("*.json"))
    ours = {
        path.stem: path for path in TRACESETS.glob("*/definitions/gdn/*.json") if path.parts[-4] != "mini"
    }
    assert ours.keys() == {path.stem for path in found}
    for path in found:
        theirs, definition = read_definition(path), read_definition(ours[path.stem])
        for field in ("name", "op_type", "axes", "inputs", "outputs", "constraints"):
            assert getattr(definition, field) == getattr(theirs, field), path.stem
        assert list(definition.inputs) == list(theirs.inputs)
        assert list(definition.outputs) == list(theirs.outputs)


@pytest.mark.parametrize("stage", ["decode", "prefill", "mtp"])
def test_small_definitions_are_official_ones_but_for_their_sizes(shared_dataset: Path, stage: str) -> None:
    small = read_definition(next((TRACESETS / "mini/definitions/gdn").glob(f"gdn_{stage}_*.json")))
    theirs = read_definition(shared_dataset / f"interfaces/gdn/gdn_{stage}_qk4_v8_d128_k_last.json")
    for field in ("op_type", "inputs", "outputs", "constraints"):
        assert getattr(small, field) == getattr(theirs, field)
    assert {name: axis.type for name, axis in small.axes.items()} == {
        name: axis.type for name, axis in theirs.axes.items()
    }


def test_outputs_are_large_enough_to_be_judged_and_states_keep_their_size() -> None:
    """The tolerance is 0.01: what is smaller than that is not judged."""
    path = TRACESETS / "mlsys26/workloads/gdn/gdn_prefill_qk4_v8_d128_k_last.jsonl"
    definition = read_definition(TRACESETS / "mlsys26/definitions/gdn/gdn_prefill_qk4_v8_d128_k_last.json")
    line = next(line for line in read_workloads(path) if line.workload.axes["total_seq_len"] == 525)  # type: ignore[union-attr]
    assert isinstance(line, WorkloadLine)
    plan = plan_inputs(definition, line.workload, traceset_root=None, secret=SECRET, pool=Pool(SECRET))
    namespace: dict[str, Any] = {}
    exec(definition.reference, namespace)
    output, new_state = namespace["run"](**plan.draw(0), **plan.scalars)
    for part in output.float().chunk(5):
        assert 0.04 < part.square().mean().sqrt() < 0.4
    assert 0.3 < new_state.square().mean().sqrt() < 3
