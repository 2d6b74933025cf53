"""The parts of the sandbox that can be tried without entering it: the filter, the view of paths, the report."""

from __future__ import annotations

import errno
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_fib.candidate.sandbox import Layer, Policy, Report, default_readable, probe
from pytest_fib.candidate.sandbox.landlock import Access, handled_access, rules_of
from pytest_fib.candidate.sandbox.numbers import AARCH64, NUMBERS, X86_64, number_of
from pytest_fib.candidate.sandbox.paths import view_of
from pytest_fib.candidate.sandbox.seccomp import FORBIDDEN, Instruction, program
from pytest_fib.data.layers import OPTIONAL

ARCH = {X86_64: 0xC000003E, AARCH64: 0xC00000B7}
ALLOW, EPERM, ENOSYS = 0x7FFF0000, 0x50000 | errno.EPERM, 0x50000 | errno.ENOSYS
machines = pytest.mark.parametrize("machine", [X86_64, AARCH64])


def verdict(filtered: list[Instruction], number: int, arch: int, argument: int = 0) -> int:
    """Run the filter as the kernel does and return what it returns."""
    at, value = 0, 0
    while True:
        code, if_true, if_false, constant = filtered[at]
        at += 1
        if code == 0x20:
            value = {0: number, 4: arch, 16: argument & 0xFFFFFFFF}[constant]
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
    special = {number_of(name, machine) for name in ("clone", "clone3", "unshare", "socket")}
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
        assert int(defined[f"__NR_{name}"]) == number


def test_a_path_is_shown_under_every_name_on_the_way(tmp_path: Path) -> None:
    root = tmp_path.resolve()
    (root / "real/deep").mkdir(parents=True)
    (root / "real/deep/file").touch()
    (root / "relative").symlink_to("real/../real/deep")
    (root / "absolute").symlink_to(root / "relative")
    view = view_of([f"{root}/absolute/file"])
    assert view.real == (f"{root}/real/deep/file",)
    assert dict(view.links) == {
        f"{root}/absolute": f"{root}/relative",
        f"{root}/relative": "real/../real/deep",
    }


def test_what_lies_below_a_shown_path_comes_with_it(tmp_path: Path) -> None:
    root = tmp_path.resolve()
    (root / "shown/below").mkdir(parents=True)
    (root / "shown/link").symlink_to("below")
    view = view_of([f"{root}/shown/link", f"{root}/shown/below", f"{root}/shown", f"{root}/missing"])
    assert view.real == (f"{root}/shown",)
    assert view.links == ()


def test_links_in_a_circle_lead_nowhere(tmp_path: Path) -> None:
    (tmp_path / "one").symlink_to("two")
    (tmp_path / "two").symlink_to("one")
    assert view_of([str(tmp_path / "one")]).real == ()


@pytest.mark.parametrize("path", ["/", "/tmp", "/proc", "/dev", "relative", "/usr/../etc", "/usr/"])
def test_a_policy_cannot_show_everything_or_be_vague(path: str) -> None:
    with pytest.raises(ValueError, match="cannot be shown"):
        Policy((path,))


def test_a_policy_leaves_out_what_a_probe_found_missing() -> None:
    probed = Report((Layer("user", False, "denied"), Layer("proc", False, "hidden"), Layer("pid", True)))
    assert Policy((), without=frozenset({"uts"})).adapted(probed).without == {"uts", "user", "proc"}
    assert Policy((), cuda=True).adapted(probed).without == {"user", "proc", "pid"}


def test_by_default_neither_home_nor_checkout_nor_working_folder_is_shown() -> None:
    shown = default_readable()
    checkout = str(Path(__file__).resolve().parents[2])
    for private in (os.path.expanduser("~"), checkout, os.getcwd(), f"{checkout}/pytest_fib/judge"):
        assert not any(f"{private}/".startswith(f"{path}/") for path in shown), private
    assert any(f"{sys.prefix}/".startswith(f"{path}/") for path in shown)


@given(st.lists(st.builds(Layer, st.text(), st.booleans(), st.text())))
def test_a_report_survives_the_way_to_the_judge(layers: list[Layer]) -> None:
    report = Report(tuple(layers))
    assert Report.from_text(report.to_text()) == report


def test_optional_layers_are_not_missed() -> None:
    report = Report(
        (Layer("root", False, "why"), *(Layer(name, False) for name in OPTIONAL), Layer("pid", True))
    )
    assert report.missing == (Layer("root", False, "why"),)
    assert not report.active("root")
    assert report.active("pid")


@pytest.mark.parametrize(
    ("version", "newest"), [(1, "MAKE_SYM"), (2, "REFER"), (3, "TRUNCATE"), (5, "IOCTL_DEV")]
)
def test_landlock_is_asked_only_for_what_it_knows(version: int, newest: str) -> None:
    handled = handled_access(version)
    assert handled & Access[newest]
    assert handled < Access[newest] * 2


def test_without_a_private_root_landlock_names_every_path() -> None:
    policy = Policy(
        ("/usr",), artifact_dir="/srv/product", build_dir="/srv/build", scratch_dir="/srv/scratch"
    )
    rules = dict(rules_of(policy, Report()))
    assert "/" not in rules
    assert "/tmp" not in rules
    assert not rules["/usr"] & Access.WRITE_FILE
    assert not rules["/srv/product"] & Access.MAKE_REG
    assert rules["/srv/build"] & rules["/srv/scratch"] & Access.MAKE_REG


def test_a_probe_tells_of_every_layer() -> None:
    report = probe()
    names = [layer.name for layer in report.layers]
    assert {
        "mount",
        "pid",
        "network",
        "ipc",
        "root",
        "proc",
        "capabilities",
        "seccomp",
        "landlock_files",
    } <= set(names)
    assert len(names) == len(set(names))
    assert all(layer.reason for layer in report.layers if not layer.active)


def test_the_sandbox_imports_neither_torch_nor_pydantic() -> None:
    program = (
        "import sys, pytest_fib.candidate.sandbox; print({'torch', 'pydantic', 'numpy'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    assert done.stdout.strip() == "set()"
