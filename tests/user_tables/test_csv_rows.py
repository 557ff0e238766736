"""Manifests as spreadsheets and programs write them: read alike, or refused in one line."""

from __future__ import annotations

import codecs
import csv
import io
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmark.datasets import manifest
from benchmark.roi import RoiRecord

PLAIN = (
    "roi_id,patient_id,image,mask,label\na1,anna,i0.nii.gz,m0.nii.gz,1\nb1,ben,i1.mha,m1.mha,0\n"
)


def opened(folder: Path, content: str | bytes) -> tuple[RoiRecord, ...]:
    path = folder / "mine.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return manifest.open_dataset(path).records


def refusal(folder: Path, content: str | bytes) -> str:
    """The message, without the path of the file that it begins with."""
    with pytest.raises(ValueError) as refused:
        opened(folder, content)
    message = str(refused.value)
    assert message.startswith(str(folder / "mine.csv"))
    assert len(message.splitlines()) == 1
    return message.removeprefix(str(folder / "mine.csv"))


SAME = {
    "semicolons": PLAIN.replace(",", ";"),
    "tabs": PLAIN.replace(",", "\t"),
    "sep line": "sep=,\n" + PLAIN,
    "sep line of semicolons": "sep=;\r\n" + PLAIN.replace(",", ";"),
    "sep line of bars, quoted": '"sep=|"\n' + PLAIN.replace(",", "|"),
    "sep line, saved again": "sep=,,,,\n" + PLAIN,
    "byte order mark": codecs.BOM_UTF8 + PLAIN.encode(),
    "byte order mark and sep line": codecs.BOM_UTF8 + b"sep=,\n" + PLAIN.encode(),
    "Unicode text": PLAIN.replace(",", "\t").encode("utf-16"),
    "UTF-16, other end first": codecs.BOM_UTF16_BE + PLAIN.encode("utf-16-be"),
    "blanks": PLAIN.replace(",", " , "),
    "blanks before quotes": PLAIN.replace("anna", ' "anna"').replace("image", ' "image"'),
    "no-break spaces": PLAIN.replace(",", ",\N{NO-BREAK SPACE}"),
    "capitals": PLAIN.replace("roi_id", "ROI_ID").replace("label", "Label"),
    "unnamed columns": PLAIN.replace("\n", ",,\n"),
    "unnamed columns of the header alone": PLAIN.replace("label\n", "label,,\n"),
    "values behind the header": PLAIN.replace("1\n", "1,,\n"),
    "unnamed column in the middle": "\n".join(
        ",".join([*line.split(",")[:3], "", *line.split(",")[3:]]) for line in PLAIN.splitlines()
    ),
    "empty rows at the end": PLAIN + ",,,,\n\n , ,\n",
    "carriage returns": PLAIN.replace("\n", "\r"),
    "quotes": "".join(
        ",".join(f'"{cell}"' for cell in line.split(",")) + "\r\n" for line in PLAIN.splitlines()
    ),
    "no last line end": PLAIN.rstrip(),
}  # fmt: skip


@pytest.mark.parametrize("case", SAME)
def test_what_is_certain_is_read(tmp_path: Path, case: str) -> None:
    assert opened(tmp_path, SAME[case]) == opened(tmp_path, PLAIN)


def test_rows_are_the_spreadsheets(tmp_path: Path) -> None:
    text = (
        "\nroi_id,patient_id,image,mask,label,notes\n"
        'a1,anna,i,m,1,"seen\ntwice\r\nby me"\n'
        ",,,,,\n\n"
        "b1,ben,i,m,0,\n"
    )
    first, second = opened(tmp_path, text)
    assert (first.attributes["manifest_row"], second.attributes["manifest_row"]) == ("3", "6")
    assert first.attributes["notes"] == "seen\ntwice\r\nby me"
    wrong = refusal(tmp_path, text.replace("m,0,", "m,2,"))
    assert wrong == " row 6 (roi_id 'b1'): label is '2'; it must be 0 (benign) or 1 (malignant)"
    # Excel does not show the line that names the separator, and counts from the next one.
    assert " row 2 (roi_id 'a1'): " in refusal(tmp_path, "sep=,\n" + PLAIN.replace("z,1", "z,7"))


def test_a_header_that_is_not_understood_is_shown(tmp_path: Path) -> None:
    assert refusal(tmp_path, PLAIN.replace("patient_id", "Patient ID")) == (
        ": no column patient_id; row 1 is the header, which was read, with commas between columns, "
        "as 'roi_id', 'Patient ID', 'image', 'mask', 'label'"
    )
    semicolons = refusal(tmp_path, PLAIN.replace("mask", "outline").replace(",", ";"))
    assert "no column mask; " in semicolons
    assert "with semicolons between columns, as 'roi_id', 'patient_id', " in semicolons
    assert "commas between columns, as 'roi_id:patient_id:image:" in refusal(
        tmp_path, PLAIN.replace(",", ":")
    )
    assert "with tabs between columns, as 'roi_id,patient_id,image" in refusal(
        tmp_path, "sep=\t\n" + PLAIN
    )
    assert "row 3 is the header" in refusal(tmp_path, "\n,,\nMy nodules,,\n" + PLAIN)
    many = ",".join(f"c{i}\n" * 40 if i == 3 else f"c{i}" for i in range(500))
    assert len(refusal(tmp_path, many)) < 500
    assert refusal(tmp_path, b"").endswith(", as nothing")


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        (PLAIN.replace("label\n", "label,,\n").replace("z,1", "z,1,,x\ty"),
         r" row 2 \(roi_id 'a1'\): column 7 has no name and holds 'x\\ty'; name it in the header"),
        (PLAIN.replace("roi_id", ",roi_id").replace("\nb1", "\n1,b1").replace("\na1", "\n0,a1"),
         r" row 2 \(roi_id 'a1'\): column 1 has no name and holds '0'"),
        (PLAIN.replace("mask", "label"), ": no column mask; "),
        (PLAIN.replace("label\n", "label,Label\n"),
         ": columns 5 and 6 of the header are 'label' and 'Label'; a name may stand there once"),
        (PLAIN.replace("label\n", "label,site,site \n"), ": columns 6 and 7 .* 'site' and 'site'"),
        (PLAIN.replace("label\n", "label,size\n").replace(",1\n", ",1,2,5\n"),
         r" row 2 \(roi_id 'a1'\): 7 values, not 6 values as the header has"),
        (PLAIN.replace(",m1.mha,0", ""), r" row 3 \(roi_id 'b1'\): 3 values, not 5 values"),
        (PLAIN.replace("anna", '"anna'), r": row 2 cannot be read, with commas between columns "),
        (PLAIN.replace("anna", '"an"na"'), ": row 2 cannot be read, .*expected after"),
        (PLAIN.replace("anna", '"Größe"').encode("latin-1"),
         r": not a CSV in UTF-8 \(line 2 has the byte 0xf6, which is not UTF-8; save it in UTF-8"),
        (PLAIN.encode("utf-16-le"), r": not a CSV in UTF-8 \(it has NUL characters, as UTF-16"),
        (PLAIN.encode("utf-16")[:-1], ": not a CSV in UTF-8 .*which is not UTF-16"),
        ("sep=;\n" + PLAIN, ": no column .* with semicolons between columns"),
        ("roi_id,patient_id,image,mask,label,x;roi_id;patient_id;image;mask;label\n",
         ": commas and semicolons separate its columns"),
        (PLAIN.replace("a1", '"a\n\x1b[31m1"'),
         r" row 2 \(roi_id 'a\\n\\x1b\[31m1'\): roi_id is 'a.*1', and its character U\+000A"),
    ],
)  # fmt: skip
def test_what_is_not_certain_is_refused(tmp_path: Path, text: str | bytes, rule: str) -> None:
    message = refusal(tmp_path, text)
    assert re.match(rule, message), message


def test_the_path_is_told_as_it_was_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/manifest.csv").write_text("roi_id\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"^mine/manifest.csv: no column patient_id, image, mask"):
        manifest.open_dataset(Path("mine"))


CELLS = st.text(st.sampled_from("ab ,;\t|\"'\n\r=é1.%"), max_size=8)
IDS = st.lists(
    st.text(st.sampled_from("abcdef,;\"' é-"), min_size=1, max_size=6).filter(str.strip),
    min_size=1, max_size=5, unique_by=lambda text: "".join(c for c in text if c not in " \"'"),
)  # fmt: skip


@st.composite
def tables(draw: st.DrawFn) -> list[dict[str, str]]:
    """Right tables: their rows by column, in the first one's order of columns."""
    rated = draw(st.booleans())
    rows = []
    for roi_id in draw(IDS):
        row = {
            "roi_id": roi_id, "patient_id": f"p{draw(st.sampled_from('12'))}", "image": "i,1.nrrd",
            "mask": "m;1.nrrd", "notes": draw(CELLS), "Site": draw(CELLS),
        }  # fmt: skip
        row |= (
            {"malignancy_ratings": draw(st.sampled_from(["3", "4 5", "1 2 5"]))}
            if rated
            else {"label": draw(st.sampled_from("01"))}
        )
        rows.append(row)
    order = draw(st.permutations(list(rows[0])))
    return [{name: row[name] for name in order} for row in rows]


@st.composite
def dialects(draw: st.DrawFn) -> dict[str, object]:
    return {
        "separator": draw(st.sampled_from(",;\t|")),
        "line_end": draw(st.sampled_from(["\n", "\r\n", "\r"])),
        "quoting": draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC])),
        "encoding": draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "latin-1"])),
        "declared": draw(st.booleans()),
        "unnamed": draw(st.integers(0, 2)),
        "short_header": draw(st.booleans()),
        "blank_rows": draw(st.sets(st.integers(0, 6))),
        "case": draw(st.sampled_from([str, str.upper, str.title])),
    }


def write(rows: list[dict[str, str]], dialect: dict) -> tuple[bytes, list[int]]:
    """The bytes of the table, and the number of each row as a spreadsheet counts them."""
    text = io.StringIO()
    # Python's writer quotes no line break but its own.
    broken = any(set("\r\n") & set(cell) for row in rows for cell in row.values())
    writer = csv.writer(
        text, delimiter=dialect["separator"], lineterminator=dialect["line_end"],
        quoting=csv.QUOTE_ALL if broken else dialect["quoting"],
    )  # fmt: skip
    if dialect["declared"]:
        text.write(f"sep={dialect['separator']}{dialect['line_end']}")
    extra = [""] * dialect["unnamed"]
    fold = dialect["case"]
    header = [name if name in ("notes", "Site") else fold(name) for name in rows[0]]
    writer.writerow(header + ([] if dialect["short_header"] else extra))
    numbers, number = [], 1
    for index, row in enumerate(rows):
        if index in dialect["blank_rows"]:
            writer.writerow([""] * (len(row) + len(extra)))
            number += 1
        number += 1
        writer.writerow([*row.values(), *extra])
        numbers.append(number)
    return text.getvalue().encode(dialect["encoding"], errors="replace"), numbers


@settings(max_examples=200, deadline=None)
@given(rows=tables(), dialect=dialects())
def test_another_dialect_gives_the_same_records_or_one_line(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, str]], dialect: dict
) -> None:
    content, numbers = write(rows, dialect)
    folder = tmp_path_factory.getbasetemp()
    readable = dialect["encoding"] in ("utf-8", "utf-8-sig", "utf-16") or content.isascii()
    told = dialect["separator"] != "|" or dialect["declared"]
    if not readable or not told or dialect["encoding"] == "utf-16-le":
        refusal(folder, content)
        return
    records = opened(folder, content)
    assert [record.roi_id for record in records] == [row["roi_id"].strip() for row in rows]
    for record, row, number in zip(records, rows, numbers, strict=True):
        assert record.patient_id == row["patient_id"]
        assert " ".join(map(str, record.malignancy_ratings)) == row.get("malignancy_ratings", "")
        assert record.label == (int(row["label"]) if "label" in row else None)
        assert record.attributes == {
            "image": "i,1.nrrd", "mask": "m;1.nrrd", "notes": row["notes"].strip(),
            "Site": row["Site"].strip(), "manifest_row": str(number),
        }  # fmt: skip
