"""Thousands of spoilt inputs: each is read, or refused in a sentence, in time; what is read comes back equal."""

import csv
import gzip
import io
import json
import random
import shutil
import signal
import warnings
import zlib
from contextlib import contextmanager
from functools import cache

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from finecl_hf.data.formats import formats
from finecl_hf.data.readers import iter_documents, read_documents, valid_records, write_documents
from finecl_hf.data.relation_names import read_relation_choice, read_relation_names
from finecl_hf.denoising.arguments import DenoiseArguments
from finecl_hf.distant.projection import ProjectionOptions, project_files
from finecl_hf.errors import DocumentError, FineCLError
from finecl_hf.learning_order.table import LearningOrder
from finecl_hf.learning_order.trust import unit_trust
from finecl_hf.metrics import docred_scores, predicted_titles
from finecl_hf.synthetic.corpus import generate_corpus
from finecl_hf.training.arguments import DataArguments, ModelArguments, parse_arguments
from tests.data.formats import test_bioc, test_brat, test_conll04, test_dygie, test_spert
from tests.data.formats.test_sentences import SEMEVAL, fewrel, opennre, tacred
from tests.helpers.format_examples import EXAMPLES
from tests.helpers.mutations import mutated, scrambled, to_json
from tests.helpers.random_documents import random_document
from tests.helpers.small_orders import make


SECONDS = 10  # for one input
DOCUMENTS = generate_corpus(num_documents=4, seed=5).gold_test[:3]
RAW = [document.to_dict() for document in DOCUMENTS]
TRIPLES = [
    {"head": DOCUMENTS[0].entities[0][0].name, "relation": "P1", "tail": DOCUMENTS[0].entities[1][0].name},
    {"head": 'a "b"', "relation": "P2", "tail": "c;d"},
]
LISTS = [
    [test_dygie.RECORD],
    [test_bioc.RECORD],
    {"source": "", "documents": [test_bioc.RECORD]},
    [test_spert.RECORD] * 2,
]  # records of formats that other tools write
TEXTS = [("a.corp", test_conll04.FILE), ("a.ann", test_brat.ANNOTATIONS), ("a.xml", test_bioc.XML)]


@contextmanager
def in_time():
    def late(number, frame):
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


# How a spoilt input of each kind is made: (name of a file, its bytes) ------------------------------------------------


def _as_lines(records, draw):
    return b"\n".join(to_json(record, draw).replace(b"\n", b" ") for record in records)


def json_documents(draw):
    value = mutated(draw.choice((RAW, [tacred(), tacred(id="2")], {"P1": [fewrel(), fewrel()]})), draw)
    data = to_json(value, draw)
    return "a.json", scrambled(data, draw) if draw.random() < 0.3 else data


def line_documents(draw):
    records = draw.choice((RAW, [opennre(), opennre(relation="x")], [tacred()]))
    data = _as_lines([mutated(record, draw) if draw.random() < 0.7 else record for record in records], draw)
    data = scrambled(data, draw) if draw.random() < 0.3 else data
    return ("a.jsonl.gz", scrambled(gzip.compress(data), draw)) if draw.random() < 0.1 else ("a.jsonl", data)


def text_documents(draw):
    return "a.txt", scrambled(SEMEVAL.encode(), draw)


def lists_of_other_tools(draw):
    value = mutated(draw.choice(LISTS), draw)
    data = to_json(value, draw)
    return "a.json", scrambled(data, draw) if draw.random() < 0.3 else data


def texts_of_other_tools(draw):
    name, text = draw.choice(TEXTS)
    return name, scrambled(text.encode(), draw)


@cache
def docbin():
    pytest.importorskip("spacy")
    from tests.data.formats.test_docbin import docbin_of

    return docbin_of([random_document(seed) for seed in range(4)])


def spacy_documents(draw):
    """What is packed, with a part of it changed; or the file, scrambled."""
    whole = docbin()
    if draw.random() < 0.2:
        return "a.spacy", scrambled(whole, draw)
    import srsly

    parts = srsly.msgpack_loads(zlib.decompress(whole))
    if draw.random() < 0.5:
        parts = mutated(parts, draw)
    else:
        key = draw.choice(("tokens", "spaces", "lengths", "user_data", "span_groups"))
        data, place = (parts, key) if isinstance(parts[key], bytes) else (parts[key], draw.randrange(len(parts[key])))
        data[place] = scrambled(data[place], draw)
    try:
        return "a.spacy", zlib.compress(srsly.msgpack_dumps(parts))
    except (ValueError, OverflowError, UnicodeError):  # values that it cannot hold
        return "a.spacy", whole[:-1]


def _parquet(rows, draw):
    """Rows as a table, if Arrow can find types for them."""
    file = io.BytesIO()
    try:
        table = pa.Table.from_pylist([row for row in rows if isinstance(row, dict)])
        pq.write_table(table, file)
    except (pa.ArrowException, ValueError, TypeError, OverflowError, RecursionError, UnicodeError):
        return b"PAR1" + to_json(rows, draw)[:200]
    return scrambled(file.getvalue(), draw) if draw.random() < 0.3 else file.getvalue()


def parquet_documents(draw):
    rows = [mutated(record, draw) for record in draw.choice((RAW, [fewrel()], [opennre()]))]
    return "a.parquet", _parquet(rows, draw)


def json_orders(draw):
    data = to_json(mutated({f"d#0#{i}#P1": i % 3 - 1 for i in range(6)}, draw), draw)
    return "a.json", scrambled(data, draw) if draw.random() < 0.3 else data


def parquet_orders(draw):
    table = make([f"d#0#{i}#P1" for i in range(8)]).to_table()
    for _ in range(draw.choice((0, 1, 1, 2))):
        place = draw.randrange(table.num_columns)
        name, column = table.column_names[place], table.column(place)
        action = draw.randrange(5)
        try:
            if action == 0:
                table = table.drop_columns([name])
            elif action == 1:
                table = table.set_column(place, name, table.column(draw.randrange(table.num_columns)))
            elif action == 2:
                table = table.set_column(place, name, column.cast(draw.choice((pa.string(), pa.int8(), pa.float64()))))
            elif action == 3:
                table = table.take(pa.array([0, 0, *range(len(table))]))
            else:
                values = mutated(column.to_pylist(), draw)
                values = (values if isinstance(values, list) else [])[: len(table)]
                table = table.set_column(
                    place, name, pa.array(values + [None] * (len(table) - len(values)), column.type)
                )
        except (pa.ArrowException, ValueError, TypeError, OverflowError):
            continue
    file = io.BytesIO()
    pq.write_table(table, file)
    return "a.parquet", scrambled(file.getvalue(), draw) if draw.random() < 0.4 else file.getvalue()


def tables(draw):
    kind = draw.choice(("tsv", "csv", "jsonl", "parquet"))
    rows = mutated(TRIPLES * 2, draw)
    rows = [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
    if kind == "jsonl":
        data = _as_lines(rows, draw)
    elif kind == "parquet":
        return "kb.parquet", _parquet(rows, draw)
    else:
        file = io.StringIO()
        writer = csv.writer(file, delimiter="\t" if kind == "tsv" else ",")
        writer.writerows([str(cell).replace("\ud800", "?") for cell in row.values()] for row in rows)
        data = file.getvalue().encode("utf-8", "replace")
    return f"kb.{kind}", scrambled(data, draw) if draw.random() < 0.5 else data


def names(draw):
    data = to_json(mutated({"P1": "one", "P2": "two", "NA": "none"}, draw), draw)
    return "rel_info.json", scrambled(data, draw) if draw.random() < 0.3 else data


def predictions(draw):
    rows = [{"title": document.title, "h_idx": 0, "t_idx": 1, "r": "P1", "evidence": [0]} for document in DOCUMENTS]
    return "p.json", to_json(mutated(rows, draw), draw)


def configurations(draw):
    values = {
        "model_name_or_path": "encoder", "train_file": "a.json", "output_dir": "/tmp/finecl_hf_never_made",
        "use_cpu": True, "learning_rate": 1e-4, "num_train_epochs": 2, "lr_scheduler_kwargs": {"a": 1},
        "optim": "adamw_torch", "hide_names": "type", "per_device_train_batch_size": 4, "report_to": ["none"],
    }  # fmt: skip
    values = mutated(values, draw)
    if draw.random() < 0.5:
        data = to_json(values, draw)
        return "c.json", scrambled(data, draw) if draw.random() < 0.3 else data
    try:
        data = yaml.safe_dump(values, allow_unicode=True).encode("utf-8", "surrogatepass")
    except (yaml.YAMLError, RecursionError, UnicodeError):
        data = b"a: [" * 500
    return "c.yaml", scrambled(data, draw) if draw.random() < 0.5 else data


# What is done with it ----------------------------------------------------------------------------------------------


def tool_files(draw):
    """Files of the other tools, by the formats of which this knows an example."""
    name, data = draw.choice(EXAMPLES)
    if name.endswith((".json", ".jsonl")):
        records = json.loads(data) if name.endswith(".json") else list(map(json.loads, data.splitlines()))
        records = mutated(records, draw)
        lines = isinstance(records, list) and name.endswith(".jsonl")
        data = _as_lines(records, draw) if lines else to_json(records, draw)
        return name, scrambled(data, draw) if draw.random() < 0.2 else data
    return name, scrambled(data, draw)


def read_and_write(path, tmp_path):
    documents = [item for item in iter_documents(path) if not isinstance(item, DocumentError)]
    for name in ("again.json", "again.parquet") if documents else ():
        write_documents(documents, tmp_path / name)
        assert read_documents(tmp_path / name) == documents
    return documents


def read_and_write_alike(path, tmp_path):
    """Reads, and writes in the format that it was."""
    path.with_suffix(".txt").write_text(test_brat.TEXT)  # what the annotations are of
    records = list(valid_records(path, skip_invalid=True, quiet=True))
    documents, format = [record.item for record in records], records[0].format
    if format == "docred" or formats()[format].write is None:
        return
    folder = tmp_path / "again"
    shutil.rmtree(folder, ignore_errors=True)
    again = folder / f"a{(formats()[format].suffixes or ('.json',))[0]}"
    try:
        write_documents(documents, again, format=format)
    except DocumentError:
        return  # said to have no place there
    assert len(read_documents(again)) == len(documents)


def read_order(path, tmp_path):
    order = LearningOrder.read(path)
    LearningOrder.read(path, names=False).weights()
    order.summary()
    for name in ("first_epoch", "evidence")[: 1 + (order.num_epochs > 0)]:
        unit_trust(name, order)
    order.write(tmp_path / "again.parquet")
    assert len(LearningOrder.read(tmp_path / "again.parquet")) == len(order)
    LearningOrder.merge([order, order], on_conflict="min", calibrate=order.num_epochs > 0)


def project(path, tmp_path):
    write_documents(DOCUMENTS, tmp_path / "documents.json")
    options = ProjectionOptions(memory_gb=0.5)
    project_files(str(tmp_path / "documents.json"), [str(path)], str(tmp_path / "out.json"), options)


def read_names(path, tmp_path):
    for name in read_relation_names(str(path)):
        assert name == name.strip()
    read_relation_choice([str(path)])


def score(path, tmp_path):
    rows = json.loads(path.read_bytes())
    figures = docred_scores(rows if isinstance(rows, list) else [rows], DOCUMENTS)
    assert all(0 <= value <= 1 for value in figures.values())
    predicted_titles(rows if isinstance(rows, list) else [rows])


def parse(path, tmp_path):
    parse_arguments((ModelArguments, DataArguments, DenoiseArguments), [str(path)])


KINDS = {  # how many of 30,000
    "JSON documents": (5000, json_documents, read_and_write),
    "lines of documents": (4000, line_documents, read_and_write),
    "text documents": (1500, text_documents, read_and_write),
    "lists of other tools": (3000, lists_of_other_tools, read_and_write_alike),
    "texts of other tools": (2000, texts_of_other_tools, read_and_write_alike),
    "files of spaCy": (1000, spacy_documents, read_and_write_alike),
    "parquet documents": (2000, parquet_documents, read_and_write),
    "files of tools": (4000, tool_files, read_and_write),
    "JSON orders": (1500, json_orders, read_order),
    "parquet orders": (1500, parquet_orders, read_order),
    "triple tables": (1000, tables, project),
    "relation names": (1000, names, read_names),
    "predictions": (1000, predictions, score),
    "configurations": (1500, configurations, parse),
}


def spoil(kind, count, tmp_path, seed):
    """Tries so many inputs. Returns how many were read."""
    _, make_input, action = KINDS[kind]
    read = 0
    for number in range(count):
        draw = random.Random(f"{seed} {kind} {number}")
        name, data = make_input(draw)
        path = tmp_path / name
        path.write_bytes(data)
        try:
            with in_time(), warnings.catch_warnings(), np.errstate(all="ignore"):
                warnings.simplefilter("ignore")
                action(path, tmp_path)
            read += 1
        except FineCLError as error:
            text = str(error)
            assert text.strip() and "Traceback" not in text, (kind, seed, number)
            text.encode()
        except (Exception, TimeoutError) as error:
            raise AssertionError(f"{kind}, seed {seed}, number {number}: {error!r}; {data[:400]!r}") from error
    return read


@pytest.mark.parametrize("kind", KINDS)
def test_a_few(kind, tmp_path):
    count = KINDS[kind][0] // 50
    read = spoil(kind, count, tmp_path, seed=1)
    assert 0 < read < count  # some are spoilt, some are not


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_many_thousand(kind, tmp_path):
    spoil(kind, KINDS[kind][0], tmp_path, seed=2)
    assert sum(count for count, _, _ in KINDS.values()) == 30_000
