"""What must not work from inside, as root and as an unprivileged user."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_fib.candidate.sandbox import default_readable
from pytest_fib.candidate.sandbox.paths import view_of

REPOSITORY = Path(__file__).parents[2]
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


@contextlib.contextmanager
def listening(family: int, address: Any) -> Iterator[Any]:
    with socket.socket(family, socket.SOCK_STREAM) as server:
        server.bind(address)
        server.listen()
        yield server.getsockname()


def connect(family: int, address: Any) -> None:
    import socket

    address = tuple(address) if isinstance(address, list) else address
    with socket.socket(family, socket.SOCK_STREAM) as client:
        client.settimeout(2)
        client.connect(address)


@pytest.mark.parametrize(
    ("without", "layer"),
    [(("landlock_tcp", "landlock_scopes"), "network"), (("network",), "landlock_tcp")],
    ids=["the network namespace alone", "Landlock alone"],
)
def test_no_port_of_the_machine_can_be_reached(
    sandboxed: Sandbox, without: tuple[str, ...], layer: str
) -> None:
    with listening(socket.AF_INET, ("127.0.0.1", 0)) as address:
        family = int(socket.AF_INET)
        policy = {"without": without}
        outcome = sandboxed(connect, needs=(layer,), policy=policy, family=family, address=address)
    assert outcome.raised is not None
    assert outcome.raised.startswith(("OSError", "PermissionError"))


@pytest.mark.parametrize(
    ("without", "layer"),
    [(("landlock_tcp", "landlock_scopes"), "network"), (("network",), "landlock_scopes")],
    ids=["the network namespace alone", "Landlock alone"],
)
def test_no_abstract_socket_of_the_machine_can_be_reached(
    sandboxed: Sandbox, without: tuple[str, ...], layer: str
) -> None:
    name = f"\0fib-canary-{os.getpid()}"
    with listening(socket.AF_UNIX, name):
        outcome = sandboxed(
            connect, needs=(layer,), policy={"without": without}, family=int(socket.AF_UNIX), address=name
        )
    assert outcome.raised is not None
    assert outcome.raised.startswith(("ConnectionRefusedError", "PermissionError"))


def strange_sockets() -> list[int]:
    import contextlib
    import socket

    made = []
    for family in (17, 38, 40, 44):  # packet, alg, vsock, xdp
        with contextlib.suppress(OSError):
            socket.socket(family, socket.SOCK_STREAM if family == 40 else socket.SOCK_RAW).close()
            made.append(family)
    return made


def test_no_socket_of_a_rare_family_can_be_made(sandboxed: Sandbox) -> None:
    assert sandboxed(strange_sockets, needs=("seccomp",)).returned == []


def processes() -> list[int]:
    import os

    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def test_no_process_outside_can_be_seen(sandboxed: Sandbox) -> None:
    assert sorted(sandboxed(processes, needs=("pid", "proc")).returned) == [1, 2]


def test_a_fresh_proc_is_had_even_in_the_old_root_and_only_inside(sandboxed: Sandbox) -> None:
    before = Path("/proc/self/mountinfo").read_text()
    outcome = sandboxed(processes, needs=("pid", "proc"), policy={"without": ("root",)})
    assert sorted(outcome.returned) == [1, 2]
    assert Path("/proc/self/mountinfo").read_text() == before


def test_the_mounts_of_the_machine_stay_as_they_are(sandboxed: Sandbox) -> None:
    before = Path("/proc/self/mountinfo").read_text()
    sandboxed(processes)
    assert Path("/proc/self/mountinfo").read_text() == before


def send_signal(pid: int) -> None:
    import os

    os.kill(pid, 0)


@pytest.mark.parametrize(
    ("without", "layer"),
    [(("landlock_scopes",), "pid"), (("pid", "proc", "uid", "user"), "landlock_scopes")],
    ids=["the PID namespace alone", "Landlock alone"],
)
def test_no_process_outside_can_be_signalled(
    as_caller: Sandbox, without: tuple[str, ...], layer: str
) -> None:
    if os.geteuid() != 0 and layer == "landlock_scopes":
        without = tuple(name for name in without if name != "user")
    outcome = as_caller(send_signal, needs=(layer,), policy={"without": without}, pid=os.getpid())
    assert outcome.raised is not None
    assert outcome.raised.startswith(("ProcessLookupError", "PermissionError"))


def kill_the_first() -> bool:
    import contextlib
    import os
    import time

    for signal in (9, 15, 11):
        with contextlib.suppress(PermissionError):
            os.kill(1, signal)
    time.sleep(0.05)
    return os.path.exists("/proc/1")


def test_process_one_outlives_what_the_candidate_sends_it(sandboxed: Sandbox) -> None:
    outcome = sandboxed(kill_the_first, needs=("pid", "proc"))
    assert outcome.returned is True
    assert outcome.status == 0


def look_into_process_one() -> list[str]:
    import contextlib
    import os

    seen = []
    for path in ("root", "cwd", "fd", "mem", "environ", "map_files", "ns/net"):
        for look in (os.listdir, os.readlink, lambda name: os.close(os.open(name, os.O_RDONLY))):
            with contextlib.suppress(OSError):
                look(f"/proc/1/{path}")
                seen.append(path)
    return seen


def test_process_one_is_closed(sandboxed: Sandbox) -> None:
    assert sandboxed(look_into_process_one, needs=("pid", "proc")).returned == []


def forbidden_calls(parent: int) -> dict[str, str]:
    import ctypes
    import errno
    import os
    import platform

    from pytest_fib.candidate.sandbox.numbers import number_of

    libc = ctypes.CDLL(None, use_errno=True)
    buffer = ctypes.create_string_buffer(256)
    here = os.open("/proc/self/ns/net", os.O_RDONLY)
    calls = {
        "ptrace": (16, 1, 0, 0),
        "process_vm_readv": (parent, buffer, 1, buffer, 1, 0),
        "mount": (b"tmpfs", b"/tmp", b"tmpfs", 0, None),
        "umount2": (b"/proc", 2),
        "umount2 ": (b"/usr", 2),
        "pivot_root": (b"/tmp", b"/tmp"),
        "chroot": (b"/tmp",),
        "setns": (here, 0),
        "open_tree": (-100, b"/", 1),
        "move_mount": (-100, b"/usr", -100, b"/tmp", 0),
        "mount_setattr": (-100, b"/", 0, buffer, 32),
        "fsopen": (b"tmpfs", 0),
        "bpf": (0, buffer, 64),
        "perf_event_open": (buffer, 0, -1, -1, 0),
        "userfaultfd": (1,),
        "io_uring_setup": (8, buffer),
        "keyctl": (0, -3, 0),
        "add_key": (b"user", b"x", b"y", 1, -3),
        "open_by_handle_at": (-100, buffer, 0),
        "personality": (0xFFFFFFFF,),
        "sethostname": (b"x", 1),
        "kcmp": (os.getpid(), os.getpid(), 0, 0, 0),
        "clone": (0x10000000 | 17, 0, 0, 0, 0),
        "clone3": (buffer, 64),
        "unshare": (0x10000000,),
        "unshare ": (0x00020000,),
    }
    answers = {}
    for name, arguments in calls.items():
        words = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
        words += [ctypes.c_long(0)] * (6 - len(words))
        result = libc.syscall(ctypes.c_long(number_of(name.strip(), platform.machine())), *words)
        answers[name] = errno.errorcode[ctypes.get_errno()] if result < 0 else "allowed"
        if name.startswith("clone") and result == 0:
            os._exit(0)
    return answers


def test_calls_that_attacks_are_made_of_are_forbidden(sandboxed: Sandbox) -> None:
    answers = sandboxed(forbidden_calls, needs=("seccomp",), parent=os.getpid()).returned
    assert answers.pop("clone3") == "ENOSYS"
    assert set(answers.values()) == {"EPERM"}


def test_without_the_filter_no_mount_or_namespace_of_power_can_be_had(sandboxed: Sandbox) -> None:
    outcome = sandboxed(
        forbidden_calls, needs=("root", "capabilities"), policy={"without": ("seccomp",)}, parent=os.getpid()
    )
    allowed = {name.strip() for name, answer in outcome.returned.items() if answer == "allowed"}
    assert not allowed & {
        "mount",
        "umount2",
        "pivot_root",
        "chroot",
        "open_tree",
        "move_mount",
        "fsopen",
        "setns",
    }


def make_device_and_become_root() -> list[str]:
    import contextlib
    import os
    import stat

    done = []
    for name, action in (
        ("mknod", lambda: os.mknod("/tmp/disk", 0o600 | stat.S_IFBLK, os.makedev(8, 0))),
        ("mknod null", lambda: os.mknod("/tmp/null", 0o600 | stat.S_IFCHR, os.makedev(1, 3))),
        ("setuid", lambda: os.setuid(0 if os.getuid() else 1)),
        ("setgid", lambda: os.setgid(0 if os.getgid() else 1)),
        ("setgroups", lambda: os.setgroups([])),
        ("chown", lambda: os.chown("/tmp", 0, 0)),
        ("nice", lambda: os.nice(-5)),
    ):
        with contextlib.suppress(OSError):
            action()
            done.append(name)
    with open("/proc/self/status") as file:
        done += [line for line in file if line.startswith("Cap") and int(line.split()[1], 16)]
    return done


def test_no_capability_is_left(sandboxed: Sandbox) -> None:
    outcome = sandboxed(make_device_and_become_root, needs=("capabilities", "user", "landlock_files"))
    assert outcome.returned == []


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


def fork_until_refused() -> int:
    import os
    import time

    children = 0
    while children < 200:
        try:
            if os.fork() == 0:
                time.sleep(30)
                os._exit(0)
        except BlockingIOError:
            break
        children += 1
    return children


def test_processes_are_limited_and_none_is_left(sandboxed: Sandbox) -> None:
    outcome = sandboxed(fork_until_refused, needs=("pid", "user"), policy={"processes": 20})
    assert 10 < outcome.returned < 20


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


def leave_a_daemon_behind() -> None:
    import os
    import time

    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            time.sleep(60)  # holds the answer's pipe: whoever waits for its end waits for this process
        os._exit(0)


def test_nothing_outlives_the_candidate(sandboxed: Sandbox) -> None:
    outcome = sandboxed(leave_a_daemon_behind, needs=("pid",), timeout_s=20)
    assert outcome.status == 0


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
