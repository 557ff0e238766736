"""The gallery's pictures, which workers draw while models are still asked for explanations."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from benchmark.columns import by_arm
from benchmark.plugins import registry
from benchmark.plugins.arms import Arm, arms_in
from benchmark.report.gallery import drawings
from benchmark.report.gallery.explanations import Explanations
from benchmark.report.gallery.picks import Pick
from benchmark.report.tables.table import SYNTHETIC, decimal
from benchmark.run.folder import RunFolder
from benchmark.run.inputs import Material
from benchmark.runtime.progress import Progress
from benchmark.runtime.workers import LocalWorkers

Draw = Callable[[], bytes]
"""Makes a PNG; picklable."""

_NODULE = "nodule"
_SANITY = "heat-map-sanity.png"


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


class Pictures:
    """The pictures of the nodules, which workers draw while further arms are explained."""

    def __init__(
        self, run: RunFolder, material: Material, picks: Sequence[Pick], workers: LocalWorkers
    ) -> None:
        self.run = run
        self.picks = picks
        self.workers = workers
        self.records = {r.roi_id: r for r in material.cohort.records}
        self.first = run.predictions[run.predictions["repeat"] == 0]
        self.scores = {c.roi_id: self._scores_of(c.roi_id) for c in picks}
        self.features = {arm.name: arm.features for arm in arms_in(self.first)}
        self.drawn: list[tuple[list[tuple[str, str]], Iterator[bytes]]] = []
        self._draw(
            {
                (c.roi_id, _NODULE): partial(
                    drawings.nodule,
                    material.dataset.read(self.records[c.roi_id]),
                    synthetic=self._synthetic(c.roi_id),
                )
                for c in picks
            }
        )

    def add_arm(self, arm: Arm, found: Explanations) -> None:
        """Begin to draw what an arm has to say."""
        due: dict[tuple[str, str], Draw] = {}
        for roi_id, scores in self.scores.items():
            if arm.name not in scores:
                continue
            key, synthetic = (arm.name, roi_id), self._synthetic(roi_id)
            title = f"{arm.name}, P(malignant) {decimal(scores[arm.name])}"
            if key in found.heat_maps:
                caption = f"{title}\n{registry.describe('features', self.features[arm.name])}"
                shown = found.heat_maps[key]
                draw = partial(drawings.heat_map, shown, caption, synthetic=synthetic)
                due[roi_id, arm.name] = draw
            elif key in found.bars:
                shown_bars = found.bars[key]
                draw = partial(drawings.bars, shown_bars, title, synthetic=synthetic)
                due[roi_id, arm.name] = draw
        self._draw(due)

    def items(self, progress: Progress) -> list[GalleryItem]:
        """The nodules with all their pictures, in the order of their scores."""
        pictures: dict[tuple[str, str], bytes] = {}
        n = sum(len(keys) for keys, _ in self.drawn)
        for keys, drawn in self.drawn:
            for key, picture in zip(keys, drawn, strict=True):
                pictures[key] = picture
                progress.update("Drawing", len(pictures), n)
        return [self._item(chosen, pictures) for chosen in self.picks]

    def _item(self, chosen: Pick, pictures: Mapping[tuple[str, str], bytes]) -> GalleryItem:
        roi_id, scores = chosen.roi_id, self.scores[chosen.roi_id]
        return GalleryItem(
            roi_id=roi_id,
            patient_id=chosen.patient_id,
            kind=chosen.kind,
            label=chosen.label,
            ratings=self.records[roi_id].malignancy_ratings,
            scores=scores,
            pictures={
                name: pictures[roi_id, name]
                for name in (_NODULE, *scores)
                if (roi_id, name) in pictures
            },
            notes=(SYNTHETIC,) if self._synthetic(roi_id) else (),
        )

    def _draw(self, due: Mapping[tuple[str, str], Draw]) -> None:
        if due:
            self.drawn.append((list(due), self.workers.map(_call, due.values(), batch=4)))

    def _scores_of(self, roi_id: str) -> dict[str, float]:
        rows = self.first[self.first.roi_id == roi_id].to_dict("records")
        return {str(row["arm"]): float(row["y_prob"]) for row in rows}

    def _synthetic(self, roi_id: str) -> bool:
        return self.records[roi_id].intensities == "synthetic" or self.run.synthetic


def _call(draw: Draw) -> bytes:
    return draw()


def figures(run: RunFolder, found: Explanations, workers: LocalWorkers) -> Iterator[GalleryFigure]:
    """Figures about many nodules, which workers begin to draw."""
    about: list[tuple[str, str]] = []
    due: list[Draw] = []
    for arm, rows in by_arm(found.summary).items():
        first = rows.iloc[0]
        about.append((f"{slug(f'shap-{arm}')}.png", f"Mean |SHAP value|, {arm}"))
        due.append(
            partial(
                drawings.summary,
                rows.feature.tolist(),
                rows.mean_abs_shap.tolist(),
                f"{arm}, over {first.n_rois} tested nodules",
                str(first.unit),
                synthetic=run.synthetic,
            )
        )
    if found.sanity:
        about.append((_SANITY, "Heat maps beside those of shuffled weights"))
        due.append(partial(drawings.sanity, found.sanity, synthetic=run.synthetic))
    drawn = workers.map(_call, due)
    return (GalleryFigure(*each, picture) for each, picture in zip(about, drawn, strict=True))


def figure_names(arms: Iterable[str]) -> set[str]:
    """Files of the figures in which one of the arms is named."""
    named = {f"{slug(f'shap-{arm}')}.png" for arm in arms}
    return named | {_SANITY} if named else named


def slug(text: Any) -> str:
    return re.sub(r"[^a-z0-9]+", "-", str(text).lower()).strip("-")
