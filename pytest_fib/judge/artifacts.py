"""Build products: made by a candidate in its private folder, kept here under a key of the judge's own.

The key covers everything that can change the product: the language with its build flags, all sources, what is linked,
the compiler, the processor and the versions of the libraries that it is built against. Solutions that differ in
nothing but their entry point share a product: it is what a compiler makes of these very sources, whoever sent them.
A failed build is remembered for this run only, because the next run may have another compiler.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
import shutil
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import cache
from importlib import metadata
from pathlib import Path

from filelock import FileLock

from pytest_fib.data.solution import Solution
from pytest_fib.data.trace import EvaluationStatus
from pytest_fib.judge.failures import CandidateError
from pytest_fib.judge.libraries import header_versions

_MAX_PRODUCT = 1 << 30
_FORMAT = "7"  # change it when the flags or the layout of a product change
COMPILED = frozenset({"cpp", "cuda"})


class Artifacts:
    """The cache of build products.

    Parameters
    ----------
    cache_dir
        Where products are kept across runs.
    session_dir
        Where failures are kept for this run; shared by its xdist workers.
    """

    def __init__(self, cache_dir: Path, session_dir: Path) -> None:
        self.cache_dir = cache_dir
        self._cache = cache_dir / "build"
        self._failures = session_dir / "failures"
        self._cache.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._failures.mkdir(parents=True, exist_ok=True, mode=0o700)

    def product(
        self, solution: Solution, build: Callable[[Path], None], architecture: str = ""
    ) -> tuple[Path, float]:
        """Return the folder with the product of ``solution`` and the seconds that building it took now.

        ``build`` is called with an empty folder if there is no product yet, under a lock that all workers and runs
        share. ``architecture`` is what CUDA sources are compiled for.

        Raises
        ------
        CandidateError
            If the build fails, or failed before in this run.
        """
        folder = self._cache / _key(solution, architecture)
        with self._locked(folder.name):
            if folder.is_dir():
                return folder, 0.0
            self.raise_known_failure(solution)
            start = time.perf_counter()
            with self.failure_remembered(solution), tempfile.TemporaryDirectory(dir=self._cache) as made:
                product = Path(made) / "product"
                product.mkdir()
                build(product)
                keep = Path(made) / "keep"
                _copy_regular_files(product, keep)
                os.replace(keep, folder)
            return folder, time.perf_counter() - start

    @contextlib.contextmanager
    def failure_remembered(self, solution: Solution) -> Iterator[None]:
        """Let a compile error of ``solution`` pass, and remember it for all workers of this run."""
        try:
            yield
        except CandidateError as error:
            if error.status is EvaluationStatus.COMPILE_ERROR:
                path = self._failures / f"{solution.content_hash}.json"
                partial = path.with_suffix(f".{os.getpid()}")
                partial.write_text(json.dumps(error.log))
                os.replace(partial, path)
            raise

    def raise_known_failure(self, solution: Solution) -> None:
        """Raise the compile error that ``solution`` had before in this run, if it had one."""
        with contextlib.suppress(FileNotFoundError):
            log = json.loads((self._failures / f"{solution.content_hash}.json").read_text())
            raise CandidateError(log, EvaluationStatus.COMPILE_ERROR)

    def _locked(self, name: str) -> FileLock:
        return FileLock(self._cache / f"{name}.lock")


def default_cache_dir() -> Path:
    """Return ``$XDG_CACHE_HOME/pytest-fib``, or the same below ``~/.cache``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pytest-fib"


def _key(solution: Solution, architecture: str) -> str:
    spec = solution.spec
    sources = [(source.path, source.content) for source in solution.sources]
    parts = [_FORMAT, spec.language, spec.binding, sources, list(spec.dependencies), *_toolchain()]
    parts += header_versions(spec.dependencies, os.environ)
    if spec.language == "cuda":
        parts += [architecture, _said_by("nvcc")]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:40]


@cache
def _toolchain() -> tuple[str, ...]:
    return (
        sys.version,
        platform.machine(),
        processor(),
        _said_by("c++"),
        _version("apache-tvm-ffi"),
        _version("torch"),
    )


def _said_by(command: str) -> str:
    """Return where ``command`` is and what it says of its version."""
    path = shutil.which(command)
    if path is None:
        return "none"
    said = subprocess.run([path, "--version"], capture_output=True, text=True, check=False).stdout
    return f"{os.path.realpath(path)} {said}"


def processor() -> str:
    """Products are compiled for this very processor, and a cache folder may be shared by several machines."""
    with contextlib.suppress(OSError), open("/proc/cpuinfo") as file:
        lines = [line for line in file if line.startswith(("model name", "flags", "Features", "CPU part"))]
        return "".join(sorted(set(lines)))
    return platform.processor()


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "none"


def _copy_regular_files(source: Path, target: Path) -> None:
    """Copy regular files only: what a build leaves behind is not trusted to be what it looks like."""
    target.mkdir()
    total = 0
    for entry in os.scandir(source):
        status = entry.stat(follow_symlinks=False)
        if not stat.S_ISREG(status.st_mode):
            continue
        total += status.st_size
        if total > _MAX_PRODUCT:
            raise CandidateError(
                f"the build product is larger than {_MAX_PRODUCT >> 20} MiB", EvaluationStatus.COMPILE_ERROR
            )
        flags = os.O_RDONLY | os.O_NOFOLLOW
        with os.fdopen(os.open(entry.path, flags), "rb") as reader, open(target / entry.name, "wb") as writer:
            shutil.copyfileobj(reader, writer)
