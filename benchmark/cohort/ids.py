"""Ids of ROIs and patients: which text may be one, and which two may be the same one.

Splits keep a patient on one side by the patient's id. Two spellings of one id are two patients to
them, so spellings that a spreadsheet or a keyboard exchanges unnoticed are refused.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence

from benchmark.roi import RoiRecord

MAX_LENGTH = 200
"""Most characters of an id: longer ones are cells that were read wrongly."""

_INVISIBLE = {"Cc", "Cf", "Zl", "Zp", "Cs"}
"""Unicode categories of characters that no one sees in a table, or that break its lines."""

_LOST = "\N{REPLACEMENT CHARACTER}"
"""What programs write for a letter that they could not read: different letters become one."""

_ERROR = re.compile(r"#(N/A|REF!|VALUE!|NAME\?|DIV/0!|NUM!|NULL!)")
"""A spreadsheet's errors. Words for a missing value, as ``NA``, may be ids."""

_SHORTENED = re.compile(r"\d+([.,]\d+)?e\+\d+", re.IGNORECASE | re.ASCII)
_NUMBER = re.compile(r"0*(\d+)(\.0+)?", re.ASCII)
_DROPPED = re.compile("[\\s\"'=`\u2018\u2019\u201c\u201d]+")
"""Blanks and quotation marks, and the = of ``="007"``, by which spreadsheets keep zeros."""


def tidy(name: str, text: str) -> str:
    """An id without blanks around it, in Unicode's composed form (NFC).

    Parameters
    ----------
    name : str
        Its column, ``roi_id`` or ``patient_id``.
    text : str

    Raises
    ------
    ValueError
        Where it has characters that cannot be seen, is too long, or is what spreadsheets write
        in place of an error or of a long number. An empty id is refused by ``RoiRecord``.
    """
    text = unicodedata.normalize("NFC", text.strip())
    if len(text) > MAX_LENGTH:
        raise ValueError(
            f"{name} begins {text[:40]!a} and has {len(text)} characters; it may have "
            f"{MAX_LENGTH} at most"
        )
    for character in text:
        if unicodedata.category(character) in _INVISIBLE or character == _LOST:
            why = "stands for a lost letter" if character == _LOST else "cannot be seen"
            raise ValueError(
                f"{name} is {text!a}, and its character U+{ord(character):04X} {why}; "
                "write the id without it"
            )
    if _ERROR.fullmatch(text):
        raise ValueError(f"{name} is '{text}', a spreadsheet's error; every ROI needs an id")
    if _SHORTENED.fullmatch(text):
        raise ValueError(
            f"{name} is '{text}', a number whose last digits a spreadsheet has dropped; make the "
            "column text there and enter the ids again"
        )
    return text


def check(records: Sequence[RoiRecord]) -> None:
    """Refuse ids of a dataset that are unusable, or that may be two spellings of one.

    Raises
    ------
    ValueError
        As :func:`tidy`, for ids that it would change, and for two that differ by what
        :func:`folded` takes away alone.
    """
    for record in records:
        for name, text in (("roi_id", record.roi_id), ("patient_id", record.patient_id)):
            if text != tidy(name, text):
                raise ValueError(
                    f"{name} is {text!a}; it must be {tidy(name, text)!a}, without blanks around "
                    "it and in Unicode's composed form (NFC)"
                )
    _refuse_spellings("roi ids", ((r.roi_id, row_of(r)) for r in records))
    _refuse_spellings("patient ids", ((r.patient_id, row_of(r)) for r in records))


def check_apart(training: Iterable[str], test: Iterable[str]) -> None:
    """Refuse patients of two datasets who may be one person; equal ids are not looked for.

    Raises
    ------
    ValueError
        Naming the first two.
    """
    sides = ((ids, f" ({where})") for ids, where in ((training, "training"), (test, "test")))
    _refuse_spellings("patient ids", ((i, where) for ids, where in sides for i in ids))


def folded(text: str) -> str:
    """An id without what is exchanged unnoticed: equal for spellings that may be one id.

    Case, blanks, quotation marks and Unicode's compatibility forms are taken away, and from whole
    numbers leading zeros and ``.0``, which spreadsheets drop and add.
    """
    text = _plain(text)
    number = _NUMBER.fullmatch(text)
    return number[1] if number else text


def _plain(text: str) -> str:
    # Casefolding may undo the form: it is taken again.
    text = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return _DROPPED.sub("", text)


def row_of(record: RoiRecord) -> str:
    """The row of the manifest that a record stands in, for a message; empty in other datasets."""
    row = record.attributes.get("manifest_row")
    return f" (row {row})" if row else ""


def _refuse_spellings(what: str, found: Iterable[tuple[str, str]]) -> None:
    """Refuse two ids with one folded form; each comes with words on where it stands."""
    first: dict[str, tuple[str, str]] = {}
    others: dict[str, tuple[str, str]] = {}
    for text, where in found:
        key = folded(text)
        if text != first.setdefault(key, (text, where))[0]:
            others.setdefault(key, (text, where))
    if not others:
        return
    key, (text, where) = next(iter(others.items()))
    before, first_where = first[key]
    more = f", and {len(others) - 1} more like them," if len(others) > 1 else ""
    raise ValueError(
        f"{what} {before!a}{first_where} and {text!a}{where}{more} may be one id, as "
        f"only {_difference(before, text)}; write one id in one way, and different ids so that "
        "they differ otherwise"
    )


def _difference(one: str, other: str) -> str:
    plain = [_plain(text) for text in (one, other)]
    if plain[0] != plain[1]:
        return "leading zeros or '.0' tell them apart, which spreadsheets drop and add"
    return "case, blanks, quotation marks or Unicode form tell them apart"
