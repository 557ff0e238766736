"""The site builds without a warning, every link leads somewhere, and no page asks a network."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urldefrag

import pytest

from benchmark.plugins import registry
from benchmark.runtime.paths import ROOT

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
LOOKED_AT = ("docs/index", "docs/tutorial", "docs/reference/profiles", "docs/reference/formulas")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-E", "-c", "docs",
         "-d", str(out / "doctrees"), ".", str(out / "html")],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return out / "html"


def pages(site: Path) -> Iterator[tuple[Path, str]]:
    for path in site.rglob("*.html"):
        yield path, path.read_text(encoding="utf-8")


def test_every_link_leads_to_a_page_and_a_place_on_it(site: Path) -> None:
    texts = dict(pages(site))
    places = {path: set(re.findall(r' id="([^"]+)"', text)) for path, text in texts.items()}
    assert len(texts) > 40
    for path, text in texts.items():
        for link in re.findall(r'<a [^>]*href="([^"]+)"', text):
            address, place = urldefrag(unquote(link))
            if "://" in address or address.startswith("mailto:"):
                continue
            target = (path.parent / address).resolve() if address else path
            assert target.is_file(), (path.name, link)
            assert not place or target.suffix != ".html" or place in places[target], (path, link)


def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    for path, text in pages(site):
        loaded = re.findall(r'<(?:link|script|img|source)[^>]+?(?:href|src)="([^"]+)"', text)
        assert loaded or path.parent == site, path
        assert not [each for each in loaded if "//" in each], path
    for path in site.rglob("*.css"):
        assert not re.search(r"(?:url\(|@import)\s*['\"]?(?:https?:)?//", path.read_text("utf-8"))


def test_reference_pages_have_every_plug_in_and_command(site: Path) -> None:
    for kind, page in (
        ("models", "models"),
        ("features", "feature-sets"),
        ("datasets", "datasets"),
    ):
        text = (site / "docs" / "reference" / f"{page}.html").read_text(encoding="utf-8")
        assert all(f'">{name}</span>' in text for name in registry.names(kind))
    commands = (site / "docs" / "reference" / "commands.html").read_text(encoding="utf-8")
    assert "--max-slowdown" in commands
    profiles = (site / "docs" / "reference" / "profiles.html").read_text(encoding="utf-8")
    assert "bootstrap.samples" in profiles
    formulas = (site / "docs" / "reference" / "formulas.html").read_text(encoding="utf-8")
    assert formulas.count("<math") > 100


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    path = next(filter(None, map(shutil.which, BROWSERS)), "")
    if not path:
        pytest.skip("no Chromium on this machine (Debian: chromium)")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield launched
        launched.close()


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
@pytest.mark.parametrize("name", LOOKED_AT)
def test_pages_fit_and_are_accessible(
    name: str, width: int, scheme: str, site: Path, browser: Any
) -> None:
    from axe_playwright_python.sync_playwright import Axe

    context = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme=scheme, offline=True
    )
    asked: list[str] = []
    page = context.new_page()
    page.on("request", lambda request: asked.append(request.url))
    page.goto((site / f"{name}.html").as_uri())
    assert all(url.startswith(("file:", "data:")) for url in asked)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    found = Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
    serious = [each for each in found if each["impact"] in ("serious", "critical")]
    assert not serious, [(each["id"], each["nodes"][0]["html"]) for each in serious]
    context.close()
