"""Keepers of one session: new ones, one that is made ahead, and those of the judge's own candidates."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

from pytest_fib.border.order import Confinement
from pytest_fib.judge.zygote import Keeper, Zygote


class Homes:
    """Makes keepers; ``folder`` is where each gets a folder to write to."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._spare: tuple[tuple[Zygote, Confinement], Keeper] | None = None
        self._trusted: dict[tuple[Zygote, Confinement], Keeper] = {}

    def new(self, zygote: Zygote, confinement: Confinement) -> Keeper:
        """Return a keeper in which nobody was yet: the one that ``expect`` had made, if it is like that."""
        if self._spare is not None and self._spare[0] == (zygote, confinement):
            (_, keeper), self._spare = self._spare, None
            return keeper
        return self._made(zygote, confinement)

    def expect(self, zygote: Zygote, confinement: Confinement) -> None:
        """Have a keeper made that will be wanted soon: entering its namespaces takes it 20 ms, while others work."""
        if self._spare is None or self._spare[0] != (zygote, confinement):
            self._drop_spare()
            self._spare = (zygote, confinement), self._made(zygote, confinement)

    def trusted(self, zygote: Zygote, confinement: Confinement) -> Keeper:
        """Return the keeper of candidates that run sources of the judge's own, the same for the session."""
        kind = zygote, confinement
        if kind not in self._trusted:
            self._trusted[kind] = self._made(zygote, confinement)
        return self._trusted[kind]

    def close(self) -> None:
        """Close the keepers that nobody else closes."""
        self._drop_spare()
        while self._trusted:
            self._trusted.popitem()[1].close()

    def _made(self, zygote: Zygote, confinement: Confinement) -> Keeper:
        return zygote.keep(replace(confinement, scratch_dir=tempfile.mkdtemp(dir=self._folder)))

    def _drop_spare(self) -> None:
        if self._spare is not None:
            self._spare[1].close()
            self._spare = None
