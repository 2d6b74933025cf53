"""The judge of one run: keeps zygotes, build products, references and the hand-over between workloads."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import cached_property, partial
from pathlib import Path
from types import TracebackType

import torch

from pytest_fib.border.order import Confinement, Order
from pytest_fib.data.definition import Definition
from pytest_fib.data.devices import visible_count, visible_gpu
from pytest_fib.data.evaluation import Build, Evaluation
from pytest_fib.data.layers import missing_layers, refusal
from pytest_fib.data.solution import LoadedSolution
from pytest_fib.data.text import escape
from pytest_fib.data.workload import Workload
from pytest_fib.errors import DataError, NotJudgeable, SandboxIncomplete
from pytest_fib.inputs import CapturedFiles, Pool, plan_inputs
from pytest_fib.judge.arena import Arena
from pytest_fib.judge.artifacts import COMPILED, Artifacts, default_cache_dir
from pytest_fib.judge.building import try_build
from pytest_fib.judge.candidate import Candidate
from pytest_fib.judge.conditions import Blind, Sensor, Watch, find_sensor
from pytest_fib.judge.config import JudgeConfig
from pytest_fib.judge.cuda.place import CudaPlace
from pytest_fib.judge.devices import node_of, uuid_of, visible_as
from pytest_fib.judge.examination import Examination
from pytest_fib.judge.failures import CandidateError
from pytest_fib.judge.floor import Floors
from pytest_fib.judge.handover import Handovers
from pytest_fib.judge.homes import Homes
from pytest_fib.judge.idlers import Idlers
from pytest_fib.judge.lasting import Lasting
from pytest_fib.judge.libraries import include_folders
from pytest_fib.judge.machine import Cores, DeviceLock, Lock, MachineLock
from pytest_fib.judge.orders import (
    check_buildable,
    check_interpreter,
    check_supported,
    compiled_idle,
    idle_order,
    order_for,
    zygote_kind,
)
from pytest_fib.judge.pairing import Pairing
from pytest_fib.judge.places import Place, Processor
from pytest_fib.judge.reference import Reference
from pytest_fib.judge.zygote import Keeper, Zygote, Zygotes, python_path


class JudgeSession:
    """Judges solutions; a context manager, because it owns processes and folders.

    Parameters
    ----------
    config
        How to judge; its ``secret`` never leaves this process.
    """

    def __init__(self, config: JudgeConfig) -> None:
        self.config = config
        self._own_folder = Path(tempfile.mkdtemp(prefix="pytest-fib-"))
        self.cores = Cores.mine()
        self.zygotes = Zygotes()
        self.handovers = Handovers()
        self.pool = Pool(config.secret)
        self.captured = CapturedFiles()
        self.artifacts = Artifacts(
            config.cache_dir or default_cache_dir(), config.session_dir or self._own_folder
        )
        self.sandbox: tuple[tuple[str, bool, str], ...] = ()
        self._references: dict[str, Reference] = {}
        self._homes = Homes(self._own_folder)
        self._idlers = Idlers()
        self.lasting = Lasting()

    def __enter__(self) -> JudgeSession:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    @property
    def threads(self) -> int:
        """CPU threads that candidate and reference get alike: all cores but the one that the judge waits on."""
        cores = len(self.cores.candidate)
        return cores if self.config.sampling.timing else max(1, cores // self.config.workers)

    def evaluate(
        self, definition: Definition, workload: Workload, loaded: LoadedSolution, traceset_root: Path | None
    ) -> Evaluation:
        """Judge ``loaded`` on ``workload``.

        Raises
        ------
        NotJudgeable
            If this workload cannot be judged here; the message says what to do.
        DataError
            If the definition, its reference or the workload is broken.
        SandboxIncomplete
            If a layer of the sandbox is missing that the config requires.
        """
        check_supported(definition, loaded.solution, self.config.device)
        zygote = self._zygote(loaded)
        # Meanwhile the zygote imports what it needs; with a device, making the place makes the judge's context.
        if self.place.is_device and self.config.sampling.timing:
            self.floors.prepare(definition)
        if self.config.require_sandbox:
            self._require_sandbox(definition, loaded)
        check_interpreter(definition, loaded.solution, zygote.interpreter_problems)
        with _torch_threads(self.threads):
            return Examination(self, definition, workload, loaded, traceset_root).evaluate()

    def compare(
        self,
        evaluation: Evaluation,
        definition: Definition,
        workload: Workload,
        loaded: LoadedSolution,
        traceset_root: Path | None,
        baseline: LoadedSolution,
        margin: float,
    ) -> Evaluation:
        """Compare ``loaded`` with ``baseline``, both run side by side, and say so in ``evaluation``.

        Parameters
        ----------
        evaluation
            What ``evaluate`` returned for ``loaded``; it passed and was timed.
        margin
            The slow-down that is allowed (0.02: 2 %).

        Raises
        ------
        NotJudgeable
            If the baseline cannot be judged here; the message says what to do.
        """
        check_supported(definition, baseline.solution, self.config.device)
        zygote = self._zygote(baseline)
        check_interpreter(definition, baseline.solution, zygote.interpreter_problems)
        with _torch_threads(self.threads):
            pair = Pairing(self, definition, workload, loaded, traceset_root, baseline, margin)
            return pair.compare(evaluation)

    @cached_property
    def place(self) -> Place:
        """Where calls run."""
        if self.config.device == "cpu":
            return Processor()
        self.watch()  # the sensor has its first look before anything of ours is on the device
        return CudaPlace(self.config.device)

    @cached_property
    def sensor(self) -> Sensor:
        """What looks at the device that is judged on."""
        return Blind() if self.config.device == "cpu" else find_sensor(uuid_of(self.config.device))

    @cached_property
    def lock(self) -> Lock:
        """What keeps others quiet while this session times: over the device, or over the machine."""
        return MachineLock() if self.config.device == "cpu" else DeviceLock(uuid_of(self.config.device))

    @cached_property
    def floors(self) -> Floors:
        """What work takes at least where this session judges."""
        return Floors(self.config.device, self.threads, self.artifacts.cache_dir, self.lock)

    def watch(self) -> Watch:
        """Return what looks at the device around the blocks of one workload."""
        return Watch(self.sensor)

    def _zygote(self, loaded: LoadedSolution, ahead: bool = False) -> Zygote:
        return self.zygotes.get(
            zygote_kind(
                loaded.solution,
                self.threads,
                visible=self._visible,
                architecture=self.architecture if loaded.solution.spec.language in COMPILED else "",
                ahead=ahead,
            )
        )

    @cached_property
    def _visible(self) -> str:
        """The one device that candidates see, as the driver has it; empty for the CPU."""
        device = self.config.device
        if device == "cpu":
            return ""
        several = visible_count({}, map(str, Path("/dev").glob("nvidia*"))) > 1
        # A number counts among the nodes that are there, and candidates find one only.
        return visible_as(device) if several else visible_gpu(device, os.environ)

    def try_build(
        self, definition: Definition, loaded: LoadedSolution, workloads: Sequence[Workload] = ()
    ) -> Build:
        """Build ``loaded`` and load it, in the sandbox, without running it.

        Triton's kernels are compiled as the shapes of some of ``workloads`` want them.

        Raises
        ------
        NotJudgeable
            If that is impossible here; the message says what to do.
        """
        check_buildable(loaded.solution)
        if loaded.solution.spec.language == "cuda" and not self.architecture:
            raise NotJudgeable(
                "without a GPU, cuda solutions are built for what TVM_FFI_CUDA_ARCH_LIST says: set it, for example "
                "to 9.0a for Hopper"
            )
        return try_build(self, definition, loaded, workloads)

    @property
    def architecture(self) -> str:
        """What is compiled for, as ``TVM_FFI_CUDA_ARCH_LIST`` has it; empty if neither it nor a device says."""
        said = os.environ.get("TVM_FFI_CUDA_ARCH_LIST", "")
        return said or self.place.architecture

    def _require_sandbox(self, definition: Definition, loaded: LoadedSolution) -> None:
        """Raise SandboxIncomplete unless candidates get every layer; nothing of ``loaded`` runs before that."""
        if not self.sandbox:
            order = order_for(definition, loaded.solution, artifact_dir="", threads=self.threads)
            with self.home(loaded) as keeper:
                candidate = self.start(keeper)
                try:
                    candidate.load(idle_order(order), self.config.limits.build_timeout_s)
                    self.sandbox = candidate.sandbox()
                finally:
                    candidate.kill()
        missing = missing_layers(self.sandbox)
        if missing:
            raise SandboxIncomplete(refusal(missing))

    def reference(self, definition: Definition, in_place: tuple[str, ...] = ()) -> Reference:
        """Return the compiled reference of ``definition``, which writes the inputs ``in_place``."""
        key = "\0".join((definition.name, definition.reference, *in_place))
        if key not in self._references:
            self._references[key] = Reference(definition, in_place, self.config.device)
        return self._references[key]

    def answers(self, definition: Definition, workload: Workload, traceset_root: Path | None) -> bool:
        """Whether the reference has an answer to ``workload``: it neither raises nor returns NaN.

        Raises
        ------
        NotJudgeable, DataError
            As :meth:`evaluate`, for inputs that cannot be had.
        """
        inputs = plan_inputs(
            definition,
            workload,
            traceset_root=traceset_root,
            secret=self.config.secret,
            pool=self.pool,
            device=self.config.device,
        )
        shapes = {name: shape or () for name, shape in definition.output_shapes(workload.axes).items()}
        try:
            outputs, _ = self.reference(definition)({**inputs.draw(0), **inputs.scalars}, shapes)
        except DataError:
            return False
        return not any(bool(output.isnan().any()) for output in outputs)

    def build(self, definition: Definition, loaded: LoadedSolution) -> tuple[str, float]:
        """Return the folder of the build product (empty if the language has none) and the seconds it took now.

        Raises
        ------
        CandidateError
            If the solution does not compile, or did not earlier in this run.
        """
        solution = loaded.solution
        if solution.spec.language not in COMPILED:
            self.artifacts.raise_known_failure(solution)
            return "", 0.0

        def compile_into(folder: Path) -> None:
            order = order_for(definition, solution, artifact_dir=str(folder), threads=self.threads)
            with self.home(loaded, build_dir=str(folder)) as keeper, self.lock.working():
                candidate = self.start(keeper)
                try:
                    candidate.build(order, self.config.limits.build_timeout_s)
                finally:
                    candidate.kill()

        folder, seconds = self.artifacts.product(solution, compile_into, self.architecture)
        return str(folder), seconds

    def compiled_idle(self, definition: Definition) -> str:
        """Return the folder of the judge's own calls, compiled as C++ solutions are.

        Raises
        ------
        NotJudgeable
            If they do not compile.
        """
        try:
            return self.build(definition, compiled_idle())[0]
        except CandidateError as error:
            raise NotJudgeable(
                "the judge's own C++ calls, which show what a request costs beside a solution's, do not compile "
                f"here: mend the compiler first ({escape(error.log or error.status.value, 400)})"
            ) from None

    @contextmanager
    def home(
        self, loaded: LoadedSolution, *, artifact_dir: str = "", build_dir: str = "", ahead: bool = False
    ) -> Iterator[Keeper]:
        """Yield a keeper for candidates of ``loaded``; with it goes everything that they started or wrote.

        Those that compile ``ahead`` see no device and do not interpret Triton.
        """
        keeper = self._new_keeper(loaded, artifact_dir, build_dir, ahead)
        try:
            yield keeper
        finally:
            keeper.close()

    def lasting_home(self, loaded: LoadedSolution, artifact_dir: str, trial: int) -> Keeper:
        """Return the keeper of one trial of ``loaded`` that lasts for all its workloads (isolation ``solution``)."""
        made = partial(self._new_keeper, loaded, artifact_dir, self.compiled_by(loaded))
        return self.lasting.home(loaded, trial, made)

    def compiled_by(self, loaded: LoadedSolution) -> str:
        """Return the folder where ``loaded`` alone finds what it compiled for a device earlier in this session.

        It is empty where nothing runs on a device.
        """
        if not self.place.is_device:
            return ""
        folder = self._own_folder / "compiled" / loaded.solution.content_hash.replace(":", "-")
        folder.mkdir(parents=True, exist_ok=True)
        return str(folder)

    def expect_home(self, loaded: LoadedSolution, artifact_dir: str) -> None:
        """Have a keeper made for the next workload of ``loaded``."""
        self._homes.expect(
            self._zygote(loaded), self._confinement(loaded, artifact_dir, self.compiled_by(loaded))
        )

    def trusted_home(self, loaded: LoadedSolution, artifact_dir: str = "") -> Keeper:
        """Return the keeper of candidates that run the judge's own sources in place of ``loaded``."""
        return self._homes.trusted(self._zygote(loaded), self._confinement(loaded, artifact_dir, ""))

    def idler(self, loaded: LoadedSolution, order: Order, arena: Arena) -> AbstractContextManager[Candidate]:
        """Yield a candidate with the idle calls of ``order`` in place of ``loaded``, attached to ``arena``."""
        keeper = self.trusted_home(loaded, order.artifact_dir)
        return self._idlers.serving(keeper, self.start, order, arena)

    def _new_keeper(
        self, loaded: LoadedSolution, artifact_dir: str, build_dir: str, ahead: bool = False
    ) -> Keeper:
        return self._homes.new(
            self._zygote(loaded, ahead), self._confinement(loaded, artifact_dir, build_dir, ahead)
        )

    def _confinement(
        self, loaded: LoadedSolution, artifact_dir: str, build_dir: str, ahead: bool = False
    ) -> Confinement:
        on_device = self.place.is_device and not ahead
        return Confinement(
            (*python_path(), *include_folders(loaded.solution.spec.dependencies, os.environ)),
            artifact_dir,
            build_dir,
            cuda=on_device,
            gpu=node_of(self._visible) if on_device else "",
            without=tuple(sorted(self.config.sandbox_without)),
        )

    def start(self, keeper: Keeper) -> Candidate:
        """Fork a candidate that has not loaded anything yet."""
        cores = set(self.cores.candidate) if self.config.sampling.timing else None
        return Candidate(keeper, self.config.limits.memory_bytes, cores)

    def close(self) -> None:
        """End every process and remove every folder of this session."""
        self.lasting.close()
        self._idlers.close()
        self._homes.close()
        self.zygotes.close()
        if "lock" in self.__dict__:
            self.lock.close()
        shutil.rmtree(self._own_folder, ignore_errors=True)


@contextmanager
def _torch_threads(threads: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
