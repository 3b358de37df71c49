"""What does recording the learning order cost? Memory, disk and time at 1.5 million labels; its share of a step.

    python benchmarks/recorder.py --folder runs                         # about ten minutes on two cores
    python benchmarks/recorder.py --labels 50000 --epochs 5 --steps 20  # a look

1. Table: `--labels` labels in generated documents, `--epochs` epochs, recorded as stage 1's trainer drives
   `LearningOrderCallback` (a judgement of each label in steps of `--documents_per_step`, a checkpoint in the middle of
   an epoch and at each end), read back, resumed from the checkpoint, and scored by every score. In a process of its
   own; memory is the peak of the resident set above what the imports take.
2. Step: stage 1's training steps on generated documents with and without recording, in turns. `share` is the time
   inside the callback's recording as a part of the steps that record.
The last line is JSON.
"""

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace


sys.path.insert(0, str(Path(__file__).parent.parent))

import numpy as np
import torch
from transformers import TrainerControl, TrainerState

from benchmarks.running import run_benchmark
from finecl_hf import LearningOrder, LearningOrderCallback
from finecl_hf.data.documents import Document, Fact, Mention
from finecl_hf.denoising.recorder import TABLE
from finecl_hf.learning_order.trust import SCORES, unit_trust


ENTITIES, FACTS, RELATIONS, TYPES = 18, 12, 900, ["PER", "ORG", "LOC", "TIME", "NUM", "MISC"]


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--labels", type=int, default=1_500_000)
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--documents_per_step", type=int, default=32)
    parser.add_argument("--documents", type=int, default=400, help="of the training steps")
    parser.add_argument("--model", help="encoder of the training steps (default: a random one of 4 layers, 256 wide)")
    parser.add_argument("--steps", type=int, default=40, help="training steps to time, half of them without recording")
    parser.add_argument("--batch_size", type=int, default=8, help="documents of a training step")
    parser.add_argument("--device", help="cpu keeps the training steps off a GPU")
    parser.add_argument("--only", choices=["table", "step"], help="one of the two parts")
    parser.add_argument("--folder", help="where to put the files (default: a temporary folder)")
    parser.add_argument("--inside", help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    if args.inside:  # this is the process of its own
        return print(json.dumps(record_table(Path(args.inside), args)))
    if args.folder:
        os.makedirs(args.folder, exist_ok=True)
    result = {"labels": args.labels, "epochs": args.epochs, "cpus": os.cpu_count()}
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        if args.only != "step":
            words = [sys.executable, __file__, "--inside", folder, *(sys.argv[1:] if argv is None else argv)]
            printed = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True).stdout
            result["table"] = json.loads(printed.splitlines()[-1])
        if args.only != "table":
            result["step"] = time_steps(Path(folder), args)
    print(json.dumps(result))
    return result


# 1. The table


class Memory:
    """Peak of the resident set (Linux) in phases, in MB above what it was at the start."""

    def __init__(self):
        self.start = self._read("VmRSS")
        self.peaks = {}

    def phase(self, name):
        """Ends the phase that went on until now."""
        self.peaks[name] = round(self._read("VmHWM") - self.start)
        Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew from what is resident

    @staticmethod
    def _read(name):
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith(name)) / 1024


def record_table(folder, args):
    memory, seconds = Memory(), {}

    def note(name, start):
        seconds[name] = round(time.perf_counter() - start, 2)
        memory.phase(name)

    start = time.perf_counter()
    order = LearningOrder.for_documents(documents(args.labels))
    labels = len(order)
    note("for_documents", start)
    start = time.perf_counter()
    callback, closing, saving = record(order, folder, args)
    note("recording", start)
    del order, callback
    start = time.perf_counter()
    order = LearningOrder.read(folder / TABLE)
    note("reading", start)
    assert order.observed.all() and order.num_epochs == args.epochs
    scores = {}
    for name in [*SCORES, "probability_within_relation"]:
        start = time.perf_counter()
        unit_trust(name, order)
        scores[name] = round(time.perf_counter() - start, 2)
        memory.phase(f"score {name}")
    start = time.perf_counter()
    _, coverage = order.weights().of(order.key)
    note("coverage", start)
    assert coverage.known == labels
    del order
    start = time.perf_counter()
    LearningOrderCallback(LearningOrder.for_documents(documents(args.labels))).load(folder / "checkpoint-1")
    note("for_documents and resuming", start)
    return {
        "peak_rss_mb": max(memory.peaks.values()), "import_rss_mb": round(memory.start), "peaks_mb": memory.peaks,
        "file_mb": round((folder / TABLE).stat().st_size / 1e6, 1), "seconds": seconds,
        "epoch_close_seconds": round(statistics.median(closing), 2), "last_epoch_close_seconds": round(closing[-1], 2),
        "save_seconds": {name: round(value, 2) for name, value in saving.items()}, "score_seconds": scores,
    }  # fmt: skip


def record(order, folder, args):
    """All epochs, as a trainer drives the callback. Returns it, the seconds of each closing and of the saves."""
    callback = LearningOrderCallback(order)
    arguments = SimpleNamespace(output_dir=str(folder), num_train_epochs=args.epochs, learning_rate=1e-4)
    state, control = TrainerState(epoch=0.0), TrainerControl()
    rng = np.random.default_rng(0)
    skill = rng.normal(-1, 2, len(order)).astype(np.float32)  # logit of each label in the first epoch
    closing, saving = [], {}
    for epoch in range(args.epochs):
        state.epoch = float(epoch)
        callback.on_epoch_begin(arguments, state, control)
        # Documents are drawn in any order, and their labels lie together
        steps = np.array_split(rng.permutation(len(order) // FACTS), len(order) // FACTS // args.documents_per_step)
        for i, step in enumerate(steps):
            rows = (step[:, None] * FACTS + np.arange(FACTS)).ravel()
            logit = skill[rows] + 0.4 * epoch + rng.normal(0, 1, len(rows)).astype(np.float32)
            loss = np.logaddexp(0, -logit).astype(np.float32)
            callback.observe(torch.from_numpy(order.key[rows]), torch.from_numpy(loss), torch.from_numpy(logit))
            if epoch == args.epochs - 1 and i == len(steps) // 2:
                saving["in the middle of an epoch"] = save(callback, folder / "checkpoint-1")
        state.epoch = float(epoch + 1)
        start = time.perf_counter()
        callback.on_epoch_end(arguments, state, control)
        closing.append(time.perf_counter() - start)
    saving["at its end"] = save(callback, folder / "checkpoint-2")
    callback.on_train_end(arguments, state, control)
    return callback, closing, saving


def save(callback, folder):
    folder.mkdir()
    start = time.perf_counter()
    callback.save(folder)
    return time.perf_counter() - start


def documents(labels):
    """Documents of the size of DocRED's, with twelve facts each."""
    rng = random.Random(0)
    words = [f"word{i}" for i in range(5000)]
    relations = [f"P{i}" for i in range(RELATIONS)]
    pairs = [(head, tail) for head in range(ENTITIES) for tail in range(ENTITIES) if head != tail]
    for number in range(-(-labels // FACTS)):
        sentences = [rng.sample(words, 24) for _ in range(8)]
        entities = []
        for entity in range(ENTITIES):
            sentence, start = entity % 8, 3 * (entity // 8)
            entities.append([Mention(sentences[sentence][start], sentence, start, start + 1, rng.choice(TYPES))])
        facts = [
            Fact(head, tail, relations[int(rng.random() ** 3 * RELATIONS)]) for head, tail in rng.sample(pairs, FACTS)
        ]
        document = Document(f"{' '.join(rng.sample(words, 2))} {number}", sentences, entities, facts)
        yield Document.from_json(document.to_json())  # as a corpus is read: every word a string of its own


# 2. The step


def time_steps(folder, args):
    """Median seconds of a step with and without recording, and the share of the recording."""
    import run_denoise
    from finecl_hf import write_documents
    from finecl_hf.denoising.trainer import DenoiseTrainer

    write_documents(list(documents(args.documents * FACTS)), folder / "silver.jsonl")
    flags = {
        "model_name_or_path": args.model or small_encoder(folder), "train_file": folder / "silver.jsonl",
        "output_dir": folder / "run", "max_steps": args.steps, "per_device_train_batch_size": args.batch_size,
        "save_strategy": "no", "disable_tqdm": True, "use_cpu": args.device == "cpu",
    }  # fmt: skip
    seconds, recording = {True: [], False: []}, []
    step, after_forward = DenoiseTrainer.training_step, LearningOrderCallback.after_forward
    records = True

    def timed_step(self, *inputs, **kwargs):
        nonlocal records
        records = self.state.global_step % 2 == 0
        start = clock()
        loss = step(self, *inputs, **kwargs)
        seconds[records].append(clock() - start)
        return loss

    def timed_after_forward(self, *inputs):
        if records:
            start = clock()
            after_forward(self, *inputs)
            recording.append(clock() - start)

    DenoiseTrainer.training_step, LearningOrderCallback.after_forward = timed_step, timed_after_forward
    try:
        run_denoise.main([f"--{name}={value}" for name, value in flags.items()])
    finally:
        DenoiseTrainer.training_step, LearningOrderCallback.after_forward = step, after_forward
    with_it, without, own = (statistics.median(values[2:]) for values in (seconds[True], seconds[False], recording))
    return {
        "steps": args.steps, "batch_size": args.batch_size, "device": "cpu" if _on_cpu(args) else "cuda",
        "model": args.model or "random, 4 layers, 256 wide", "seconds_with": round(with_it, 4),
        "seconds_without": round(without, 4), "recording_seconds": round(own, 6), "share": round(own / with_it, 5),
        "difference": round(with_it / without - 1, 4),
    }  # fmt: skip


def clock():
    if torch.cuda.is_available():
        torch.cuda.synchronize()  # else the time of the kernels would be missed
    return time.perf_counter()


def _on_cpu(args):
    return args.device == "cpu" or not torch.cuda.is_available()


def small_encoder(folder):
    from transformers import BertConfig

    from finecl_hf.synthetic.encoder import build_small_encoder, train_tokenizer

    texts = (" ".join(sentence) for document in documents(200 * FACTS) for sentence in document.sentences)
    config = BertConfig(hidden_size=256, num_hidden_layers=4, num_attention_heads=4, intermediate_size=1024)
    return build_small_encoder(train_tokenizer(texts, 4000, 512), folder / "encoder", config)


if __name__ == "__main__":
    run_benchmark(main)
