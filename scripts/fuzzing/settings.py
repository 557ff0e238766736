"""Damaged settings: a profile in which one to three keys are odd, given to a command."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np

from benchmark.runtime.paths import PROFILES

_VALUES = (
    "0", "-1", "1", "2", "0.0", "0.5", "1.0", "-0.5", "nan", "inf", "-inf", "1e308", "1e-308",
    "9" * 40,
    '""', '"x"', '"train"', '"median"', '"\\u0000"', '"' + "a" * 5000 + '"', "true", "[]", "[0]",
    "[[]]", "{}", "{a = 1}", "1979-05-27", "[" * 500 + "]" * 500, "'''\n'''", "0x10", '["a", 1]',
    '["svm"]', '["svm:ratings+radiomics"]', '[{name = "a", model = "xgb"}]', '[{model = 1}]',
)  # fmt: skip
_MODELS = ("paper_cnn", "xgb", "svm", "random_forest", "logistic", "soft_svr", "size_only")
_NAMES = (
    "epochs", "batch_size", "learning_rate", "validation_fraction", "C", "n_estimators",
    "max_depth", "max_features", "gamma", "epsilon", "dropout", "seed", "jobs", "inner_folds",
    "__init__",
)  # fmt: skip


def make_source(folder: Path) -> None:
    """The suite's profiles."""
    shutil.copytree(PROFILES, folder)


def mutate(source: Path, target: Path, rng: np.random.Generator) -> str:
    """Write a profile into ``target`` with odd values, doubled keys, or bytes that are no text."""
    target.mkdir()
    profiles = sorted(source.glob("*.toml"))
    lines = profiles[rng.integers(len(profiles))].read_text("utf-8").splitlines()
    kinds = []
    for _ in range(rng.integers(1, 4)):
        value = _VALUES[rng.integers(len(_VALUES))]
        kind = ("value", "line", "model", "bytes")[rng.choice(4, p=[0.5, 0.15, 0.3, 0.05])]
        places = [n for n, line in enumerate(lines) if re.match(r"\w+ = ", line)]
        at = places[rng.integers(len(places))] if places else 0
        if kind == "value" and places:
            lines[at] = f"{lines[at].partition('=')[0]}= {value}"
        elif kind == "line":
            lines.insert(at, lines[rng.integers(len(lines))])
        elif kind == "model":
            model, name = (names[rng.integers(len(names))] for names in (_MODELS, _NAMES))
            lines += [f"[models.{model}]", f"{name} = {value}"]
        else:
            lines[at] += "\udcff"
        kinds.append(kind)
    content = "\n".join(lines).encode("utf-8", "surrogateescape")
    (target / "profile.toml").write_bytes(content)
    return "+".join(kinds)


def commands(target: Path) -> list[list[str]]:
    """A run that is refused for its dataset at the latest."""
    return [["run", "--profile", str(target / "profile.toml"), "--dataset", str(target / "none")]]


def wrong(source: Path, target: Path, kind: str, arguments: list[str], status: int) -> str:
    """Any end but a refusal."""
    return f"status {status}"
