"""The committed baseline: one explicit command refreshes it, and records the reason."""

from __future__ import annotations

import json
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path

from benchmark.drift import margins
from benchmark.drift.report import side_by_side
from benchmark.run.folder import BASELINE_FILES, RunFolder, read_baseline
from benchmark.runtime.folders import new_folder, remove

CHANGES = "CHANGES.md"
_TITLE = (
    "# What the baseline was, and why it changed\n\nNewest first; written by `drift --refresh`.\n"
)


def refresh_baseline(run_dir: Path, folder: Path, reason: str) -> Path:
    """Make a run the baseline; return the file that says what changed.

    Parameters
    ----------
    run_dir : Path
    folder : Path
        The baseline. It is replaced as a whole; ``CHANGES.md`` grows.
    reason : str

    Raises
    ------
    ValueError
        Without a reason, for a run with failures, where ``folder`` holds anything but a
        baseline, and while ``margins.toml`` has uncommitted changes: if a widened margin and a
        refreshed baseline went into one change, neither could be judged.
    """
    if not reason.strip():
        raise ValueError("--refresh needs --reason: why does the baseline change?")
    run = read_baseline(run_dir)
    failed = sum(failure.status == "failed" for failure in run.failures)
    if failed:
        raise ValueError(
            f"'{run_dir}' has {failed} recorded failures; a baseline has none, repeat the run"
        )
    if uncommitted(margins.PATH):
        raise ValueError(
            f"{margins.PATH.name} has uncommitted changes; a margin and the baseline never change "
            "together: commit or undo the margins first"
        )
    former = read_baseline(folder) if folder.exists() and any(folder.iterdir()) else None
    history = folder / CHANGES
    entries = history.read_text(encoding="utf-8").removeprefix(_TITLE) if history.exists() else ""
    entry = _entry(former, run, reason)
    if former is not None:
        remove(folder)  # a kill from here on loses nothing: the baseline is committed
    with new_folder(folder) as draft:
        _copy(run, draft)
        (draft / CHANGES).write_text(f"{_TITLE}\n{entry}{entries}", encoding="utf-8")
    return history


def uncommitted(path: Path) -> bool:
    """True if a file differs from the last commit; False outside a git checkout."""
    try:
        done = subprocess.run(
            ["git", "status", "--porcelain", "--", path.name],
            cwd=path.parent, capture_output=True, text=True, check=True,
        )  # fmt: skip
    except (OSError, subprocess.CalledProcessError):
        return False
    return bool(done.stdout.strip())


def _copy(run: RunFolder, draft: Path) -> None:
    for name in BASELINE_FILES:
        if name != "environment.json":
            shutil.copyfile(run.path / name, draft / name)
    # The command line may hold paths of one machine; config.toml repeats the run.
    environment = {k: v for k, v in run.environment.items() if k != "command"}
    (draft / "environment.json").write_text(json.dumps(environment, indent=1) + "\n")
    (draft / "features").mkdir()
    for name in run.features:  # which reads them: nothing else that lies there is copied
        file = Path("features", f"{name}.parquet")
        shutil.copyfile(run.path / file, draft / file)


def _entry(former: RunFolder | None, run: RunFolder, reason: str) -> str:
    today = datetime.now(UTC).date().isoformat()
    revision = run.environment["revision"] or "unknown"
    dataset = run.environment["dataset"]
    lines = [
        f"## {today}: {' '.join(reason.split())}",
        "",
        f"Revision {revision}; dataset {dataset['name']} ({dataset['intensities']} intensities), "
        f"fingerprint {dataset['fingerprint'][:12]}, {len(run.rois)} ROIs; profile "
        f"{run.config['profile']}, seed {run.config['seed']}.",
        "",
        side_by_side(former, run),
    ]
    return "\n".join(lines)
