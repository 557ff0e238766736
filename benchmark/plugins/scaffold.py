"""New plug-ins: a commented file that holds its contract as it is, for a user to change."""

from __future__ import annotations

import keyword
import re
import sys
from importlib.util import find_spec
from pathlib import Path
from string import Template

from benchmark.plugins import registry
from benchmark.plugins.arms import EXTERNAL

KINDS = {"model": "models", "features": "features", "dataset": "datasets"}
"""What can be written, and the registry's name of its kind."""

_TEMPLATES = Path(__file__).parent / "templates"


def write_new(what: str, name: str) -> Path:
    """Write the file of a new plug-in.

    Parameters
    ----------
    what : str
        One of ``KINDS``.
    name : str
        Of the plug-in, and of its file.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    ValueError
        Where the name cannot be a module's, is taken, or is that of a library.
    OSError
        Where the file cannot be written.
    """
    kind = KINDS[what]
    path = registry.path_of(kind, name)
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,29}", name) or keyword.iskeyword(name):
        raise ValueError(
            f"{what} '{name}': a name is a word of Python's, of up to 30 small letters, digits and "
            "_, a letter first"
        )
    if name in registry.names(kind) or path.exists() or name == EXTERNAL:
        raise ValueError(f"{what} '{name}': there is one of that name; choose another")
    if name in sys.stdlib_module_names or find_spec(name) is not None:
        raise ValueError(
            f"{what} '{name}': a library or folder is called so; choose another, as my_{name}"
        )
    template = Template((_TEMPLATES / f"{what}.py.txt").read_text(encoding="utf-8"))
    text = template.substitute(name=name, variable=f"{name.upper()}_ROOT")
    with path.open("x", encoding="utf-8") as file:
        file.write(text)
    return path
