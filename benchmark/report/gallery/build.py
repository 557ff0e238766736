"""A gallery of nodules with what the models said and why: pictures, ``gallery.md`` and JSON.

The dataset is read again and must be the one that the run was made on.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import pandas as pd

from benchmark.columns import EXPLANATION_TABLE
from benchmark.config import load_config
from benchmark.report.gallery.explanations import SAMPLE, explain
from benchmark.report.gallery.picks import KINDS, RULE, pick
from benchmark.report.gallery.pictures import GalleryFigure, GalleryItem, Pictures, figures, slug
from benchmark.report.tables.table import SYNTHETIC, decimal, escape_markdown, marked
from benchmark.run.folder import RunFolder
from benchmark.run.inputs import Material, prepare, refuse_remote
from benchmark.runtime.failures import one_line
from benchmark.runtime.folders import folder_inside, remove, write_bytes, write_text
from benchmark.runtime.progress import Progress
from benchmark.runtime.workers import LocalWorkers

FOLDER = "figures/gallery"
FIGURES = "figures"
PAGE, DATA, TABLE = "gallery.md", "gallery.json", "explanations.csv"

CLAIMS = (
    "Heat maps and SHAP values are not proof. They tell what moved a model's output, not whether "
    "it should, and nothing of the nodule's biology; the nodules were picked, not drawn.",
    "Every score, heat map and SHAP value comes from the model of the fold that tested the "
    "nodule: it had not seen it.",
    "Grad-CAM (Selvaraju et al. 2017): where the last convolution speaks for malignancy, coarse "
    "and scaled to its own maximum, so that strengths of two maps are not to be compared.",
    "SHAP (Lundberg & Lee 2017) against training nodules. Near-duplicate features are dropped "
    "before a model is fitted: the one that was kept stands for all of them.",
)


@dataclass(frozen=True, eq=False)
class Gallery:
    """Single nodules that a report shows, and features over many.

    Attributes
    ----------
    items : list of GalleryItem
    figures : list of GalleryFigure
        Mean |SHAP| of each classical arm, the check of the heat maps.
    summary : DataFrame
        ``EXPLANATION_TABLE``, unrounded.
    sanity : dict of str to float
        Mean rank correlation of an arm's heat maps with those of shuffled weights.
    notes : list of str
        Warnings first, then what is missing and why.
    """

    items: list[GalleryItem]
    figures: list[GalleryFigure]
    summary: pd.DataFrame
    sanity: dict[str, float]
    notes: list[str] = field(default_factory=list)


def make_gallery(
    run: RunFolder,
    jobs: int,
    progress: Progress,
    *,
    trust: bool,
    once_read: Callable[[], object] = lambda: None,
) -> Gallery:
    """Choose nodules, read them again, and explain them.

    ``trust`` loads anybody's models, and contacts the dataset wherever it is; ``once_read`` is
    called when workers have read the dataset, and have time for other things.

    Raises
    ------
    ValueError
        Where the dataset is gone, or is another than that of the run.
    """
    material = _same_material(run, jobs, progress, trust=trust)
    once_read()
    picks = pick(run.predictions)
    pictures = Pictures(run, material, picks, LocalWorkers(jobs))
    found = explain(
        run, material, [p.roi_id for p in picks], jobs, progress,
        trust=trust, explained=pictures.add_arm,
    )  # fmt: skip
    over_many = figures(run, found, LocalWorkers(jobs))
    warnings = [check.warning for check in found.sanity if check.warning]
    return Gallery(
        items=pictures.items(progress),
        figures=list(over_many),
        summary=found.summary,
        sanity={str(check.arm): check.mean for check in found.sanity},
        notes=[*warnings, *found.notes],
    )


def write_gallery(shown: Gallery, run: RunFolder) -> list[Path]:
    """Write pictures, page, JSON and table into the run folder, in place of earlier ones."""
    figures = folder_inside(run.path, FIGURES)
    remove(run.path / FOLDER)
    folder = folder_inside(run.path, *FOLDER.split("/"))
    for figure in shown.figures:
        write_bytes(figures / figure.name, figure.picture)
    files = [_write_pictures(folder, number, item) for number, item in enumerate(shown.items, 1)]
    page, data, table = (run.path / name for name in (PAGE, DATA, TABLE))
    write_text(page, _page(shown, files, run))
    items = [
        asdict(item) | {"pictures": names} for item, names in zip(shown.items, files, strict=True)
    ]
    tree = {
        "intensities": run.environment["dataset"]["intensities"],
        "rule": RULE,
        "notes": shown.notes,
        # JSON has no NaN.
        "heat_map_sanity": {
            arm: None if math.isnan(mean) else mean for arm, mean in shown.sanity.items()
        },
        "figures": [f"{FIGURES}/{figure.name}" for figure in shown.figures],
        "items": items,
    }
    write_text(data, json.dumps(tree, indent=1) + "\n")
    intensities = run.environment["dataset"]["intensities"]
    EXPLANATION_TABLE.write(shown.summary, table.parent, intensities)
    return [page, data, table]


def _same_material(run: RunFolder, jobs: int, progress: Progress, *, trust: bool) -> Material:
    config = load_config(str(run.path / "config.toml"))
    if not trust:
        refuse_remote(config)
    material = prepare(config, LocalWorkers(jobs), progress)
    then = run.environment["dataset"]["fingerprint"]
    now = material.environment["dataset"]["fingerprint"]
    if now != then:
        raise ValueError(
            f"dataset '{config.dataset}' is not what the run was made on: its fingerprint is "
            f"{now[:12]}, the run's {then[:12]}; pictures of other voxels would mislead"
        )
    if not set(run.predictions.roi_id) <= set(material.cohort.roi_ids.tolist()):
        raise ValueError(f"dataset '{config.dataset}' has other ROI ids than the run (anonymised?)")
    return material


def _write_pictures(folder: Path, number: int, item: GalleryItem) -> dict[str, str]:
    """Picture -> path from the run folder; file names hold no id."""
    names = {}
    for picture, content in item.pictures.items():
        name = f"{number:02}-{slug(item.kind)}-{slug(picture)}.png"
        write_bytes(folder / name, content)
        names[picture] = f"{FOLDER}/{name}"
    return names


def _page(shown: Gallery, files: list[dict[str, str]], run: RunFolder) -> str:
    name = escape_markdown(marked(run.name, run.synthetic))
    lines = [f"# Gallery: {name}", ""]
    if run.synthetic:
        lines += [f"**{SYNTHETIC}**", ""]
    lines += [*(f"- {claim}" for claim in (*CLAIMS, RULE)), ""]
    if shown.notes:
        lines += [*(f"- **{escape_markdown(note)}**" for note in shown.notes), ""]
    for arm, mean in shown.sanity.items():
        lines.append(
            f"- {_code(arm)}: rank correlation of heat maps with those of shuffled weights "
            f"{decimal(mean)} (Adebayo et al. 2018; near 1 would be a picture of the nodule, not "
            "of what was learnt)"
        )
    for kind in KINDS:
        lines += ["", f"## {kind.capitalize()}", ""]
        members = [pair for pair in zip(shown.items, files, strict=True) if pair[0].kind == kind]
        if not members:
            lines.append("None.")
        for item, pictures in members:
            lines += _describe(item, pictures)
    if shown.figures:
        lines += ["", "## Over many nodules", ""]
        lines.append(
            f"Mean |SHAP| over the tested nodules among {SAMPLE} evenly spaced ones, in "
            f"`{TABLE}` for all features."
        )
        lines += [
            f"\n![{escape_markdown(each.caption)}]({FIGURES}/{each.name})" for each in shown.figures
        ]
    return "\n".join(lines) + "\n"


def _describe(item: GalleryItem, pictures: dict[str, str]) -> list[str]:
    label = "malignant" if item.label else "benign"
    ratings = f", readers' ratings {' '.join(map(str, item.ratings))}" if item.ratings else ""
    scores = ", ".join(f"{_code(arm)} {decimal(score)}" for arm, score in item.scores.items())
    return [
        f"### {escape_markdown(item.roi_id)}: label {label}{ratings}",
        "",
        f"P(malignant): {scores}",
        "",
        *(f"![{escape_markdown(name)}]({path})" for name, path in pictures.items()),
        "",
    ]


def _code(name: str) -> str:
    return f"`{one_line(name).replace('`', chr(39))}`"
