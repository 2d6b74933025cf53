"""From inside, no file outside can be read, no folder outside and no setting of the machine be written."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import pytest

from pytest_fib.candidate.sandbox import default_readable
from pytest_fib.candidate.sandbox.paths import view_of

REPOSITORY = Path(__file__).parents[3]
Sandbox = Any

ROOT = ("root",)


@pytest.fixture
def canary(open_folder: Path) -> Path:
    """A file that anyone may read, in a folder that anyone may enter and write to, outside the sandbox."""
    path = open_folder / "canary"
    path.write_text("sings")
    path.chmod(0o777)
    return path


def read(path: str) -> str:
    with open(path) as file:
        return file.read()


@pytest.mark.parametrize(
    ("without", "layer"),
    [((), "root"), (("landlock_files",), "root"), (("mount",), "landlock_files")],
    ids=["all layers", "the private root alone", "Landlock alone"],
)
def test_no_file_outside_can_be_read(
    sandboxed: Sandbox, canary: Path, without: tuple[str, ...], layer: str
) -> None:
    outcome = sandboxed(read, needs=(layer,), policy={"without": without}, path=str(canary))
    assert outcome.raised is not None
    assert outcome.raised.startswith(("FileNotFoundError", "PermissionError"))


def test_the_canary_can_be_read_without_those_layers(sandboxed: Sandbox, canary: Path) -> None:
    without = ("mount", "landlock_files")
    assert sandboxed(read, policy={"without": without}, path=str(canary)).returned == "sings"


def names(paths: list[str]) -> list[str]:
    import contextlib
    import os

    found = []
    for path in paths:
        with contextlib.suppress(OSError):
            found += [os.path.join(path, name) for name in os.listdir(path)]
    return found


def is_on_the_way(path: str) -> bool:
    """Whether ``path`` is shown by default or leads there: Python and package may lie below /tmp too."""
    view = view_of(default_readable())
    shown = (*view.real, *(link for link, _ in view.links))
    return any(f"{end}/".startswith(f"{path}/") for end in shown)


def test_of_the_machine_only_the_policy_is_there(sandboxed: Sandbox) -> None:
    home, checkout = os.path.expanduser("~"), str(REPOSITORY)
    paths = [
        "/",
        home,
        checkout,
        f"{checkout}/pytest_fib",
        "/home",
        "/var",
        "/mnt",
        "/opt",
        "/tmp",
        "/dev",
    ]
    found = sandboxed(names, needs=ROOT, paths=paths).returned
    assert not {
        f"{checkout}/tests",
        f"{checkout}/.git",
        f"{checkout}/pytest_fib/judge",
        f"{home}/.bashrc",
    } & set(found)
    private = tuple(f"{folder}/" for folder in (home, checkout, "/home", "/var", "/mnt", "/tmp"))
    assert not {path for path in found if path.startswith(private) and not is_on_the_way(path)}
    devices = {path for path in found if path.startswith("/dev/")}
    assert devices == {
        f"/dev/{name}"
        for name in ("null", "zero", "full", "random", "urandom", "shm", "fd", "stdin", "stdout", "stderr")
    }


def places_that_can_be_written(places: list[str]) -> list[str]:
    import contextlib
    import os

    written = []
    for place in places:
        with contextlib.suppress(OSError):
            with open(os.path.join(place, "planted"), "w") as file:
                file.write("x")
            written.append(place)
    return written


@pytest.mark.parametrize("without", [(), ("landlock_files",)], ids=["all layers", "without Landlock"])
def test_nothing_but_the_private_folders_can_be_written(
    sandboxed: Sandbox, canary: Path, without: tuple[str, ...]
) -> None:
    packages = os.path.dirname(os.path.dirname(pytest.__file__))
    places = ["/", "/etc", "/usr", "/usr/lib", "/dev", "/proc", "/var/tmp", packages, str(canary.parent)]
    outcome = sandboxed(
        places_that_can_be_written,
        needs=ROOT,
        policy={"without": without},
        places=[*places, "/tmp", "/dev/shm"],
    )
    assert outcome.returned == ["/tmp", "/dev/shm"]
    assert os.listdir(canary.parent) == ["canary"]


def test_landlock_alone_allows_writing_to_the_scratch_folder_only(sandboxed: Sandbox, canary: Path) -> None:
    scratch = canary.parent / "scratch"
    scratch.mkdir()
    scratch.chmod(0o777)
    places = ["/tmp", "/dev/shm", "/var/tmp", str(canary.parent), str(scratch)]
    policy = {"without": ("mount",), "scratch_dir": str(scratch)}
    outcome = sandboxed(places_that_can_be_written, needs=("landlock_files",), policy=policy, places=places)
    assert outcome.returned == [str(scratch)]


def kernel_settings() -> list[str]:
    import contextlib
    import os

    opened = []
    for path in (
        "/proc/sys/kernel/core_pattern",
        "/proc/sys/vm/overcommit_memory",
        "/proc/sysrq-trigger",
        "/proc/kcore",
        "/sys/devices/system/cpu/cpu0/online",
    ):
        for flags in (os.O_WRONLY, os.O_RDWR):
            with contextlib.suppress(OSError):
                os.close(os.open(path, flags))
                opened.append(path)
    return opened


@pytest.mark.parametrize("without", [(), ("landlock_files", "uid", "user")], ids=["all layers", "as root"])
def test_no_setting_of_the_machine_can_be_written(sandboxed: Sandbox, without: tuple[str, ...]) -> None:
    if without and sandboxed.user is not None:
        pytest.skip("this user is not root")
    assert sandboxed(kernel_settings, needs=("proc",), policy={"without": without}).returned == []


def test_the_mounts_of_the_machine_stay_as_they_are(sandboxed: Sandbox) -> None:
    before = Path("/proc/self/mountinfo").read_text()
    sandboxed(names, paths=[])
    assert Path("/proc/self/mountinfo").read_text() == before


def fill(path: str, chunk: int) -> int:
    import errno
    import os

    try:
        with open(path, "wb", buffering=0) as file:
            while True:
                file.write(b"\0" * chunk)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EFBIG):
            raise
    return os.path.getsize(path)


@pytest.mark.parametrize("folder", ["/tmp", "/dev/shm"])
def test_the_private_folders_are_limited(sandboxed: Sandbox, folder: str) -> None:
    policy = {"tmp_bytes": 4 << 20, "shm_bytes": 2 << 20}
    outcome = sandboxed(fill, needs=ROOT, policy=policy, path=f"{folder}/file", chunk=1 << 18)
    assert outcome.returned == (4 << 20 if folder == "/tmp" else 2 << 20)


def open_beneath(fd_0: int) -> list[str]:
    import contextlib
    import os

    found = []
    for name in ("etc/passwd", "proc/version", "../etc/passwd"):
        with contextlib.suppress(OSError):
            os.close(os.open(name, os.O_RDONLY, dir_fd=fd_0))
            found.append(name)
    return found


def test_an_open_folder_of_the_machine_leads_nowhere(sandboxed: Sandbox) -> None:
    assert sandboxed(open_beneath, needs=("landlock_files",), opened=("/",)).returned == []


def test_sandboxes_at_the_same_time_do_not_see_each_other(as_caller: Sandbox) -> None:
    written: list[str] = []
    seen: list[str] = []

    def run() -> None:
        written.extend(as_caller(places_that_can_be_written, needs=ROOT, places=["/tmp"]).returned)
        seen.extend(as_caller(names, needs=ROOT, paths=["/tmp", "/dev/shm"]).returned)

    as_caller(names, needs=ROOT, paths=[])
    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert written == ["/tmp", "/tmp"]
    assert [path for path in seen if not is_on_the_way(path)] == []
