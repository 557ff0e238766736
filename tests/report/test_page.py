"""The page in a real browser: it opens, sorts, filters, fits a phone, and loads nothing."""

from __future__ import annotations

import base64
import csv
import hashlib
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmark.report.page.html import Section, render
from benchmark.report.tables.main import main_table
from benchmark.report.tables.table import Table
from benchmark.run.folder import RunFolder
from tests.helpers.made_run import gallery

ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync",
    "--no-first-run", "--disable-dev-shm-usage",
]  # fmt: skip
NAMES = ("chromium", "chromium-browser", "google-chrome")
SERIOUS = ("serious", "critical")


@pytest.fixture(scope="session")
def html(reported: RunFolder) -> str:
    return (reported.path / "report.html").read_text("utf-8")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    path = next(
        filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), ""
    )
    if not path:
        pytest.skip("no Chromium on this machine (Debian: chromium)")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield launched
        launched.close()


class Opened:
    """A page with what it said on the console and what it asked for."""

    def __init__(self, browser: Any, path: Path, width: int, scheme: str) -> None:
        context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme, offline=True
        )
        self.said: list[str] = []
        self.asked: list[str] = []
        self.page = context.new_page()
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(path.as_uri())


@pytest.fixture(params=[(1280, "light"), (390, "dark")], ids=["desktop", "phone"])
def opened(browser: Any, reported: RunFolder, request: pytest.FixtureRequest) -> Iterator[Opened]:
    width, scheme = request.param
    opened = Opened(browser, reported.path / "report.html", width, scheme)
    yield opened
    opened.page.context.close()


def test_it_carries_everything_and_allows_nothing_else(html: str) -> None:
    sources = re.findall(r'(?:src|href)="([^"]{1,30})', html)
    assert all(
        source.startswith(("data:image/", "data:application/pdf;", "#")) for source in sources
    )
    assert len([source for source in sources if source.startswith("data:image/")]) == 12
    assert len([source for source in sources if source.startswith("data:application/")]) == 9
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', html)
    assert policy is not None
    assert "default-src 'none'" in policy[1].replace("&#39;", "'")
    for element in ("style", "script"):
        text = re.search(rf"<{element}>(.*?)</{element}>", html, re.DOTALL)
        assert text is not None
        digest = base64.b64encode(hashlib.sha256(text[1].encode()).digest()).decode()
        assert f"sha256-{digest}" in policy[1]
    assert len(html) < 15_000_000


def test_every_figure_of_the_gallery_stands_once(html: str) -> None:
    captions = re.findall(r"<figcaption>Mean \|SHAP value\|, (\w)</figcaption>", html)
    assert captions == ["a", "b"]


def test_figures_and_notes_stand_where_no_nodule_is_picked(reported: RunFolder) -> None:
    shown = replace(gallery(reported), items=[])
    page = render(reported, [Section("Results", [main_table(reported)])], [], shown)
    assert page.count("<figcaption>Mean |SHAP value|") == 2
    assert "ValueError: empty" in page


def test_text_is_escaped(html: str) -> None:
    assert len(re.findall(r"<script", html)) == 1
    assert "&lt;script&gt;document.title=" in html
    assert "&amp;amp;" in html  # an ampersand in the data stays one


def test_the_forest_comes_first_then_summary_warnings_and_tables(html: str) -> None:
    order = ("figure-forest", "in-plain-words", "method-warnings", "results-section", "figure-roc")
    places = [html.index(f'id="{i}"') for i in order]
    assert places == sorted(places)
    assert html.index("SYNTHETIC INTENSITIES: ") < html.index('class="conclusion"') < places[0]
    named = re.search(r'<a href="#method-warnings">Method warnings</a>: (.*)\.</p>', html)
    assert named is not None
    assert "Few cases; " in named[1]
    assert "patients with malignant" not in named[1]


def test_it_opens_quietly_and_loads_nothing(opened: Opened, reported: RunFolder) -> None:
    opened.page.wait_for_load_state("networkidle")
    assert opened.said == []
    assert opened.page.title() == (
        f"Lung nodule benchmark: {reported.environment['dataset']['name']} [SYNTHETIC INTENSITIES]"
    )
    loaded = [url for url in opened.asked if not url.startswith("data:")]
    assert loaded == [(reported.path / "report.html").as_uri()]
    assert opened.page.evaluate("[...document.images].every((image) => image.naturalWidth > 0)")
    # The policy, not only the lack of a network, refuses what the page does not carry.
    refused = "fetch('https://example.org/').then(() => 'loaded', () => 'refused')"
    assert opened.page.evaluate(refused) == "refused"
    assert any("Content Security Policy" in text for text in opened.said)


def test_the_page_does_not_scroll_sideways(opened: Opened) -> None:
    assert opened.page.evaluate(
        "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
    )


def test_no_column_is_cut_on_a_desktop(browser: Any, reported: RunFolder) -> None:
    page = Opened(browser, reported.path / "report.html", 1280, "light").page
    page.evaluate("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
    wide = "[...document.querySelectorAll('.scroll')].filter((b) => b.scrollWidth > b.clientWidth)"
    assert page.evaluate(f"{wide}.map((box) => box.getAttribute('aria-label'))") == []
    page.context.close()


def test_figures_are_saved_as_they_were_drawn(opened: Opened, reported: RunFolder) -> None:
    figure = opened.page.locator("#figure-forest")
    for control, kind in (("button", "svg"), ("link", "pdf")):
        with opened.page.expect_download() as waited:
            figure.get_by_role(control, name=re.compile("^Download")).click()
        assert waited.value.suggested_filename == f"forest.{kind}"
        drawn = (reported.path / "figures" / f"forest.{kind}").read_bytes()
        assert waited.value.path().read_bytes() == drawn


def test_tables_are_taken_as_they_are_shown(opened: Opened, reported: RunFolder) -> None:
    tools = opened.page.locator(".tools:has(+ .scroll table)").first
    tools.get_by_role("searchbox").fill("radiomics")
    with opened.page.expect_download() as waited:
        tools.get_by_role("button", name=re.compile("^Download CSV")).click()
    header, row, *said = csv.reader(waited.value.path().read_text("utf-8").splitlines())
    assert (header[:2], row[:2]) == (["model", "features"], ["logistic", "radiomics"])
    auc = main_table(reported).rows[2][header.index("AUC")]
    assert row[header.index("AUC")] == auc
    assert all(line[0].startswith("# ") for line in said)
    assert said[0][0].endswith("[SYNTHETIC INTENSITIES]")
    opened.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    tools.get_by_role("button", name=re.compile("^Copy as TSV")).click()
    opened.page.get_by_text("copied", exact=True).wait_for()
    copied = opened.page.evaluate("navigator.clipboard.readText()").splitlines()
    assert copied[1].split("\t") == row


def test_no_name_becomes_a_formula_when_it_is_taken(browser: Any, reported: RunFolder) -> None:
    table = Table("t", ("name", "gain"), [("=1+1", "+0.1 [-0.1, +0.2]")], [], n_names=1)
    path = reported.path / "formula.html"
    path.write_text(render(reported, [Section("Results", [table])], []), "utf-8")
    opened = Opened(browser, path, 1280, "light")
    with opened.page.expect_download() as waited:
        opened.page.get_by_role("button", name=re.compile("^Download CSV")).click()
    taken = waited.value.path().read_text("utf-8")
    assert taken.splitlines()[1] == '\'=1+1,"+0.1 [-0.1, +0.2]"'
    opened.page.context.close()


def test_the_page_is_printed_light_and_without_controls(opened: Opened) -> None:
    opened.page.emulate_media(media="print")
    shown = "(it) => getComputedStyle(document.querySelector(it)).display"
    assert opened.page.evaluate(shown, ".tools") == "none"
    opened.page.set_viewport_size({"width": 718, "height": 1000})  # A4 less a centimetre a side
    whole = "document.querySelector('.figures').scrollWidth <= document.body.clientWidth"
    assert opened.page.evaluate(whole)
    ground = "getComputedStyle(document.body).backgroundColor"
    assert opened.page.evaluate(ground) == "rgb(255, 255, 255)"


def test_axe_finds_nothing_serious(opened: Opened) -> None:
    from axe_playwright_python.sync_playwright import Axe

    opened.page.evaluate("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
    found = Axe().run(opened.page).response["violations"]
    assert [(v["id"], v["nodes"][0]["html"]) for v in found if v["impact"] in SERIOUS] == []


def test_sorting_by_keyboard(opened: Opened, reported: RunFolder) -> None:
    table = opened.page.locator("table.figures").first
    header = table.locator("thead th", has_text="AUC").first
    assert header.get_attribute("aria-sort") == "none"
    auc = reported.metrics[reported.metrics.metric == "auc"].value.round(3)
    for order, expected in (
        ("descending", sorted(auc, reverse=True)),
        ("ascending", sorted(auc)),
    ):
        header.get_by_role("button").focus()
        opened.page.keyboard.press("Enter")
        assert header.get_attribute("aria-sort") == order
        cells = table.locator("tbody td:nth-child(8)").all_inner_texts()
        assert [float(cell.split()[0]) for cell in cells] == expected
    # A dash is no number and stays last either way; size_only has no difference to itself.
    lift = table.locator("thead th", has_text="AUC - size").get_by_role("button")
    for _ in range(2):
        lift.click()
        assert table.locator("tbody tr").last.inner_text().startswith("size_only")


def test_filtering(opened: Opened) -> None:
    tools = opened.page.locator(".tools:has(input)").first
    tools.get_by_role("searchbox").fill("logistic ratings")
    assert tools.locator("output").first.inner_text() == "1 of 5 rows"
    table = opened.page.locator("table.figures").first
    visible = table.locator("tbody tr:visible")
    assert visible.count() == 1
    assert visible.first.inner_text().startswith("logistic")


def test_printing_unfolds_what_is_folded(opened: Opened) -> None:
    folded = "[...document.querySelectorAll('details')].map((d) => d.open)"
    assert not any(opened.page.evaluate(folded))
    opened.page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert all(opened.page.evaluate(folded))
    opened.page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert not any(opened.page.evaluate(folded))
