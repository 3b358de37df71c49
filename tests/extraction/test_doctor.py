"""Documents against the encoder: length, words, what its vectors know of labels, and learning by heart."""

import random
from dataclasses import replace

import pytest
import torch

from finecl_hf.data.documents import Document
from finecl_hf.data.health import LOOK, OK, WRONG
from finecl_hf.data.tally import Tally
from finecl_hf.errors import FineCLError
from finecl_hf.extraction import doctor
from finecl_hf.extraction.doctor import (
    documents_to_overfit,
    encoder_findings,
    neighbour_agreement,
)
from finecl_hf.extraction.overfitting import Overfitting


def tally(documents, role="train"):
    counted = Tally(role, f"{role}.json")
    counted.see_all(documents)
    return counted


def diagnose(documents, folder, **options):
    return list(encoder_findings([tally(documents)], str(folder), "document", **{"overfit_seconds": 0, **options}))


def of(found, check):
    (finding,) = [finding for finding in found if finding.check == check]
    return finding


def people(count, shuffle=False):
    """Persons that are born in a place, or work for a company; `shuffle` draws which."""
    draw, documents = random.Random(0), []
    for number in range(count):
        born = draw.random() < 0.5 if shuffle else number % 2 == 0
        words = ("Ada Lovelace was born in London ." if number % 2 == 0 else "Alan Turing works for company .").split()
        place = len(words) - 2
        entities = [
            [{"name": " ".join(words[a:b]), "sent_id": 0, "pos": [a, b]}] for a, b in ((0, 2), (place, place + 1))
        ]
        labels = [{"h": 0, "t": 1, "r": "born in" if born else "works for"}]
        raw = {"title": f"{number}", "sents": [words], "vertexSet": entities, "labels": labels}
        documents.append(Document.from_dict(raw))
    return documents


def test_sound_documents(bert_folder):
    found = diagnose(people(110), bert_folder, overfit_seconds=60)
    assert {(f.check, f.mark) for f in found} == {
        (check, OK) for check in ("length", "vocabulary", "text and labels", "overfitting")
    }
    assert of(found, "text and labels").figures["same"] == 1
    assert "F1 1.000" in of(found, "overfitting").found


def test_shuffled_labels(bert_folder):
    finding = of(diagnose(people(110, shuffle=True), bert_folder), "text and labels")
    assert finding.mark == WRONG and "shuffled" in finding.means


def test_long_documents(ada, curie, bert_folder):
    found = of(diagnose([ada, curie], bert_folder, max_seq_length=12), "length")
    assert found.mark == LOOK and found.figures["over"] == 2 and found.figures["facts"] > 0
    assert of(diagnose([ada, curie], bert_folder), "length").mark == OK


@pytest.mark.parametrize("alphabet, mark", [("abc", OK), ("αβγδε", WRONG)])
def test_words_of_another_script(alphabet, mark, ada, bert_folder):
    words = ["Ada", "born", "in", "London"] * 5 if alphabet == "abc" else [alphabet] * 20
    document = replace(ada, sentences=[words, words], relations=[])
    finding = of(diagnose([document], bert_folder), "vocabulary")
    assert finding.mark == mark and (finding.figures["unknown"] > 0.9) == (mark == WRONG)
    assert (alphabet in finding.found) == (mark == WRONG)


def test_small_letters_for_a_vocabulary_with_capitals(ada, bert_folder, roberta_folder):
    small = replace(ada, sentences=[[word.lower() for word in sentence] for sentence in ada.sentences])

    def capitals(document, folder):
        return [f for f in diagnose([document], folder) if "capital" in f.found]

    assert [f.mark for f in capitals(small, roberta_folder)] == [LOOK]
    assert not capitals(ada, roberta_folder) and not capitals(small, bert_folder)


def test_neighbours_by_a_loop():
    generator = torch.Generator().manual_seed(0)
    vectors, labels = torch.randn(30, 6, generator=generator), torch.rand(30, 4, generator=generator) < 0.4
    document = torch.arange(30) // 3
    same = 0
    for i in range(30):
        others = [j for j in range(30) if document[j] != document[i]]
        centred = vectors - vectors.mean(dim=0)
        best = max(others, key=lambda j: float(torch.cosine_similarity(centred[i], centred[j], dim=0)))
        same += bool((labels[i] & labels[best]).any())
    share, chance, deviation = neighbour_agreement(vectors, labels, document)
    assert share == pytest.approx(same / 30) and 0 < chance < 1 and deviation > 0


def test_short_documents_with_facts_are_overfitted(ada, curie):
    documents = [
        replace(ada, title="x", relations=[]),
        *(replace(d, title=f"{i}") for i, d in enumerate([ada, curie] * 40)),
    ]
    chosen = documents_to_overfit(documents)
    assert len(chosen) == doctor.TO_OVERFIT and all(document.relations for document in chosen)
    assert {document.title for document in chosen} == {f"{i}" for i in range(1, 60, 2)}  # the shorter of the two


@pytest.mark.parametrize(
    "result, mark, word",
    [
        ({"f1": 1.0, "ended": "learned"}, OK, "by heart"),
        ({"f1": 0.97, "ended": "time"}, OK, "by heart"),
        ({"f1": 0.6, "ended": "time"}, LOOK, "--overfit_seconds 40"),
        ({"f1": 0.6, "ended": "stuck"}, WRONG, "contradict"),
        ({"f1": 0.99, "ended": "diverged"}, WRONG, "not finite"),
    ],
)
def test_what_overfitting_means(result, mark, word):
    finding = doctor._overfitted(Overfitting(30, 100, **result), 10)
    assert finding.mark == mark and word in f"{finding.found} {finding.means} {finding.advice}"


def test_an_encoder_that_is_not_there_is_one_sentence(ada):
    with pytest.raises(FineCLError, match="no such folder"):
        diagnose([ada], "/no/such/encoder")
