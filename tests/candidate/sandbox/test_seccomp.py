"""The filter of system calls, run as the kernel runs it, and the numbers that it is made of."""

from __future__ import annotations

import errno
import platform
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_fib.candidate.sandbox.numbers import AARCH64, NUMBERS, X86_64, number_of
from pytest_fib.candidate.sandbox.seccomp import FORBIDDEN, Instruction, program

ARCH = {X86_64: 0xC000003E, AARCH64: 0xC00000B7}
ALLOW, EPERM, ENOSYS = 0x7FFF0000, 0x50000 | errno.EPERM, 0x50000 | errno.ENOSYS
machines = pytest.mark.parametrize("machine", [X86_64, AARCH64])


def verdict(filtered: list[Instruction], number: int, arch: int, argument: int = 0, second: int = 0) -> int:
    """Run the filter as the kernel does and return what it returns."""
    at, value = 0, 0
    while True:
        code, if_true, if_false, constant = filtered[at]
        at += 1
        if code == 0x20:
            value = {0: number, 4: arch, 16: argument & 0xFFFFFFFF, 24: second & 0xFFFFFFFF}[constant]
        elif code == 0x06:
            return constant
        else:
            test = {0x15: value == constant, 0x35: value >= constant, 0x45: bool(value & constant)}[code]
            at += if_true if test else if_false


@machines
@pytest.mark.parametrize("name", FORBIDDEN)
def test_the_filter_forbids(machine: str, name: str) -> None:
    number = NUMBERS[name][machine == AARCH64]
    if number is None:
        pytest.skip(f"{machine} has no {name}")
    assert verdict(program(machine), number, ARCH[machine]) == EPERM


@machines
@given(number=st.integers(0, 600), argument=st.integers(0, 2**64 - 1))
def test_the_filter_lets_everything_else_pass(machine: str, number: int, argument: int) -> None:
    special = {number_of(name, machine) for name in ("clone", "clone3", "unshare", "socket", "fcntl")}
    forbidden = {NUMBERS[name][machine == AARCH64] for name in FORBIDDEN}
    if number not in special | forbidden:
        assert verdict(program(machine), number, ARCH[machine], argument) == ALLOW


@machines
@pytest.mark.parametrize(
    ("name", "argument", "expected"),
    [
        ("clone", 17, ALLOW),  # a child that sends SIGCHLD, as fork does
        ("clone", 0x3D0F00, ALLOW),  # a thread
        ("clone", 0x10000000 | 17, EPERM),
        ("clone", 0x00020000 | 17, EPERM),
        ("clone", 0x20000000 | 17, EPERM),
        ("clone3", 0, ENOSYS),
        ("unshare", 0x400, ALLOW),  # its own table of files
        ("unshare", 0x40000000, EPERM),
        ("unshare", 0x80, EPERM),
        ("socket", 1, ALLOW),
        ("socket", 2, ALLOW),
        ("socket", 10, ALLOW),
        ("socket", 16, ALLOW),
        ("socket", 17, 0x50000 | errno.EAFNOSUPPORT),
        ("socket", 40, 0x50000 | errno.EAFNOSUPPORT),
        ("socket", 2**32 + 40, 0x50000 | errno.EAFNOSUPPORT),
    ],
)
def test_the_filter_looks_at_arguments(machine: str, name: str, argument: int, expected: int) -> None:
    assert verdict(program(machine), number_of(name, machine), ARCH[machine], argument) == expected


@machines
@pytest.mark.parametrize(("command", "expected"), [(10, EPERM), (2**32 + 10, EPERM), (9, ALLOW), (4, ALLOW)])
def test_the_signal_of_input_and_output_stays_what_it_is(machine: str, command: int, expected: int) -> None:
    number = number_of("fcntl", machine)
    assert verdict(program(machine), number, ARCH[machine], 1, command) == expected


@machines
def test_calls_of_another_architecture_do_not_exist(machine: str) -> None:
    assert verdict(program(machine), number_of("ptrace", machine), 0x40000003) == ENOSYS
    assert verdict(program(machine), 0x40000000 | 1, ARCH[machine]) == ENOSYS


def test_the_filter_of_an_unknown_machine_is_refused_by_name() -> None:
    with pytest.raises(OSError, match="on riscv64"):
        program("riscv64")


@pytest.mark.skipif(platform.machine() != X86_64, reason="reads the header of x86-64")
@pytest.mark.parametrize("name", sorted(NUMBERS))
def test_the_numbers_are_those_of_the_system_header(name: str) -> None:
    headers = [Path(root) / "asm/unistd_64.h" for root in ("/usr/include/x86_64-linux-gnu", "/usr/include")]
    header = next((path for path in headers if path.exists()), None)
    if header is None:
        pytest.skip("the kernel's headers are not installed")
    defined = dict(line.split()[1:3] for line in header.read_text().splitlines() if "__NR_" in line)
    if f"__NR_{name}" not in defined:
        pytest.skip(f"this header does not know {name} yet")
    assert int(defined[f"__NR_{name}"]) == NUMBERS[name][0]


@pytest.mark.parametrize("name", sorted(NUMBERS))
def test_the_numbers_are_those_of_the_generic_header(name: str) -> None:
    header = Path("/usr/include/asm-generic/unistd.h")
    if not header.exists():
        pytest.skip("the kernel's headers are not installed")
    defined = {
        line.split()[1]: line.split()[2]
        for line in header.read_text().splitlines()
        if line.startswith("#define __NR")
    }
    number = NUMBERS[name][1]
    if number is None:
        assert f"__NR_{name}" not in defined
    elif f"__NR_{name}" in defined:
        value = defined[f"__NR_{name}"]
        assert int(defined.get(value, value)) == number  # some are named once more
