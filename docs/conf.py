"""Settings of the documentation's site: ``tox -e docs``.

The source folder is the repository's root, so that a link in a page leads to the same file on the
site and where the repository is browsed. Nothing of the site is loaded from a network.
"""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "docs")]

project = "lung-nodule-benchmark"
release = version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
copyright = "the lung-nodule-benchmark authors, MIT licence"

root_doc = "docs/index"
include_patterns = ["docs/**.md", "results/**.md", "*.md"]
exclude_patterns = [".*", "README.md", "results/runs", "docs/_build", "**/node_modules"]
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "_site"]

myst_heading_anchors = 3
myst_enable_extensions = ["dollarmath"]
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # docstrings state shapes and units, which types do not
napoleon_google_docstring = False
napoleon_use_ivar = True

html_theme = "pydata_sphinx_theme"
html_title = f"{project} {version}"
html_math_renderer = "mathml"
html_copy_source = False
html_extra_path = ["_site/root"]
html_static_path = ["_site/static"]
html_css_files = ["site.css"]
html_theme_options = {
    "logo": {"text": project},
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "show_prev_next": True,
}
