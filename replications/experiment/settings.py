"""Changes of a preset's settings on the command line. jsonargparse converts and checks each value."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from typing import Any, get_args, get_type_hints

from replications.errors import ReplicationError
from replications.experiment.registry import Paper, expect_known
from replications.judging.presets import changed


def with_changes(paper: Paper, preset: str, changes: Sequence[tuple[str, str]]) -> tuple[str, Any]:
    """The name and the settings of the preset after these changes."""
    settings = paper.presets[preset]
    plain = {name: (hint, value) for name, hint, value in _fields(settings)}
    for name, text in changes:
        expect_known(f"setting of {paper.name}", name, list(plain))
        settings = _replaced(settings, name.split("."), _typed(name, plain[name][0], text))
    others = {name: value for name, _, value in _fields(settings) if value != plain[name][1]}
    return changed(preset, others), settings


def _fields(value: Any, hint: Any = None, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    """(name, type, value) of each field. The name of a nested field is a path with dots."""
    if is_dataclass(value):
        hints = get_type_hints(type(value))
        inside = [(field.name, hints[field.name], getattr(value, field.name)) for field in fields(value)]
    elif isinstance(value, Mapping):
        inside = [(key, get_args(hint)[1], item) for key, item in value.items()]
    else:
        yield path, hint, value
        return
    for name, of, item in inside:
        yield from _fields(item, of, f"{path}.{name}" if path else name)


def _typed(name: str, hint: Any, text: str) -> Any:
    from jsonargparse import ArgumentError, ArgumentParser  # imported late, because most calls change no setting

    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--value", type=hint)
    try:
        value = parser.parse_args([f"--value={text}"]).value
        json.dumps(value, allow_nan=False)  # results.json cannot hold nan
        return value
    except (ArgumentError, ValueError) as error:
        wanted = hint.__name__ if isinstance(hint, type) else hint
        raise ReplicationError(f"Expected --settings.{name} to be of type {wanted} but got {text!r}.") from error


def _replaced(value: Any, path: Sequence[str], new: Any) -> Any:
    if not path:
        return new
    first, *rest = path
    if isinstance(value, Mapping):
        return {**value, first: _replaced(value[first], rest, new)}
    return replace(value, **{first: _replaced(getattr(value, first), rest, new)})
