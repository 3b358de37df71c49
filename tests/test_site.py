"""The site of `make docs`: it builds without a warning, shows every public name, and its links lead somewhere."""

import importlib.util
import re
import subprocess
import sys
from html.parser import HTMLParser
from importlib import import_module
from inspect import isfunction
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
import yaml

import finecl_hf
from finecl_hf import learning_order, losses, metrics


ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
FROM_ELSEWHERE = {"index.md", "examples/accelerate.md", "examples/notebooks.md"}  # README.md, those of examples/
ENTRY = re.compile(r"^::: ([\w.]+)", re.MULTILINE)


def pages_in(navigation):
    """Pages of mkdocs.yml's `nav`, which is lists and objects of them."""
    if isinstance(navigation, str):
        return [navigation]
    parts = navigation.values() if isinstance(navigation, dict) else navigation
    return [page for part in parts for page in pages_in(part)]


def public_objects():
    """Path of each public class and function, where it is defined -> the object."""
    named = [getattr(finecl_hf, name) for name in finecl_hf.__all__]
    named += [value for name in learning_order.__all__ if callable(value := getattr(learning_order, name))]
    for module in (losses, metrics):
        members = vars(module).items()
        named += [value for name, value in members if isfunction(value) and value.__module__ == module.__name__
                  and not name.startswith("_")]  # fmt: skip
    return {f"{value.__module__}.{value.__qualname__}": value for value in named}


def test_every_page_is_in_the_navigation():
    config = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    listed = pages_in(config["nav"])
    pages = {path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")}
    assert len(listed) == len(set(listed)) and set(listed) == pages | FROM_ELSEWHERE


def test_the_picture_is_what_its_program_draws():
    spec = importlib.util.spec_from_file_location("draw_stages", DOCS / "draw_stages.py")
    program = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(program)
    assert program.PICTURE.read_text(encoding="utf-8") == program.drawing()
    assert program.PICTURE.relative_to(ROOT).as_posix() in (ROOT / "README.md").read_text(encoding="utf-8")


def test_every_public_name_has_a_place_in_the_reference():
    entries = {name for page in (DOCS / "reference").glob("*.md") for name in ENTRY.findall(page.read_text("utf-8"))}
    for path in public_objects():
        assert {path, path.rpartition(".")[0]} & entries, path
    for path in entries:  # and nothing is listed that does not exist
        module, _, name = path.rpartition(".")
        assert hasattr(import_module(module), name), path


class Page(HTMLParser):
    """Ids, links and what else a page asks for."""

    def __init__(self, text):
        super().__init__()
        self.ids, self.links, self.asked = set(), [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.ids.update(value for key in ("id", "name") if (value := found.get(key)))
        if tag == "a" and found.get("href"):
            self.links.append(found["href"])
        if tag in ("script", "img", "iframe", "link") and found.get("rel") != "canonical":
            self.asked.append(found.get("src") or found.get("href") or "")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    if None in map(importlib.util.find_spec, ("mkdocs", "mkdocstrings_handlers")):
        pytest.skip("the extra docs is not installed")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "-d", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return {
        path.relative_to(folder).as_posix(): Page(path.read_text("utf-8")) for path in folder.rglob("*.html")
    }, folder


@pytest.mark.slow
def test_the_site_shows_every_public_name(site):
    pages, _ = site
    ids = {anchor for name, page in pages.items() if name.startswith("reference/") for anchor in page.ids}
    assert not public_objects().keys() - ids


@pytest.mark.slow
def test_links_lead_to_pages_and_places_that_exist(site):
    pages, folder = site
    checked = 0
    for name, page in pages.items():
        if name == "404.html":  # its links are of the place it is put at
            continue
        for link in [*page.links, *page.asked]:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (folder / name).parent / unquote(parts.path) if parts.path else folder / name
            assert target.exists(), f"{name}: {link}"
            path = target.resolve().relative_to(folder.resolve()).as_posix()
            if parts.fragment and path in pages:
                assert unquote(parts.fragment) in pages[path].ids, f"{name}: {link}"
            checked += 1
    assert checked > 1000


@pytest.mark.slow
def test_the_site_asks_nothing_of_other_places(site):
    pages, _ = site
    asked = {address for page in pages.values() for address in page.asked}
    assert len(asked) > 3 and not {address for address in asked if urlsplit(address).netloc}
