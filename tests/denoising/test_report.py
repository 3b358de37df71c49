"""The report: one whole page, safe with any data, that shows the labels a person should look at."""

import re
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from finecl_hf.data.documents import Document
from finecl_hf.data.readers import write_documents
from finecl_hf.denoising.report import EARLY, PER_RELATION, Report, report_files, write_report
from finecl_hf.errors import FineCLError
from finecl_hf.learning_order.missing_labels import MissingLabel
from finecl_hf.learning_order.noise_estimate import NoiseEstimate, RelationNoise
from finecl_hf.learning_order.self_test import SelfTest
from finecl_hf.learning_order.table import LearningOrder
from finecl_hf.learning_order.weights import Coverage


VOID = {"meta", "link", "br", "hr", "img", "input"}


class Page(HTMLParser):
    """Checks that tags nest, and keeps the text of elements by (tag, class)."""

    def __init__(self, path):
        super().__init__()
        self.open, self.found, self.tags, self.attributes = [], [], Counter(), []
        self.html = path.read_text(encoding="utf-8")
        self.feed(self.html)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags[tag] += 1
        self.attributes += attrs
        if tag not in VOID:
            self.open.append((tag, dict(attrs).get("class", ""), []))

    def handle_startendtag(self, tag, attrs):
        self.tags[tag] += 1
        self.attributes += attrs

    def handle_endtag(self, tag):
        name, kind, text = self.open.pop()
        assert name == tag
        self.found.append((name, kind, "".join(text)))

    def handle_data(self, data):
        for _, _, text in self.open:
            text.append(data)

    def texts(self, tag, kind=None):
        return [" ".join(text.split()) for name, found, text in self.found if name == tag and kind in (None, found)]


def corpus(facts):
    """One document a fact (relation, words): head is the first word, tail the last one."""
    return [
        Document.from_dict(
            {
                "title": f"d{i}",
                "sents": [["Head", f"says{i}", "Tail"]],
                "vertexSet": [[{"sent_id": 0, "pos": [0, 1], "type": "PER"}], [{"sent_id": 0, "pos": [2, 3]}]],
                "labels": [{"h": 0, "t": 1, "r": relation}],
            }
        )
        for i, relation in enumerate(facts)
    ]


def order_of(documents, probability):
    """An order with these probabilities (N, E); right where above 0.5."""
    order = LearningOrder.for_documents(documents)
    for column in np.asarray(probability).T:
        order.record_epoch(column, 2 * column - 1, column > 0.5)
    return order


@pytest.fixture
def small(tmp_path, ada, curie):
    documents = [ada, curie]
    order = order_of(documents, [[0.9, 0.9, 0.9], [0.7, 0.2, 0.1], [0.1, 0.1, 0.2], [0.2, 0.6, 0.7], [0.0, 0.1, 0.1]])
    return documents, order, order.probability.mean(axis=1).astype(float), tmp_path / "report.html"


def test_one_whole_page(small):
    documents, order, trust, path = small
    coverage = write_report(
        order, trust, iter(documents), path, relation_names={"born in": "place of birth"}, score_name="probability"
    )
    assert coverage == Coverage(5, 0, 0)
    assert sorted(child.name for child in path.parent.iterdir()) == ["report.html", "report.md"]
    page = Page(path)
    assert not {"link", "img", "iframe", "object"} & set(page.tags) and page.tags["script"] == 1
    assert not {"src", "href", "onload", "onclick"} & {name for name, _ in page.attributes}
    assert "http" not in page.html and not re.search(r"url\((?!#)", page.html) and "@import" not in page.html
    assert page.html.startswith("<!DOCTYPE html>") and page.tags["title"] > 1 and page.tags["figure"] == 3
    assert page.texts("h2") == [
        "The 5 least trusted labels",
        "Trust by relation",
    ]
    tiles = page.texts("div", "tiles")[0]
    assert "5labels" in tiles.replace(" ", "") and "40% never" in tiles and "mean trust (probability)" in tiles


def test_cards_show_the_fact_and_mark_its_mentions(small):
    documents, order, trust, path = small
    write_report(order, trust, documents, path, relation_names={"died in": "place of death"}, worst=2)
    page = Page(path)
    first, second = page.texts("li", "card")[:2]
    assert first.startswith("Marie Curie PER place of death France LOC")
    assert "trust 0.067" in first and "never learned" in first and "Curie right wrong other unsure" in first
    assert second.startswith("London LOC capital of England LOC") and "trust 0.133" in second
    assert page.texts("p", "text")[0] == "Marie Curie, a physicist, was born in Warsaw and died in France."
    assert page.texts("mark", "head")[1:] == ["Marie Curie", "London", "London"]
    assert page.texts("mark", "tail")[1:] == ["France", "England", "England"]


def test_what_was_learned_early_and_contradicted_later(small):
    documents, order, trust, path = small
    write_report(order, trust, documents, path, worst=2)
    page = Page(path)
    assert "Learned early, contradicted later" in page.texts("h2")
    (third,) = page.texts("li", "card")[2:]
    assert third.startswith("London LOC located in England LOC") and "learned in epoch 0, 0.10 at the end" in third
    documents = corpus(["r"] * 40)
    values = np.tile([0.9, 0.8, 0.1], (40, 1)) - np.linspace(0, 0.09, 40)[:, None]
    write_report(order_of(documents, values), np.linspace(0, 1, 40), documents, path, worst=10)
    shown = Page(path).texts("li", "card")[10:]
    assert [re.search(r"says(\d+)", card)[1] for card in shown] == [str(i) for i in range(39, 39 - EARLY, -1)]
    write_report(order_of(documents, values[:, :1]), np.zeros(40), documents, path)
    assert "contradicted" not in Page(path).html


def test_one_bad_relation_does_not_fill_the_list(tmp_path):
    documents = corpus(["bad"] * 60 + ["good"] * 60)
    trust = np.concatenate([np.linspace(0, 0.1, 60), np.linspace(0.5, 1, 60)])
    order = order_of(documents, np.tile(trust[:, None], 2))
    for worst, bad in ((10, PER_RELATION), (50, 45)):  # 50 are not to be had with five each
        write_report(order, trust, documents, tmp_path / "r.html", worst=worst)
        cards = Page(tmp_path / "r.html").texts("li", "card")
        assert len(cards) == worst and sum("bad" in card for card in cards) == bad
        trusts = [float(re.search(r"trust (\S+)", card)[1]) for card in cards]
        assert trusts == sorted(trusts)


def test_ties_do_not_depend_on_the_order_of_rows(tmp_path):
    documents = corpus([f"r{i % 30}" for i in range(90)])
    shown = []
    for arranged in (documents, documents[::-1]):
        write_report(order_of(arranged, np.zeros((90, 2))), np.zeros(90), arranged, tmp_path / "r.html", worst=20)
        shown.append(Page(tmp_path / "r.html").texts("li", "card"))
    assert shown[0] == shown[1] and len(shown[0]) == 20


def test_relations_the_most_suspicious_first(tmp_path):
    documents = corpus(["good"] * 20 + ["bad"] * 20 + ["rare"])
    trust = np.array([0.9] * 20 + [0.1] * 20 + [0.0])
    order = order_of(documents, np.tile(trust[:, None], 2))
    write_report(order, trust, documents, tmp_path / "r.html", relation_names={"bad": "quite bad"})
    rows = Page(tmp_path / "r.html").texts("tr")[1:]
    # one label of no trust says less than twenty of little
    assert [row.split()[0] for row in rows] == ["quite", "rare", "good"]
    assert rows[0].startswith("quite bad bad 20 0.10 100%")
    rows = [("good", 20, 0.4, 0.3, 0.5), ("rare", 1, 0.9, 0.1, 1.0), ("bad", 20, 0.3, 0.2, 0.4)]
    overall = RelationNoise("", 41, 0.36, 0.25, 0.46)
    passed = SelfTest(100, 0, "evidence", 0.95, 0.9, 1.0, 0.95, evidence=(-1.0, 1.0))
    noise = NoiseEstimate(overall, [RelationNoise(*row) for row in rows], gap=0.5, self_test=passed)
    write_report(order, trust, documents, tmp_path / "r.html", noise=noise)
    page = Page(tmp_path / "r.html")
    assert [row.split()[0] for row in page.texts("tr")[1:]] == ["good", "bad", "rare"]
    assert page.texts("tr")[1].endswith("40% 30%–50%")
    assert "36%estimated wrong, 25% to 46%" in page.texts("div", "tiles")[0]
    markdown = (tmp_path / "r.md").read_text()
    assert "| good | 20 | 0.900 | 0% | 40% (30% to 50%) |" in markdown and str(noise) in markdown
    write_report(order, trust, documents, tmp_path / "r.html", noise=replace(noise, self_test=None))
    assert "estimated wrong" not in Page(tmp_path / "r.html").html + (tmp_path / "r.md").read_text()


@pytest.mark.parametrize("auroc, kind", [(0.9, None), (0.6, "notice")])
def test_the_self_test_comes_first(small, auroc, kind):
    documents, order, trust, path = small
    outcome = SelfTest(100, 0, "evidence", auroc, auroc - 0.04, auroc + 0.04, auroc, evidence=(-1.0, 1.0))
    write_report(replace(order, self_test=outcome), trust, documents, path)
    page, markdown = Page(path), path.with_suffix(".md").read_text()
    assert str(outcome) in page.texts("p", kind or "")
    assert markdown.index("Self-test: 100 labels") < markdown.index(" relations in ")


def test_many_relations_are_folded(tmp_path):
    documents = corpus([f"r{i:02}" for i in range(60)])
    write_report(order_of(documents, np.zeros((60, 1))), np.zeros(60), documents, tmp_path / "r.html")
    page = Page(tmp_path / "r.html")
    assert page.texts("summary") == ["20 more relations"] and page.tags["tr"] == 62


def test_known_truth_is_shown(small):
    documents, order, trust, path = small
    write_report(order, trust, documents, path, is_clean=np.array([True, False, False, True, True]))
    page = Page(path)
    assert page.texts("span", "right") == ["right"] * 3 and page.texts("span", "wrong") == ["wrong"] * 2
    assert "really wrong" in page.html and "40%really wrong" in page.texts("div", "tiles")[0]


NASTY = '<script>alert("x")</script> & \' "'
RTL = "נ\u202eשיא é e\u0301\u0301 \U0001f600"


@pytest.mark.parametrize("name", [NASTY, RTL, "a\x00\x1b\nb", "{{ 7 * 7 }}", "</style></svg>--><!--", "**a**|`b`"])
def test_data_stay_data(tmp_path, name):
    clean = re.sub(r"[\x00\x1b]", "\N{REPLACEMENT CHARACTER}", name)
    words = [name, "and", name + "2", "."]
    raw = {"title": name, "sents": [words], "labels": [{"h": 0, "t": 1, "r": name}]}
    raw["vertexSet"] = [[{"sent_id": 0, "pos": [i, i + 1], "type": name}] for i in (0, 2)]
    documents = [Document.from_dict(raw)]
    names = {name: name + "\ud800"} if name == RTL else {}
    order = order_of(documents, [[0.9, 0.2]])
    write_report(order, np.array([0.5]), documents, tmp_path / "r.html", relation_names=names, score_name=name)
    page = Page(tmp_path / "r.html")
    assert page.tags["script"] == 1 and page.tags["svg"] == 4
    assert page.texts("mark", "head")[1:] == [" ".join(clean.split())]
    assert page.texts("mark", "tail")[1:] == [" ".join((clean + "2").split())]
    assert page.texts("bdi", "title") == [" ".join(clean.split())]
    assert 'dir="auto"' in page.html
    markdown = (tmp_path / "r.md").read_text(encoding="utf-8")
    assert "<script" not in markdown and "**a**|" not in markdown


def test_markdown_has_the_same_labels_in_bold(small):
    documents, order, trust, path = small
    write_report(order, trust, documents, path, relation_names={"died in": "place of death"}, worst=2)
    markdown = path.with_suffix(".md").read_text()
    assert (
        "1. Marie Curie — *place of death* → France (trust 0.067, never learned; Curie)\n\n"
        "   > **Marie Curie**, a physicist, was born in Warsaw and died in **France**.\n"
    ) in markdown
    assert "| 0 | 2 | 40.0% |\n| 1 | 1 | 20.0% |\n| 2 | 0 | 0.0% |\n| never | 2 | 40.0% |\n" in markdown
    assert "\n\n\n" not in markdown and markdown.count("\n## ") == 3
    assert "| born in | 2 | 0.700 | 0% |\n" in markdown and "Note:" not in markdown


def test_an_order_that_does_not_fit(small, curie):
    documents, order, trust, path = small
    assert write_report(order, trust, [*documents, replace(curie, title="new")], path) == Coverage(5, 2, 0)
    (notice,) = Page(path).texts("p", "notice")
    assert "it knows 5 of the documents' 7 labels (71.4%). Unknown labels are not part" in notice
    assert write_report(order, trust, documents[1:], path) == Coverage(2, 0, 3)
    page = Page(path)
    assert "3 of its 5 labels are not in them" in page.texts("p", "notice")[0]
    assert "3 more are not in the documents" in page.html and len(page.texts("li", "card")) == 2
    assert "Note: the learning order knows 2 of 2" in path.with_suffix(".md").read_text()


@pytest.mark.parametrize(
    "change, words",
    [
        ({"trust": np.zeros(3)}, r"each of the 5 labels needs a trust between 0 and 1, found shape \(3,\)"),
        ({"trust": np.full(5, 2.0)}, "with values from 2 to 2"),
        ({"trust": np.full(5, np.nan)}, "between 0 and 1"),
        ({"path": "report.pdf"}, "let its name end in .html"),
        ({"worst": 0}, "ask for at least 1"),
        ({"documents": corpus(["r"])}, "knows none of the documents' 1 labels"),
        ({"documents": []}, "knows none of the documents' 0 labels"),
        ({"order": LearningOrder([]), "trust": np.zeros(0)}, "the learning order is empty"),
    ],
)
def test_mistakes(small, change, words, monkeypatch):
    documents, order, trust, path = small
    monkeypatch.chdir(path.parent)
    arguments = {"order": order, "trust": trust, "documents": documents, "path": path, **change}
    with pytest.raises(FineCLError, match=words) as caught:
        write_report(**arguments)
    assert "\n" not in str(caught.value) and not list(path.parent.iterdir())


def test_a_model_that_hardly_learned_is_no_judge(tmp_path):
    documents = corpus(["r"] * 10)
    for learned, warned in ((2, True), (3, False)):
        values = np.where(np.arange(10) < learned, 0.9, 0.1)[:, None]
        write_report(order_of(documents, values), values[:, 0], documents, tmp_path / "r.html")
        assert ("learned only 20%" in Page(tmp_path / "r.html").html) == warned
        assert ("learned only 20%" in (tmp_path / "r.md").read_text()) == warned


def test_an_order_without_dynamics(tmp_path, ada, curie):
    ids = LearningOrder.for_documents([ada, curie]).instance_id.to_pylist()
    order = LearningOrder.from_json_dict({name: i % 3 for i, name in enumerate(ids)})
    write_report(order, np.linspace(0, 1, 5), [ada, curie], tmp_path / "r.html")
    page = Page(tmp_path / "r.html")
    assert page.tags["figure"] == 2 and len(page.texts("li", "card")) == 5
    assert [row.split()[0] for row in page.texts("tr")[1:]].count("born") == 1  # relations from the ids


def test_rows_that_an_epoch_did_not_see(small):
    documents, order, trust, path = small
    order.observed[:] = True
    order.observed[0] = False
    order.observed[1, 2] = False
    write_report(order, trust, documents, path)
    page = Page(path)
    assert page.html.count('class="spark"') == 4 and "nan" not in page.html


def test_labels_that_were_never_judged_are_counted_and_left_out(tmp_path):
    documents = corpus(["r"] * 30)
    order = order_of(documents, np.full((30, 2), 0.5))
    whole = LearningOrder(order.instance_id, relation=order.relation)
    for _ in range(2):
        whole.record_epoch(np.full(30, 0.5), np.zeros(30), np.zeros(30, bool), np.arange(30) < 12)
    coverage = write_report(whole, np.linspace(1, 0, 30), documents, tmp_path / "r.html")
    assert (coverage.known, coverage.unknown, coverage.unused, coverage.unjudged) == (30, 0, 0, 18)
    page = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert "18 more labels lie past the length" in page and "<b>12</b><span>labels</span>" in page
    assert "18 more labels lie past the length" in (tmp_path / "r.md").read_text(encoding="utf-8")
    tested = replace(whole, self_test=SelfTest(20, 18, "margin", 0.9, 0.8, 0.95, 0.9, (0.0, 1.0)))
    write_report(tested, np.linspace(1, 0, 30), documents, tmp_path / "tested.html")
    for name in ("tested.html", "tested.md"):
        page = (tmp_path / name).read_text(encoding="utf-8")
        assert "18 more labels gave way to labels of the self-test" in page and "lie past the length" not in page
    with pytest.raises(FineCLError, match="judged none of the labels"):
        write_report(whole.select(np.arange(30) >= 12), np.zeros(18), documents, tmp_path / "r.html")


def test_no_file_is_lost_to_a_report(tmp_path):
    documents = corpus(["r"] * 12)
    order = order_of(documents, np.full((12, 2), 0.5))
    order.write(tmp_path / "order.parquet")
    write_documents(documents, tmp_path / "silver.json")
    (tmp_path / "README.md").write_text("mine")
    with pytest.raises(FineCLError, match="README.md: there is such a file, and it is no report"):
        report_files(tmp_path / "order.parquet", tmp_path / "silver.json", tmp_path / "README.html")
    for _ in range(2):  # a report may be made again
        report_files(tmp_path / "order.parquet", tmp_path / "silver.json", tmp_path / "r.html", score="probability")
    assert (tmp_path / "README.md").read_text() == "mine"


def test_labels_that_the_run_left_out_are_no_gap_of_its_own_report(small, curie):
    """Such as those about held-out entity pairs, which a pass over the source meets again."""
    documents, order, trust, _ = small
    report = Report(order, trust, same_corpus=True)
    for document in [*documents, replace(curie, title="held out")]:
        report.see(document)
    assert report.coverage == Coverage(5, 0, 0)


def missing_label(document, head, tail, relation, score):
    name = f"{document.title}#{head}#{tail}#{relation}"
    names = document.longest_name(head), document.longest_name(tail)
    return MissingLabel(name, document.title, head, tail, relation, *names, 0.25, 1.0, 1.5, -2.0, score)


def test_facts_that_seem_to_be_missing(tmp_path):
    documents = corpus(["born in"] * 10)
    order = order_of(documents, [[0.9, 0.9]] * 10)
    missing = [missing_label(document, 1, 0, "<b>", 9.0) for document in documents]
    missing += [missing_label(documents[3], 1, 0, "P1", 1.0), missing_label(documents[4], 1, 0, "P2", 0.5)]
    options = {"relation_names": {"P1": "birthplace of"}, "missing": missing}
    write_report(order, order.probability.mean(axis=1), documents[:7], tmp_path / "report.html", worst=3, **options)
    page, text = Page(tmp_path / "report.html"), (tmp_path / "report.md").read_text()
    assert "Facts that seem to be missing" in page.texts("h2") and "## Facts that seem to be missing" in text
    keys = [value for name, value in page.attributes if name == "data-key"]
    shown = [*missing[:PER_RELATION], *missing[10:]]  # all in documents that were seen
    assert keys[3:] == [str(row.key) for row in shown]
    assert [value for name, value in page.attributes if name == "data-stratum"][3:] == ["missing"] * len(shown)
    facts = page.texts("div", "fact")[3:]
    assert facts[0] == "Tail <b> Head PER" and facts[5] == "Tail birthplace of Head PER"
    assert "of 10 judged" in page.texts("div", "bench")[0]
    assert text.count("(probability 0.250, plausibility +1.5, support of other labels -2.0; d") == len(shown)


def test_no_section_without_missing_facts(tmp_path):
    documents = corpus(["born in"] * 3)
    write_report(order_of(documents, [[0.9]] * 3), np.ones(3), documents, tmp_path / "report.html")
    assert "seem to be missing" not in (tmp_path / "report.html").read_text()
