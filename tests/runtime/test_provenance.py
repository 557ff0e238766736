"""Tests for the provenance of results: the files that a key of the cache follows."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmark.runtime import provenance


@pytest.fixture
def digest_of(monkeypatch, tmp_path):
    """Digest of models/one.py in a project whose files are given, by their names there."""

    def digest(**texts):
        files = {tmp_path / "models" / f"{name}.py": text.encode() for name, text in texts.items()}
        monkeypatch.setattr(provenance, "ROOT", tmp_path)
        monkeypatch.setattr(provenance, "snapshot", lambda: files)
        provenance._closure.cache_clear()
        provenance.digest.cache_clear()
        return provenance.digest(Path(tmp_path / "models" / "one.py"))

    yield digest
    provenance._closure.cache_clear()
    provenance.digest.cache_clear()


@pytest.mark.parametrize(
    "importing",
    [
        "import models.two",
        "from models.two import x",
        "from models import two",
        "def f():\n    from models.two import x",
        "try:\n    import sys\nexcept ImportError:\n    from models.two import x",
        "match 1:\n    case 1:\n        from models.two import x",
        "if TYPE_CHECKING:\n    import sys\nelse:\n    from models.two import x",
    ],
)
def test_an_import_counts(digest_of, importing):
    assert digest_of(one=importing, two="x = 1") != digest_of(one=importing, two="x = 2")


def test_what_an_import_imports_counts(digest_of):
    files = {"one": "import models.two", "two": "import models.three"}
    assert digest_of(**files, three="x = 1") != digest_of(**files, three="x = 2")


def test_an_import_for_type_checkers_does_not_count(digest_of):
    text = "if TYPE_CHECKING:\n    from models.two import x"
    assert digest_of(one=text, two="x = 1") == digest_of(one=text, two="x = 2")
    assert digest_of(one=text, two="x = 1") != digest_of(one=text + "\ny = 1", two="x = 1")
