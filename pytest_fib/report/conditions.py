"""What the devices of a run were like while they were measured: in the document, and as a banner on the terminal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, TypedDict, cast

from pytest_fib.data.text import escape
from pytest_fib.report.record import ConditionsRecord, Record
from pytest_fib.report.text import Line, plural

if TYPE_CHECKING:
    from pytest_fib.data.evaluation import Conditions


class DeviceState(TypedDict):
    """What the report's environment says of the measured devices beside what they are; None: not known."""

    sm_mhz_range: list[int] | None
    memory_mhz_range: list[int] | None
    idle_sm_mhz: int | None
    max_sm_mhz: int | None
    locked: bool | None
    reasons: list[str]
    blocks: int
    slowed_blocks: int
    repeated_blocks: int
    other_processes: int | None
    problem: str


def conditions_record(conditions: Conditions | None) -> ConditionsRecord | None:
    """Return what was seen around the blocks of one workload as plain values."""
    if conditions is None:
        return None
    plain = {
        name: list(value) if isinstance(value, tuple) else value for name, value in asdict(conditions).items()
    }
    return cast("ConditionsRecord", plain)


def driver_of(records: Iterable[Record]) -> str | None:
    """Return the driver's version, as it was read where something was measured."""
    return next((each["driver"] for each in _conditions(records) if each["driver"]), None)


def device_state(records: Iterable[Record]) -> DeviceState | None:
    """Return what was seen over the whole run; None where nothing was measured on a device."""
    every = _conditions(records)
    if not every:
        return None
    held = {each["locked"] for each in every}
    highest = [each["max_sm_mhz"] for each in every if each["max_sm_mhz"] is not None]
    others = [each["others"] for each in every if each["others"] is not None]
    sm_range = _range(each["sm_mhz"] for each in every)
    return DeviceState(
        sm_mhz_range=sm_range,
        memory_mhz_range=_range(each["memory_mhz"] for each in every),
        idle_sm_mhz=min((each["idle_sm_mhz"] for each in every if each["idle_sm_mhz"]), default=None),
        max_sm_mhz=max(highest, default=None),
        # One workload that saw the clock move is enough to know that it is not held.
        locked=False if False in held else True if True in held else None,
        reasons=sorted({reason for each in every for reason in each["reasons"]}),
        blocks=sum(each["blocks"] for each in every),
        slowed_blocks=sum(each["slowed_blocks"] for each in every),
        repeated_blocks=sum(each["repeated_blocks"] for each in every),
        other_processes=max(others, default=None),
        problem=next((each["problem"] for each in every if each["problem"]), ""),
    )


def with_state(clocks: Mapping[str, Any] | None, records: Sequence[Record]) -> dict[str, Any] | None:
    """Return the environment's ``clocks`` together with what was seen of them."""
    state = device_state(records)
    return None if clocks is None and state is None else {**(clocks or {}), **(state or {})}


def device_lines(records: Iterable[Record]) -> list[Line]:
    """Say that clocks floated, that blocks were slowed down, that others were there, or that nobody looked."""
    state = device_state(records)
    if state is None:
        return []
    lines = []
    if state["problem"]:
        lines.append(
            f"clocks, throttling and other processes were not watched: {escape(state['problem'], 200)}"
        )
    if state["locked"] is False and state["sm_mhz_range"]:
        low, high = state["sm_mhz_range"]
        seen = f"{low} to {high}" if low < high else str(high)
        idle = f", {state['idle_sm_mhz']} MHz before" if state["idle_sm_mhz"] else ""
        lines.append(
            f"the clocks float: {seen} MHz around the measured blocks{idle}; compare only what ran side by side, or "
            "lock them (nvidia-smi --lock-gpu-clocks), which is never done here"
        )
    if state["slowed_blocks"]:
        lines.append(
            f"the device was slowed down in {state['slowed_blocks']} of {plural(state['blocks'], 'block')}, of which "
            f"{state['repeated_blocks']} were measured again ({', '.join(state['reasons'])})"
        )
    if state["other_processes"]:
        lines.append(f"other processes had the device open while it was measured: {state['other_processes']}")
    return [Line(f"fib: {line}", {"yellow": True}) for line in lines]


def _conditions(records: Iterable[Record]) -> list[ConditionsRecord]:
    measured = (record["measurement"] for record in records)
    return [each["conditions"] for each in measured if each is not None and each["conditions"] is not None]


def _range(ranges: Iterable[list[int] | None]) -> list[int] | None:
    known = [bound for each in ranges if each for bound in each]
    return [min(known), max(known)] if known else None
