"""The version: one place, which a release's tag repeats."""

import re
import subprocess
from pathlib import Path

import pytest

from fx_d2 import __version__

ROOT = Path(__file__).parents[1]


def test_the_tag_of_this_commit_is_the_version():
    found = subprocess.run(["git", "-C", str(ROOT), "tag", "--points-at", "HEAD"], capture_output=True, text=True)
    if found.returncode:
        pytest.skip("not a clone")
    releases = [tag for tag in found.stdout.split() if re.match(r"v\d", tag)]
    assert releases in ([], [f"v{__version__}"]), f"fx_d2/__init__.py says {__version__}"


def test_citation_and_changelog_name_the_version():
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert re.search(rf"^version: [\"']?{re.escape(__version__)}[\"']?$", citation, flags=re.MULTILINE)
    newest = re.search(r"^## (\S+?),? ", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert newest and newest[1] == __version__
