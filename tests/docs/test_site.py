"""The site: every page is in it, links out of docs/ become links of the site."""

import re

import pytest
import yaml

from tests.docs.pages import ROOT

hooks = pytest.importorskip("site_hooks", reason="MkDocs is not installed (pip install fx_d2[docs])")


def pages_of(nav) -> list[str]:
    if isinstance(nav, str):
        return [nav]
    return [page for entry in (nav.values() if isinstance(nav, dict) else nav) for page in pages_of(entry)]


def test_every_page_is_in_the_navigation_once():
    text = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    listed = pages_of(yaml.safe_load(text)["nav"])
    there = {path.name for path in (ROOT / "docs").glob("*.md")} | set(hooks.OUTSIDE.values())
    assert sorted(listed) == sorted(there)


@pytest.mark.parametrize(
    ("source", "text", "expected"),
    [
        ("README.md", "[m](docs/metrics.md)", "[m](metrics.md)"),
        ("README.md", "![p](docs/pictures/a.png)", "![p](pictures/a.png)"),
        ("docs/faq.md", "[d](../datasets/README.md#splits)", "[d](datasets.md#splits)"),
        ("docs/faq.md", "[m](metrics.md#boxes), [x](#here)", "[m](metrics.md#boxes), [x](#here)"),
        ("docs/faq.md", "[keys](../fx_d2/config/defaults.py) and", "keys and"),
        ("datasets/README.md", "[i](../docs/images.md)", "[i](images.md)"),
        ("docs/faq.md", "[w](https://example.org)", "[w](https://example.org)"),
        ("docs/faq.md", "```\n[a](../b.py)\n```", "```\n[a](../b.py)\n```"),
    ],
)
def test_links(source, text, expected):
    assert hooks.relink(text, source) == expected


def test_roles_of_docstrings_are_left_out():
    html = hooks.on_page_content("see :class:<code>Finding</code>, not: <code>x</code>", None, None, None)
    assert html == "see <code>Finding</code>, not: <code>x</code>"


def test_bars_in_tables_lose_their_backslash():
    html = hooks.on_page_content("<td><code>a\\|b</code></td>\n<pre>grep 'a\\|b'</pre>", None, None, None)
    assert html == "<td><code>a|b</code></td>\n<pre>grep 'a\\|b'</pre>"


def test_readme_fits_a_screen_and_its_picture_is_small():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert text.count("\n") < 80 and not re.search(
        r"\b0\.\d{3}\b", text
    )  # scores are in docs/results.md, with intervals
    assert (ROOT / "docs" / "pictures" / "prediction.png").stat().st_size < 300_000
