"""Every exception raised on purpose; each carries facts and knows whether a retry helps. No I/O."""

from dataclasses import dataclass


class BackspaceError(Exception):
    """Something failed on purpose; the class docstring is the message unless one is given."""

    retry_helps = False

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or (self.__doc__ or "").strip())


@dataclass(frozen=True)
class SettingProblem:
    """One wrong or missing setting, and what to do about it."""

    name: str
    problem: str
    remedy: str


class SettingsError(BackspaceError):
    """The settings cannot be used."""

    def __init__(self, problems: list[SettingProblem]) -> None:
        super().__init__("; ".join(f"{p.name}: {p.problem}" for p in problems))
        self.problems = problems


class StageFailed(BackspaceError):
    """A stage ended badly. `code` and `public` are shown to people; the message goes to the log only."""

    def __init__(self, code: str, public: str, next_step: str = "", *, detail: str = "") -> None:
        super().__init__(f"{code}: {detail or public}")
        self.code = code
        self.public = public
        self.next_step = next_step


class Transient(StageFailed):
    """A stage failed in a way that another try may mend."""

    retry_helps = True


class StoreUnavailable(BackspaceError):
    """The database cannot be written."""

    retry_helps = True
