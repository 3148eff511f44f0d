"""No link of a page leads nowhere; keys and commands that the text names are there."""

import re

import pytest

from fx_d2 import get_fx_cfg
from fx_d2.commands.cli import COMMANDS
from tests.docs.pages import NAMES, PAGES, ROOT, anchors, links, prose

# Groups of keys as they are written in the text: FX.EVAL.BEST, `MODEL.PIXEL.*`.
_KEY = re.compile(r"`((?:FX|MODEL|INPUT|SOLVER|DATASETS|DATALOADER)\.[A-Za-z_0-9.]+?)\.?\*?(?: [^`]*)?`")


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_links(page):
    for link in links(page):
        if "://" in link or link.startswith("mailto:"):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists() and target.is_relative_to(ROOT), f"{page.name}: {link}"
        assert not anchor or anchor in anchors(target), f"{page.name}: {link}: {sorted(anchors(target))}"


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_keys_and_commands_in_the_text(page):
    cfg = get_fx_cfg()
    for key in _KEY.findall(prose(page)):
        node = cfg
        for part in key.split("."):
            names = [name for name in node if name == part] if hasattr(node, "keys") else []
            assert names or "DATASETS.OPTIONS" in key, f"{page.name}: no key {key}"
            node = node[part] if names else cfg
    for command in re.findall(r"`fx-d2 ([a-z][a-z0-9-]*)", prose(page)):
        assert command in COMMANDS, f"{page.name}: fx-d2 {command}"


def test_the_pages_are_seen():
    assert {"README.md", "docs/metrics.md", "datasets/README.md", "CONTRIBUTING.md"} <= set(NAMES)
    assert "what-a-reader-gives" in anchors(ROOT / "datasets" / "README.md")
    assert "docs/reliability.md" in links(ROOT / "CHANGELOG.md")


def test_every_message_of_the_questions_is_in_the_source():
    """Headings in code; what stands between the dots is found as it is written."""
    source = " ".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "fx_d2").rglob("*.py")))
    source = re.sub(r'"\s*\n\s*f?"', "", source)  # texts that go on in the next line
    titles = re.findall(r"^### `(.+)`$", (ROOT / "docs" / "faq.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert len(titles) > 8
    for title in titles:
        for part in title.split("…"):
            assert part.strip() in source, f"docs/faq.md: no message has {part.strip()!r}"
