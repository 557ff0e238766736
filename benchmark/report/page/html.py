"""The report as one HTML file that needs nothing else: styles, script and figures are inside."""

from __future__ import annotations

import base64
import hashlib
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import tomli_w

from benchmark.report.figures.canvas import Picture
from benchmark.report.gallery.build import CLAIMS, Gallery
from benchmark.report.gallery.picks import KINDS, RULE
from benchmark.report.gallery.pictures import GalleryItem
from benchmark.report.tables.table import SYNTHETIC, Table, decimal, duration
from benchmark.report.wording.facts import workers
from benchmark.report.wording.summary import conclusion, summary
from benchmark.run.folder import RunFolder
from benchmark.runtime.failures import without_controls

_TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class Section:
    """A heading of the page with the tables under it.

    ``folded`` tables are behind a heading that opens them.
    """

    title: str
    tables: Sequence[Table]
    folded: bool = False


def render(
    run: RunFolder,
    sections: Sequence[Section],
    pictures: Sequence[Picture],
    gallery: Gallery | None = None,
    *,
    with_pdf: bool = False,
) -> str:
    """The page. Its policy lets it load nothing but the pictures that it carries.

    Parameters
    ----------
    run : RunFolder
    sections : sequence of Section
        The first one's first table is the main table, whose warnings stand at the top.
    pictures : sequence of Picture
        The first one stands at the top, under the run's conclusion.
    gallery : Gallery or None
        The section is absent where there are none.
    with_pdf : bool
        Let each figure be saved as PDF too; drawing them takes as long again as the page.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    templates = Environment(
        loader=FileSystemLoader(_TEMPLATES), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    templates.filters["slug"] = slug
    templates.filters["decimal"] = decimal
    templates.filters["data_address"] = data_address
    style, script = ((_TEMPLATES / name).read_text("utf-8") for name in ("page.css", "page.js"))
    main = sections[0].tables[0]
    page: str = templates.get_template("page.html.j2").render(
        title=main.heading,
        synthetic=SYNTHETIC if run.synthetic else "",
        warnings=main.warnings,
        warned_of=main.warned_of,
        summary=[sentence for sentence in summary(run) if sentence != SYNTHETIC],
        sections=sections,
        conclusion=conclusion(run),
        figures=pictures,
        with_pdf=with_pdf,
        gallery=_gallery(gallery) if gallery else [],
        gallery_notes=[*gallery.notes, *CLAIMS, RULE] if gallery else [],
        gallery_figures=[
            (each.caption, _png(each.picture)) for each in (gallery.figures if gallery else [])
        ],
        failures=run.failures,
        environment=_environment(run),
        configuration=tomli_w.dumps(run.config),
        command=shlex.join(run.environment["command"]),
        revision=run.environment["revision"],
        style=style,
        script=script,
        style_hash=_hash(style),
        script_hash=_hash(script),
    )
    return without_controls(page)


def slug(title: str) -> str:
    """A title as the id of its heading."""
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")


def _gallery(gallery: Gallery) -> list[tuple[str, list[tuple[GalleryItem, list[tuple[str, str]]]]]]:
    kinds = {kind: place for place, kind in enumerate(KINDS)}
    ordered = sorted(gallery.items, key=lambda item: kinds.get(item.kind, len(kinds)))
    by_kind = groupby(ordered, lambda item: item.kind)
    return [(kind, [(item, _pictures(item.pictures)) for item in items]) for kind, items in by_kind]


def _pictures(pictures: Mapping[str, bytes]) -> list[tuple[str, str]]:
    return [(what, _png(picture)) for what, picture in pictures.items()]


def _png(picture: bytes) -> str:
    return data_address(picture, "image/png")


def data_address(content: bytes, kind: str) -> str:
    """An address that holds the content itself, of a media type."""
    return f"data:{kind};base64,{_base64(content)}"


def _environment(run: RunFolder) -> list[tuple[str, str]]:
    told: dict[str, Any] = dict(run.environment)
    packages = ", ".join(f"{name} {version}" for name, version in told["packages"].items())
    dataset = told["dataset"]
    return [
        ("started", str(told["started"])),
        ("wall time", f"{duration(float(told['wall_s']))} s; {workers(run)}"),
        ("dataset", f"{dataset['name']}, {dataset['intensities']} intensities"),
        ("fingerprint", str(dataset["fingerprint"])),
        ("Python", str(told["python"])),
        ("packages", packages),
        ("platform", str(told["platform"])),
        ("processor", f"{told['processor']}, {told['cores']} cores"),
        ("source revision", str(told["revision"]) or "unknown"),
    ]


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _hash(text: str) -> str:
    """Hash of an inline element, as a content security policy names it."""
    return "sha256-" + _base64(hashlib.sha256(text.encode("utf-8")).digest())
