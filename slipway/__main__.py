"""`slipway`: the entry points of MLproject as one command, without the seconds that `mlflow run` takes to start.

    slipway train houses.csv price --units price=EUR
    slipway serve houses
    slipway score houses new.csv scored.csv --coverage 0.9

The words before the first parameter go to the parameters that a command cannot do without, in the order of `PLACES`.
Everything else is what `python -m training`, `python -m serving` and `python -m serving.batch` take.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from itertools import chain, takewhile

PLACES: Mapping[str, tuple[str, ...]] = {
    "train": ("data", "target"),
    "adopt": ("model", "data", "target"),
    "check": ("data", "target"),
    "promote": ("name", "version"),
    "recalibrate": ("name", "data"),
    "compact": ("captures",),
    "feedback": ("name", "data", "captures"),
    "monitor": ("name",),
    "sign": ("name",),
    "copy": ("name", "to"),
    "reproduce": ("name", "version"),
    "rollback": ("name",),
    "history": ("name",),
    "score": ("name", "input", "output"),
    "serve": ("model",),
}
"""For each command, the parameters that may be given without their names."""

SERVING = {
    "score": "score a file of any size",
    "serve": "an endpoint for the champion, or for a models:/ address",
}
"""What the commands do that `serving` has; training says it of its own."""

MENDABLE = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    command, *given = (sys.argv[1:] if arguments is None else arguments) or ["--help"]
    if command in ("-h", "--help", "help"):
        print(_help())
        return 0
    if command not in PLACES:
        return _refused(f"there is no command {command!r}{_hint(command)}")
    plain = list(takewhile(lambda word: not word.startswith("-"), given))
    names = PLACES[command]
    if len(plain) > len(names):
        extra = plain[len(names)]
        return _refused(f"{command} takes {_shown(names)}, found {extra!r} after them: write --name value")
    if command == "serve":
        plain = [_address(word) for word in plain]
    said = chain.from_iterable((f"--{name}", word) for name, word in zip(names, plain, strict=False))
    return _does(command)([*said, *given[len(plain) :]])


def _does(command: str) -> Callable[[list[str]], int]:
    """Return what runs a command; only that is imported."""
    if command == "serve":
        from serving.__main__ import main as serve  # noqa: PLC0415

        return serve
    if command == "score":
        from serving.batch.__main__ import main as score  # noqa: PLC0415

        return score
    from training.__main__ import main as run  # noqa: PLC0415

    return lambda words: run([command, *words])


def _address(word: str) -> str:
    """Return where a model to serve stands: a plain name means its champion.

    >>> _address("houses"), _address("models:/houses/3"), _address("./exported")
    ('models:/houses@champion', 'models:/houses/3', './exported')
    """
    return word if set(":/=") & set(word) else f"models:/{word}@champion"


def _help() -> str:
    from training.commands import summaries  # noqa: PLC0415 - only who asks for help needs it

    about = {**summaries(), **SERVING}
    lines = [f"  {command:<12}{_shown(names):<20}{about[command]}" for command, names in PLACES.items()]
    return "\n".join(
        [
            "usage: slipway COMMAND [WORDS] [--PARAMETER VALUE]...",
            "",
            "From a table to a tracked, tested, promoted and served regression model, on MLflow.",
            "",
            *lines,
            "",
            "slipway COMMAND --help lists a command's parameters.",
        ]
    )


def _shown(names: Sequence[str]) -> str:
    return " ".join(name.upper() for name in names)


def _hint(command: str) -> str:
    from data.errors import nearest  # noqa: PLC0415 - see above

    near = nearest(command, PLACES)
    return f": did you mean {near!r}?" if near else f": known are {', '.join(PLACES)}"


def _refused(reason: str) -> int:
    print(f"slipway: {reason}", file=sys.stderr)
    return MENDABLE


if __name__ == "__main__":
    sys.exit(main())
