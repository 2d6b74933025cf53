"""Running calls: fill, poison, go, clock, take, verify. Every call of every phase goes through here, in one way.

There is no warm-up mode and no correctness mode that a candidate could tell from a timed one: a warm-up call is a
timed call whose time is not used.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice

import numpy as np
import numpy.typing as npt
import torch

from pytest_fib.inputs import InputPlan
from pytest_fib.inputs.distributions import NORMAL
from pytest_fib.judge.arena import Arena
from pytest_fib.judge.candidate import Candidate, CannotGate, Interval
from pytest_fib.judge.failures import CandidateTimeout, DeviceBusy, IntegrityViolation
from pytest_fib.judge.machine import Cores, waiting_on
from pytest_fib.judge.verification import Taken, Tally, Verification, choose_calls

_BATCH_BYTES, _DEVICE_BATCH_BYTES = 64 << 20, 512 << 20  # of inputs and outputs that are kept at a time
_BULK_BYTES = 32 << 20
_GATE_PATIENCE_S = 0.05
_UNDISTURBED_AT_LAST = 8  # times that inputs are written while somebody is at work
_ASLEEP_S = 0.001  # some threads come to the place where they stop when the first of them has long been there


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
class Bench:
    """What stays the same for all calls of one workload.

    Attributes
    ----------
    verification
        How calls are verified.
    timeout_s
        Seconds that all calls of this workload may take together.
    cores
        Where to wait while timing; None when not timing.
    random
        Secret randomness for the choice of verified calls.
    scratch
        Memory of the judge's own for one call's bulk inputs.
    optional
        Outputs that the solution may leave out.
    device
        Where inputs are drawn, the reference runs and outputs are.
    compiled
        Whether nothing but compiled code is between "go" and "done".
    gate
        How calls are enqueued before their inputs are there, so that "go" starts the device alone; None if they
        are not.
    """

    arena: Arena
    inputs: InputPlan
    verification: Verification
    timeout_s: float
    cores: Cores | None
    random: np.random.Generator
    tally: Tally
    scratch: dict[str, torch.Tensor] = field(default_factory=dict)
    optional: tuple[str, ...] = ()
    device: str = "cpu"
    compiled: bool = True
    gate: Gate | None = None

    def apart(self, inputs: InputPlan | None = None) -> Bench:
        """Return a bench for calls that are counted, and wait to be verified, apart from those of this one."""
        verification = replace(self.verification, samples=None, waiting=[])
        return replace(self, inputs=inputs or self.inputs, tally=Tally(), verification=verification)

    def run(
        self,
        candidate: Candidate,
        requests: Sequence[Request],
        verify: int | None = None,
        verify_later: bool = False,
        warmups: int = 0,
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
        warmups
            How many requests at the beginning are no samples: unless all calls are verified, theirs are not.

        Raises
        ------
        WrongOutput, CandidateError
            At the first batch in which something is wrong.
        """
        total = sum(request.calls for request in requests)
        first = sum(request.calls for request in requests[:warmups])
        chosen = self._chosen(first, total, verify)
        intervals: list[Interval] = []
        most = max(request.sets.stop for request in requests)
        done = 0
        for batch in self._batches(requests):
            calls = sum(request.calls for request in batch)
            intervals += self._batch(candidate, batch, most, chosen[done : done + calls])
            done += calls
            little = (
                len(self.verification.waiting) * self._bytes_per_call <= self._batch_bytes
                and not self._is_bulk
            )
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
        self.verification.verify(self.tally)

    def _chosen(self, first: int, total: int, verify: int | None) -> npt.NDArray[np.bool_]:
        """Return for each of the next ``total`` calls whether it is verified; only if all are, the ``first`` are."""
        if verify is None:
            return np.ones(total, dtype=bool)
        chosen = np.zeros(total, dtype=bool)
        begin = self.tally.calls
        normal = np.array([self.inputs.distribution(begin + index) == NORMAL for index in range(total)])
        for those, wanted in ((normal, verify), (~normal, math.ceil(verify / 3))):
            places = np.flatnonzero(those)
            chosen[choose_calls(places[places >= first], wanted, self.random)] = True
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
        calls = range(self.tally.calls, self.tally.calls + sum(request.calls for request in requests))
        if self.cores is None:
            candidate.mark()
            drawn = self._draw(calls)
            self.tally.calls = calls.stop
            elapsed, taken = self._requests(candidate, requests, most, drawn)
        else:
            candidate.call_up(len(requests), most)  # it makes its arguments while the judge draws
            seen = self._is_seen_while_drawn(calls)
            if seen:  # and works on what it sees, if it sees it
                self._arm(candidate, self.cores)
                time.sleep(_ASLEEP_S)
                candidate.mark()
            drawn = self._draw(calls)
            self.tally.calls = calls.stop
            if not seen:
                self._arm(candidate, self.cores)
            with waiting_on(self.cores.judge):
                elapsed, taken = self._requests(candidate, requests, most, drawn)
        self.verification.waiting.extend(taken[index] for index in np.flatnonzero(chosen).tolist())
        return elapsed

    def _arm(self, candidate: Candidate, cores: Cores) -> None:
        with waiting_on(cores.judge):
            candidate.arm(self._remaining(candidate))

    def _is_seen_while_drawn(self, calls: range) -> bool:
        """Whether the inputs of ``calls`` are drawn where the candidate has them mapped.

        It cannot write there, so what it is given can serve the reference as well.
        """
        return len(calls) == 1 and self._is_bulk and not self.arena.plan.writable_inputs

    def _draw(self, calls: range) -> list[_Drawn]:
        """Draw the inputs of ``calls``; bulk inputs go where they are wanted, because fresh memory is slow."""
        if len(calls) > 1 or not self._is_bulk:
            return list(map(_Drawn, calls, self.inputs.draw_many(calls)))
        if self._is_seen_while_drawn(calls):
            return [_Drawn(calls.start, self.inputs.draw(calls.start, out=self.arena.inputs_of(0)))]
        if not self.scratch:
            for name, layout in self.inputs.tensors.items():
                self.scratch[name] = torch.empty(layout.shape, dtype=layout.dtype, device=self.device)
        return [_Drawn(calls.start, self.inputs.draw(calls.start, out=self.scratch))]

    def _requests(
        self, candidate: Candidate, requests: list[Request], most: int, drawn: list[_Drawn]
    ) -> tuple[list[Interval], list[Taken]]:
        arena = self.arena
        arena.prepare([request.sets for request in requests])
        elapsed: list[Interval] = []
        taken: list[Taken] = []
        contents = iter(drawn)
        for number, request in enumerate(requests):
            if self.gate is not None:
                self._enqueue(candidate, request, self.gate, alone=len(requests) == 1)
            filled = self._fill(candidate, number, request, list(islice(contents, request.calls)))
            elapsed.append(self._one(candidate, request, number, most))
            outputs = arena.take(request.sets)
            self._check_integrity(number, request, outputs, filled)
            none: frozenset[str] = frozenset()
            left = arena.untouched(number, outputs, self.optional) if self.optional else [none] * len(filled)
            taken += [
                Taken(
                    call.number,
                    self.inputs.distribution(call.number),
                    {**call.inputs, **self.inputs.scalars},
                    output,
                    untouched,
                )
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

    def _fill(self, candidate: Candidate, number: int, request: Request, drawn: list[_Drawn]) -> list[_Drawn]:
        """Write what the calls of ``request`` are given; return it.

        Inputs during whose writing somebody was at work may have been worked on: the calls are given other ones.
        """
        if not self._is_seen_while_drawn(range(len(drawn))):
            candidate.mark()
        for _ in range(_UNDISTURBED_AT_LAST):
            self.arena.fill(number, request.sets, [call.inputs for call in drawn])
            idle, held = self.arena.settle(), candidate.held()
            if idle and held:
                return drawn
            first = self.tally.calls
            self.tally.calls += len(drawn)
            time.sleep(_ASLEEP_S)
            candidate.mark()
            drawn = self._draw(range(first, first + len(drawn)))
        if not held:
            raise IntegrityViolation(
                "processes of the candidate run between its requests although they were stopped"
            )
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
