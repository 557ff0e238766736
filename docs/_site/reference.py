"""Reference pages as Markdown, read from the registry, click's commands and the settings' types."""

from __future__ import annotations

import ast
import inspect
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from typing import Any, get_type_hints

import click
from pydantic import TypeAdapter
from sphinx.pycode import ModuleAnalyzer

from benchmark import columns
from benchmark.cli.main import cli
from benchmark.config import Config
from benchmark.plugins import modifiers, registry
from benchmark.runtime.paths import PROFILES
from benchmark.statistics.metrics import METRICS
from benchmark.stored_table import StoredTable

_WORDS = {
    "integer": "whole number", "number": "number", "string": "text", "boolean": "true or false",
    "object": "table",
}  # fmt: skip
_BOUNDS = {
    "minimum": "at least", "exclusiveMinimum": "above", "maximum": "at most",
    "exclusiveMaximum": "below",
}  # fmt: skip


def commands() -> str:
    """The help of every command, as ``--help`` prints it, as wide as the site's column."""
    return "\n".join(
        f"## `{' '.join(words)}`\n\n```text\n{command.get_help(context)}\n```\n"
        for words, command, context in _walk(cli, ["python", "-m", "benchmark"], None)
    )


def profile_keys() -> str:
    """A table of a profile's keys: value, default, meaning."""
    return "| key | value | default | meaning |\n|---|---|---|---|\n" + "\n".join(_keys(Config, ""))


def profiles() -> str:
    """Every profile, whole."""
    parts = []
    for name in registry.names("profiles"):
        settings = (PROFILES / f"{name}.toml").read_text(encoding="utf-8").partition("\n")[2]
        about = registry.describe("profiles", name)
        parts.append(f"## `{name}`\n\n{about}.\n\n```toml\n{settings}```\n")
    return "\n".join(parts)


def run_tables() -> str:
    """The stored tables of a run folder: files and columns."""
    told = ModuleAnalyzer.for_module(columns.__name__).find_attr_docs()
    parts = []
    for name, table in vars(columns).items():
        if isinstance(table, StoredTable):
            kinds = ", ".join(f"`{column}` {kind}" for column, kind in table.types.items())
            key = f" One row each {', '.join(f'`{each}`' for each in table.key)}." * bool(table.key)
            meaning = _markdown(" ".join(told["", name]).strip())
            parts.append(f"## `{table.file}`\n\n{meaning}{key}\n\nColumns: {kinds}.\n")
    return "\n".join(parts)


def feature_sets() -> str:
    """Every feature set with its docstring."""
    parts = []
    for name in registry.names("features"):
        found = registry.load_feature_set(name)
        planar = f"Where every ROI is one slice thick: `{found.planar}`." if found.planar else ""
        masks = f"Mask modifiers: {'yes' if found.mask_modifiers else 'no'}."
        parts.append(f"## `{name}`\n\n{_docstring('features', name)}\n\n{masks} {planar}\n")
    return "\n".join(parts)


def mask_modifiers() -> str:
    """Every mask modifier in one line."""
    return "\n".join(f"- `@{name}`: {modifiers.describe(name)}" for name in modifiers.known())


def models() -> str:
    """Every model with its docstring and settings."""
    parts = []
    for name in registry.names("models"):
        found = registry.load_model(name)
        parts.append(
            f"## `{name}`\n\n{_docstring('models', name)}\n\n"
            f"Features where a run names no others: `{found.features}`. Learns from: "
            f"`{found.supervision}`.\n\n{_settings(found.build)}\n"
        )
    return "\n".join(parts)


def datasets() -> str:
    """Every source of ROIs with its docstring."""
    return "\n".join(
        f"## `{name}`\n\n{_docstring('datasets', name)}\n" for name in registry.names("datasets")
    )


def metrics() -> str:
    """Every metric in one line."""
    lines = ((name, inspect.getdoc(function) or "") for name, function in METRICS.items())
    return "\n".join(f"- `{name}`: {_markdown(text.partition(chr(10))[0])}" for name, text in lines)


def _walk(
    command: click.Command, words: list[str], parent: click.Context | None
) -> Iterator[tuple[list[str], click.Command, click.Context]]:
    """A command and those below it, in the order in which they were added."""
    context = click.Context(
        command, parent, info_name=words[-1] if parent else " ".join(words),
        **{**command.context_settings, "terminal_width": 68},
    )  # fmt: skip
    yield words, command, context
    if isinstance(command, click.Group):
        for name, below in command.commands.items():
            yield from _walk(below, [*words, name], context)


def _keys(record: type[Any], prefix: str) -> Iterator[str]:
    """Rows of a record of settings, those of records in it included."""
    told = _told(record)
    hints = get_type_hints(record, include_extras=True)
    for entry in fields(record):
        kind = hints[entry.name]
        if is_dataclass(kind):
            yield from _keys(kind, f"{prefix}{entry.name}.")
        else:
            cells = (_kind(kind), f"`{_shown(_default(entry))}`", told.get(entry.name, ""))
            yield f"| `{prefix}{entry.name}` | {' | '.join(cells)} |"


def _default(entry: Field[Any]) -> object:
    if entry.default_factory is not MISSING:
        return entry.default_factory()
    return entry.default


def _settings(build: Callable[..., Any]) -> str:
    """A table of a model's settings, from ``build``."""
    told = _told(build)
    hints = get_type_hints(build, include_extras=True)
    rows = [
        f"| `{name}` | {_kind(hints[name])} | `{_shown(each.default)}` | {told.get(name, '')} |"
        for name, each in inspect.signature(build).parameters.items()
        if name not in ("seed", "jobs")
    ]
    if not rows:
        return "It has no settings."
    return "| setting | value | default | meaning |\n|---|---|---|---|\n" + "\n".join(rows)


def _kind(hint: Any) -> str:
    """The values that a type allows, in words."""
    return _of_schema(schema := TypeAdapter(hint).json_schema(), schema.get("$defs", {}))


def _of_schema(schema: Mapping[str, Any], known: Mapping[str, Any]) -> str:
    if "$ref" in schema:
        return _of_schema(known[schema["$ref"].rpartition("/")[2]], known)
    if "anyOf" in schema:
        return " or ".join(_of_schema(each, known) for each in schema["anyOf"])
    if "const" in schema or "enum" in schema:
        return ", ".join(f"`{each}`" for each in schema.get("enum", [schema.get("const")]))
    if schema.get("type") == "array":
        return f"list of: {_of_schema(schema['items'], known)}"
    bounds = [f"{word} {schema[key]:g}" for key, word in _BOUNDS.items() if key in schema]
    return " ".join([_WORDS[schema["type"]], " and ".join(bounds)]).strip()


def _shown(value: object) -> str:
    """A value as TOML writes it, which JSON does too."""
    return json.dumps(value)


def _told(thing: object) -> dict[str, str]:
    """What the docstring says of each attribute or parameter, by name."""
    section = r"(?:Attributes|Parameters)\n-+\n(.*?)(?=\n\n\w+\n-+\n|\Z)"
    found = re.search(section, inspect.getdoc(thing) or "", re.DOTALL)
    entries = re.findall(
        r"^(\S[^\n:]*)[^\n]*\n?((?:    [^\n]*\n?)*)", found[1] if found else "", re.M
    )
    return {
        name: _markdown(" ".join(text.split()))
        for names, text in entries
        for name in names.strip().split(", ")
    }


def _docstring(kind: str, name: str) -> str:
    """A plug-in's module docstring as Markdown."""
    tree = ast.parse(registry.path_of(kind, name).read_text(encoding="utf-8"))
    return _markdown(ast.get_docstring(tree) or "")


def _markdown(text: str) -> str:
    """A docstring's marks as Markdown's: code in backticks, no roles; nothing else is a mark."""
    return re.sub(r":\w+:`([^`]+)`", r"`\1`", text).replace("``", "`").replace("|", r"\|")
