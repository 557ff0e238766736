"""Files that are not trusted: read as far as their beginning lets expect, and no further.

Every image, mask, table and TOML file is opened here. Memory and time follow what a file declares,
and what it may declare is bounded: by ``limits.roi_voxels`` for voxels, by a constant for text.
"""

from __future__ import annotations

import bz2
import stat
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from upath import UPath

START_BYTES = 1 << 16
"""Bytes that a file is judged by; headers end there."""

SLACK_BYTES = 1 << 20
"""Bytes beyond what its header declares that a file may have, as padding and trailers."""

_BYTES_A_VOXEL = 8
_PIECE = 1 << 14

_MAKERS: dict[str, Callable[[], zlib._Decompress | bz2.BZ2Decompressor]] = {
    "zlib": zlib.decompressobj,
    "gzip": lambda: zlib.decompressobj(zlib.MAX_WBITS | 16),
    "bzip2": bz2.BZ2Decompressor,
    "deflate": lambda: zlib.decompressobj(-zlib.MAX_WBITS),
}
_SEVERAL = ("gzip", "bzip2")  # streams, one behind the other


@dataclass(frozen=True)
class Access:
    """Rules of what a manifest may make this program read.

    Attributes
    ----------
    roi_voxels : int
        Most voxels of an image or a mask. The default is a CT of 1024 slices.
    outside : bool
        True where files may lie outside of the manifest's folder.
    """

    roi_voxels: int = 512 * 512 * 1024
    outside: bool = False


DEFAULT_ACCESS = Access()


def read(path: Path | UPath, most: Callable[[bytes], int]) -> bytes:
    """Content of a plain file.

    Parameters
    ----------
    path : Path or UPath
    most : callable
        Bytes that the file may have at most, by its first ``START_BYTES``; asked where it has
        as many.

    Raises
    ------
    OSError
        Where it cannot be read.
    ValueError
        Where it is no plain file, as a pipe and a device, or has more bytes.
    """
    size = plain_size(path) if isinstance(path, Path) else None
    with path.open("rb") as handle:
        start: bytes = handle.read(START_BYTES)
        if len(start) < START_BYTES:
            return start
        limit = most(start)
        if size is not None and size > limit:
            raise ValueError(_too_large(size, limit))
        rest = handle.read(max(limit, START_BYTES) + 1 - START_BYTES if size is None else size)
    if len(start) + len(rest) > limit:
        raise ValueError(_too_large(len(start) + len(rest), limit))
    return start + rest


def plain_size(path: Path) -> int:
    """Bytes of a plain file.

    Raises
    ------
    OSError
        Where there is none, or a folder is in its place.
    ValueError
        Where it is a pipe, a socket or a device.
    """
    status = path.stat()
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(21, "Is a directory", str(path))
    if not stat.S_ISREG(status.st_mode):
        raise ValueError("is no plain file but a pipe, a socket or a device; name a file")
    return status.st_size


def inflate(content: bytes, encoding: str, most: int) -> bytes:
    """Decompressed content.

    Parameters
    ----------
    content : bytes
    encoding : {"zlib", "gzip", "bzip2", "deflate"}
    most : int
        Bytes that it may have at most.

    Raises
    ------
    ValueError
        Where it is damaged, or has more.
    """
    content, ended = _inflated(content, encoding, most + 1)
    if len(content) > most:
        raise ValueError(f"inflates to more than {most} bytes, which is all that it may have")
    if not ended:
        raise ValueError("is damaged: its compressed voxels end too early")
    return content


def beginning(content: bytes, encoding: str, n: int) -> bytes:
    """The first bytes of the decompressed content, at most ``n``."""
    return _inflated(content, encoding, n)[0]


def _inflated(content: bytes, encoding: str, most: int) -> tuple[bytes, bool]:
    """Decompressed content, cut off behind ``most`` bytes, and whether it ends well."""
    parts: list[bytes] = []
    left, stream = most, _MAKERS[encoding]()
    try:
        for start in range(0, len(content), _PIECE):
            piece = content[start : start + _PIECE]
            while piece and left > 0:
                if stream.eof:
                    piece = piece.lstrip(b"\0")  # padding
                    if encoding not in _SEVERAL or not piece:
                        break
                    stream = _MAKERS[encoding]()
                parts.append(stream.decompress(piece, left))
                left -= len(parts[-1])
                piece = stream.unused_data if stream.eof else b""
    except (zlib.error, OSError) as error:
        raise ValueError(f"is damaged: its compressed voxels cannot be read ({error})") from error
    return b"".join(parts), stream.eof


def voxel_bytes(n_voxels: int, bytes_a_voxel: float, roi_voxels: int) -> int:
    """Bytes that voxels take.

    Raises
    ------
    ValueError
        Where there are more than may be read.
    """
    if n_voxels > roi_voxels or bytes_a_voxel > _BYTES_A_VOXEL:
        raise ValueError(
            f"declares {n_voxels} voxels of {bytes_a_voxel:g} bytes; at most {roi_voxels} of "
            f"{_BYTES_A_VOXEL} are read (limits.roi_voxels)"
        )
    return int(n_voxels * bytes_a_voxel)


def check_inside(path: Path | UPath, name: str, folder: Path | UPath) -> None:
    """Refuse a file that lies outside of a folder, by its path or by a link.

    Raises
    ------
    ValueError
    """
    if isinstance(path, Path) and isinstance(folder, Path):
        beyond = not path.resolve().is_relative_to(_resolved(folder))
    else:
        beyond = name.startswith("/") or "://" in name or ".." in name.split("/")
    if beyond:
        raise ValueError(
            "lies outside of the manifest's folder; move it there, or allow it with --allow-outside"
        )


@lru_cache(maxsize=64)
def _resolved(folder: Path) -> Path:
    """Where a folder was when it was first asked for; files in it are looked up every time."""
    return folder.resolve()


def _too_large(size: int, limit: int) -> str:
    return f"has {size} bytes, and its kind or its header allow {limit}"
