"""The page: one HTML file without a single request, from a context of plain values and pictures."""

from __future__ import annotations

from functools import lru_cache
from importlib import resources
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from ..evaluation.markdown import markdown_text
from .charts import number


def _markdown_value(value: Any) -> Any:
    return markdown_text(value) if isinstance(value, str) else value


@lru_cache(maxsize=2)
def _environment(html: bool) -> Environment:
    """What a run calls its classes and files is text, on a page as in Markdown."""
    environment = Environment(
        loader=PackageLoader(__package__),
        autoescape=html,
        finalize=None if html else _markdown_value,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(number=number, count=lambda value: f"{value:,}")
    return environment


def render(template: str, context: dict[str, Any]) -> str:
    """Fills a template of this package.

    Raises:
        jinja2.UndefinedError: the template asks for a name that the context lacks.
    """
    return _environment(template.endswith(".html.jinja")).get_template(template).render(context)


def style_sheet() -> Markup:
    return Markup(resources.files(__package__).joinpath("templates/report.css").read_text(encoding="utf-8"))
