"""A page on this machine: paste a text, see its triples as a table and in the text. Needs no network."""

from __future__ import annotations

import html
import os
from typing import TYPE_CHECKING, Any

from finecl_hf.errors import FineCLError
from finecl_hf.extraction.pipeline import RelationExtractionPipeline
from finecl_hf.extraction.recognition.recognisers import CHOICES
from finecl_hf.extraction.relation_page import render, view


if TYPE_CHECKING:
    from gradio import Blocks


COLUMNS = {"head": "25%", "relation": "31%", "tail": "25%", "score": "19%"}  # and their widths, also on a telephone
FONTS = ["system-ui", "sans-serif"]  # those of the machine
# The browser's own parts, such as bars for scrolling, go dark with the page; a telephone has no room for wide margins
CSS = """.dark { color-scheme: dark; }
#shown .html-container { padding: 0 !important; }
.app { padding: 16px clamp(12px, 3vw, 32px) !important; }
@media (max-width: 480px) { #table [role=grid] * { font-size: 13px !important; } }"""
# The page has styles and arcs of its own, which a frame keeps apart; it is as high as what it shows
FRAME = (
    '<iframe title="the text with its triples" style="width: 100%; border: 0; border-radius: 8px" '
    'onload="new ResizeObserver(() => {{ '
    "this.style.height = this.contentDocument.body.offsetHeight + 'px' }}).observe(this.contentDocument.body)\" "
    'srcdoc="{page}"></iframe>'
)


def make_demo(extract: RelationExtractionPipeline, title: str) -> Blocks:
    """The page, which `launch()` serves.

    Args:
        extract: the pipeline, with a recogniser.
        title: what stands above it, such as the name of the model.

    Raises:
        FineCLError: gradio is not installed, or nothing finds the entities of a text.
    """
    if extract.reader.recogniser is None:
        raise FineCLError(f"nothing finds the entities of raw text; name a --recogniser: {CHOICES}.")
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # gradio would tell its makers
    try:
        import gradio
    except ImportError:
        raise FineCLError('the demo needs gradio; run `pip install "finecl_hf[gradio]"`.') from None
    with gradio.Blocks(title=title, analytics_enabled=False) as demo:
        gradio.Markdown(f"### {html.escape(title)}")
        text = gradio.Textbox(label="Text", lines=4, max_lines=12, placeholder="Paste a text of a few sentences.")
        button = gradio.Button("Find triples", variant="primary")
        shown = gradio.HTML(label="Triples in the text", elem_id="shown")
        table = gradio.Dataframe(
            headers=list(COLUMNS), column_widths=list(COLUMNS.values()), label="Triples", interactive=False, wrap=True,
            visible=False, elem_id="table", max_height=2000,
        )  # fmt: skip

        def show(given: str) -> tuple[str, Any]:
            frame, rows = found_in(extract, given)
            return frame, gradio.Dataframe(rows, visible=bool(rows))

        button.click(show, text, [shown, table], api_name="triples")
    return demo


def found_in(extract: RelationExtractionPipeline, text: str) -> tuple[str, list[list[str]]]:
    """The frame that shows a text with its triples, and the rows of the table."""
    (extraction,) = extract.extractions([{"text": text, "title": "Text"}])
    record = {"index": 0, **extraction.to_dict(), "title": ""}  # the one text needs no name
    rows = [
        [triple["head"], triple["name"], triple["tail"], f"{triple['score']:.2f}"]
        for triple in record.get("triples", [])
    ]
    return FRAME.format(page=html.escape(render([view(record)]))), rows


def serve(extract: RelationExtractionPipeline, title: str, host: str, port: int) -> None:
    """Serves the page until the process is stopped.

    Raises:
        FineCLError: see [`make_demo`]; or the port is taken.
    """
    demo = make_demo(extract, title)
    try:
        launch(demo, server_name=host, server_port=port)
    except OSError as error:
        raise FineCLError(f"--port {port}: cannot be served on {host} ({error}); name another one.") from error


def launch(demo: Blocks, **options: Any) -> Any:
    """Starts the server: for this machine alone unless told otherwise, with nothing that is fetched from elsewhere."""
    from gradio.themes import Default

    return demo.launch(
        theme=Default(font=FONTS, font_mono=FONTS), css=CSS, share=False, ssr_mode=False, footer_links=[], **options
    )
