"""Blocks of README.md and docs/ work, in order, in a checkout; figures are those of results/."""

from __future__ import annotations

import ast
import configparser
import re
import shlex
import shutil
from itertools import pairwise
from pathlib import Path

import pytest

from benchmark.cli.main import cli
from benchmark.cli.main import run as run_command
from benchmark.config import load_config, select_arms
from benchmark.datasets import manifest
from benchmark.runtime.paths import ROOT
from tests.helpers.made_run import make_run
from tests.helpers.pages import NOT_RUN, PAGES, blocks, copy_checkout, execute
from tests.helpers.volumes import WriteManifest

BLOCKS = [(page, block) for page in PAGES for block in blocks(page)]
EXECUTED = [
    page
    for page in PAGES
    if any(block.language in ("sh", "python") and not block.reason for block in blocks(page))
]
RESULTS = "\n".join(
    path.read_text(encoding="utf-8") for path in (ROOT / "results").rglob("*.md")
) + (ROOT / "results" / "baseline" / "metrics.csv").read_text(encoding="utf-8")


@pytest.mark.timeout(1800)  # README and tutorial start ten processes, one after the other
@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, id=page.stem, marks=() if page.stem == "README" else pytest.mark.pages)
        for page in EXECUTED
    ],
)
def test_blocks_of_a_page_run_in_order(
    page: Path, write_manifest: WriteManifest, tmp_path: Path
) -> None:
    checkout = copy_checkout(tmp_path / "checkout")
    write_manifest(40, folder="checkout/my_nodules")
    others = shutil.copytree(checkout / "my_nodules", checkout / "other_nodules") / "manifest.csv"
    others.write_text(re.sub(r"\b([rp]\d+),", r"other-\1,", others.read_text()))
    for name in ("RUN_DIR", "OLD_RUN"):
        make_run(checkout / name, n=80)
    for block in blocks(page):
        if block.reason or block.language not in ("sh", "python"):
            continue
        command = block.text
        if block.language == "python":
            (checkout / (block.file or "script.py")).write_text(block.text)
            command = "" if block.file else "python script.py"
        done = execute(command, checkout)
        assert done.returncode == 0, f"{block.text}\n{done.stdout}\n{done.stderr}"


@pytest.mark.parametrize(("page", "block"), BLOCKS, ids=lambda each: getattr(each, "stem", None))
def test_a_block_says_what_it_is(page: Path, block) -> None:
    if block.reason:
        assert block.reason in NOT_RUN, (page.name, block.reason)
    else:
        assert block.language in ("sh", "python", "csv"), block


def test_manifests_shown_are_manifests(tmp_path: Path) -> None:
    shown = [block.text for _, block in BLOCKS if block.language == "csv"]
    assert shown
    for text in shown:
        (tmp_path / "manifest.csv").write_text(text)
        assert [record.label for record in manifest.open_dataset(tmp_path).records] == [1, 0]


def test_commands_and_options_that_are_not_run_exist() -> None:
    """Also those in running text: what follows ``python -m benchmark`` is a command of ours."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for line in re.findall(r"python -m benchmark ([a-z][^`\n]*)", text):
            words = shlex.split(line, comments=True)
            command = cli.commands.get(words[0])
            assert command, f"{page.name}: {line}"
            below = getattr(command, "commands", {})
            command = below.get(words[1], command) if len(words) > 1 else command
            known = {option for each in command.params for option in each.opts}
            assert {word for word in words if word.startswith("--")} <= known, (page.name, line)


def test_every_tox_environment_exists() -> None:
    tox = configparser.ConfigParser()
    tox.read(ROOT / "tox.ini")
    known = {name.removeprefix("testenv:") for name in tox.sections()}
    for page in PAGES:
        for names in re.findall(r"tox -e ([a-z,-]+)", page.read_text(encoding="utf-8")):
            assert set(names.rstrip("-,").split(",")) <= known, (page.name, names)


def test_options_to_choose_from_are_options() -> None:
    """The table of what to add: options exist, profiles load, settings are known."""
    page = (ROOT / "docs" / "how-to" / "choose.md").read_text(encoding="utf-8")
    cells = re.findall(r"^\| [^|]+ \| (`--.*`).* \|$", page, re.MULTILINE)
    shown = [shlex.split(text) for cell in cells for text in re.findall(r"`([^`]+)`", cell)]
    assert len(shown) >= 15
    known = {option for parameter in run_command.params for option in parameter.opts}
    for words in shown:
        assert {word for word in words if word.startswith("--")} <= known, words
        settings = [b for a, b in pairwise(words) if a == "--set" and "MODEL:" not in b]
        profiles = [b for a, b in pairwise(words) if a == "--profile" and ".toml" not in b]
        assert select_arms(load_config(profiles[0] if profiles else "quick", settings))


def test_figures_in_tables_are_those_of_committed_results() -> None:
    """Every value with its interval stands in results/."""
    metrics = re.findall(r"(?:^|,)auc,(0\.\d+),(0\.\d+),(0\.\d+)", RESULTS, re.MULTILINE)
    stored = {"{:.3f} [{:.3f}, {:.3f}]".format(*map(float, each)) for each in metrics}
    known = stored | set(re.findall(r"[-+]?\d\.\d{3} \[[^\]]+\]", RESULTS))
    n = 0
    for page in PAGES:
        for shown in re.findall(r"[-+]?\d\.\d{3} \[[^\]]+\]", page.read_text(encoding="utf-8")):
            assert shown in known, (page.name, shown)
            n += 1
    assert n > 25


@pytest.mark.parametrize("module", ["method_warnings", "image_warnings"])
def test_every_warning_is_explained(module: str) -> None:
    """By the first three words of each sentence that the report may say."""
    page = (ROOT / "docs" / "explanation" / "warnings.md").read_text(encoding="utf-8")
    source = (ROOT / "benchmark" / "report" / "wording" / f"{module}.py").read_text("utf-8")
    said = [
        node.value
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Yield) and isinstance(node.value, ast.Constant | ast.JoinedStr)
    ]
    assert len(said) >= 3
    for sentence in said:
        texts = [
            each.value.strip(": ")
            for each in ast.walk(sentence)
            if isinstance(each, ast.Constant) and isinstance(each.value, str)
        ]
        words = " ".join(next(text for text in texts if len(text) > 6).split()[:3])
        assert re.split("[,:(]", words)[0] in page, words
