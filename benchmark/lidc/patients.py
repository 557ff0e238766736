"""Choice of LIDC-IDRI's patients for a command: the option ``--patients``."""

from __future__ import annotations

from collections.abc import Sequence


def choose_patients(known: Sequence[str], patients: str | None) -> list[str]:
    """The patients that a ``--patients`` option names.

    Parameters
    ----------
    known : sequence of str
        All ids, ascending.
    patients : str or None
        A number stands for that many patients, the first by id; otherwise ids, separated by
        commas. None: all.

    Raises
    ------
    ValueError
        For unknown ids and impossible numbers.
    """
    if patients is None:
        return list(known)
    if patients.strip().isdecimal():
        n = int(patients)
        if not 1 <= n <= len(known):
            raise ValueError(f"--patients {n}: LIDC-IDRI has 1 to {len(known)} patients to offer")
        return list(known[:n])
    names = [name.strip() for name in patients.split(",") if name.strip()]
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        raise ValueError(
            f"unknown patient '{', '.join(unknown)}'; LIDC-IDRI has {len(known)}, from "
            f"{known[0]} to {known[-1]}: name them separated by commas, or give a number"
        )
    return names
