"""What the report and the terminal say of the devices that were measured."""

from __future__ import annotations

from dataclasses import replace

from pytest_fib.data.evaluation import Conditions
from pytest_fib.report.conditions import device_lines, driver_of, with_state
from pytest_fib.report.plain import jsonable
from pytest_fib.report.record import Record

from .synthetic import record

CALM = Conditions(driver="580.1", sm_mhz=(1980, 1980), memory_mhz=(3201, 3201), max_sm_mhz=1980, blocks=5)


def records(*conditions: Conditions | None) -> list[Record]:
    return [record(conditions=each) for each in conditions]


def text(*conditions: Conditions | None) -> str:
    return "\n".join(line.text for line in device_lines(records(*conditions)))


def test_nothing_is_said_of_a_processor_or_a_calm_device() -> None:
    assert text(None) == ""
    assert text(CALM, None) == ""
    assert with_state({"governor": "performance"}, records(None)) == {"governor": "performance"}
    assert with_state(None, records(None)) is None


def test_floating_clocks_get_a_banner() -> None:
    floating = replace(CALM, sm_mhz=(1410, 1980), idle_sm_mhz=345, locked=False)
    assert "fib: the clocks float: 1410 to 1980 MHz around the measured blocks, 345 MHz before" in text(
        CALM, floating
    )
    assert "never done here" in text(floating)
    assert "float: 1980 MHz around" in text(replace(CALM, locked=False))


def test_slow_blocks_and_others_are_counted() -> None:
    slow = replace(CALM, slowed_blocks=2, repeated_blocks=1, reasons=("sw_power_cap",), others=3)
    said = text(slow, slow)
    assert "slowed down in 4 of 10 blocks, of which 2 were measured again (sw_power_cap)" in said
    assert "other processes had the device open while it was measured: 3" in said


def test_who_cannot_look_says_why() -> None:
    assert "not watched: no \\x1b[31mpackage" in text(Conditions(problem="no \x1b[31mpackage"))


def test_the_environment_holds_what_was_seen() -> None:
    found = records(CALM, replace(CALM, sm_mhz=(345, 1500), locked=False, others=1))
    assert driver_of(found) == "580.1"
    clocks = jsonable(with_state({"sm_mhz": 345, "max_sm_mhz": 1980}, found))
    assert clocks["sm_mhz_range"] == [345, 1980]
    assert clocks["locked"] is False
    assert (clocks["blocks"], clocks["other_processes"]) == (10, 1)
