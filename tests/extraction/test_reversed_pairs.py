import csv

import pytest

from finecl_hf import FineCLConfig
from finecl_hf.data.corpus import documents_of, load_corpus
from finecl_hf.extraction.reversed_pairs import with_reversed_pairs
from tests.helpers.script_runs import run


BOUGHT = ("Acme bought Zephyr.", "Acme", "Zephyr", "bought")
ROWS = [
    BOUGHT,
    ("Ada married Bob.", "Ada", "Bob", "married to"),
    ("Ada married Bob.", "Bob", "Ada", "married to"),
    ("Cleo married Dan.", "Cleo", "Dan", "married to"),  # which holds both ways, as the rows above show
    ("Eve is the mother of Finn.", "Eve", "Finn", "parent"),
    ("Eve is the mother of Finn.", "Finn", "Eve", "child"),
    ("Gus is the father of Hal.", "Gus", "Hal", "parent"),  # whose inverse is another relation
    ("Ida met Jo.", "Ida", "Jo", ""),
    ("Kim sold Lux.", "Kim", "Lux", "sold"),
    ("Kim sold Lux.", "Lux", "Kim", "NA"),  # said by the table itself
    ("Mia made Nut.", "Mia", "Nut", "maker(e1,e2)"),
]


def table(path, rows=ROWS):
    with open(path, "w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("sentence", "head", "tail", "relation"), *rows])
    return path


def test_only_relations_that_go_one_way_are_reversed(tmp_path):
    corpus = load_corpus(str(table(tmp_path / "rows.csv")))
    before = {document.title: document for document in documents_of(corpus)}
    whole = with_reversed_pairs(corpus)
    assert whole.features == corpus.features and whole["key"] == sorted(whole["key"])
    (added,) = [document for document in documents_of(whole) if document.title not in before]
    original = before[added.title.removesuffix(" reversed")]
    assert original.label == "bought" and added.relations == [] and added.labelled and added.is_sentence
    assert [added.entities[place][0].name for place in added.pairs[0]] == ["Zephyr", "Acme"]
    assert (added.sentences, added.text) == (original.sentences, original.text)


def test_a_corpus_without_such_relations_stays_as_it_is(tmp_path):
    corpus = load_corpus(str(table(tmp_path / "rows.csv", ROWS[1:])))
    assert with_reversed_pairs(corpus) is corpus


@pytest.mark.parametrize("flags, count", [((), 12), (("--reversed_pairs", "false"), 11)])
def test_runs_train_on_them_and_count_the_files_own(flags, count, bert_folder, corpus, tmp_path, trainers):
    out = tmp_path / "out"
    train = table(tmp_path / "rows.csv")
    run(
        "finetune",
        bert_folder,
        corpus,
        out,
        "--task",
        "sentence",
        *flags,
        train_file=train,
        rel_info=None,
        max_steps=1,
    )
    assert len(trainers[0].train_dataset) == len(trainers[0].corpus) == count
    assert [(data.documents, data.facts) for data in trainers[0].card_data.datasets] == [(11, 9)]
    assert FineCLConfig.from_pretrained(out).entity_markers == "punct"
