"""The main job in a few minutes, nothing downloaded: noisy documents in, a relation extractor out.

    make quickstart                                  # or: python examples/quickstart.py --output_dir quickstart_output

1. A generated corpus with distantly supervised labels, a third of them wrong (the truth is known, so we can look).
2. Stage 1 records when each label is learned, the paper's sign of a right one, and more; one score uses all of it.
3. Stage 2 pre-trains a small random encoder on the silver documents, once trusting early labels more (FineCL) and once
   trusting all alike (uniform weights: ERICA).
4. Stage 3 fine-tunes both encoders, and the random one without pre-training, on a small gold set.
5. The result extracts facts from held-out documents, and from raw text.
"""

import argparse
import json
import os
import re
import sys
import time
from pathlib import Path


sys.path.insert(0, str(Path(__file__).parent.parent))  # the run_*.py scripts lie beside the package

import numpy as np
from transformers import ModernBertConfig

import run_denoise
import run_finetune
import run_pretrain
from benchmarks.ranking import auroc
from finecl_hf import LearningOrder, RelationExtractionPipeline
from finecl_hf.data.documents import Document
from finecl_hf.denoising.charts import plot_learning_order
from finecl_hf.learning_order.trust import RECOMMENDED, unit_trust
from finecl_hf.synthetic.corpus import SyntheticCorpus, generate_corpus, write_corpus
from finecl_hf.synthetic.encoder import build_small_encoder, train_tokenizer


FIFTHS = ("first fifth", "second fifth", "third fifth", "fourth fifth", "last fifth")


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output_dir", default="quickstart_output")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--documents", type=int, default=800, help="silver documents")
    parser.add_argument("--gold_documents", type=int, default=200, help="to fine-tune on")
    parser.add_argument("--pretrain_steps", type=int, default=120)
    args = parser.parse_args(argv)
    folder = Path(args.output_dir)
    if folder.exists() and any(folder.iterdir()):
        sys.exit(f"{folder} is not empty; remove it or choose another --output_dir.")
    start = time.perf_counter()

    heading("A corpus whose labels come from a knowledge base")
    corpus = generate_corpus(num_documents=args.documents, num_train=args.gold_documents, seed=args.seed)
    write_corpus(corpus, folder / "data")
    describe(corpus)
    encoder = small_encoder(corpus, folder / "random_encoder", args.seed)

    heading("Stage 1: when is each label learned?")
    common = ["--rel_info", f"{folder}/data/rel_info.json", "--seed", str(args.seed), "--logging_steps", "100"]
    common += ["--entity_markers", "asterisk"]
    silver = ["--train_file", f"{folder}/data/silver.json", *common]
    denoise = ["--model_name_or_path", encoder, *silver, "--output_dir", f"{folder}/denoise"]
    denoise += ["--num_train_epochs", "5", "--per_device_train_batch_size", "8"]
    order = run_denoise.main([*denoise, "--learning_rate", "3e-3", "--na_ratio", "10"])
    show_learning_order(order, corpus.truth, folder / "learning_order.png")

    heading("Stage 2: pre-train with the order's weights, and with uniform ones")
    pretrain = ["--model_name_or_path", encoder, *silver, "--max_steps", str(args.pretrain_steps)]
    pretrain += ["--gradient_accumulation_steps", "1", "--learning_rate", "2e-3", "--warmup_steps", "0.1"]
    schemes = {
        "FineCL weights": ["--learning_order", f"{folder}/denoise/learning_order.parquet"],
        "uniform weights": ["--weight_scheme", "uniform"],
    }
    encoders, seconds = {"no pre-training": encoder}, {"no pre-training": 0.0}
    for name, flags in schemes.items():
        print(f"\n{name}:")
        encoders[name] = f"{folder}/encoder_{name.split()[0].lower()}"
        seconds[name] = run_pretrain.main([*pretrain, *flags, "--output_dir", encoders[name]])["train_runtime"]

    heading(f"Stage 3: fine-tune each encoder on {args.gold_documents} gold documents")
    gold = [f"--{part}_file={folder}/data/gold_{part}.json" for part in ("train", "validation", "test")]
    finetune = [*gold, *common, "--num_train_epochs", "7", "--learning_rate", "1e-3", "--save_strategy", "no"]
    finetune += ["--load_best_model_at_end", "false", "--per_device_train_batch_size", "4"]
    rows = {}
    for name, path in encoders.items():
        print(f"\n{name}:")
        extractor = f"{folder}/extractor_{Path(path).name.removeprefix('encoder_')}"
        rows[name] = run_finetune.main(["--model_name_or_path", path, *finetune, "--output_dir", extractor])

    heading("Results on the gold test documents")
    show_results(rows, seconds)
    print(f"\nSeed {args.seed}, one run each; small differences between the pre-trained rows mean nothing.")
    with open(folder / "results.json", "w", encoding="utf-8") as file:
        json.dump({name: {**row, "pretrain_seconds": seconds[name]} for name, row in rows.items()}, file, indent=2)

    extractor, names = f"{folder}/extractor_finecl", f"{folder}/names.tsv"
    write_names([*corpus.silver, *corpus.gold_test], names)
    extract = RelationExtractionPipeline.from_pretrained(extractor, recogniser=names)
    heading("Facts found in held-out documents whose entities are marked (+ stated there, - not stated)")
    for document in corpus.gold_test[:3]:
        print("\n" + plain_text(document))
        show_triples(extract(document), document)

    heading("From raw text to triples: the next held-out document, nothing marked, names found by a list")
    document = corpus.gold_test[3]
    text = plain_text(document)
    print(f'extract = RelationExtractionPipeline.from_pretrained("{extractor}", recogniser="{names}")')
    print(f'extract("{text}")\n')
    show_triples(extract(text), document, text)
    show_raw_text_total(corpus.gold_test, extract)
    print(f"\nEverything lies in {folder}; it took {time.perf_counter() - start:.0f} s.")


def heading(text: str) -> None:
    print(f"\n{'=' * 88}\n{text}\n{'=' * 88}", flush=True)


def describe(corpus: SyntheticCorpus) -> None:
    wrong = 1 - sum(corpus.truth.values()) / len(corpus.truth)
    print(
        f"{len(corpus.silver):,} documents with {len(corpus.truth):,} silver labels of {len(corpus.relation_names)} "
        f"relations, {wrong:.0%} of them wrong; {len(corpus.gold_train)} gold documents to fine-tune on, "
        f"{len(corpus.gold_validation)} to validate, {len(corpus.gold_test)} to test. One of them:\n"
    )
    document = corpus.silver[0]
    print(f"  {plain_text(document)}")
    for fact in document.relations[:6]:
        verdict = "right" if corpus.truth[document.instance_id(fact)] else "WRONG"
        head, tail = (document.entities[entity][0].name for entity in (fact.head, fact.tail))
        print(f"  {verdict}: {head} -- {corpus.relation_names[fact.relation]} --> {tail}")


def small_encoder(corpus: SyntheticCorpus, folder: Path, seed: int) -> str:
    """A random encoder; short-range attention, because it must learn English from a thousand documents."""
    words = (word for document in corpus.silver for sentence in document.sentences for word in sentence)
    tokenizer = train_tokenizer(words, vocab_size=1200, model_max_length=256)
    config = ModernBertConfig(
        hidden_size=128,
        intermediate_size=256,
        num_hidden_layers=3,
        num_attention_heads=4,
        local_attention=8,
        global_attn_every_n_layers=3,
        initializer_range=0.08,  # about 1 / sqrt(hidden_size)
    )
    return build_small_encoder(tokenizer, str(folder), config, seed)


def show_learning_order(order: LearningOrder, truth: dict[str, bool], picture: Path) -> None:
    is_right = np.array([truth[instance] for instance in order.instance_id.to_pylist()])
    epochs = {f"epoch {epoch}": order.first_epoch == epoch for epoch in range(order.num_epochs)}
    show_shares("first predicted", {**epochs, "never": order.first_epoch < 0}, is_right)

    trust = unit_trust(RECOMMENDED, order)
    most_trusted_first = np.array_split(np.argsort(-trust, kind="stable"), len(FIFTHS))
    show_shares("most trusted", dict(zip(FIFTHS, most_trusted_first, strict=True)), is_right)

    print("\nHow often a right label is trusted more than a wrong one (AUROC; 0.5 is chance):")
    print(f"{'first epoch':>16}{auroc(unit_trust('first_epoch', order), is_right):>9.3f}  the paper's score")
    print(f"{RECOMMENDED:>16}{auroc(trust, is_right):>9.3f}  the recommended score, which sorts the second table")
    plot_learning_order(order, picture, is_right)
    print(f"\nThe picture: {picture}")


def show_shares(title: str, groups: dict[str, np.ndarray], is_right: np.ndarray) -> None:
    """A table of how many labels of each group are right."""
    print(f"\n{title:>16}{'labels':>9}{'right':>8}")
    for name, group in {**groups, "all": slice(None)}.items():
        labels = is_right[group]
        if len(labels):
            print(f"{name:>16}{len(labels):>9,}{labels.mean():>8.0%}")


def show_triples(triples: list[dict], document: Document, text: str = "") -> None:
    """Triples marked as right or wrong; with the text they were found in, also the sentences that show them."""
    stated = stated_facts(document)
    for triple in triples:
        mark = "+" if fact_of(triple) in stated else "-"
        print(f"  {mark} {triple['head']} -- {triple['name']} --> {triple['tail']}  ({triple['score']:.2f})")
        for start, end in triple["evidence_spans"] if text else []:
            print(f"      {text[start:end]}")
    right = count_right(triples, document)
    print(f"  {right} of {len(stated)} facts found, {len(triples) - right} wrong")


def show_raw_text_total(documents: list[Document], extract: RelationExtractionPipeline) -> None:
    found = extract([plain_text(document) for document in documents])
    right = sum(map(count_right, found, documents))
    facts = sum(len(stated_facts(document)) for document in documents)
    print(
        f"\nIn the raw text of all {len(documents)} test documents: {right} of {facts} facts found, "
        f"{sum(map(len, found)) - right} wrong."
    )


def count_right(triples: list[dict], document: Document) -> int:
    return len(stated_facts(document) & set(map(fact_of, triples)))


def stated_facts(document: Document) -> set[tuple[str, str, str]]:
    """(head, relation, tail) of the facts that the document states, by the full names of the entities."""
    names = [entity[0].name for entity in document.entities]
    return {(names[fact.head], fact.relation, names[fact.tail]) for fact in document.relations}


def fact_of(triple: dict) -> tuple[str, str, str]:
    return triple["head"], triple["relation"], triple["tail"]


def write_names(documents: list[Document], path: str) -> None:
    """A list of names for the recogniser: name, type, and the full name, which tells what a short one stands for."""
    names = {}
    for document in documents:
        for entity in document.entities:
            for mention in entity:
                names[mention.name] = f"{mention.name}\t{mention.type}\t{entity[0].name}\n"
    Path(path).write_text("".join(names.values()), encoding="utf-8")


def plain_text(document: Document) -> str:
    """The document as a person would write it: no space before a full stop, and nothing marked."""
    words = " ".join(word for sentence in document.sentences for word in sentence)
    return re.sub(r" (?=[.,)]|'s\b)|(?<=\() ", "", words)


def show_results(rows: dict[str, dict[str, float]], seconds: dict[str, float]) -> None:
    print(f"{'encoder':<18}{'F1':>8}{'Ign F1':>9}{'precision':>11}{'recall':>9}{'pre-training':>15}")
    for name, row in rows.items():
        figures = "".join(
            f"{row[f'test_{metric}']:>{width}.3f}"
            for metric, width in (("f1", 8), ("ign_f1", 9), ("precision", 11), ("recall", 9))
        )
        print(f"{name:<18}{figures}{seconds[name]:>13.0f} s")
    best = max(rows, key=lambda name: rows[name]["test_f1"])
    if best == "no pre-training":
        print("\nIn this run pre-training did not help.")


if __name__ == "__main__":
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    main()
