"""Reports of the data doctor, and what is looked for in them; no tests in here."""

from __future__ import annotations

from pathlib import Path

from vsezoo.data.doctor.check import check_data
from vsezoo.data.doctor.report import Finding, Report


def check(folder: Path, *splits: str, pictures: bool = False) -> Report:
    """Return the report on a folder, in which a word need not occur twice to be known."""
    return check_data(str(folder), splits=splits, pictures=pictures, vocab_threshold=1)


def find(report: Report, text: str) -> Finding:
    """Return the one finding whose text holds this; it says what to do."""
    (found,) = (finding for finding in report.findings if text in finding.what)
    assert found.remedy
    return found


def list_findings(report: Report) -> list[tuple[str, str | None]]:
    """Return the level and the split of each finding."""
    return [(finding.level, finding.split) for finding in report.findings]
