"""What solutions need must work inside: compilers, torch, TVM-FFI, Triton, temporary files, threads, children."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest

Sandbox = Any


def compile_and_load() -> float:
    import ctypes
    import pathlib
    import subprocess

    pathlib.Path("/tmp/half.cpp").write_text(
        '#include <cmath>\nextern "C" double half(double x) { return std::fabs(x) / 2; }\n'
    )
    command = ["c++", "-O2", "-march=native", "-shared", "-fPIC", "-o", "/tmp/half.so", "/tmp/half.cpp"]
    subprocess.run(command, check=True, timeout=60)
    half = ctypes.CDLL("/tmp/half.so").half
    half.restype, half.argtypes = ctypes.c_double, [ctypes.c_double]
    return float(half(-3.0))


@pytest.mark.skipif(shutil.which("c++") is None, reason="there is no C++ compiler")
def test_a_compiler_works_and_its_product_can_be_loaded(sandboxed: Sandbox) -> None:
    outcome = sandboxed(compile_and_load, needs=("root",))
    assert outcome.returned == 1.5, outcome.printed


def write_product(folder: str) -> str:
    import os

    with open(os.path.join(folder, "product"), "w") as file:
        file.write("made")
    return sorted(os.listdir(folder))[0]


def test_the_build_folder_is_written_inside_and_read_outside(sandboxed: Sandbox, open_folder: Path) -> None:
    build = open_folder / "build"
    build.mkdir()
    give_to(sandboxed.user, build)
    outcome = sandboxed(write_product, needs=("root",), policy={"build_dir": str(build)}, folder=str(build))
    assert outcome.raised is None, outcome.printed
    assert (build / "product").read_text() == "made"


def read_product(folder: str) -> str:
    import os

    try:
        os.unlink(os.path.join(folder, "product"))
    except OSError:
        with open(os.path.join(folder, "product")) as file:
            return file.read()
    return "removed"


def test_the_artifact_folder_can_only_be_read(as_caller: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "product").write_text("made")
    tmp_path.chmod(0o755)
    policy = {"artifact_dir": str(tmp_path)}
    assert as_caller(read_product, needs=("root",), policy=policy, folder=str(tmp_path)).returned == "made"


def give_to(user: int | None, folder: Path, mode: int = 0o755) -> None:
    folder.chmod(mode)
    if user is not None:
        os.chown(folder, user, user)


def write_where_possible(places: list[str]) -> list[str]:
    import contextlib
    import os

    written = []
    for place in places:
        with contextlib.suppress(OSError), open(os.path.join(place, "product"), "w") as file:
            file.write("made")
            written.append(os.path.basename(place))
    return written


@pytest.mark.parametrize("mode", [0o700, 0o755], ids=["closed", "open"])
@pytest.mark.parametrize("without", [(), ("landlock_files",), ("mount",)], ids=["all", "root", "Landlock"])
def test_the_build_folder_can_be_written_below_what_can_only_be_read(
    sandboxed: Sandbox, open_folder: Path, mode: int, without: tuple[str, ...]
) -> None:
    shown, build = open_folder / "shown", open_folder / "shown/cache/build/of-one"
    build.mkdir(parents=True)
    beside = [build.parent, build.parent.parent, shown]
    for folder in (*beside, build):
        give_to(sandboxed.user, folder, mode)
    shown.chmod(0o755)
    outcome = sandboxed(
        write_where_possible,
        needs=("landlock_files" if "mount" in without else "root",),
        readable=(str(shown),),
        policy={"build_dir": str(build), "without": without},
        places=[str(folder) for folder in (build, *beside)],
    )
    assert outcome.returned == ["of-one"], outcome.printed
    assert (build / "product").read_text() == "made"


@pytest.mark.parametrize("mode", [0o700, 0o755], ids=["closed", "open"])
def test_the_artifact_folder_can_be_read_below_what_can_be_read_too(
    as_caller: Sandbox, tmp_path: Path, mode: int
) -> None:
    product = tmp_path / "shown/cache/of-one"
    product.mkdir(parents=True)
    (product / "product").write_text("made")
    product.parent.chmod(mode)
    outcome = as_caller(
        read_product,
        needs=("root",),
        readable=(str(tmp_path / "shown"),),
        policy={"artifact_dir": str(product)},
        folder=str(product),
    )
    assert outcome.returned == "made", outcome.printed


@pytest.mark.parametrize("shown", [".", "real"], ids=["link is below", "link is beside"])
def test_the_build_folder_may_be_named_through_a_link(
    sandboxed: Sandbox, open_folder: Path, shown: str
) -> None:
    build = open_folder / "real/build"
    build.mkdir(parents=True)
    give_to(sandboxed.user, build)
    (open_folder / "link").symlink_to(open_folder / "real")
    outcome = sandboxed(
        write_where_possible,
        needs=("root",),
        readable=(str(open_folder / shown),),
        policy={"build_dir": str(open_folder / "link/build")},
        places=[str(open_folder / "link/build"), str(build), str(build.parent)],
    )
    assert outcome.returned == ["build", "build"], outcome.printed


def everyday_things() -> list[str]:
    import getpass
    import multiprocessing.shared_memory
    import os
    import pathlib
    import pwd
    import socket
    import subprocess
    import tempfile
    import threading
    import time

    done = []
    with tempfile.TemporaryDirectory() as folder:
        (pathlib.Path(folder) / "x").write_text("x")
        done.append("tempfile")
    pathlib.Path.home().joinpath(".cache").mkdir()
    done.append("home")
    seen = []
    thread = threading.Thread(target=lambda: seen.append(1))
    thread.start()
    thread.join()
    done += ["thread"] * len(seen)
    pid = os.fork()
    if pid == 0:
        os._exit(7)
    if os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7:
        done.append("fork")
    if subprocess.run(["sh", "-c", "exit 3"], check=False).returncode == 3:
        done.append("subprocess")
    memory = multiprocessing.shared_memory.SharedMemory(create=True, size=4096)
    memory.close()
    memory.unlink()
    done.append("shared memory")
    if pwd.getpwuid(os.getuid()).pw_name == getpass.getuser():
        done.append("account")
    one, two = socket.socketpair()
    one.close()
    two.close()
    with open("/proc/self/comm", "w") as file:
        file.write("renamed")
    with open(f"/proc/self/task/{threading.get_native_id()}/comm") as file:
        done.append(file.read().strip())
    if os.cpu_count() and len(os.sched_getaffinity(0)) <= os.cpu_count():
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        done.append("cores")
    with open("/dev/null") as null:
        if os.urandom(4) and time.localtime() and null.read() == "":
            done.append("devices")
    return done


def test_everyday_things_work(sandboxed: Sandbox) -> None:
    outcome = sandboxed(everyday_things, needs=("root",))
    expected = [
        "tempfile",
        "home",
        "thread",
        "fork",
        "subprocess",
        "shared memory",
        "account",
        "renamed",
        "cores",
    ]
    assert outcome.returned == [*expected, "devices"], outcome.printed


def use_scratch(scratch: str) -> bool:
    import os
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        return os.path.dirname(folder) == scratch == os.environ["HOME"]


def test_without_a_private_root_temporary_files_go_to_the_scratch_folder(
    as_caller: Sandbox, tmp_path: Path
) -> None:
    policy = {"without": ("mount",), "scratch_dir": str(tmp_path)}
    outcome = as_caller(use_scratch, needs=("landlock_files",), policy=policy, scratch=str(tmp_path))
    assert outcome.returned is True, outcome.printed


NO_NAMESPACE = ("user", "mount", "pid", "network", "ipc", "uts", "cgroup")


def test_without_any_namespace_the_rest_still_holds(sandboxed: Sandbox) -> None:
    policy = {"without": NO_NAMESPACE}
    outcome = sandboxed(compile_elsewhere, needs=("seccomp", "landlock_files"), policy=policy)
    assert outcome.returned == 0, outcome.printed
    active = {layer.name for layer in outcome.report.layers if layer.active}
    assert {"capabilities", "no_new_privs", "landlock_files", "seccomp"} <= active
    assert {"root", "proc", "pid"} <= {layer.name for layer in outcome.report.missing}


def compile_elsewhere() -> int:
    import subprocess

    command = ["c++", "-x", "c++", "-fsyntax-only", "-"]
    return subprocess.run(command, input=b"#include <vector>\n", timeout=60, check=False).returncode


def run_torch() -> float:
    import sys

    assert "torch" in sys.modules
    import torch

    x = torch.ones(300, 300)
    return float((x @ x).sum())


def test_torch_imported_before_runs_inside(as_caller: Sandbox) -> None:
    outcome = as_caller(run_torch, preimport=("torch",))
    assert outcome.returned == 300.0**3, outcome.printed
    assert "cpuinfo" not in outcome.printed


def build_with_tvm_ffi() -> float:
    import pathlib
    import tempfile

    import torch
    import tvm_ffi
    import tvm_ffi.cpp

    source = """
    #include <tvm/ffi/container/tensor.h>
    #include <tvm/ffi/function.h>
    void twice(tvm::ffi::TensorView x) { static_cast<float*>(x.data_ptr())[0] *= 2; }
    TVM_FFI_DLL_EXPORT_TYPED_FUNC(twice, twice);
    """
    folder = tempfile.mkdtemp()
    path = pathlib.Path(folder) / "twice.cpp"
    path.write_text(source)
    library = tvm_ffi.cpp.build("twice", cpp_files=[str(path)], build_directory=folder)
    x = torch.tensor([4.0])
    tvm_ffi.load_module(library)["twice"](tvm_ffi.from_dlpack(x))
    return float(x[0])


@pytest.mark.skipif(
    importlib.util.find_spec("tvm_ffi") is None or shutil.which("ninja") is None,
    reason="needs tvm_ffi and ninja",
)
def test_tvm_ffi_builds_and_loads_inside(as_caller: Sandbox) -> None:
    outcome = as_caller(build_with_tvm_ffi)
    assert outcome.returned == 8.0, outcome.printed


def interpret_triton() -> list[float]:
    import os

    os.environ["TRITON_INTERPRET"] = "1"
    import pathlib
    import sys

    folder = pathlib.Path("/tmp/kernels")
    folder.mkdir()
    (folder / "doubling.py").write_text(
        "import triton\nimport triton.language as tl\n\n\n@triton.jit\ndef twice(x, n: tl.constexpr):\n"
        "    at = tl.arange(0, n)\n    tl.store(x + at, tl.load(x + at) * 2)\n"
    )
    sys.path.append(str(folder))
    import torch
    from doubling import twice

    x = torch.arange(4.0)
    twice[(1,)](x, 4)
    return x.tolist()


@pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="needs triton")
def test_triton_is_interpreted_inside(as_caller: Sandbox) -> None:
    outcome = as_caller(interpret_triton, needs=("root",))
    assert outcome.returned == [0.0, 2.0, 4.0, 6.0], outcome.printed


def compile_with_torch() -> float:
    import torch
    import torch._inductor.config

    # Only to save time here: the header takes longer to compile than the kernel.
    torch._inductor.config.cpp_cache_precompile_headers = False
    compiled = torch.compile(lambda x: torch.sin(x) * 0 + 2)
    return float(compiled(torch.ones(8)).sum())


@pytest.mark.skipif(shutil.which("c++") is None, reason="there is no C++ compiler")
def test_torch_compile_works_inside(as_caller: Sandbox) -> None:
    outcome = as_caller(compile_with_torch, needs=("root",))
    assert outcome.returned == 16.0, outcome.printed


def end_by(number: int) -> None:
    import os
    import sys

    if number < 0:
        os.kill(os.getpid(), -number)
    sys.stdout.flush()
    os._exit(number)


@pytest.mark.parametrize("number", [0, 3, -signal.SIGSEGV, -signal.SIGKILL])
def test_the_end_of_the_candidate_is_told(sandboxed: Sandbox, number: int) -> None:
    assert sandboxed(end_by, number=int(number)).status == number
