"""Checklists are complete, honest about what is open, and filled from the run."""

from __future__ import annotations

import string
from dataclasses import replace

import pytest

from benchmark.report.wording.checklists import FILES, OPEN, Item, checklist_tables, read_checklist
from benchmark.report.wording.facts import described, facts
from benchmark.report.wording.model_cards import model_cards
from benchmark.run.folder import RunFolder

WARNINGS = ["Worse than size: paper_cnn:voxels2d_box"]
N_ITEMS = {"claim_2024.toml": 44, "metrics_2024.toml": 30}


@pytest.mark.parametrize("file", FILES)
def test_all_items_are_there(file: str, reported: RunFolder) -> None:
    checklist = read_checklist(file)
    assert len(checklist.items) == N_ITEMS[file]
    assert "doi 10." in checklist.citation
    known = facts(reported, [])
    for item in checklist.items:
        used = {name for _, name, _, _ in string.Formatter().parse(item.answer) if name}
        assert used <= known.keys(), (file, item.number)


def test_feature_sets_are_described_with_their_modifier() -> None:
    told = described("features", "radiomics@eroded")
    assert told.startswith("107 pyradiomics features")
    assert "@eroded: The ROI with its mask shrunk" in told
    # As runs that are older than the modifiers name it.
    assert described("features", "radiomics_eroded") == "not in this version of the suite."


def test_an_item_without_its_facts_is_open() -> None:
    item = Item(1, "s", "t", "The label: {label}.", "where")
    assert item.fill({"label": ""}) == (OPEN, "Author: where.")
    assert item.fill({"label": "x"}) == ("partly", "The label: x. Author: where.")
    assert Item(1, "s", "t").fill({}) == (OPEN, "")
    assert Item(1, "s", "t", "Known.").fill({}) == ("answered", "Known.")


def test_counts_in_the_title_are_those_of_the_rows(reported: RunFolder) -> None:
    for table in checklist_tables(facts(reported, [])):
        for status in ("answered", "partly", "open"):
            n = sum(row[3] == status for row in table.rows)
            assert n > 0
            assert f"{n} {status}" in table.title
        assert all(row[4] for row in table.rows if row[3] != OPEN)


def test_answers_follow_the_run(reported: RunFolder) -> None:
    def answer(run: RunFolder, number: int) -> tuple[str, str]:
        row = checklist_tables(facts(run, []))[0].rows[number - 1]
        return row[3], row[4]

    assert answer(reported, 20)[1].startswith("Patient: no patient's ROIs")
    patients = reported.rois.assign(patient_id="one")
    assert answer(reported.replaced(rois=patients), 20)[1].startswith("ROI: 160 of 160")
    environment = reported.environment
    dataset = environment["dataset"] | {"patients_known": False}
    unknown = reported.replaced(environment=environment | {"dataset": dataset})
    assert answer(unknown, 20)[1].startswith("ROI: the dataset names no patients")
    assert "training patients only" not in answer(unknown, 20)[1]
    assert "size" in answer(reported, 39)[1]
    assert answer(reported.replaced(strata=reported.strata[:0]), 39)[0] == OPEN
    assert answer(reported, 33)[1].startswith("No: nothing from another source")
    external = [replace(split, scheme="external") for split in reported.splits]
    assert answer(reported.replaced(splits=tuple(external)), 33)[1].startswith("Yes.")
    unrated = reported.rois.assign(malignancy_range=float("nan"))
    assert answer(reported, 18)[0] == "partly"
    assert answer(reported.replaced(rois=unrated), 18)[0] == OPEN


def test_a_card_a_model(reported: RunFolder) -> None:
    cards = model_cards(reported, facts(reported, []), WARNINGS)
    assert len(cards) == 5
    card = dict(cards[2].rows)
    assert cards[2].title == "Model card: logistic:radiomics"
    auc = reported.metrics.query("model == 'logistic' and features == 'radiomics'")
    value = auc[auc.metric == "auc"].value.iloc[0]
    assert f"auc {value:.3f} [" in card["Performance, 95 % intervals"]
    assert dict(cards[3].rows)["Limits"] == f"{WARNINGS[0]}."
    assert "Limits" not in card
    assert "107 pyradiomics features" in card["Input"]
    assert "medical device" in card["Intended use"]
