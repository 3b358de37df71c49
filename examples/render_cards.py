"""Makes the example cards of model_cards/examples: each is the README.md that a run of a script leaves or pushes.

    HF_HUB_OFFLINE=1 python examples/render_cards.py

Tiny runs on a generated corpus, under a minute on a CPU and nothing downloaded. The figures on the cards are those of
these runs, so they show what a card looks like, not what the method can do.
"""

import argparse
import os
import shutil
import sys
import tempfile
from pathlib import Path


sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # the run_*.py scripts lie beside the package

from transformers import BertConfig

import run_denoise
import run_finetune
import run_pretrain
from finecl_hf.denoising.publishing import stage_learning_order
from finecl_hf.synthetic.corpus import generate_corpus, write_corpus
from finecl_hf.synthetic.encoder import build_small_encoder, train_tokenizer


CARDS = Path(__file__).resolve().parent.parent / "model_cards" / "examples"
DEVICE = ["--use_cpu", "--disable_tqdm", "true"]
SILVER = ["--train_file", "data/silver.json", "--rel_info", "data/rel_info.json"]
GOLD = ["--train_file", "data/gold_train.json", "--validation_file", "data/gold_validation.json"]
GOLD += ["--test_file", "data/gold_test.json", "--rel_info", "data/rel_info.json"]
FINETUNE = [*GOLD, "--num_train_epochs", "15", "--learning_rate", "2e-3", "--eval_strategy", "epoch"]
FINETUNE += ["--save_strategy", "no", "--logging_steps", "10"]


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output_dir", type=Path, default=CARDS)
    output = parser.parse_args(argv).output_dir.resolve()
    output.mkdir(parents=True, exist_ok=True)
    here = os.getcwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)  # cards name files as the command line does
        try:
            run_stages()
            for name in ("denoiser", "learning_order", "encoder", "relation_model", "lora_adapter"):
                shutil.copy(f"{name}/README.md", output / f"{name}.md")
        finally:
            os.chdir(here)
    print(f"Wrote the cards to {output}")


def run_stages() -> None:
    """Runs the three stages in the working folder, the last one also with adapters."""
    corpus = generate_corpus(num_documents=30, num_train=30, num_validation=15, num_test=15)
    write_corpus(corpus, "data")
    words = (word for document in corpus.silver for sentence in document.sentences for word in sentence)
    sizes = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 128}
    build_small_encoder(train_tokenizer(words, 600, model_max_length=256), "random_encoder", BertConfig(**sizes))

    denoise = [*model("random_encoder"), *SILVER, "--output_dir", "denoiser", "--learning_rate", "3e-3"]
    run_denoise.main([*denoise, "--per_device_train_batch_size", "4", "--logging_steps", "8", *DEVICE])

    os.mkdir("learning_order")  # the dataset that a push would upload
    stage_learning_order(Path("denoiser"), Path("learning_order"), "user/learning_order")

    pretrain = [*model("random_encoder"), *SILVER, "--learning_order", "denoiser/learning_order.parquet"]
    pretrain += ["--output_dir", "encoder", "--learning_rate", "1e-3", "--max_steps", "20", "--warmup_steps", "2"]
    pretrain += ["--gradient_accumulation_steps", "1", "--per_device_train_batch_size", "8"]
    run_pretrain.main([*pretrain, "--logging_steps", "5", *DEVICE])

    run_finetune.main([*model("encoder"), *FINETUNE, "--output_dir", "relation_model", *DEVICE])
    run_finetune.main([*model("encoder"), *FINETUNE, "--use_lora", "--output_dir", "lora_adapter", *DEVICE])


def model(name: str) -> list[str]:
    return ["--model_name_or_path", name]


if __name__ == "__main__":
    main()
