"""The report's buttons in a browser: a headless Chromium presses them, and what it saves is imported."""

import html
import re
import shutil
import subprocess

import numpy as np
import pytest

from finecl_hf.data.readers import write_documents
from finecl_hf.denoising.report import write_report
from finecl_hf.learning_order.table import LearningOrder
from finecl_hf.review.importing import import_files
from finecl_hf.review.tools import read_votes


PRESSES = """<script>
URL.createObjectURL = blob => { blob.text().then(text => {
  const out = document.createElement("pre"); out.id = "saved"; out.textContent = text; document.body.append(out); });
  return "#"; };
const press = key => document.body.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
if (!localStorage.length) {
  document.querySelectorAll(".card")[0].querySelector('[data-verdict="wrong"]').click();
  press("ArrowDown"); press("r"); press("o");
  const field = document.querySelectorAll(".card")[2].querySelector(".right_relation");
  field.value = "born in"; field.dispatchEvent(new Event("input", { bubbles: true }));
  field.blur(); press("ArrowDown"); press("u"); press("u"); press("u"); press("ArrowUp");
}
document.querySelector(".bench .save").click();
document.title = [document.querySelector(".counter").textContent, document.querySelectorAll(".card.now").length,
  document.documentElement.scrollWidth <= window.innerWidth].join(" ");
</script></body>"""


@pytest.mark.slow
def test_verdicts_of_the_page_come_back(tmp_path, ada, curie):
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("there is no Chromium to press the buttons")
    documents = [ada, curie]
    write_documents(documents, tmp_path / "silver.json")
    order = LearningOrder.for_documents(documents)
    order.record_epoch(np.full(5, 0.5), np.zeros(5), np.zeros(5, bool))
    write_report(order, np.arange(5) / 5, documents, tmp_path / "report.html")
    page = tmp_path / "report.html"
    page.write_text(page.read_text(encoding="utf-8").replace("</body>", PRESSES), encoding="utf-8")
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--window-size=500,800",
             f"--user-data-dir={tmp_path / 'user'}", "--virtual-time-budget=2000", "--dump-dom"]  # fmt: skip
    for _ in range(2):  # the second time from what the browser kept
        shown = subprocess.run([browser, *flags, page.as_uri()], capture_output=True, text=True, timeout=120).stdout
        title = re.search(r"<title>([^<]*)</title>", shown)[1]
        assert title.split()[0] == "4" and title.endswith("true")
        saved = html.unescape(re.search(r'<pre id="saved">(.*?)</pre>', shown, re.S)[1])
        (tmp_path / "verdicts.json").write_text(saved, encoding="utf-8")
        votes = read_votes(tmp_path / "verdicts.json")
        assert [vote.verdict for vote in votes] == ["wrong", "right", "other", "unsure"]
        assert votes[2].right_relation == "born in" and votes[0].stratum == "worst"
    review, counts = import_files(tmp_path / "verdicts.json", tmp_path / "silver.json", tmp_path / "out.json")
    assert counts.removed == 1 and counts.relabelled == 1 and review.estimate is None
