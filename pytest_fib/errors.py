"""The exceptions that pytest-fib raises on purpose.

Every message is one sentence: what happened, on which file, field or workload, and what to do next. It may be
shown to a user as it is, so text that comes from a file is escaped before it gets here.
"""


class FibError(Exception):
    """Base of every error that pytest-fib raises on purpose."""


class DataError(FibError):
    """A dataset or solution file cannot be used; the message names the file, the field and the remedy.

    Attributes
    ----------
    where
        The file, perhaps with a line, that the message begins with; empty if the sentences name it themselves.
    sentences
        Everything that is wrong with it, one sentence each; the message has the first.
    """

    def __init__(self, *sentences: str, where: str = "") -> None:
        super().__init__(f"{where}: {sentences[0]}" if where else sentences[0])
        self.where = where
        self.sentences = sentences


class SettingsError(FibError):
    """An option, an ini value or a combination of them makes no sense (pytest exits with code 4)."""


class SandboxIncomplete(FibError):
    """A layer of the sandbox is missing and ``--fib-require-sandbox`` was given: no verdict, an error."""


class NotJudgeable(FibError):
    """This workload cannot be judged here (missing blob, too large, no device): a skip, never a verdict."""


class NoTensors(NotJudgeable):
    """A captured tensor is not there: a skip.

    Attributes
    ----------
    together
        The same for all workloads whose tensors are not there: without the name of the file.
    """

    def __init__(self, sentence: str, together: str) -> None:
        super().__init__(sentence)
        self.together = together


class NoDevice(NotJudgeable):
    """The device that was asked for is not there: a skip, or with ``--fib-require-device`` a failure."""
