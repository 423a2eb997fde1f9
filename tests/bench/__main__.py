"""`make bench`: every measure, or those named as arguments (`python -m tests.bench door`)."""

import sys

from rich.console import Console

from tests.bench import answer, api, door, first_request, github_calls, machine, watchers, weather

_MEASURES = {
    "first-request": first_request.measure,
    "github-calls": github_calls.measure,
    "answer": answer.measure,
    "door": door.measure,
    "watchers": watchers.measure,
    "api": api.measure,
    "weather": weather.measure,
}


def main(names: list[str]) -> int:
    console = Console(highlight=False, markup=False, soft_wrap=True)
    unknown = [name for name in names if name not in _MEASURES]
    if unknown:
        console.print(f"No such measure: {', '.join(unknown)}. There are: {', '.join(_MEASURES)}.")
        return 2
    console.print(f"On {machine.description()}.\n")
    for name in names or _MEASURES:
        console.print(_MEASURES[name]().markdown())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
