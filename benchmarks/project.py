"""How fast is distant supervision from a large triple table, and does its memory stay flat?

    python benchmarks/project.py                                # 1 and 20 million rows, 5,000 documents
    python benchmarks/project.py --rows 100000000 --documents 20000 --format parquet

Generates a table of triples between Wikidata ids and documents of which some entities stand in it, runs `finecl-hf
project` in a process of its own, once for each number of rows, and reports rows and documents a second and the peak of
the resident memory. `seconds` is the whole command, `scan_seconds` what it takes longer than with a table of one row.
The last line is JSON.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path


sys.path.insert(0, str(Path(__file__).parent.parent))

import duckdb

from benchmarks.running import run_benchmark
from finecl_hf.data.documents import Document, Mention
from finecl_hf.data.readers import write_documents


HEADS, TAILS, RELATIONS = 2_500_009, 5_000_011, 900  # so many entities and relations, however many rows


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000_000, 20_000_000])
    parser.add_argument("--documents", type=int, default=5000, help="of 20 entities each")
    parser.add_argument("--format", choices=["tsv", "parquet", "jsonl"], default="tsv")
    parser.add_argument("--match", choices=["name", "id"], default="id")
    parser.add_argument("--memory_gb", type=float, default=2.0, help="what the join may take")
    parser.add_argument("--folder", help="where to put the files (default: a temporary folder)")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        folder = Path(folder)
        write_documents(documents(args.documents, min(args.rows), args.seed), folder / "documents.jsonl")
        runs = [run(folder, rows, args) for rows in [1, *args.rows]]
    for result in runs[1:]:
        result["scan_seconds"] = round(max(result["seconds"] - runs[0]["seconds"], 1e-3), 2)
        result["rows_per_second"] = round(result["rows"] / result["scan_seconds"])
    result = {
        "format": args.format, "match": args.match, "memory_gb": args.memory_gb, "cpus": os.cpu_count(),
        "documents": args.documents, "documents_per_second": round(args.documents / runs[0]["seconds"]),
        "baseline": runs[0], "runs": runs[1:],
    }  # fmt: skip
    print(json.dumps(result))
    return result


def documents(count, num_rows, seed):
    """Documents of 20 entities: five heads of the table with their tails, and ten that are unknown to it."""
    rng = random.Random(seed)
    for number in range(count):
        rows = [1 + rng.randrange(num_rows) for _ in range(5)] if number else [1]
        ids = dict.fromkeys(id for row in rows for id in (f"Q{row * 7919 % HEADS}", f"Q{row * 104_729 % TAILS}"))
        ids = [*ids, *(f"X{number}-{i}" for i in range(20 - len(ids)))]
        words = [f"Name {id}" for id in ids]
        entities = [
            [Mention(word, 0, i, i + 1, "MISC", id)] for i, (word, id) in enumerate(zip(words, ids, strict=True))
        ]
        yield Document(f"document {number}", [words], entities, labelled=False)


def run(folder, rows, args):
    table, silver = folder / f"{rows}.{args.format}", folder / "silver.jsonl"
    write_table(table, rows, args)
    command = [
        sys.executable, "-m", "finecl_hf.cli", "project", "--documents", folder / "documents.jsonl",
        "--knowledge_base", table, "--output", silver, "--match", args.match, "--memory_gb", args.memory_gb,
        "--report", folder / "report.json",
    ]  # fmt: skip
    size = table.stat().st_size
    start = time.perf_counter()
    peak = peak_memory([str(word) for word in command])
    seconds = time.perf_counter() - start
    report = json.loads((folder / "report.json").read_text())
    assert report["knowledge_base"]["rows"] == rows
    result = {
        "rows": rows, "table_mb": round(size / 1e6), "seconds": round(seconds, 2), "peak_rss_mb": peak,
        "rows_used": report["knowledge_base"]["rows_used"], "labels": report["labels"],
    }  # fmt: skip
    table.unlink()
    print(json.dumps(result), file=sys.stderr)
    return result


def write_table(path, rows, args):
    prefix = "Name " if args.match == "name" else ""
    triples = f"""SELECT '{prefix}Q' || (i * 7919 % {HEADS}) AS head, 'P' || (i % {RELATIONS}) AS relation,
        '{prefix}Q' || (i * 104729 % {TAILS}) AS tail FROM range(1, {rows} + 1) AS t(i)"""
    options = {"tsv": "FORMAT csv, DELIMITER '\t', HEADER false", "parquet": "FORMAT parquet", "jsonl": "FORMAT json"}
    with duckdb.connect() as connection:
        connection.execute("SET memory_limit = '2GB'; SET preserve_insertion_order = false")
        connection.execute(f"COPY ({triples}) TO '{path}' ({options[args.format]})")


def peak_memory(command):
    """Runs a command and returns the peak of its resident memory in MB."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    errors = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(errors)
    return round(usage.ru_maxrss / 1024)


if __name__ == "__main__":
    run_benchmark(main)
