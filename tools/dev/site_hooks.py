"""MkDocs hooks: pages that live outside of docs/, and links out of docs/, for the site (``make docs``).

README.md, datasets/README.md, CONTRIBUTING.md and CHANGELOG.md are read on GitHub, too, so each stays where it is.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from mkdocs.structure.files import File

ROOT = Path(__file__).parents[2]
# file of the repository -> page of the site
OUTSIDE = {
    "README.md": "index.md",
    "datasets/README.md": "datasets.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changes.md",
}
_LINK = re.compile(r"(!?)\[((?:[^][]|\[[^]]*\])*)\]\(([^)\s#]*)(#[^)\s]*)?\)")


def on_files(files, config):
    """Adds the pages from outside."""
    for source, page in OUTSIDE.items():
        files.append(File.generated(config, page, content=(ROOT / source).read_text(encoding="utf-8")))
    return files


def on_page_markdown(markdown: str, page, config, files) -> str:
    """Links as the site has its pages; a link to a file that is no page becomes its name."""
    sources = {page: source for source, page in OUTSIDE.items()}
    name = page.file.src_uri
    return relink(markdown, sources.get(name, f"docs/{name}"))


def on_page_content(html: str, page, config, files) -> str:
    """Sphinx's roles in docstrings (``:class:`` and the like) are left out before what they mark.

    GitHub wants a bar in a cell of a table as ``\\|``, also in code, where Python-Markdown leaves the backslash.
    """
    html = re.sub(r"<td.*?</td>", lambda cell: cell[0].replace(r"\|", "|"), html, flags=re.DOTALL)
    return re.sub(r":(?:class|func|mod|meth|data|attr|exc):\s*(?=<code)", "", html)


def relink(markdown: str, source: str) -> str:
    """The text of a file of the repository with its links as the site needs them."""

    def link(match: re.Match) -> str:
        mark, text, path, anchor = match[1], match[2], match[3], match[4] or ""
        if not path or "://" in path or path.startswith("mailto:"):
            return match[0]
        target = os.path.normpath(os.path.join(os.path.dirname(source), path))
        inside = OUTSIDE.get(target) or (target.removeprefix("docs/") if target.startswith("docs/") else None)
        return f"{mark}[{text}]({inside}{anchor})" if inside else text

    parts = re.split(r"(^```.*?^```$)", markdown, flags=re.MULTILINE | re.DOTALL)
    return "".join(part if part.startswith("```") else _LINK.sub(link, part) for part in parts)
