"""What one run knows: its settings, what the user named and, from the first item on, the judge."""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_fib.bridge.xdist import place
from pytest_fib.data.traceset import Traceset
from pytest_fib.errors import NoDevice, NotJudgeable, SettingsError
from pytest_fib.gpus import keep_to_share, resolve_device
from pytest_fib.judges import Judge, judge_factory
from pytest_fib.named import (
    NamedSolution,
    find_solutions,
    find_tracesets,
    knows_definition,
    traceset_of,
    tracesets_of_arguments,
)
from pytest_fib.settings import Settings
from pytest_fib.tally import Tally

if TYPE_CHECKING:
    from pytest_fib.baselines import Baseline, Key
    from pytest_fib.data.definition import Definition
    from pytest_fib.data.evaluation import Build, Evaluation
    from pytest_fib.data.solution import LoadedSolution, Solution
    from pytest_fib.data.workload import Workload
    from pytest_fib.judge.config import JudgeConfig


_FUZZ_TIMEOUT_S = 60.0
_FUZZ_CALLS = 2
"""Calls of one shape, beside those with other distributions."""


class FibSession:
    """One run of pytest in which solutions are judged.

    Raises
    ------
    SettingsError
        A setting, or a solution or traceset named by a flag, cannot be used.
    """

    def __init__(self, config: pytest.Config) -> None:
        _refuse_reruns(config)
        self.config = config
        self.settings = Settings.from_config(config)
        _check_fuzz(self.settings)
        _check_gate(self.settings)
        self.explicit_paths = _explicit_paths(config)
        self.tracesets = find_tracesets(self.settings, config.rootpath, os.environ)
        self.tracesets += tuple(tracesets_of_arguments(self.explicit_paths, self.tracesets))
        self.solutions, self.bad_solutions = find_solutions(self.settings, self.tracesets)
        self.settings = replace(
            self.settings,
            tracesets=tuple(traceset.root for traceset in self.tracesets),
            solutions=tuple(named.loaded.path for named in self.solutions),
        )
        self.baselines = self._find_baselines()
        self.tally = Tally()
        self._judges: dict[JudgeConfig, Judge] = {}
        self._keeps_to_share = False  # of the processor, as workers on devices do

    @cached_property
    def by_definition(self) -> dict[str, tuple[NamedSolution, ...]]:
        """The named solutions of each definition."""
        grouped: dict[str, tuple[NamedSolution, ...]] = {}
        for named in self.solutions:
            name = named.loaded.solution.definition
            grouped[name] = (*grouped.get(name, ()), named)
        return grouped

    def _find_baselines(self) -> dict[str, Baseline]:
        if not self.settings.baseline:
            return {}
        from pytest_fib.baselines import find_baselines

        return find_baselines(self.settings, self.by_definition)

    @cached_property
    def secret(self) -> bytes:
        """32 bytes that every input is made from: the controller's own, or made from ``--fib-seed``."""
        seed = self.settings.seed
        if seed is not None:
            return hashlib.blake2b(str(seed).encode(), digest_size=32, person=b"pytest-fib seed").digest()
        given = self._workerinput.get("fib_secret")
        return bytes.fromhex(given) if given else secrets.token_bytes(32)

    @cached_property
    def session_dir(self) -> Path:
        """A private folder of this run, shared by its xdist workers."""
        given = self._workerinput.get("fib_session_dir")
        return Path(given or tempfile.mkdtemp(prefix="pytest-fib-"))

    @property
    def _workerinput(self) -> dict[str, str]:
        return getattr(self.config, "workerinput", {})

    def configure_worker(self, workerinput: dict[str, object]) -> None:
        """Tell an xdist worker the secret and the folder of this run."""
        workerinput["fib_secret"] = self.secret.hex()
        workerinput["fib_session_dir"] = str(self.session_dir)

    def workload_files(self) -> list[Path]:
        """The workload files of the named solutions' definitions, in the order of the tracesets."""
        files = (path for traceset in self.tracesets for path in traceset.workload_files())
        return [path for path in files if path.stem in self.by_definition]

    def traceset_of(self, path: Path) -> Traceset | None:
        """The traceset whose workload file ``path`` is."""
        return traceset_of(path, self.tracesets)

    def definition(self, name: str, traceset: Traceset) -> Definition:
        """The definition of that name in ``traceset``, else in another of the run; raises DataError."""
        known = [other for other in (traceset, *self.tracesets) if knows_definition(other, name)]
        return (known[0] if known else traceset).definition(name)

    def _device(self, solution: Solution | None = None) -> str:
        """Where this process judges ``solution``; raises NoDevice."""
        return resolve_device(self.settings.device, solution, place(self.config)[0])

    def judge_config(self, definition: str, op_type: str, solution: Solution | None = None) -> JudgeConfig:
        """How ``solution``, or any that runs on a CPU, is judged on one definition; raises NoDevice."""
        from pytest_fib.bridge.benchmark import timing_disabled
        from pytest_fib.judge.config import JudgeConfig

        settings = self.settings
        sampling = settings.sampling_for(definition, op_type)
        if timing_disabled(self.config):
            sampling = replace(sampling, timing=False)
        return JudgeConfig(
            secret=self.secret,
            device=self._device(solution),
            seed=settings.seed,
            isolation=settings.isolation,
            limits=settings.limits(),
            rules=settings.rules,
            tolerance=settings.tolerance_for(definition, op_type),
            sampling=sampling,
            session_dir=self.session_dir,
            synthesize_missing=settings.synthesize_missing,
            strict=settings.strict,
            require_sandbox=settings.require_sandbox,
        )

    def evaluate(
        self, definition: Definition, workload: Workload, loaded: LoadedSolution, traceset_root: Path
    ) -> Evaluation:
        """Judge one solution on one workload; raises NotJudgeable or DataError."""
        judge = self.judge(self.judge_config(definition.name, definition.op_type, loaded.solution))
        evaluation = judge.evaluate(definition, workload, loaded, traceset_root)
        baseline = loaded if self.settings.aa else self.baselines.get(definition.name)
        if baseline is None or not evaluation.passed:
            return evaluation
        from pytest_fib.baselines import Numbers
        from pytest_fib.data.evaluation import Gating

        margin = self.settings.max_slowdown
        name = baseline.name if isinstance(baseline, Numbers) else baseline.solution.name
        if evaluation.timing is None:
            return replace(evaluation, gating=Gating(name, margin, reason="nothing was timed in this run"))
        if isinstance(baseline, Numbers):
            return baseline.gate(evaluation, self._key(evaluation.device, evaluation.timing.clock), margin)
        try:
            return judge.compare(evaluation, definition, workload, loaded, traceset_root, baseline, margin)
        except NotJudgeable as error:
            reason = f"the baseline cannot be judged here: {error}"
            return replace(evaluation, gating=Gating(name, margin, reason=reason))

    def _key(self, device: str, clock: str) -> Key:
        """What earlier runs must have had in common with this one to be comparable."""
        from pytest_fib.baselines import Key
        from pytest_fib.report.environment import find_gpu, find_machine, usable_cores

        machine, gpu = find_machine(device), find_gpu(device)
        how = self.settings.resolved()
        counts = (how["profile"], how["warmup_runs"], how["iterations"], how["trials"], how["isolation"])
        versions = tuple(sorted(machine.libs.items()))
        return Key(machine.hardware, gpu.driver if gpu else None, clock, (*counts, usable_cores()), versions)

    def build(self, definition: Definition, loaded: LoadedSolution, workloads: Sequence[Workload]) -> Build:
        """Build one solution, for the device where there is one; raises NotJudgeable."""
        config = replace(self.judge_config(definition.name, definition.op_type), device="cpu")
        with suppress(NoDevice):
            device = self._device(loaded.solution)
            config = replace(config, device=device)
        return self.judge(config).try_build(definition, loaded, workloads)

    def fuzz_judge(self, definition: Definition, solution: Solution) -> Judge:
        """The judge of further shapes: correctness only, one candidate for all; raises NoDevice."""
        config = self.judge_config(definition.name, definition.op_type, solution)
        limits = replace(config.limits, timeout_s=min(config.limits.timeout_s, _FUZZ_TIMEOUT_S))
        sampling = replace(config.sampling, trials=_FUZZ_CALLS, timing=False)
        return self.judge(
            replace(config, isolation="solution", strict=False, limits=limits, sampling=sampling)
        )

    def judge(self, config: JudgeConfig) -> Judge:
        """The judge that works in the given way; kept until the run ends."""
        if config not in self._judges:
            if config.device != "cpu" and not self._keeps_to_share:
                keep_to_share(self.config)
                self._keeps_to_share = True
            self._judges[config] = judge_factory(self.config)(config)
        return self._judges[config]

    def close(self) -> None:
        """Stop the judges and remove the run's folder."""
        while self._judges:
            self._judges.popitem()[1].close()
        if "session_dir" in self.__dict__ and not self._workerinput:
            shutil.rmtree(self.session_dir, ignore_errors=True)


def _explicit_paths(config: pytest.Config) -> tuple[Path, ...]:
    """The paths that were given on the command line, without their ``::`` parts."""
    if config.args_source is not pytest.Config.ArgsSource.ARGS:
        return ()
    here = config.invocation_params.dir
    return tuple(Path(os.path.abspath(here / arg.split("::")[0])) for arg in config.args)


def _check_fuzz(settings: Settings) -> None:
    if settings.fuzz and find_spec("hypothesis") is None:
        raise SettingsError(
            "--fib-fuzz needs hypothesis, which is not installed: pip install 'pytest-fib[fuzz]'"
        )


def _check_gate(settings: Settings) -> None:
    if settings.aa or settings.baseline:
        from pytest_fib.baselines import check_gate

        check_gate(settings)


def _refuse_reruns(config: pytest.Config) -> None:
    for option in ("reruns", "force_reruns"):
        if config.getoption(option, None):
            flag = "--" + option.replace("_", "-")
            raise SettingsError(
                f"{flag} repeats failed items until they pass, which is no verdict; leave it out"
            )
    with suppress(ValueError):  # there is no such ini option without pytest-rerunfailures
        if config.getini("reruns") not in (None, "", "0"):
            raise SettingsError("ini option reruns repeats failed items until they pass; add -o reruns=0")
