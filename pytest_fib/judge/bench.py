"""Running calls: fill, poison, go, clock, take, verify. Every call of every phase goes through here, in one way.

There is no warm-up mode and no correctness mode that a candidate could tell from a timed one: a warm-up call is a
timed call whose time is not used.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice

import numpy as np
import numpy.typing as npt
import torch

from pytest_fib.errors import DataError
from pytest_fib.inputs import InputPlan
from pytest_fib.inputs.distributions import NORMAL
from pytest_fib.judge.arena import Arena, tensors_of
from pytest_fib.judge.candidate import Candidate, CannotGate, Interval
from pytest_fib.judge.failures import CandidateError, CandidateTimeout, DeviceBusy, IntegrityViolation
from pytest_fib.judge.machine import Cores, waiting_on
from pytest_fib.judge.numerics import Exact, Others, Samples
from pytest_fib.judge.reference import Reference
from pytest_fib.judge.rules import Calls, Comparison, Verifier, compare

_BATCH_BYTES, _DEVICE_BATCH_BYTES = 64 << 20, 512 << 20  # of inputs and outputs that are kept at a time
_BULK_BYTES = 32 << 20
_GATE_PATIENCE_S = 0.05
_UNDISTURBED_AT_LAST = 8  # times that inputs are written while somebody is at work


class WrongOutput(CandidateError):
    """A verified call is not what the reference says; ``comparison`` has the mismatch."""

    def __init__(self, comparison: Comparison) -> None:
        super().__init__("wrong output")
        self.comparison = comparison


@dataclass(frozen=True)
class Request:
    """So many calls between one "go" and one "done"; ``early`` as ``Candidate.run_timed`` says.

    ``first`` is the set of the first call: mostly the same, so that a remembered address has new content, and at
    times another, so that an address is new. It does not matter otherwise: requests compare equal without it.
    """

    calls: int = 1
    early: bool = False
    first: int = field(default=0, compare=False)

    @property
    def sets(self) -> range:
        """The sets of the arena that the calls use, one each."""
        return range(self.first, self.first + self.calls)


@dataclass
class Tally:
    """What has been done for one workload so far; times in nanoseconds.

    ``comparison`` is of calls with normal inputs, ``others`` of the rest. ``call_ns`` is the time between "go" and
    "done", ``waited_ns`` all that the candidate was waited for; ``longest_ns`` is the longest request of the latter.
    """

    calls: int = 0
    verified_calls: int = 0
    call_ns: int = 0
    waited_ns: int = 0
    longest_ns: int = 0
    reference_ns: list[int] = field(default_factory=list)
    comparison: Comparison = field(default_factory=Comparison.nothing)
    others: Others = field(default_factory=Others)


@dataclass(frozen=True)
class Gate:
    """How calls are enqueued on a device before they have inputs.

    Attributes
    ----------
    call_s
        Seconds that enqueuing one call takes at most, if it does not wait for anything.
    inner
        Whether the candidate times them as well.
    beforehand_s
        Seconds that it takes to get ready for that.
    """

    call_s: float
    inner: bool = False
    beforehand_s: float = 0.0

    def patience_s(self, calls: int) -> float:
        """Return the seconds after which ``calls`` calls are taken to wait for something."""
        return _GATE_PATIENCE_S + self.beforehand_s + calls * self.call_s


@dataclass(frozen=True)
class _Drawn:
    """The inputs of the call ``number``."""

    number: int
    inputs: dict[str, torch.Tensor]


@dataclass(frozen=True)
class _Taken:
    """What a call to be verified was given and wrote: its set of outputs, and which optional ones it left alone."""

    number: int
    inputs: dict[str, torch.Tensor]
    outputs: torch.Tensor
    untouched: frozenset[str]


@dataclass(frozen=True)
class Bench:
    """What stays the same for all calls of one workload.

    Attributes
    ----------
    scalars
        The inputs that are Python scalars.
    verifier
        The judging rule.
    output_shapes
        Output name to shape; inputs that are written in place count as outputs, behind the others.
    timeout_s
        Seconds that all calls of this workload may take together.
    cores
        Where to wait while timing; None when not timing.
    random
        Secret randomness for the choice of verified calls.
    samples
        Takes outputs that are looked at more closely afterwards; None if they are not.
    scratch
        Memory of the judge's own for one call's bulk inputs.
    optional
        Outputs that the solution may leave out.
    referenced
        Whether the reference runs on verified calls.
    device
        Where inputs are drawn, the reference runs and outputs are.
    gate
        How calls are enqueued before their inputs are there, so that "go" starts the device alone; None if they
        are not.
    taken
        Calls that are to be verified still.
    """

    arena: Arena
    inputs: InputPlan
    reference: Reference
    verifier: Verifier
    output_shapes: dict[str, tuple[int, ...]]
    timeout_s: float
    cores: Cores | None
    random: np.random.Generator
    tally: Tally
    samples: Samples | None = None
    scratch: dict[str, torch.Tensor] = field(default_factory=dict)
    optional: tuple[str, ...] = ()
    referenced: bool = True
    device: str = "cpu"
    gate: Gate | None = None
    taken: list[_Taken] = field(default_factory=list)

    def run(
        self,
        candidate: Candidate,
        requests: Sequence[Request],
        verify: int | None = None,
        verify_later: bool = False,
    ) -> list[Interval]:
        """Make the requests; return the interval of each.

        Parameters
        ----------
        candidate
            Attached to ``self.arena``.
        requests
            Of at most as many calls as the arena has sets.
        verify
            How many of the calls with normal inputs, chosen secretly, are compared with the reference, and a
            third as many of the others; None for all.
        verify_later
            Whether what was taken may wait for ``verify`` as long as it is little.

        Raises
        ------
        WrongOutput, CandidateError
            At the first batch in which something is wrong.
        """
        total = sum(request.calls for request in requests)
        chosen = self._chosen(total, verify)
        intervals: list[Interval] = []
        most = max(request.sets.stop for request in requests)
        done = 0
        for batch in self._batches(requests):
            calls = sum(request.calls for request in batch)
            intervals += self._batch(candidate, batch, most, chosen[done : done + calls])
            done += calls
            little = len(self.taken) * self._bytes_per_call <= self._batch_bytes and not self._is_bulk
            if not (verify_later and little):
                self.verify()
        return intervals

    def verify(self) -> None:
        """Compare what was taken and chosen and has not been compared yet.

        Raises
        ------
        WrongOutput
            If something is wrong.
        """
        calls: list[_Taken] = []
        expected: list[list[torch.Tensor]] = []
        for call in self.taken:
            if not self.referenced:
                calls.append(call)
                expected.append([])
                continue
            try:
                outputs, elapsed = self.reference({**call.inputs, **self.inputs.scalars}, self.output_shapes)
            except DataError:
                if self.inputs.distribution(call.number) == NORMAL:
                    raise
                continue  # what the reference refuses, nobody has to compute
            calls.append(call)
            expected.append(outputs)
            self.tally.reference_ns.append(elapsed)
        self.taken.clear()
        if calls:
            self._verify(calls, expected)

    def _chosen(self, total: int, verify: int | None) -> npt.NDArray[np.bool_]:
        """Return for each of the next ``total`` calls whether it is verified."""
        if verify is None:
            return np.ones(total, dtype=bool)
        chosen = np.zeros(total, dtype=bool)
        first = self.tally.calls
        normal = np.array([self.inputs.distribution(first + index) == NORMAL for index in range(total)])
        for those, wanted in ((normal, verify), (~normal, math.ceil(verify / 3))):
            places = np.flatnonzero(those)
            chosen[self.random.permutation(places)[:wanted]] = True
        return chosen

    @property
    def _is_bulk(self) -> bool:
        """Whether the inputs of one call are drawn over those of the call before."""
        return self.inputs.nbytes >= _BULK_BYTES

    @property
    def _bytes_per_call(self) -> int:
        return self.inputs.nbytes + self.arena.plan.outputs.stride

    @property
    def _batch_bytes(self) -> int:
        return _DEVICE_BATCH_BYTES if self.arena.plan.cuda else _BATCH_BYTES

    def _batches(self, requests: Sequence[Request]) -> list[list[Request]]:
        """Split ``requests`` so that inputs and outputs of a batch fit into a bounded buffer."""
        room = max(1, self._batch_bytes // self._bytes_per_call)
        batches: list[list[Request]] = []
        used = 0
        for request in requests:
            if not batches or used + request.calls > room:
                batches.append([])
                used = 0
            batches[-1].append(request)
            used += request.calls
        return batches

    def _batch(
        self,
        candidate: Candidate,
        requests: list[Request],
        most: int,
        chosen: npt.NDArray[np.bool_],
    ) -> list[Interval]:
        first = self.tally.calls
        calls = sum(request.calls for request in requests)
        if self.cores is not None:
            candidate.call_up(len(requests), most)  # it makes its arguments while the judge draws
        drawn = self._draw(range(first, first + calls))
        self.tally.calls += calls
        if self.cores is None:
            elapsed, taken = self._requests(candidate, requests, most, drawn)
        else:
            with waiting_on(self.cores.judge):
                elapsed, taken = self._requests(candidate, requests, most, drawn)
        self.taken.extend(taken[index] for index in np.flatnonzero(chosen).tolist())
        return elapsed

    def _draw(self, calls: range) -> list[_Drawn]:
        """Draw the inputs of ``calls``; bulk inputs go where they are wanted, because fresh memory is slow."""
        if len(calls) > 1 or not self._is_bulk:
            return list(map(_Drawn, calls, self.inputs.draw_many(calls)))
        if not self.arena.plan.writable_inputs:
            # The candidate cannot write there, so what it is given can serve the reference as well.
            return [_Drawn(calls.start, self.inputs.draw(calls.start, out=self.arena.inputs_of(0)))]
        if not self.scratch:
            for name, layout in self.inputs.tensors.items():
                self.scratch[name] = torch.empty(layout.shape, dtype=layout.dtype, device=self.device)
        return [_Drawn(calls.start, self.inputs.draw(calls.start, out=self.scratch))]

    def _requests(
        self, candidate: Candidate, requests: list[Request], most: int, drawn: list[_Drawn]
    ) -> tuple[list[Interval], list[_Taken]]:
        arena = self.arena
        arena.prepare([request.sets for request in requests])
        if self.cores is not None:
            candidate.arm(self._remaining(candidate))
        elapsed: list[Interval] = []
        taken: list[_Taken] = []
        contents = iter(drawn)
        for number, request in enumerate(requests):
            if self.gate is not None:
                self._enqueue(candidate, request, self.gate, alone=len(requests) == 1)
            filled = self._fill(number, request, list(islice(contents, request.calls)))
            elapsed.append(self._one(candidate, request, number, most))
            outputs = arena.take(request.sets)
            self._check_integrity(number, request, outputs, filled)
            none: frozenset[str] = frozenset()
            left = arena.untouched(number, outputs, self.optional) if self.optional else [none] * len(filled)
            taken += [
                _Taken(call.number, call.inputs, output, untouched)
                for call, output, untouched in zip(filled, outputs, left, strict=True)
            ]
        return elapsed, taken

    def _enqueue(self, candidate: Candidate, request: Request, gate: Gate, alone: bool) -> None:
        patience_s = gate.patience_s(request.calls)
        try:
            candidate.enqueue(request.sets, patience_s, self._remaining(candidate), gate.inner)
        except CannotGate:
            if not alone:
                candidate.kill()  # it waits for requests that will not come
            raise

    def _fill(self, number: int, request: Request, drawn: list[_Drawn]) -> list[_Drawn]:
        """Write what the calls of ``request`` are given; return it.

        Inputs during whose writing somebody was at work may have been worked on: the calls are given other ones.
        """
        for _ in range(_UNDISTURBED_AT_LAST):
            self.arena.fill(number, request.sets, [call.inputs for call in drawn])
            if self.arena.settle():
                return drawn
            first = self.tally.calls
            self.tally.calls += len(drawn)
            drawn = self._draw(range(first, first + len(drawn)))
        raise DeviceBusy(
            "the device is not idle between requests: the candidate, or another program, is at work on it"
        )

    def _one(self, candidate: Candidate, request: Request, index: int, most: int) -> Interval:
        remaining = self._remaining(candidate)
        start = time.perf_counter_ns()
        try:
            if self.cores is None:
                interval = candidate.run(request.calls, most, remaining)
            else:
                sample = partial(self.arena.sample, index)
                interval = candidate.run_timed(request.sets, remaining, sample, request.early)
            self.tally.call_ns += interval.elapsed
            return interval
        finally:
            waited = time.perf_counter_ns() - start
            self.tally.waited_ns += waited
            self.tally.longest_ns = max(self.tally.longest_ns, waited)

    def _remaining(self, candidate: Candidate) -> float:
        """Return the seconds that are left for the calls of this workload."""
        remaining = self.timeout_s - self.tally.waited_ns / 1e9
        if remaining <= 0:
            candidate.kill()
            raise CandidateTimeout(
                f"{self.tally.calls} calls took longer than the limit of {self.timeout_s:g} s together"
            )
        return remaining

    def _check_integrity(
        self, number: int, request: Request, outputs: torch.Tensor, filled: list[_Drawn]
    ) -> None:
        arena = self.arena
        if self.cores is not None and not arena.sample_agrees(number, outputs):
            raise IntegrityViolation("outputs changed after the candidate said that it was done")
        if not arena.guards_intact(number, outputs):
            raise IntegrityViolation("the candidate wrote outside its outputs")
        changed = arena.changed(request.sets, [call.inputs for call in filled])
        if changed:
            raise IntegrityViolation(f"the candidate changed its input {changed}")

    def _verify(self, calls: list[_Taken], expected: list[list[torch.Tensor]]) -> None:
        tensors = tensors_of(torch.stack([call.outputs for call in calls]), self.arena.plan.outputs)
        if not self.verifier.on_device:
            tensors = {name: tensor.cpu() for name, tensor in tensors.items()}
            expected = [[tensor.cpu() for tensor in outputs] for outputs in expected]
        numbers = [call.number for call in calls]
        kinds = [self.inputs.distribution(number) for number in numbers]
        normal = [position for position, kind in enumerate(kinds) if kind == NORMAL]
        contents = [{**self._seen_by_rule(call.inputs), **self.inputs.scalars} for call in calls]
        left = [call.untouched for call in calls] if self.optional else []
        self._verify_normal(normal, Calls(numbers, contents, tensors, expected, left))
        others = [position for position, kind in enumerate(kinds) if kind != NORMAL]
        if self._all_within(others, tensors, expected):
            self.tally.others.calls += len(others)
            others = []
        for position in others:
            exact = Exact(self.reference, contents[position], self.output_shapes)
            got = {name: tensor[position : position + 1] for name, tensor in tensors.items()}
            self.tally.others.add(
                kinds[position], got, expected[position], self.verifier.rule, numbers[position], exact
            )
        self.tally.verified_calls += len(calls)
        if self.tally.comparison.mismatch is not None:
            raise WrongOutput(self.tally.comparison)

    def _seen_by_rule(self, inputs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        if self.verifier.on_device:
            return inputs
        return {name: tensor.cpu() for name, tensor in inputs.items()}

    def _all_within(
        self, positions: list[int], tensors: dict[str, torch.Tensor], expected: list[list[torch.Tensor]]
    ) -> bool:
        """Whether calls with other inputs hold even the rule for normal ones, which is the hardest."""
        return not positions or all(
            compare(
                name,
                tensor[positions],
                [expected[position][output] for position in positions],
                self.verifier.rule,
                positions,
            ).mismatch
            is None
            for output, (name, tensor) in enumerate(tensors.items())
        )

    def _verify_normal(self, positions: list[int], calls: Calls) -> None:
        if not positions:
            return
        normal = calls.at(positions)
        self.tally.comparison = self.tally.comparison.merge(self.verifier.compare(normal))
        if self.samples is not None:
            for position, number in enumerate(normal.numbers):
                self.samples.offer(number, normal.given(position), normal.expected[position])
