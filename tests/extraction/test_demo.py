"""The page of `finecl-hf demo`: what it shows, in a browser that reaches nothing but this machine."""

import os
import sys
from pathlib import Path

import pytest

from finecl_hf.cli import main
from finecl_hf.errors import FineCLError
from finecl_hf.extraction.demo import found_in, launch, make_demo
from finecl_hf.extraction.pipeline import RelationExtractionPipeline
from tests.helpers.browser import chromium


TEXT = "Marie Curie was born in Warsaw. Alan Turing & <b> left London for Manchester."
TYPE = """(() => {{ const area = document.querySelector("textarea");
Object.getOwnPropertyDescriptor(HTMLTextAreaElement.prototype, "value").set.call(area, {text!r});
area.dispatchEvent(new Event("input", {{ bubbles: true }}));
[...document.querySelectorAll("button")].find((b) => b.textContent.includes("Find")).click(); return true; }})()"""
TABLE = 'document.querySelector("[role=grid]")'
IN_FRAME = 'document.querySelector("iframe")?.contentDocument'
# How far below the window's upper edge the first mark is that a triple is about
ABOVE = f"""(document.querySelector("iframe").getBoundingClientRect().top
+ {IN_FRAME}.querySelector("mark.end").getBoundingClientRect().top)"""


@pytest.fixture
def extract(model, names):
    return RelationExtractionPipeline.from_pretrained(model, device="cpu", recogniser=names[1])


def test_a_text_and_its_rows(extract):
    frame, rows = found_in(extract, TEXT)
    assert "srcdoc=&" not in frame and "&amp;amp; &amp;lt;b&amp;gt; left" in frame  # escaped twice: page, then frame
    assert ["Marie Curie", "place of birth", "Warsaw"] in [row[:3] for row in rows]
    assert all(0 <= float(row[3]) <= 1 for row in rows)
    frame, rows = found_in(extract, "")
    assert rows == [] and "no triples" in frame


def test_mistakes_are_sentences(model, extract, monkeypatch, capsys):
    assert main(["demo", model, "--port", "0"]) == 2
    assert "--port 0 is out of range" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "gradio", None)
    with pytest.raises(FineCLError, match=r'the demo needs gradio; run `pip install "finecl_hf\[gradio\]"`'):
        make_demo(extract, "model")


def test_without_a_recogniser(model):
    with pytest.raises(FineCLError, match="name a --recogniser"):
        make_demo(RelationExtractionPipeline.from_pretrained(model, device="cpu"), "model")


@pytest.mark.slow
@pytest.mark.parametrize("width", [390, 1280])
def test_the_page_in_a_browser(extract, tmp_path, width):
    pytest.importorskip("gradio", reason="gradio is not installed")
    demo = make_demo(extract, "companies")
    _, address, _ = launch(demo, prevent_thread_lock=True, quiet=True, server_name="127.0.0.1")
    try:
        with chromium(tmp_path) as page:
            page.size(width)
            page.tell("Page.navigate", url=address)
            page.wait('document.querySelector("textarea") !== null')
            assert page.value(f"{TABLE} === null")  # an empty one says nothing
            page.value(TYPE.format(text=TEXT))
            page.wait(f'{IN_FRAME}?.querySelectorAll("li").length')
            page.wait(f"{TABLE}?.ariaRowCount == {IN_FRAME}.querySelectorAll('li').length + 1")  # and the header
            page.value(f'{IN_FRAME}.querySelector("li").click()')
            assert page.value(f'{IN_FRAME}.querySelectorAll("svg path").length') == 1
            assert page.value(f'{IN_FRAME}.querySelectorAll("mark").length') == 5
            assert page.value(f'{IN_FRAME}.querySelectorAll("mark.end").length') == 2
            for place in ("document", IN_FRAME):  # nothing is cut off
                assert page.value(f"{place}.documentElement.scrollWidth <= {place}.documentElement.clientWidth")
            assert page.value(
                f'{IN_FRAME}.documentElement.scrollHeight <= document.querySelector("iframe").clientHeight'
            )
            page.size(width, 200)  # too low for the text and its triples
            page.value("scrollTo(0, document.documentElement.scrollHeight)")
            assert page.value(f"{ABOVE} < 0")
            page.value(f'{IN_FRAME}.querySelector("li").click()')
            page.wait(f"{ABOVE} >= 0")
            page.size(width)
            elsewhere = [url for url in page.asked if not url.startswith((address, "data:", "blob:", "about:"))]
            assert not elsewhere
            if "FINECL_SCREENSHOTS" in os.environ:
                page.shoot(Path(os.environ["FINECL_SCREENSHOTS"], f"demo-{width}.png"))
    finally:
        demo.close()
