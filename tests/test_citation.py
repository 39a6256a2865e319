"""CITATION.cff: what GitHub and reference managers read."""

from __future__ import annotations

from pathlib import Path

import yaml

import dynsweep

ROOT = Path(__file__).parent.parent


def test_citation_names_this_version_and_the_article() -> None:
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert cited["version"] == dynsweep.__version__
    assert {"cff-version", "message", "title", "authors"} <= cited.keys()
    article = cited["preferred-citation"]
    assert [author["family-names"] for author in article["authors"]] == [
        "Ruiz-Garcia", "Zhang", "Schoenholz", "Liu",
    ]  # fmt: skip
    assert article["url"].endswith(article["identifiers"][0]["value"].removeprefix("arXiv:"))


def test_the_changelog_tells_of_this_version() -> None:
    assert f"## [{dynsweep.__version__}]" in (ROOT / "CHANGELOG.md").read_text()
