"""Rules of settings, as types of ``build``'s parameters: checked where a configuration is read.

A type without a rule takes any number; no setting may be infinite or NaN.
"""

from __future__ import annotations

from typing import Annotated

from annotated_types import Ge, Gt, Le, Lt, MinLen

Count = Annotated[int, Ge(1)]
Folds = Annotated[int, Ge(2)]
AtLeastZero = Annotated[float, Ge(0)]
Positive = Annotated[float, Gt(0)]
Share = Annotated[float, Gt(0), Le(1)]
ShareBelowOne = Annotated[float, Ge(0), Lt(1)]
ProperShare = Annotated[float, Gt(0), Lt(1)]

Positives = Annotated[tuple[Positive, ...], MinLen(1)]
Counts = Annotated[tuple[Count, ...], MinLen(1)]
Depths = Annotated[tuple[Annotated[int, Ge(0)], ...], MinLen(1)]
Shares = Annotated[tuple[Share, ...], MinLen(1)]
