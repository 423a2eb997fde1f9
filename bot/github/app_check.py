"""What is to be mended in the app's registration on GitHub, held against what Backspace needs."""

from bot.diagnosis import Diagnosis, ok, warning, wrong
from bot.github.app import EVENTS, PERMISSIONS, Registration

_LEVELS = {"": 0, "read": 1, "write": 2, "admin": 3}
_CI_FIX = frozenset({"checks", "check_run"})
"""What the app does without where no repository uses `ci_fix`."""
_FOR_LOGS = ("actions", "read")
"""Not asked for, and used where it is granted."""
_SETTINGS_PAGE = "on the app's settings page on GitHub"


def findings(app: Registration, webhook: str, *, public_url: str) -> list[Diagnosis]:
    """`webhook`: the address that GitHub delivers to."""
    hook = _hook(webhook, f"{public_url.rstrip('/')}/webhook")
    return [*_rights(app), _events(app), hook, _installed(app)]


def _rights(app: Registration) -> list[Diagnosis]:
    lacking = {
        name: level for name, level in PERMISSIONS.items() if _level(app.permissions.get(name, "")) < _level(level)
    }
    code = "github-permissions"
    needed = _listed({name: level for name, level in lacking.items() if name not in _CI_FIX})
    if needed:
        remedy = f"Grant it {_SETTINGS_PAGE}; each account that has the app must then accept it."
        return [wrong(f"{code}-missing", f"the app lacks {needed}", remedy)]
    found = []
    if lacking:
        remedy = f"Grant it {_SETTINGS_PAGE} if a repository is to use `ci_fix`."
        found.append(warning(f"{code}-missing", f"the app lacks {_listed(lacking)}", remedy))
    more = {
        name: level
        for name, level in app.permissions.items()
        if _level(PERMISSIONS.get(name, "")) < _level(level) and (name, level) != _FOR_LOGS
    }
    if more:
        remedy = f"Take it back {_SETTINGS_PAGE}: Backspace has no use for it."
        found.append(warning(f"{code}-excessive", f"the app may more than it needs: {_listed(more)}", remedy))
    return found or [ok(code, "the app has the permissions of app.yml")]


def _level(word: str) -> int:
    return _LEVELS.get(word, max(_LEVELS.values()))


def _events(app: Registration) -> Diagnosis:
    code, lacking = "github-events", [event for event in EVENTS if event not in app.events]
    words = f"the app does not hear of {', '.join(lacking)}"
    if set(lacking) - _CI_FIX:
        return wrong(f"{code}-missing", words, f"Subscribe to it {_SETTINGS_PAGE}.")
    if lacking:
        remedy = f"Subscribe to it {_SETTINGS_PAGE} if a repository is to use `ci_fix`."
        return warning(f"{code}-missing", words, remedy)
    return ok(code, "the app hears of the events of app.yml")


def _hook(url: str, wanted: str) -> Diagnosis:
    if url != wanted:
        return warning(
            "github-webhook",
            f"GitHub delivers to {url or 'nowhere'}, and this Backspace is {wanted}",
            f"Set the webhook's address {_SETTINGS_PAGE}, or BACKSPACE_PUBLIC_URL.",
        )
    return ok("github-webhook", f"GitHub delivers to {url}")


def _installed(app: Registration) -> Diagnosis:
    if not app.installations:
        return warning(
            "github-installations", "the app is installed nowhere", "Install it on an account, from its page."
        )
    return ok("github-installations", f"{app.installations} account(s) have the app")


def _listed(permissions: dict[str, str]) -> str:
    return ", ".join(f"{name}: {level}" for name, level in permissions.items())
