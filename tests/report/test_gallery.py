"""The gallery: which nodules, of which model, from which dataset, and what the files say."""

from __future__ import annotations

import csv
import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import matplotlib.image as plt
import numpy as np
import pandas as pd
import pytest

from benchmark.columns import PREDICTION_TABLE
from benchmark.plugins.arms import Arm
from benchmark.report.gallery import drawings, picks
from benchmark.report.gallery.build import CLAIMS
from benchmark.report.gallery.explanations import HARDLY_CHANGED, Bars, HeatMap, Sanity
from benchmark.roi import Roi, RoiRecord
from benchmark.run import folder, stored_models
from features import diameter
from tests.helpers.command_line import invoke
from tests.helpers.volumes import WriteManifest, ball, write_volume

ARMS = 'arms=["prior", "size_only", "soft_ridge:diameter", "soft_ridge:diameter+diameter2d"]'
PNG = b"\x89PNG\r\n\x1a\n"


def predictions(scores: dict[str, tuple[int, float, float]]) -> pd.DataFrame:
    """Two models' scores of nodules, ``a`` in fold 0 and so on, and a constant third one."""
    rows = []
    for number, (roi_id, (label, first, second)) in enumerate(scores.items()):
        for model, score in (("one", first), ("two", second), ("prior", 0.9)):
            rows.append(
                {
                    "roi_id": roi_id, "patient_id": f"p{roi_id}", "model": model, "features": "f",
                    "repeat": 0, "fold": number % 2, "y_true": label, "y_prob": score,
                }
            )  # fmt: skip
    return PREDICTION_TABLE.completed(pd.DataFrame(rows))


SCORES = {
    "a": (1, 0.9, 0.8),  # .85, right
    "b": (1, 0.95, 0.95),  # .95, right
    "c": (0, 0.85, 0.95),  # .90, wrong
    "d": (0, 0.1, 0.2),  # .15, right
    "e": (1, 0.1, 0.12),  # .11, wrong
    "f": (1, 0.4, 0.5),  # .45, borderline
    "g": (0, 0.6, 0.5),  # .55, borderline
    "h": (0, 0.5, 0.52),  # .51, borderline, less decided
    "i": (1, 0.75, 0.74),  # neither
    "j": (1, 0.95, 0.95),  # as b
}


def test_picks_by_hand() -> None:
    chosen = picks.pick(predictions(SCORES), per_kind=2)
    assert [(p.roi_id, p.kind, p.label) for p in chosen] == [
        ("b", "confident right", 1), ("j", "confident right", 1), ("d", "confident right", 0),
        ("e", "confident wrong", 1), ("c", "confident wrong", 0),
        ("f", "borderline", 1), ("h", "borderline", 0), ("g", "borderline", 0),
    ]  # fmt: skip
    assert chosen[0].mean == pytest.approx(0.95)  # the constant model's .9 does not count
    assert chosen[0].patient_id == "pb"


def test_picks_ignore_order_other_repeats_and_nodules_that_a_model_missed() -> None:
    table = predictions(SCORES)
    expected = picks.pick(table)
    again = table.assign(repeat=1, y_prob=1 - table.y_prob)
    shuffled = pd.concat([again, table]).sample(frac=1, random_state=0)
    assert picks.pick(shuffled) == expected
    missed = table[(table.roi_id != "e") | (table.model != "two")]
    assert "e" not in {p.roi_id for p in picks.pick(missed)}
    assert "e" in {p.roi_id for p in expected}


def a_roi() -> Roi:
    mask = ball((5, 12, 12), 2.5)
    image = np.where(mask, 30, -800).astype(np.float32)
    return Roi(RoiRecord("r", "p", label=1), image, mask, (2.0, 0.7, 0.7))


HEAT = np.random.default_rng(0).random((6, 8, 8))
DRAWN: dict[str, Callable[[bool], bytes]] = {
    "nodule": lambda s: drawings.nodule(a_roi(), synthetic=s),
    "plane": lambda s: drawings.heat_map(
        HeatMap(HEAT[0][..., None].astype(np.float32), HEAT[1]), "t", synthetic=s
    ),
    "volume": lambda s: drawings.heat_map(
        HeatMap(HEAT[..., None].astype(np.float32), HEAT), "t", synthetic=s
    ),
    "blank": lambda s: drawings.heat_map(
        HeatMap(HEAT[0][..., None].astype(np.float32), 0 * HEAT[0]), "t", synthetic=s
    ),
    "bars": lambda s: drawings.bars(
        Bars(tuple("abcdefghijklm"), HEAT.ravel()[:13], 0.1, 0.7, "unit"), "t", synthetic=s
    ),
    "summary": lambda s: drawings.summary(["a", "b"], [2.0, 1.0], "t", "unit", synthetic=s),
    "sanity": lambda s: drawings.sanity(
        [Sanity(Arm("m", "f"), np.array([0.1, 0.3])), Sanity(Arm("n", "f"), np.empty(0))],
        synthetic=s,
    ),
}


@pytest.mark.parametrize("name", DRAWN)
def test_every_picture_says_where_intensities_are_synthetic(name: str) -> None:
    acquired, synthetic = DRAWN[name](False), DRAWN[name](True)
    assert acquired.startswith(PNG)
    assert acquired != synthetic
    assert DRAWN[name](False) == acquired  # the same picture is the same bytes


@pytest.mark.parametrize(
    "name", ["heat map", "bars", "bars of long names", "bars of a wide title", "summary"]
)
def test_no_text_is_cut_off(name: str) -> None:
    """Long names of arms and of feature sets; a volume's title says which slice, too."""
    title = (
        "shortcut3d with twice the epochs:voxels3d_mask, P(malignant) 0.123\n" + 12 * "of words "
    )
    volume = np.random.default_rng(0).random((32, 32, 32))
    columns = ("wavelet-LLH_gldm_LargeDependenceHighGrayLevelEmphasis",)
    picture = {
        "heat map": lambda: drawings.heat_map(
            HeatMap(volume[..., None].astype(np.float32), volume), title, synthetic=True
        ),
        "bars": lambda: drawings.bars(
            Bars(columns, np.ones(1), 0.0, 1.0, "log-odds of malignancy"), title, synthetic=True
        ),
        "bars of long names": lambda: drawings.bars(
            Bars((*columns, 4 * columns[0]), np.ones(2), 0.0, 1.0, "log-odds of malignancy"),
            title,
            synthetic=True,
        ),
        "bars of a wide title": lambda: drawings.bars(
            Bars(columns, np.ones(1), 0.0, 1.0, "log-odds of malignancy"), 70 * "W", synthetic=True
        ),
        "summary": lambda: drawings.summary(
            columns, [1.0], title, "log-odds of malignancy", synthetic=True
        ),
    }[name]()
    pixels = plt.imread(io.BytesIO(picture))[..., :3]
    for edge in (pixels[:, :2], pixels[:, -2:], pixels[:2], pixels[-2:]):
        assert edge.min() == 1


def test_the_stamp_names_what_it_marks(monkeypatch: pytest.MonkeyPatch) -> None:
    from matplotlib.figure import Figure

    written: list[str] = []
    original = Figure.supxlabel

    def spy(self: Figure, text: str, **settings: object) -> object:
        written.append(text)
        return original(self, text, **settings)

    monkeypatch.setattr(Figure, "supxlabel", spy)
    for draw in DRAWN.values():
        draw(True)
    assert len(written) == len(DRAWN)
    assert all("SYNTHETIC INTENSITIES" in text for text in written)


def test_maps_that_hardly_change_are_warned_of() -> None:
    arm = Arm("cnn", "voxels")
    assert "heat maps hardly change" in Sanity(arm, np.array([HARDLY_CHANGED, 0.9])).warning
    assert not Sanity(arm, np.array([HARDLY_CHANGED, 0.2])).warning
    assert not Sanity(arm, np.empty(0)).warning


def test_a_run_is_explained_without_retraining(
    write_manifest: WriteManifest,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out = tmp_path / "run"
    root = write_manifest(40, labels=False)
    status = invoke(
        "run", "--dataset", root, "--out", out, "--jobs", "1",
        "--models", "prior,size_only,paper_cnn",
        "--set", "bootstrap.samples=200", "--set", "models.paper_cnn.epochs=1",
    )  # fmt: skip
    assert status == 0
    names = {path.name for path in (out / stored_models.FOLDER).glob("*.joblib")}
    assert names == {
        "prior-diameter-fold0.joblib",
        "size_only-diameter-fold0.joblib",
        "paper_cnn-voxels2d_box-fold0.joblib",
    }
    monkeypatch.setattr(picks, "CONFIDENT", 0.1)  # one epoch makes no confident network
    monkeypatch.setattr("models._keras.KerasClassifier.fit", None)
    monkeypatch.setattr("models._tabular.TunedClassifier.fit", None)
    extract = diameter.extract
    monkeypatch.setattr(diameter, "extract", None)  # columns are read from the folder
    capsys.readouterr()
    assert invoke("report", out, "--format", "md", "--jobs", "1") == 0
    assert "is not explained" not in capsys.readouterr().err

    run = folder.read_run(out)
    tree = json.loads((out / "gallery.json").read_text())
    assert tree["items"]
    tested = set(run.splits[0].test)
    for item in tree["items"]:
        assert item["roi_id"] in tested
        assert set(item["scores"]) == {
            "prior:diameter", "size_only:diameter", "paper_cnn:voxels2d_box",
        }  # fmt: skip
        assert item["ratings"] in ([4, 5, 4], [1, 2, 2])
        assert set(item["pictures"]) == {"nodule", "size_only:diameter", "paper_cnn:voxels2d_box"}
        for path in item["pictures"].values():
            assert (out / path).read_bytes().startswith(PNG)
            assert item["roi_id"] not in Path(path).name.split("-")
    written = {path.name for path in (out / "figures" / "gallery").iterdir()}
    assert written == {Path(p).name for i in tree["items"] for p in i["pictures"].values()}
    assert set(tree["heat_map_sanity"]) == {"paper_cnn:voxels2d_box"}
    for figure in tree["figures"]:
        assert (out / figure).is_file()
    assert tree["figures"] == ["figures/shap-size-only-diameter.png", "figures/heat-map-sanity.png"]

    page = (out / "gallery.md").read_text()
    assert all(claim in page for claim in CLAIMS)
    assert "SYNTHETIC" not in page
    for item in tree["items"]:
        assert f"### {item['roi_id']}:" in page
    table = pd.read_csv(out / "explanations.csv")
    assert list(table.feature) == ["equivalent_diameter_mm", "volume_mm3"] or list(
        table.feature
    ) == ["volume_mm3", "equivalent_diameter_mm"]
    assert set(table.n_rois) == {len(tested)}  # all of fewer than the sample
    assert set(table.intensities) == {"acquired"}

    # Older runs kept no features: these are extracted again, to the same values.
    monkeypatch.setattr(diameter, "extract", extract)
    shutil.rmtree(out / "features")
    assert invoke("report", out, "--format", "md", "--jobs", "1") == 0
    pd.testing.assert_frame_equal(pd.read_csv(out / "explanations.csv"), table, check_exact=True)

    # One model is a stranger's: none is opened, not even those that are explained before it.
    (out / "models" / "paper_cnn-voxels2d_box-fold0.joblib").write_bytes(b"a stranger's")
    assert invoke("report", out, "--format", "md", "--jobs", "1") == 0
    assert "no explanations: paper_cnn-voxels2d_box-fold0" in capsys.readouterr().err
    assert pd.read_csv(out / "explanations.csv").empty


SIZE = ["--models", "size_only", "--jobs", "1", "--set", "bootstrap.samples=200"]


def test_another_dataset_is_refused_and_the_tables_stand(
    write_manifest: WriteManifest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    root = write_manifest(24)
    assert invoke("run", "--dataset", root, "--out", out, *SIZE) == 0
    write_volume(root / "images/r3.nii.gz", np.full((7, 16, 16), -500, np.int16))
    capsys.readouterr()
    assert invoke("report", out, "--format", "md", "--jobs", "1") == 0
    captured = capsys.readouterr()
    assert str(out / "report.md") in captured.out.split()
    assert "no gallery: dataset" in captured.err
    assert "is not what the run was made on: its fingerprint is" in captured.err
    root.rename(tmp_path / "elsewhere")
    assert invoke("report", out, "--format", "md", "--jobs", "1") == 0
    assert "no such file or folder" in capsys.readouterr().err
    assert not (out / "gallery.md").exists()


def test_an_anonymised_copy_beside_the_dataset_has_no_gallery(
    write_manifest: WriteManifest, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    out, root = tmp_path / "run", write_manifest(24)
    assert invoke("run", "--dataset", root, "--out", out, *SIZE) == 0
    assert invoke("report", out, "--format", "md", "--no-gallery", "--anonymise") == 0
    monkeypatch.chdir(root.parent)  # where the dataset's name would be its address, were it kept
    capsys.readouterr()
    assert invoke("report", out / "anonymised", "--format", "md", "--jobs", "1") == 0
    assert "no gallery: dataset 'the dataset': no such file or folder" in capsys.readouterr().err


def test_runs_without_models_still_show_nodules(
    write_manifest: WriteManifest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    root = write_manifest(24)
    with (root / "manifest.csv").open() as handle:
        rows = [row | {"intensities": "synthetic"} for row in csv.DictReader(handle)]
    with (root / "manifest.csv").open("w", newline="") as handle:
        writer = csv.DictWriter(handle, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    assert invoke("run", "--dataset", root, "--out", out, *SIZE, "--set", "keep_models=false") == 0
    assert not (out / stored_models.FOLDER).exists()
    assert invoke("report", out, "--format", "md", "--jobs", "1") == 0
    assert "the run kept no models (keep_models)" in capsys.readouterr().err
    tree = json.loads((out / "gallery.json").read_text())
    assert [set(item["pictures"]) for item in tree["items"]] == [{"nodule"}] * len(tree["items"])
    assert tree["items"]
    assert (
        (out / "gallery.md")
        .read_text()
        .startswith("# Gallery: rois [SYNTHETIC INTENSITIES]\n\n**SYNTHETIC INTENSITIES")
    )
    assert set(pd.read_csv(out / "explanations.csv").columns) >= {"mean_abs_shap", "intensities"}


def test_models_that_cannot_be_explained_are_named(
    write_manifest: WriteManifest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    status = invoke(
        "run", "--dataset", write_manifest(24, labels=False), "--out", out, "--jobs", "1",
        "--set", "bootstrap.samples=200", "--set", "models.soft_ridge.inner_folds=2",
        "--set", ARMS,
    )  # fmt: skip
    assert status == 0
    capsys.readouterr()
    assert invoke("report", out, "--format", "md", "--jobs", "1") == 0
    assert (
        "neither heat maps nor SHAP values of models such as soft_ridge:diameter, "
        "soft_ridge:diameter+diameter2d\n"
    ) in capsys.readouterr().err


def test_a_model_that_gives_other_scores_is_not_explained(
    write_manifest: WriteManifest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    assert invoke("run", "--dataset", write_manifest(24), "--out", out, *SIZE) == 0
    stored = pd.read_parquet(out / "predictions.parquet")
    stored["y_prob"] = stored.y_prob.clip(0.01, 0.99) * 0.99
    stored.to_parquet(out / "predictions.parquet")
    capsys.readouterr()
    assert invoke("report", out, "--format", "md", "--jobs", "1") == 0
    assert "size_only:diameter is not explained: ValueError: the stored" in capsys.readouterr().err
    (out / "models" / "size_only-diameter-fold0.joblib").write_bytes(b"no pickle")
    stale = out / "figures" / "gallery" / "99-of-an-earlier-report.png"
    stale.write_bytes(PNG)
    assert invoke("report", out, "--format", "md", "--jobs", "1") == 0
    assert "fold0.joblib is not signed by you" in capsys.readouterr().err
    assert invoke("report", out, "--format", "md", "--jobs", "1", "--trust") == 0
    assert "fold0.joblib cannot be read" in capsys.readouterr().err
    assert not stale.exists()
