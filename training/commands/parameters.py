"""A command's parameters, each said once: at a field of the command's dataclass.

The field has the name, the type and the default; what `Annotated` adds is a `Parameter`. A field without one takes any
text. The parser, what a run records, and what MLproject must say (a test holds it) are made from here. It knows no
command.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields, is_dataclass, replace
from functools import reduce
from typing import Annotated, Any, TypeVar, get_origin, get_type_hints

from training.commands.values import TEXT, Kind

Command = TypeVar("Command")


@dataclass(frozen=True)
class Parameter:
    """What a field says of its parameter, beside name, type and default.

    Attributes
    ----------
    kind : Kind
        What it may be.
    help : str
        For --help, which adds the default.
    metavar : str or None
        For --help, where it is not the name.
    called : str
        Its name, where that is not the field's.
    """

    kind: Kind = TEXT
    help: str = ""
    metavar: str | None = None
    called: str = ""


@dataclass(frozen=True)
class Declared:
    """A parameter in its place.

    Attributes
    ----------
    name : str
        On the command line.
    path : tuple of str
        The fields that lead to its value.
    how : Parameter
        As declared.
    default : Any
        MISSING where it must be given.
    """

    name: str
    path: tuple[str, ...]
    how: Parameter
    default: Any

    @property
    def is_required(self) -> bool:
        """Whether it must be given."""
        return self.default is MISSING

    @property
    def default_word(self) -> str:
        """The default as MLproject writes it."""
        return self.how.kind.write(self.default)

    @property
    def help(self) -> str:
        """What --help says of it: with the default, where the words do not say what stands for it."""
        default = "" if self.is_required or "default:" in self.how.help else self.default_word
        return f"{self.how.help} ({default})" if default else self.how.help

    def written(self, command: Any) -> str:
        """Return its value in a command as a word."""
        return self.how.kind.write(reduce(getattr, self.path, command))


def declared(command: type) -> tuple[Declared, ...]:
    """Return the parameters of a command in their order; a class that derives from another may take only some."""
    result = {each.name: each for each in _leaves(command, ())}
    return tuple(result[name] for name in getattr(command, "TAKES", result))


def _leaves(command: type, path: tuple[str, ...]) -> Iterator[Declared]:
    hints = get_type_hints(command, include_extras=True)
    for field in fields(command):
        hint, place = hints[field.name], (*path, field.name)
        if is_dataclass(hint):
            yield from _leaves(hint, place)  # type: ignore[arg-type]
        else:
            how = _parameter(hint)
            yield Declared(how.called or field.name, place, how, field.default)


def _parameter(hint: Any) -> Parameter:
    said = hint.__metadata__ if get_origin(hint) is Annotated else ()
    return next((each for each in said if isinstance(each, Parameter)), Parameter())


def made(command: type[Command], given: Mapping[str, Any]) -> Command:
    """Return a command of the values of its parameters by name; what it does not take has its default."""
    hints = get_type_hints(command)
    parameters = {each.path[0]: each.name for each in declared(command)}
    values = {
        name: made(hints[name], given) if is_dataclass(hints[name]) else given[parameter]
        for name, parameter in parameters.items()
    }
    return command(**values)


def written(command: Any) -> dict[str, str]:
    """Return a command's parameters as words by name, without a password."""
    return {each.name: each.written(command) for each in declared(type(command))}


def words_for(command: type, values: Mapping[str, Any]) -> list[str]:
    """Return the command line that says these values: texts as they are, others as each parameter is written."""
    kinds = {each.name: each.how.kind for each in declared(command)}
    said = {name: _as_word(value, kinds.get(name, TEXT)) for name, value in values.items()}
    return [each for name, word in said.items() if word for each in (f"--{name}", word)]


def _as_word(value: Any, kind: Kind) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    if isinstance(value, Mapping):
        value = value.items()
    return kind.write(tuple(value) if isinstance(value, Iterable) else value)


def named_as(command: Command, columns: Sequence[str]) -> Command:
    """Return a command with its columns' names as a table writes them."""
    named = {
        each.path[0]: each.how.kind.named(getattr(command, each.path[0]), columns)
        for each in declared(type(command))
        if len(each.path) == 1
    }
    return replace(command, **named)  # type: ignore[type-var]
