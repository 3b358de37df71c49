"""A hook of mkdocs (`make docs`): pages that lie outside docs/ come onto the site, and links to them are led there.

The README is the first page, those of examples/ are pages of their own, and so are the notebooks. Any other file that
a page links to, such as a module or a table, gets a page that shows it.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page


ROOT = Path(__file__).parent.parent
PAGES = {
    "README.md": "index.md",
    "examples/accelerate/README.md": "examples/accelerate.md",
    "examples/notebooks/README.md": "examples/notebooks.md",
}
LINK = re.compile(r"(\]\(|(?:src|srcset)=\")(?![a-z]+:|#|/)([^)\s\"#]+)")
LANGUAGES = {".py": "python", ".yaml": "yaml", ".md": "markdown"}
FENCE = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)


def place_of(path: str) -> str:
    """Where a file of the repository is on the site: `docs/method.md` -> `method.md`."""
    if path in PAGES:
        return PAGES[path]
    return path.removeprefix("docs/") if path.startswith("docs/") else f"source/{path}.md"


def linked_file(page: str, link: str) -> str:
    """The file that a link of a page names, both as paths in the repository; of a folder its README or `__init__`."""
    path = ROOT / os.path.normpath(ROOT / Path(page).parent / link)
    if path.is_dir():
        path = next((path / name for name in ("README.md", "__init__.py") if (path / name).exists()), path)
    return path.relative_to(ROOT).as_posix()


def texts_of(markdown: str) -> list[str]:
    """The page in pieces, every second one a block of code."""
    return re.split(f"({FENCE.pattern})", markdown, flags=FENCE.flags)


def with_links(page: str, markdown: str) -> str:
    """The text of a page with its links as they are on the site."""
    here = Path(place_of(page)).parent

    def replaced(match: re.Match) -> str:
        target = place_of(linked_file(page, match[2]))
        return match[1] + Path(os.path.relpath(target, here)).as_posix()

    pieces = texts_of(markdown)
    pieces[::2] = [LINK.sub(replaced, piece) for piece in pieces[::2]]
    return "".join(pieces)


def outside(page: str, markdown: str) -> set[str]:
    """The files outside docs/ that a page links to."""
    links = {linked_file(page, match[2]) for piece in texts_of(markdown)[::2] for match in LINK.finditer(piece)}
    return {path for path in links if not path.startswith("docs/") and (ROOT / path).is_file()}


def notebook(text: str) -> str:
    """The cells of a notebook as a page."""
    cells = [(cell["cell_type"], "".join(cell["source"])) for cell in json.loads(text)["cells"]]
    return "\n\n".join(source if kind == "markdown" else f"```python\n{source}\n```" for kind, source in cells) + "\n"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the pages that do not lie in docs/."""
    known = [f"docs/{file.src_uri}" for file in files.documentation_pages()]
    shown = set(PAGES)
    for page in [*known, *PAGES]:
        shown |= outside(page, (ROOT / page).read_text(encoding="utf-8"))
    for path in sorted(shown):
        text = (ROOT / path).read_text(encoding="utf-8")
        if path.endswith(".ipynb"):
            text = notebook(text)
        elif path not in PAGES:
            text = f"# {path}\n\n````{LANGUAGES.get(Path(path).suffix, 'text')}\n{text}\n````\n"
        files.append(File.generated(config, place_of(path), content=text))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Leads the links of a page to where their files are on the site."""
    if page.file.src_uri.startswith("source/"):
        return markdown
    sources = {place: path for path, place in PAGES.items()}
    return with_links(sources.get(page.file.src_uri, f"docs/{page.file.src_uri}"), markdown)
