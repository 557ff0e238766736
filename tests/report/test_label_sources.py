"""What labels rest on is said wherever a report speaks of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmark.config import Bootstrap
from benchmark.report.tables.labels import label_note, label_sources
from benchmark.report.tables.main import main_table
from benchmark.report.wording.checklists import OPEN, checklist_tables
from benchmark.report.wording.facts import facts
from benchmark.report.wording.method_warnings import cautions
from benchmark.report.wording.model_cards import model_cards
from benchmark.report.wording.summary import summary
from benchmark.run.folder import RunFolder, read_run
from benchmark.statistics.strata import SOURCE, stratify
from tests.helpers.made_run import make_run

GIVEN = "label: as given by the dataset (the label rule is ignored)"
MEANT = {
    "": "what they stand for is for its authors to say",
    "reader": "readers' judgement of the images",
    "pathology": "selected for biopsy or surgery",
    "follow-up": "how long nodules were watched",
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return make_run(tmp_path_factory.mktemp("sources") / "run")


def labelled(run: RunFolder, *sources: str, protocol: str = GIVEN) -> RunFolder:
    """The run with labels that rest on these, in turns."""
    n = len(run.rois)
    column = [sources[i // 2 % len(sources)] for i in range(n)]  # patients have two ROIs
    environment = {
        **run.environment, "protocol": {**run.environment["protocol"], "label": protocol},
    }  # fmt: skip
    return run.replaced(rois=run.rois.assign(label_source=column), environment=environment)


@pytest.mark.parametrize("source", MEANT)
def test_every_place_speaks_of_the_source(made: RunFolder, source: str) -> None:
    run = labelled(made, source)
    assert MEANT[source] in label_note(run)
    known = facts(run, [])
    claim = checklist_tables(known)[0].rows
    places = [
        " ".join(main_table(run).notes),
        " ".join(summary(run)),
        dict(model_cards(run, known, [])[0].rows)["Labels"],
        claim[13][4],
    ]
    for said in places:
        assert MEANT[source] in said
        assert "suspicion" not in said
    assert (claim[15][3] == OPEN) is (source != "reader")  # who made the annotations
    assert not [said for said in cautions(run) if said.startswith("Labels of several")]


def test_labels_from_ratings_are_suspicion_with_the_column_and_without(made: RunFolder) -> None:
    by_rule = "label: mean of the readers' malignancy ratings > 3"
    for source in ("reader", ""):  # older runs have no such column
        run = labelled(made, source, protocol=by_rule)
        assert label_sources(run) == {"reader": len(made.rois)}
        assert "radiologists' suspicion, not pathology" in label_note(run)


@pytest.mark.parametrize(("source", "why"), [("reader", "made the labels"), ("pathology", "image")])
def test_the_ratings_made_the_labels_only_of_readers(
    made: RunFolder, source: str, why: str
) -> None:
    (line,) = (said for said in summary(labelled(made, source)) if "no competitor" in said)
    assert line.endswith(f"{why}.")


def test_a_mixture_is_a_warning_and_a_stratum(made: RunFolder) -> None:
    run = labelled(made, "pathology", "reader")
    (said,) = (c for c in cautions(run) if c.startswith("Labels of several sources"))
    assert "pathology 80 ROIs, 0 % malignant" in said
    assert "reader 80 ROIs, 100 % malignant" in said
    assert "several sources" in label_note(run)
    mixed = labelled(made, *["pathology"] * 4, "reader", "reader")
    found = stratify(mixed.predictions, mixed.rois, Bootstrap(100), 0)
    own = found[found.stratum == SOURCE]
    expected = mixed.rois["label_source"].value_counts().to_dict()
    assert expected["pathology"] > expected["reader"] > 0
    assert own.groupby("level").n_rois.max().to_dict() == expected
    assert SOURCE not in set(stratify(made.predictions, made.rois, Bootstrap(100), 0).stratum)


def test_labels_of_the_training_side_alone_are_told_apart(made: RunFolder) -> None:
    """As in external validation: readers' labels to learn from, pathology to be tested by."""
    both = labelled(made, "pathology", "pathology", "reader", "reader")
    tested = set(both.rois["roi_id"][both.rois["label_source"] == "pathology"])
    predictions = both.predictions[both.predictions["roi_id"].isin(tested)]
    run = both.replaced(predictions=predictions)
    assert label_sources(run) == {"pathology": 80}
    assert MEANT["pathology"] in label_note(run)
    assert label_note(run).endswith("Models learnt from labels of another source (reader).")
    assert not [said for said in cautions(run) if said.startswith("Labels of several")]
    assert SOURCE not in set(stratify(predictions, run.rois, Bootstrap(100), 0).stratum)


def test_a_source_that_is_none_is_refused_in_a_run_folder(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    path = run.path / "rois.csv"
    path.write_text(path.read_text().replace(",reader,", ",biopsy,", 1))
    with pytest.raises(ValueError, match=r"rois.csv row 1, column 'label_source': 'biopsy' is"):
        read_run(run.path)
