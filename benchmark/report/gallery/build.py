"""A gallery of nodules with what the models said and why: pictures, ``gallery.md`` and JSON.

The dataset is read again and must be the one that the run was made on.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from benchmark.columns import EXPLANATION_TABLE, by_arm
from benchmark.config import load_config
from benchmark.plugins import registry
from benchmark.plugins.arms import arms_in
from benchmark.report.gallery import drawings
from benchmark.report.gallery.explanations import SAMPLE, Explanations, explain
from benchmark.report.gallery.picks import KINDS, RULE, Pick, pick
from benchmark.report.tables.table import SYNTHETIC, decimal, escape_markdown, marked
from benchmark.run.folder import RunFolder
from benchmark.run.inputs import Material, prepare, refuse_remote
from benchmark.runtime.failures import one_line
from benchmark.runtime.folders import folder_inside, remove, write_bytes, write_text
from benchmark.runtime.progress import Progress
from benchmark.runtime.workers import LocalWorkers

Draw = Callable[[], bytes]
"""Makes a PNG; picklable."""

FOLDER = "figures/gallery"
FIGURES = "figures"
_SANITY = "heat-map-sanity.png"
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
class GalleryItem:
    """A nodule and what the models made of it.

    Attributes
    ----------
    roi_id, patient_id : str
        Not in any picture.
    kind : str
        One of ``picks.KINDS``.
    label : int
        0 benign, 1 malignant.
    ratings : tuple of int
        The readers' malignancy ratings; empty where the dataset carries labels.
    scores : dict of str to float
        P(malignant) of each arm, on unseen data.
    pictures : dict of str to bytes
        PNG by name: ``nodule``, then an arm each.
    notes : tuple of str
    """

    roi_id: str
    patient_id: str
    kind: str
    label: int
    ratings: tuple[int, ...]
    scores: dict[str, float]
    pictures: dict[str, bytes]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class GalleryFigure:
    """A PNG about many nodules: its file's name, what it shows, its content."""

    name: str
    caption: str
    picture: bytes


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


def make_gallery(run: RunFolder, jobs: int, progress: Progress, *, trust: bool) -> Gallery:
    """Choose nodules, read them again, and explain them.

    ``trust`` loads anybody's models, and contacts the dataset wherever it is.

    Raises
    ------
    ValueError
        Where the dataset is gone, or is another than that of the run.
    """
    material = _same_material(run, jobs, progress, trust=trust)
    picks = pick(run.predictions)
    found = explain(run, material, [p.roi_id for p in picks], jobs, progress, trust=trust)
    warnings = [check.warning for check in found.sanity if check.warning]
    return Gallery(
        items=_drawn([_item(run, material, c, found) for c in picks], jobs, progress),
        figures=_figures(run, found),
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


def _item(
    run: RunFolder, material: Material, chosen: Pick, found: Explanations
) -> tuple[GalleryItem, dict[str, Draw]]:
    """A nodule, still without its pictures, and what draws them."""
    record = next(r for r in material.cohort.records if r.roi_id == chosen.roi_id)
    first = run.predictions[run.predictions["repeat"] == 0]
    rows = first[first.roi_id == chosen.roi_id].to_dict("records")
    scores = {str(row["arm"]): float(row["y_prob"]) for row in rows}
    synthetic = record.intensities == "synthetic" or run.synthetic
    pictures: dict[str, Draw] = {
        "nodule": partial(drawings.nodule, material.dataset.read(record), synthetic=synthetic)
    }
    notes = [SYNTHETIC] if synthetic else []
    features_of = {arm.name: arm.features for arm in arms_in(first)}
    for name, score in scores.items():
        key, title = (name, chosen.roi_id), f"{name}, P(malignant) {decimal(score)}"
        if key in found.heat_maps:
            caption = f"{title}\n{registry.describe('features', features_of[name])}"
            shown = found.heat_maps[key]
            pictures[name] = partial(drawings.heat_map, shown, caption, synthetic=synthetic)
        elif key in found.bars:
            pictures[name] = partial(drawings.bars, found.bars[key], title, synthetic=synthetic)
    item = GalleryItem(
        roi_id=chosen.roi_id,
        patient_id=chosen.patient_id,
        kind=chosen.kind,
        label=chosen.label,
        ratings=record.malignancy_ratings,
        scores=scores,
        pictures={},
        notes=tuple(notes),
    )
    return item, pictures


def _drawn(
    items: Sequence[tuple[GalleryItem, dict[str, Draw]]], jobs: int, progress: Progress
) -> list[GalleryItem]:
    """The nodules with their pictures, several drawn at a time."""
    due = [draw for _, pictures in items for draw in pictures.values()]
    drawn = []
    for picture in LocalWorkers(jobs).map(_call, due, batch=4):
        drawn.append(picture)
        progress.update("Drawing", len(drawn), len(due))
    done = iter(drawn)
    return [
        replace(item, pictures={name: next(done) for name in pictures}) for item, pictures in items
    ]


def _call(draw: Draw) -> bytes:
    return draw()


def _figures(run: RunFolder, found: Explanations) -> list[GalleryFigure]:
    figures = []
    for arm, rows in by_arm(found.summary).items():
        first = rows.iloc[0]
        picture = drawings.summary(
            rows.feature.tolist(),
            rows.mean_abs_shap.tolist(),
            f"{arm}, over {first.n_rois} tested nodules",
            str(first.unit),
            synthetic=run.synthetic,
        )
        name, caption = _slug(f"shap-{arm}"), f"Mean |SHAP value|, {arm}"
        figures.append(GalleryFigure(f"{name}.png", caption, picture))
    if found.sanity:
        picture = drawings.sanity(found.sanity, synthetic=run.synthetic)
        caption = "Heat maps beside those of shuffled weights"
        figures.append(GalleryFigure(_SANITY, caption, picture))
    return figures


def _write_pictures(folder: Path, number: int, item: GalleryItem) -> dict[str, str]:
    """Picture -> path from the run folder; file names hold no id."""
    names = {}
    for picture, content in item.pictures.items():
        name = f"{number:02}-{_slug(item.kind)}-{_slug(picture)}.png"
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


def figure_names(arms: Iterable[str]) -> set[str]:
    """Files of the figures in which one of the arms is named."""
    named = {f"{_slug(f'shap-{arm}')}.png" for arm in arms}
    return named | {_SANITY} if named else named


def _slug(text: Any) -> str:
    return re.sub(r"[^a-z0-9]+", "-", str(text).lower()).strip("-")
