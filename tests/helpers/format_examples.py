"""A small file of each format that other tools write, as they write it: (name, its bytes)."""

import io
import json

import openpyxl


def sheet(rows):
    """An Excel workbook with these rows."""
    book, file = openpyxl.Workbook(), io.BytesIO()
    for row in rows:
        book.active.append(row)
    book.save(file)
    return file.getvalue()


TABLE = [
    ["id", "sentence", "head", "tail", "relation", "head_start", "head_end", "score"],
    [1, "Ada met Babbage in London.", "Ada", "Babbage", "knows", 0, 3, 0.5],
    [2, "Ada was born in London.", "Ada", "London", None, None, None, None],
]
CSV = "\n".join(",".join("" if cell is None else str(cell) for cell in row) for row in TABLE).encode()
TEXT = "Ada met Babbage in London."


def _labels(name, start, end, kind):
    value = {"start": start, "end": end, "text": TEXT[start:end], "labels": [kind]}
    return {"value": value, "id": name, "from_name": "label", "to_name": "text", "type": "labels"}


LABEL_STUDIO = [
    {
        "id": 6,
        "annotations": [
            {"id": 2, "was_cancelled": True, "result": []},
            {
                "id": 3,
                "was_cancelled": False,
                "result": [
                    _labels("a1", 0, 3, "PER"),
                    _labels("b2", 8, 15, "PER"),
                    {"from_id": "a1", "to_id": "b2", "type": "relation", "direction": "right", "labels": ["knows"]},
                    {
                        "value": {"choices": ["good"]},
                        "id": "c3",
                        "from_name": "q",
                        "to_name": "text",
                        "type": "choices",
                    },
                ],
            },
        ],
        "predictions": [],
        "data": {"text": TEXT},
        "meta": {},
    }
]
DOCCANO = {
    "id": 11,
    "text": TEXT,
    "entities": [
        {"id": 1, "label": "PER", "start_offset": 0, "end_offset": 3},
        {"id": 2, "label": "PER", "start_offset": 8, "end_offset": 15},
    ],
    "relations": [{"id": 1, "from_id": 1, "to_id": 2, "type": "knows"}],
    "Comments": [],
}
_PLACES = [(0, 3), (4, 7), (8, 15), (16, 18), (19, 25), (25, 26)]
PRODIGY = {
    "text": TEXT,
    "tokens": [{"text": TEXT[a:b], "start": a, "end": b, "id": i, "ws": True} for i, (a, b) in enumerate(_PLACES)],
    "spans": [
        {"start": 0, "end": 3, "token_start": 0, "token_end": 0, "label": "PER"},
        {"start": 8, "end": 15, "token_start": 2, "token_end": 2, "label": "PER"},
    ],
    "relations": [{"head": 0, "child": 2, "label": "knows"}],
    "answer": "accept",
    "_task_hash": -5,
}


def lines(*records):
    return "\n".join(map(json.dumps, records)).encode() + b"\n"


TRIPLES = {
    "text": TEXT,
    "triples": [["Ada", "knows", "Babbage"], {"head": "Ada", "relation": "was in", "tail": "London", "score": 0.9}],
}
REBEL = {"input": TEXT, "generated": "<s><triplet> Ada <subj> Babbage <obj> knows <subj> London <obj> was in</s>"}
GLINER = {
    "text": TEXT,
    "entities": [
        {"start": 0, "end": 3, "text": "Ada", "label": "PER", "score": 0.9},
        {"start": 8, "end": 15, "text": "Babbage", "label": "PER", "score": 0.8},
    ],
    "relations": [
        {
            "head_pos": [0, 1],
            "tail_pos": [2, 3],
            "head_text": ["Ada"],
            "tail_text": ["Babbage"],
            "label": "knows",
            "score": 0.7,
        }
    ],
}
GLINER2 = {
    "text": TEXT,
    "entities": {"person": ["Ada", {"text": "Babbage", "start": 8, "end": 15, "confidence": 0.9}]},
    "relation_extraction": {
        "knows": [["Ada", "Babbage"]],
        "was in": [{"head": {"text": "Ada", "confidence": 0.5}, "tail": {"text": "London", "confidence": 0.7}}],
    },
}


def _extraction(kind, text, start, attributes=None):
    interval = {"start_pos": start, "end_pos": start + len(text)}
    return {"extraction_class": kind, "extraction_text": text, "char_interval": interval, "attributes": attributes}


LANGEXTRACT = {
    "document_id": "doc_1",
    "text": TEXT,
    "extractions": [
        _extraction("person", "Ada", 0, {"was in": "London", "mood": "glad"}),
        _extraction("person", "Babbage", 8),
        _extraction("place", "London", 19),
        _extraction("relationship", "met", 4, {"head": "Ada", "tail": "Babbage", "relation": "knows"}),
    ],
}
EXAMPLES = [
    *(
        (f"silver{number}.jsonl", lines(record))
        for number, record in enumerate((TRIPLES, REBEL, GLINER, GLINER2, LANGEXTRACT))
    ),
    ("labelstudio.json", json.dumps(LABEL_STUDIO, indent=2).encode()),
    ("doccano.jsonl", lines(DOCCANO, {**DOCCANO, "id": 12})),
    ("prodigy.jsonl", lines(PRODIGY, {**PRODIGY, "meta": {"title": "b"}})),
    ("a.csv", b"\xef\xbb\xbf" + CSV.replace(b"\n", b"\r\n")),
    ("a.tsv", CSV.replace(b",", b"\t")),
    ("b.csv", CSV.replace(b"Ada met", b'"Ada ""met"""').replace(b",", b";")),
    ("a.xlsx", sheet(TABLE)),
]
