"""Ids: what may be one, and which two are one patient on both sides of a split."""

from __future__ import annotations

import pytest

from benchmark.cohort import ids
from benchmark.roi import RoiRecord

WIDE = "P\N{FULLWIDTH DIGIT ONE}"
SPELLINGS = [
    ("P1", "p1"), ("P1", "P 1"), ("P1", WIDE), ("P1", "P\N{NO-BREAK SPACE}1"),
    ("P1", '"P1"'), ("007", '="007"'), ("P1", "\N{RIGHT SINGLE QUOTATION MARK}P1"),
    ("stra\N{LATIN SMALL LETTER SHARP S}e", "STRASSE"), ("Zo\xeb", "zo\xeb"),
    ("5", "\N{SUPERSCRIPT FIVE}"),
]  # fmt: skip
ZEROS = [("007", "7"), ("7", "7.0"), ("0", "000"), ("010", "10.00"), ("0 07", "7")]
DIFFERENT = [
    ("P1", "P01"), ("P1", "P2"), ("10", "1"), ("1.0", "1.1"), ("7", "7.01"), ("P-1", "P_1"),
    ("LIDC-IDRI-0001", "LIDC-IDRI-0010"), ("a.1", "a.10"), ("1-0", "1"), ("100", "1000"),
]  # fmt: skip


def records(roi_ids: list[str], patients: list[str]) -> list[RoiRecord]:
    return [RoiRecord(r, p, label=0) for r, p in zip(roi_ids, patients, strict=True)]


@pytest.mark.parametrize("pair", SPELLINGS + ZEROS)
def test_spellings_of_one_id_are_refused(pair: tuple[str, str]) -> None:
    one, other = pair
    why = (
        "only leading zeros or '.0' tell them apart, which spreadsheets drop and add"
        if pair in ZEROS
        else "only case, blanks, quotation marks or Unicode form tell them apart"
    )
    for start, found in (
        ("patient ids", records(["a", "b", "c"], [one, "q", other])),
        ("roi ids", records([one, "q", other], ["a", "b", "c"])),
    ):
        with pytest.raises(ValueError, match="may be one id") as refused:
            ids.check(found)
        assert str(refused.value).startswith(
            f"{start} {one!a} and {other!a} may be one id, as {why}; "
        )
    with pytest.raises(ValueError, match="may be one id") as refused:
        ids.check_apart(["x", one], [other, "y"])
    assert str(refused.value).startswith(
        f"patient ids {one!a} (training) and {other!a} (test) may "
    )


@pytest.mark.parametrize("pair", DIFFERENT)
def test_other_ids_stand_side_by_side(pair: tuple[str, str]) -> None:
    ids.check(records(list(pair), list(pair)))
    ids.check_apart(pair[:1], pair[1:])
    ids.check(records(["a", "b"], [pair[0]] * 2))


def test_the_others_are_counted_and_rows_named() -> None:
    found = [
        RoiRecord(f"r{i}", patient, label=0, attributes={"manifest_row": str(i)})
        for i, patient in enumerate(["A", "B", "b", "B", "a", "b", "C"], 2)
    ]
    with pytest.raises(
        ValueError, match=r"^patient ids 'B' \(row 3\) and 'b' \(row 4\), and 1 more"
    ):
        ids.check(found)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a\x00b", r"roi_id is 'a\\x00b', and its character U\+0000 cannot be seen; write"),
        ("a\nb", r"U\+000A cannot be seen"),
        ("a\N{ZERO WIDTH SPACE}", r"is 'a\\u200b', and its character U\+200B cannot be seen"),
        ("\N{RIGHT-TO-LEFT OVERRIDE}a", r"U\+202E cannot be seen"),
        ("\N{LINE SEPARATOR}".join("ab"), r"U\+2028 cannot be seen"),
        ("Gr\N{REPLACEMENT CHARACTER}n", r"U\+FFFD stands for a lost letter"),
        ("x" * 201, f"roi_id begins '{'x' * 40}' and has 201 characters; it may have 200 at most"),
        ("#REF!", "roi_id is '#REF!', a spreadsheet's error; every ROI needs an id"),
        ("#NAME?", "is '#NAME[?]', a spr"), ("#N/A", "is '#N/A', a spr"),
        ("1.23E+12", r"is '1.23E\+12', a number whose last digits a spreadsheet has dropped"),
        ("1,23E+12", r"is '1,23E\+12', a number"),
    ],
)  # fmt: skip
def test_what_cannot_be_an_id(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message) as refused:
        ids.tidy("roi_id", text)
    assert len(str(refused.value).splitlines()) == 1
    with pytest.raises(ValueError, match=message.replace("roi_id", "patient_id")):
        ids.check(records(["a"], [text]))
    with pytest.raises(ValueError, match=message):
        ids.check(records([text], ["a"]))


@pytest.mark.parametrize(
    "text",
    ["NA", "null", "#N/A1", "x" * 200, "1.5", "1E5", "12E34", "#1", "名前 1", "a b", "<script>"],
)
def test_what_may_be_an_id(text: str) -> None:
    assert ids.tidy("roi_id", f" {text} ") == text


def test_ids_are_composed() -> None:
    assert ids.tidy("patient_id", "Zoe\N{COMBINING DIAERESIS}") == "Zo\xeb"
    with pytest.raises(
        ValueError, match=r"patient_id is 'Zoe.u0308'; it must be 'Zo.xeb', without"
    ):
        ids.check(records(["a"], ["Zoe\N{COMBINING DIAERESIS}"]))
    with pytest.raises(
        ValueError, match="roi_id is ' a'; it must be 'a', without blanks around it"
    ):
        ids.check(records([" a"], ["p"]))
