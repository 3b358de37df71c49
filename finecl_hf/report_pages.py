"""The report's two pages from their templates: HTML, whole in itself, and Markdown."""

from __future__ import annotations

import re
from importlib import resources
from typing import Any

import jinja2

from finecl_hf.markdown import FILTERS, text


_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")  # HTML cannot hold them
_BLANK_LINES = re.compile(r"\n{3,}")  # where a statement of the template wrote nothing
_TEMPLATES = ("report.html", "report.md")


def render(view: dict[str, Any]) -> list[str]:
    """HTML and Markdown of what [`~finecl_hf.report.write_report`] found."""
    pages = [_environment(name.endswith(".html")).get_template(name).render(view) for name in _TEMPLATES]
    return [_BLANK_LINES.sub("\n\n", f"{page.strip()}\n") for page in pages]


def _environment(html: bool) -> jinja2.Environment:
    folder = resources.files("finecl_hf")
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(lambda name: folder.joinpath(name).read_text(encoding="utf-8")),
        undefined=jinja2.StrictUndefined,
        autoescape=html,
        finalize=_printable,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update({} if html else {function.__name__: function for function in FILTERS})
    environment.filters["spaced"] = lambda value: re.sub(r"\S.*\S|\S", lambda words: text(words[0]), value, flags=re.S)
    environment.filters["share"] = lambda value: f"{100 * value:.0f}%"
    environment.filters["count"] = lambda value: f"{value:,}"
    return environment


def _printable(value: Any) -> Any:
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", value) if type(value) is str else value
