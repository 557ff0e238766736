"""Seeds derived from names, so that no result depends on the order of the work."""

from __future__ import annotations

import hashlib


def derive_seed(seed: int, *names: object) -> int:
    """A 31-bit seed for the thing that ``names`` spell out.

    Adding, removing or reordering other things leaves it as it is.

    >>> derive_seed(0, "xgb", "radiomics", 1) == derive_seed(0, "xgb", "radiomics", 1)
    True
    """
    text = "\x1f".join([str(seed), *map(str, names)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") >> 1
