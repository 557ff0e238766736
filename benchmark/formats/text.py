"""Text files that users write: bytes to text, and TOML."""

from __future__ import annotations

import codecs
import tomllib
from pathlib import Path
from typing import Any

from benchmark.formats.files import read

_TOML_BYTES = 1 << 20
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def decode(content: bytes, *, utf_16: bool = False) -> str:
    """Text of a file in UTF-8, with or without a byte order mark.

    Parameters
    ----------
    content : bytes
    utf_16 : bool
        Read UTF-16 too, where a byte order mark says that it is.

    Raises
    ------
    ValueError
        Where it is in another encoding: none is guessed.
    """
    is_utf_16 = content.startswith(_UTF_16)
    if is_utf_16 and not utf_16:
        raise ValueError("it is in UTF-16; save it in UTF-8")
    try:
        text = content.decode("utf-16" if is_utf_16 else "utf-8-sig")
    except UnicodeDecodeError as error:
        line = 1 + content.count(b"\n", 0, error.start)
        name = "UTF-16" if is_utf_16 else "UTF-8"
        raise ValueError(
            f"line {line} has the byte 0x{content[error.start]:02x}, which is not {name}; save it "
            "in UTF-8"
        ) from error
    if "\0" in text:
        raise ValueError(
            "it has NUL characters, as UTF-16 without a byte order mark has, and files that are no "
            "text; save it in UTF-8"
        )
    return text


def read_toml(path: Path, what: str) -> dict[str, Any]:
    """Content of a TOML file.

    Parameters
    ----------
    path : Path
    what : str
        Name of the file, with which messages begin.

    Raises
    ------
    ValueError
        Where it cannot be read, or is not TOML in UTF-8.
    """
    try:
        return tomllib.loads(decode(read(path, lambda _: _TOML_BYTES)))
    except FileNotFoundError as error:
        raise ValueError(f"{what}: no such file") from error
    except OSError as error:
        raise ValueError(f"{what}: cannot be read ({error.strerror})") from error
    except ValueError as error:  # TOMLDecodeError is one
        raise ValueError(f"{what}: not TOML ({error})") from error
    except RecursionError as error:
        raise ValueError(f"{what}: not TOML that is read (nested too deeply)") from error
