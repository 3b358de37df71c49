"""Type constraints: counted, read, and applied like a loop over pairs would."""

import json

import pytest
import torch

from finecl_hf.data.documents import Document, Fact, Mention
from finecl_hf.errors import FineCLError
from finecl_hf.extraction.configuration import FineCLConfig
from finecl_hf.extraction.predictions import candidate_rows, decode_rows, document_candidates
from finecl_hf.extraction.type_constraints import (
    allowed_relations,
    learned_constraints,
    read_constraints,
    type_constraints,
)
from finecl_hf.hashing import type_key


LABELS = {"NA": 0, "born in": 1, "lies in": 2, "knows": 3}


def facts(relation, head, tail, count):
    entities = [[Mention("a", 0, 0, 1, head)], [Mention("b", 0, 1, 2, tail)]]
    return [
        Document(f"{relation}{head}{tail}{i}", [["a", "b"]], entities, [Fact(0, 1, relation)]) for i in range(count)
    ]


def test_what_training_shows_is_learned():
    documents = [
        *facts("born in", "PER", "LOC", 97), *facts("born in", "PER", "ORG", 3), *facts("born in", "TIME", "LOC", 2),
        *facts("born in", "PER", "", 50), *facts("lies in", "LOC", "LOC", 9), *facts("knows", "PER", "PER", 10),
    ]  # fmt: skip
    # 3 of 102 are a slip, as 2 are; facts of untyped entities tell nothing; 9 facts are too few
    assert learned_constraints(documents) == {"born in": [["PER", "LOC"]], "knows": [["PER", "PER"]]}
    documents += facts("born in", "PER", "ORG", 1)
    assert learned_constraints(documents)["born in"] == [["PER", "LOC"], ["PER", "ORG"]]
    assert learned_constraints(documents) == learned_constraints(reversed(documents))
    assert type_constraints("learned", facts("knows", "", "", 99), LABELS) is None
    assert type_constraints("none", documents, LABELS) is None


def test_facts_of_many_types_forbid_nothing():
    """Each pair of types is rare, though none is a slip."""
    fine = [document for i in range(40) for document in facts("knows", f"A{i}", f"B{i}", 10)]
    assert type_constraints("learned", fine, LABELS) is None
    assert learned_constraints(fine + facts("born in", "A0", "B0", 20)) == {"born in": [["A0", "B0"]]}
    half = [document for i in range(40) for document in facts("knows", f"A{i}", f"B{i}", 1)]
    assert learned_constraints(half + facts("knows", "PER", "PER", 159)) == {}  # 80 % are not reached
    assert learned_constraints(half + facts("knows", "PER", "PER", 160)) == {"knows": [["PER", "PER"]]}


@pytest.mark.parametrize("seed", range(5))
def test_allowed_relations_are_those_of_the_loop(seed):
    constraints = {"born in": [["PER", "LOC"], ["PER", "ORG"]], "knows": [["PER", "PER"]]}
    draw = torch.Generator().manual_seed(seed)
    names = ["PER", "LOC", "ORG", "", "DRAGON"]
    types = [names[i] for i in torch.randint(5, (8,), generator=draw).tolist()]
    pairs = torch.randint(8, (40, 2), generator=draw)
    found = allowed_relations(constraints, LABELS, torch.tensor([type_key(name) for name in types]), pairs)
    for row, (head, tail) in zip(found.tolist(), pairs.tolist(), strict=True):
        for relation, number in LABELS.items():
            known = types[head] in names[:3] and types[tail] in names[:3]
            forbidden = known and relation in constraints and [types[head], types[tail]] not in constraints[relation]
            assert row[number] is not forbidden


def test_nothing_forbidden_is_a_candidate():
    """Wherever candidates are made: in evaluation, prediction and the pipeline."""
    config = FineCLConfig.for_labels(LABELS, type_constraints={"knows": [["PER", "PER"]]})
    batch = {
        "pairs": torch.tensor([[0, 1], [1, 0], [2, 3]]), "pair_counts": [2, 1], "entity_counts": [2, 2],
        "entity_type": torch.tensor([type_key(name) for name in ("PER", "PER", "PER", "LOC")]),
    }  # fmt: skip
    logits = torch.randn(3, 4, generator=torch.Generator().manual_seed(0))
    free = document_candidates(logits, batch, FineCLConfig.for_labels(LABELS))
    first, second = document_candidates(logits, batch, config)
    assert first.score.tolist() == free[0].score.tolist() and len(free[1].score) == 3
    assert 3 in second.relation or len(second.score) == 3  # LOC is named by no constraint
    config.type_constraints = {"knows": [["PER", "PER"], ["LOC", "LOC"]]}
    first, second = document_candidates(logits, batch, config)
    assert len(first.score) == 6 and sorted(second.relation) == [1, 2]
    same = decode_rows(list(candidate_rows(logits, batch, config).numpy()), config)
    assert same[1].score.tolist() == second.score.tolist()


def test_a_file_of_constraints(tmp_path):
    path = tmp_path / "types.json"
    path.write_text(json.dumps({"knows": [["PER", "PER"], ["ORG", "PER"], ["PER", "PER"]]}))
    assert type_constraints(str(path), None, LABELS) == {"knows": [["ORG", "PER"], ["PER", "PER"]]}


def test_types_that_no_document_has_are_told(tmp_path, caplog):
    path = tmp_path / "types.json"
    path.write_text('{"knows": [["PER", "PERS"]], "lies in": [["LOC", "PER"]]}')
    documents = facts("born in", "PER", "LOC", 1)
    assert type_constraints(str(path), documents, LABELS)["knows"] == [["PER", "PERS"]]
    assert "no entity of the training documents has the type PERS; theirs are LOC, PER" in caplog.text


@pytest.mark.parametrize(
    ("text", "message"),
    [("[]", "object"), ('{"hates": [["PER", "PER"]]}', "hates"), ('{"NA": [["PER", "PER"]]}', "NA"),
     ('{"knows": []}', "knows"), ('{"knows": [["PER"]]}', "pairs of types"), ('{"knows": [["PER", 1]]}', "pairs"),
     ("{", "JSON")],
)  # fmt: skip
def test_what_is_wrong_in_a_file_is_said(text, message, tmp_path):
    path = tmp_path / "types.json"
    path.write_text(text)
    with pytest.raises(FineCLError, match=f"--type_constraints .*{message}"):
        read_constraints(str(path), LABELS)
    with pytest.raises(FineCLError, match="no such file"):
        read_constraints(str(tmp_path / "nothing"), LABELS)
