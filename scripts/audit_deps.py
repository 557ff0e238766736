"""Known weaknesses of the packages that requirements/*.txt pin: ``tox -e audit-deps``.

pip-audit asks PyPI about each pin. Where PyPI cannot be reached nothing is known, which is said,
with exit status 0.
"""

from __future__ import annotations

import subprocess
import sys
from importlib import metadata
from pathlib import Path
from urllib.request import urlopen

ROOT = Path(__file__).resolve().parents[1]
SOURCE = "https://pypi.org/pypi/pip-audit/{}/json"
"""A page of the service that pip-audit asks; mirrors of packages may lack it."""


def main() -> int:
    """Audit each requirements file; return 1 where a weakness is known."""
    source = SOURCE.format(metadata.version("pip-audit"))
    try:
        with urlopen(source, timeout=10):
            pass
    except OSError as error:
        print(f"skipped: {source} cannot be reached ({error}), so no weakness can be looked up")
        return 0
    files = sorted((ROOT / "requirements").glob("*.txt"))
    given = [word for path in files for word in ("-r", str(path))]
    command = [
        sys.executable,
        "-m",
        "pip_audit",
        "--strict",
        "--require-hashes",
        "--disable-pip",
        *given,
    ]
    return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
