"""Tables as LaTeX: each to be copied into a paper, all together a document that compiles."""

from __future__ import annotations

import textwrap
import unicodedata
from collections.abc import Sequence

from benchmark.report.tables.table import Table

PREAMBLE = r"""\documentclass{article}
\usepackage[utf8]{inputenc}
\usepackage[a4paper,landscape,margin=15mm]{geometry}
% A table needs booktabs, and graphicx where it is shrunk to the line; tables of sentences need
% longtable and array.
\usepackage{array,booktabs,graphicx,longtable}
\begin{document}
"""
_SPECIAL = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_",
    "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", '"': "''",
}  # fmt: skip
_HEADING_WIDTH = 22
_ACCENTS = "\u0300\u0301\u0302\u0303\u0308\u030a\u0327\u030c"
"""Grave, acute, circumflex, tilde, diaeresis, ring, cedilla, caron: what LaTeX composes."""


def latex_document(tables: Sequence[Table]) -> str:
    """All tables, one a page, in a document that compiles as it is."""
    pages = "\n\\clearpage\n".join(map(as_latex, tables))
    return f"{PREAMBLE}{pages}\\end{{document}}\n"


def as_latex(table: Table) -> str:
    """A booktabs ``table`` environment, or a ``longtable`` of sentences.

    Warnings are comments: they are for the author, who answers them in the text.
    """
    warnings = [f"% Method warning: {' '.join(warning.split())}" for warning in table.warnings]
    return "\n".join([*warnings, *(_long(table) if table.widths else _float(table)), ""])


def _float(table: Table) -> list[str]:
    return [
        r"\begin{table}[!htbp]",
        r"\centering\small",
        _caption(table),
        # Only where it is wider than the line is it shrunk.
        r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
        rf"\begin{{tabular}}{{{'l' * table.n_names}{'r' * (len(table.header) - table.n_names)}}}",
        r"\toprule",
        " & ".join(map(_heading, table.header)) + r" \\",
        r"\midrule",
        *map(_row, table.rows),
        r"\bottomrule",
        r"\end{tabular}}",
        r"\end{table}",
    ]


def _long(table: Table) -> list[str]:
    columns = "".join(
        # The space between columns is taken from each.
        rf">{{\raggedright\arraybackslash}}p{{\dimexpr {share}\linewidth-2\tabcolsep\relax}}"
        for share in table.widths
    )
    return [
        r"{\small\setlength{\LTcapwidth}{\linewidth}",
        rf"\begin{{longtable}}{{{columns}}}",
        rf"{_caption(table)}\\",
        r"\toprule",
        _row(table.header),
        r"\midrule",
        r"\endhead",
        *map(_row, table.rows),
        r"\bottomrule",
        r"\end{longtable}}",
    ]


def _caption(table: Table) -> str:
    return rf"\caption{{{escape(table.heading)}. {escape(' '.join(table.remarks))}}}"


def _heading(text: str) -> str:
    """A long heading on several lines, so that it does not widen its column."""
    lines = [escape(line) for line in textwrap.wrap(text, _HEADING_WIDTH)]
    return lines[0] if len(lines) == 1 else r"\shortstack[r]{" + r" \\ ".join(lines) + "}"


def _row(cells: Sequence[str]) -> str:
    escaped = [escape(cell) for cell in cells]
    # A bracket or an asterisk after the line break before it would be its argument.
    if escaped[0].startswith(("[", "*")):
        escaped[0] = "{}" + escaped[0]
    return " & ".join(escaped) + r" \\"


def escape(text: str) -> str:
    """The text as LaTeX sets it; characters that its standard fonts lack become code points."""
    return "".join(map(_character, " ".join(text.split())))


def _character(character: str) -> str:
    if character in _SPECIAL:
        return _SPECIAL[character]
    if character.isascii():
        return character if character.isprintable() else ""
    parts = unicodedata.normalize("NFD", character)
    if len(parts) == 2 and parts[0].isascii() and parts[0].isalpha() and parts[1] in _ACCENTS:
        return character
    return f"[U+{ord(character):04X}]"
