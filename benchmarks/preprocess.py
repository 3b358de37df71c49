"""How fast is a corpus made ready for training, and how much memory does that take as it grows?

    python benchmarks/preprocess.py                          # generated documents, a random tokenizer
    python benchmarks/preprocess.py --documents dev_revised.json --model all-MiniLM-L6-v2 --sizes 1000,10000,100000

For each size, documents are repeated under new titles and written as shards. Fresh processes then do what the scripts
do: `first` reads, validates, tokenises and counts (stage 1's table of labels); `second` is run_pretrain.py started
again, up to its first batch, and then its loader; `order` the same with a learning order of five epochs. Speeds are
documents per second and worker; seconds leave the imports out.

Memory in MB, of the process itself: `peak_anon`, the most that it needs for itself (RssAnon of /proc/self/status,
looked at every 20 ms), and `peak_rss` (VmHWM), which also counts pages of memory-mapped files: the system keeps those
while there is room and drops them when there is none, so that they grow with the corpus but are not needed. `growth`
is the peak_anon of the largest size over that of the smallest, in MB. `table_anon` is the peak while stage 1 sets up
its table, which holds every label. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from itertools import cycle, islice
from pathlib import Path


sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.running import run_benchmark


ROOT = Path(__file__).parent.parent
PHASES = ("first", "second", "order")
EPOCHS = 5  # of the learning order


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", help="labelled documents (default: generated ones)")
    parser.add_argument("--model", help="encoder whose tokenizer is used (default: a random one of 4,000 words)")
    parser.add_argument("--sizes", default="1000,10000", help="numbers of documents")
    parser.add_argument("--workers", type=int, default=1, help="processes, and shards")
    parser.add_argument("--batches", type=int, default=200, help="to load, of 16 documents")
    parser.add_argument("--folder", help="where to work (default: a temporary folder)")
    parser.add_argument("--phase", choices=PHASES, help=argparse.SUPPRESS)  # what the processes are started with
    args = parser.parse_args(argv)
    if args.phase:
        result = globals()[args.phase](args)
    else:
        with tempfile.TemporaryDirectory(dir=args.folder) as folder:
            result = compare(args, Path(folder))
    print(json.dumps(result))
    return result


def compare(args, folder: Path) -> dict:
    documents, model = prepare(args, folder)
    results = {}
    for size in map(int, args.sizes.split(",")):
        part = folder / str(size)
        megabytes = write_shards(documents, size, args.workers, part / "shards")
        result = {"documents": size, "shards": args.workers, "json_mb": megabytes}
        for phase in PHASES:
            result[phase] = run_phase(phase, part, model, args)
        cache = sum(file.stat().st_size for file in (part / "cache").rglob("*") if file.is_file())
        result["cache_kb_a_document"] = round(cache / 1024 / size, 2)
        results[size] = result
        print(json.dumps(result), flush=True)
    growth = {}
    for phase in PHASES:
        peaks = [results[size][phase]["peak_anon"] for size in (min(results), max(results))]
        growth[phase] = peaks[1] - peaks[0]
    return {"workers": args.workers, "sizes": list(results.values()), "growth": growth}


def prepare(args, folder: Path) -> tuple[list, str]:
    """Some documents, and the folder of an encoder."""
    from transformers import BertConfig

    from finecl_hf.data.readers import read_documents
    from finecl_hf.synthetic.corpus import generate_corpus
    from finecl_hf.synthetic.encoder import build_small_encoder, train_tokenizer

    documents = read_documents(args.documents) if args.documents else generate_corpus(num_documents=400, seed=0).silver
    if args.model:
        return documents, args.model
    words = (word for document in documents for sentence in document.sentences for word in sentence)
    config = BertConfig(hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=64)
    return documents, build_small_encoder(train_tokenizer(words, 4000, 512), str(folder / "encoder"), config)


def write_shards(documents: list, size: int, shards: int, folder: Path) -> float:
    """Writes so many documents under titles of their own, and says how many MB they take."""
    from dataclasses import replace

    from finecl_hf.data.readers import write_documents

    numbered = enumerate(islice(cycle(documents), size))
    titled = (replace(document, title=f"{document.title} {number}") for number, document in numbered)
    for shard in range(shards):
        count = size // shards + (shard < size % shards)
        write_documents(islice(titled, count), folder / f"silver-{shard:05d}.jsonl")
    return round(sum(file.stat().st_size for file in folder.iterdir()) / 2**20, 1)


def run_phase(phase: str, folder: Path, model: str, args) -> dict:
    options = {"phase": phase, "folder": folder, "model": model, "workers": args.workers, "batches": args.batches}
    command = [sys.executable, __file__, *(f"--{name}={value}" for name, value in options.items())]
    environment = {**os.environ, "TOKENIZERS_PARALLELISM": "false", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{phase} failed:\n{done.stdout}\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


class Memory:
    """The most anonymous memory that this process had while it was watched."""

    def __enter__(self) -> Memory:
        self.peak_anon, self._done = 0, threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *error) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        while True:
            self.peak_anon = max(self.peak_anon, memory_of("RssAnon"))
            if self._done.wait(0.02):
                return


def memory_of(name: str) -> int:
    """A figure of /proc/self/status in MB."""
    with open("/proc/self/status", encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith(f"{name}:")) // 1024


def arguments_of(args) -> dict[str, str]:
    return {
        "model_name_or_path": args.model,
        "train_file": f"{args.folder}/shards",
        "cache_dir": f"{args.folder}/cache",
        "output_dir": f"{args.folder}/out",
        "preprocessing_num_workers": args.workers,
        "weight_scheme": "uniform",
        "gradient_accumulation_steps": 1,
        "max_steps": 1,
        "use_cpu": True,
    }


def first(args) -> dict:
    """What stages 1 and 2 do with a corpus that they have never seen."""
    import numpy as np

    from finecl_hf.denoising.outputs import new_order
    from finecl_hf.pretraining.arguments import PretrainArguments
    from finecl_hf.training.arguments import DataArguments, ModelArguments, parse_arguments
    from finecl_hf.training.loading import load_silver, load_training_corpus
    from finecl_hf.training.scripts import start_run

    flags = [f"--{name}={value}" for name, value in arguments_of(args).items()]
    model, data, training = parse_arguments((ModelArguments, DataArguments, PretrainArguments), flags)
    start_run(training)
    seconds = {}
    with Memory() as memory:
        corpus, seconds["read"] = timed(load_training_corpus, data, training)
        silver, seconds["tokenise"] = timed(load_silver, model, data, training)  # reads the documents from the cache
        peak_rss = memory_of("VmHWM")
    with Memory() as table:
        order, seconds["count"] = timed(new_order, silver, data, training)
    speed = {f"{name}_per_s": round(len(corpus) / taken / args.workers) for name, taken in seconds.items()}
    speed["read_and_tokenise_per_s"] = round(len(corpus) / (seconds["read"] + seconds["tokenise"]) / args.workers)
    result = {**speed, "facts": len(order), "peak_anon": memory.peak_anon, "peak_rss": peak_rss}
    result["table_anon"] = table.peak_anon
    random = np.random.default_rng(0)
    for _ in range(EPOCHS):
        order.record_epoch(random.random(len(order)), random.normal(size=len(order)), random.random(len(order)) < 0.5)
    order.write(f"{args.folder}/order.parquet")
    return result


def second(args, **flags) -> dict:
    """run_pretrain.py, started again: from its arguments to its first batch, and then the loader."""
    import run_pretrain
    from finecl_hf import PretrainTrainer
    from finecl_hf.training.checkpoints import describe_run

    begin = time.perf_counter()

    def train(self, **kwargs):
        """Instead of the training: what it does before the first step, and the batches."""
        describe_run(self)
        batches = iter(self.get_train_dataloader())
        next(batches)
        result["seconds"] = round(time.perf_counter() - begin, 2)
        result["loaded_anon"] = memory_of("RssAnon")
        loaded = sum(1 for _ in islice(batches, args.batches))
        result.update(batches=loaded, loading_anon=memory_of("RssAnon"))
        raise _Stopped

    result: dict = {}
    PretrainTrainer.train = train
    with Memory() as memory:
        try:
            run_pretrain.main([f"--{name}={value}" for name, value in {**arguments_of(args), **flags}.items()])
        except _Stopped:
            pass
    return {**result, "peak_anon": memory.peak_anon, "peak_rss": memory_of("VmHWM")}


def order(args) -> dict:
    """The same with the weights of a learning order."""
    return second(args, learning_order=f"{args.folder}/order.parquet", weight_scheme="linear")


class _Stopped(Exception):
    pass


def timed(function, *args):
    """What a function returns, and the seconds it took."""
    begin = time.perf_counter()
    result = function(*args)
    return result, time.perf_counter() - begin


if __name__ == "__main__":
    run_benchmark(main)
