"""Flags and configuration files: one set of checks for both, and mistakes in one sentence."""

import dataclasses
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from transformers import TrainingArguments

from finecl_hf.denoising.arguments import DenoiseArguments
from finecl_hf.errors import DocumentError, FineCLError
from finecl_hf.extraction.arguments import DEFAULTS, EvaluationArguments, FinetuneArguments
from finecl_hf.extraction.configuration import FineCLConfig
from finecl_hf.pretraining.arguments import PretrainArguments
from finecl_hf.training.arguments import (
    DataArguments,
    FineCLTrainingArguments,
    ModelArguments,
    parse_arguments,
    run_script,
)


ROOT = Path(__file__).parents[2]


@pytest.fixture
def needed(tmp_path):
    """Values that every run must give."""
    return {"model_name_or_path": "enc", "train_file": "train.json", "output_dir": str(tmp_path / "out")}


@pytest.fixture
def parse(needed, tmp_path):
    """Parses flags, with what is needed in front, or the values of a file and the flags behind it."""

    def run(*flags, file=None, kind=DenoiseArguments, text=None):
        types = (ModelArguments, DataArguments, kind)
        if file is None:
            return parse_arguments(types, [*(w for k, v in needed.items() for w in (f"--{k}", v)), *flags])
        path = tmp_path / file
        path.write_text(text if isinstance(text, str) else json.dumps({**needed, **text}))
        return parse_arguments(types, [str(path), *flags])

    return run


def test_flags_and_defaults(parse):
    model, data, args = parse("--na_ratio", "2", "--dtype=bfloat16", "--skip_invalid", "--learning_rate", "1e-3")
    assert (model.model_name_or_path, model.dtype, model.max_seq_length) == ("enc", "bfloat16", None)
    assert str(model.torch_dtype) == "torch.bfloat16"
    assert (data.train_source, data.train_split, data.skip_invalid) == ("train.json", None, True)
    assert (args.na_ratio, args.learning_rate, args.loss, args.num_train_epochs) == (2.0, 1e-3, "softmax", 5.0)


def test_a_hub_dataset_has_a_split(needed):
    argv = ["--model_name_or_path", "e", "--dataset_name", "user/corpus", "--output_dir", needed["output_dir"]]
    _, data, _ = parse_arguments((ModelArguments, DataArguments, DenoiseArguments), argv)
    assert (data.train_source, data.train_split) == ("user/corpus", "train")


@pytest.mark.parametrize("file", ["config.json", "config.yaml", "config.yml"])
def test_a_file_gives_what_flags_give(file, parse):
    text = {"na_ratio": 2, "skip_invalid": True, "bf16": False, "learning_rate": 0.001, "max_seq_length": None}
    from_file = parse(file=file, text=text)
    from_flags = parse("--na_ratio", "2", "--skip_invalid", "--bf16", "false", "--learning_rate", "0.001")
    assert [vars(a) for a in from_file[:2]] == [vars(a) for a in from_flags[:2]]
    assert from_file[2].to_dict() == from_flags[2].to_dict()


def test_yaml_reads_1e_4_as_text_and_we_as_a_number(parse, needed):
    lines = [f"{key}: {value}" for key, value in needed.items()]
    lines += [
        "learning_rate: 1e-4",
        "weight_decay: 1.0e-5",
        "report_to: [none]",
        "lr_scheduler_kwargs: {num_cycles: 2}",
    ]
    _, _, args = parse(file="config.yaml", text="\n".join(lines))
    assert args.learning_rate == 1e-4 and isinstance(args.learning_rate, float) and args.weight_decay == 1e-5
    assert args.report_to == [] and args.lr_scheduler_kwargs == {"num_cycles": 2}


def test_flags_override_the_file(parse):
    text = {"na_ratio": 2, "skip_invalid": True, "preset": "paper", "logging_steps": 7}
    _, data, args = parse(
        "--na_ratio", "5", "--skip_invalid", "false", "--train_file=other.json", file="c.json", text=text
    )
    assert (args.na_ratio, data.skip_invalid, data.train_file, args.logging_steps) == (5.0, False, "other.json", 7)


PUBLISHED = {  # docs/method.md names the sources
    DenoiseArguments: {
        "loss": "bce", "na_ratio": 3.0, "num_train_epochs": 15, "learning_rate": 4e-5, "warmup_steps": 0.1,
        "per_device_train_batch_size": 32, "max_grad_norm": 0.1, "order_mode": "batch",
    },
    PretrainArguments: {
        "learning_rate": 3e-5, "weight_decay": 1e-5, "warmup_steps": 500, "per_device_train_batch_size": 16,
        "gradient_accumulation_steps": 16, "na_pairs": 32, "max_negatives": 64, "max_steps": 6000, "temperature": 0.05,
        "max_grad_norm": 1.0, "weight_cutoff": 5, "na_weight": 0.5, "mlm_probability": 0.15,
    },
    FinetuneArguments: {
        "head": "bilinear", "head_learning_rate": 4e-5,
        "loss": "bce", "na_ratio": 3.0, "num_train_epochs": 200, "learning_rate": 4e-5, "warmup_steps": 0.1,
        "per_device_train_batch_size": 32, "max_grad_norm": 0.1, "weight_decay": 0.0,
    },
}  # fmt: skip


@pytest.mark.parametrize("kind", PUBLISHED)
def test_the_published_recipe(kind, parse, tmp_path):
    given = {"learning_order": "order.parquet"} if kind is PretrainArguments else {}
    *_, args = parse("--preset", "paper", *(word for k, v in given.items() for word in (f"--{k}", v)), kind=kind)
    in_python = kind.from_preset("paper", output_dir=str(tmp_path), **given)
    for name, value in PUBLISHED[kind].items():
        assert getattr(args, name) == getattr(in_python, name) == value, name
    assert in_python.preset == "paper"
    assert kind.from_preset("paper", output_dir="o", learning_rate=1.0, **given).learning_rate == 1.0
    with pytest.raises(FineCLError, match="no preset 'best'.*paper"):
        kind.from_preset("best", output_dir="o")


def test_what_a_preset_says_of_the_model_is_not_lost_in_silence(caplog):
    args = DenoiseArguments.from_preset("projected", output_dir="o")
    assert args.head_learning_rate == 1e-3
    assert "hide_names='type'" in caplog.text and "attention_dropout=0.0" in caplog.text


@pytest.mark.parametrize(
    "flags, epochs, loss",
    [
        ([], 200, "bce"),
        (["--train_fraction", "1"], 200, "bce"),
        (["--train_fraction", "0.1"], 400, "bce"),
        (["--train_fraction=0.01"], 400, "bce"),
        (["--train_fraction", "0.1", "--num_train_epochs", "3"], 3, "bce"),
        (["--task", "sentence"], 8, "softmax"),
        (["--task", "sentence", "--train_fraction", "0.1"], 20, "softmax"),
        (["--task=sentence", "--train_fraction", "0.01"], 50, "softmax"),
    ],
)
def test_the_published_recipe_takes_longer_over_fewer_documents(flags, epochs, loss, parse):
    model, _, args = parse("--preset", "paper", *flags, kind=FinetuneArguments)
    assert (args.num_train_epochs, args.loss) == (epochs, loss)
    chosen = ("linear", "punct") if args.task == "sentence" else ("bilinear", None)
    assert (args.head, model.entity_markers) == chosen
    with pytest.raises(FineCLError, match="train_fraction"):
        parse("--preset", "paper", "--train_fraction", "a", kind=FinetuneArguments)


def test_a_flag_counts_more_than_the_file_more_than_the_preset_more_than_the_default(parse):
    def chosen(*flags, **kwargs):
        _, _, args = parse(*flags, **kwargs)
        return args.loss, args.na_ratio, args.num_train_epochs, args.learning_rate, args.per_device_train_batch_size

    default, paper = ("softmax", 3.0, 5.0, 1e-4, 16), ("bce", 3.0, 15.0, 4e-5, 32)
    assert chosen() == chosen("--preset", "default") == default
    assert chosen("--preset", "paper") == chosen("--preset=paper") == paper
    assert chosen("--num_train_epochs", "2", "--preset", "paper") == (*paper[:2], 2.0, *paper[3:])
    text = {"preset": "paper", "na_ratio": 7, "num_train_epochs": 9}
    assert chosen(file="c.json", text=text) == ("bce", 7.0, 9.0, 4e-5, 32)
    assert chosen("--num_train_epochs", "2", file="c.json", text=text) == ("bce", 7.0, 2.0, 4e-5, 32)
    assert chosen("--preset", "default", file="c.json", text=text) == ("softmax", 7.0, 9.0, 1e-4, 16)
    assert chosen("--preset", "paper", file="c.json", text={"na_ratio": 7}) == ("bce", 7.0, 15.0, 4e-5, 32)


@pytest.mark.parametrize(
    "values, message",
    [
        ({"learnin_rate": 1}, "Unknown arguments: --learnin_rate 1."),
        ({"loss": "hinge"}, "Argument --loss: invalid choice: 'hinge'"),
        ({"dtype": "float8"}, "invalid choice: 'float8'"),
        ({"na_ratio": "many"}, "Argument --na_ratio/--na-ratio: invalid float value: 'many'"),
        ({"max_seq_length": 12.5}, "invalid int value: '12.5'"),
        ({"skip_invalid": "perhaps"}, "skip_invalid"),
        ({"preset": "best"}, "invalid choice: 'best'"),
        ({"order_mode": ["batch", "epoch"]}, "epoch"),
    ],
)
def test_mistakes_in_a_file_and_in_flags_are_told_alike(values, message, parse):
    with pytest.raises(FineCLError) as in_file:
        parse(file="config.json", text=values)
    assert message in str(in_file.value) and "\n" not in str(in_file.value)
    ((name, value),) = values.items()
    words = value if isinstance(value, list) else [str(value)]
    with pytest.raises(FineCLError) as in_flags:
        parse(f"--{name}", *words)
    assert str(in_flags.value) == str(in_file.value)


@pytest.mark.parametrize(
    "flags, message",
    [
        (["stray"], "Unknown arguments: stray. Run with --help"),
        (["--na_rat", "2"], "Unknown arguments: --na_rat 2"),  # no abbreviations
        (["--na_ratio"], "expected one argument"),
        (["--dataset_name", "user/corpus"], "--train_file and --dataset_name exclude each other"),
    ],
)
def test_mistakes_in_flags(flags, message, parse):
    with pytest.raises(FineCLError, match=re.escape(message)):
        parse(*flags)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"na_sampling": "hard"}, "--na_sampling hard.*--na_ratio"),
        ({"task": "sentence", "relation_thresholds": True}, "--relation_thresholds are about documents"),
        ({"task": "sentence", "type_constraints": "learned"}, "--type_constraints .* are about documents"),
    ],
)
def test_measures_of_precision_that_could_do_nothing(tmp_path, flags, message):
    with pytest.raises(FineCLError, match=message):
        FinetuneArguments(output_dir=str(tmp_path), **flags).complete(None)
    FinetuneArguments(output_dir=str(tmp_path), task="sentence", type_constraints="none").complete(None)


def test_what_is_missing_is_named(needed):
    types = (ModelArguments, DataArguments, DenoiseArguments)
    with pytest.raises(FineCLError, match="--model_name_or_path is missing"):
        parse_arguments(types, ["--train_file", "a", "--output_dir", needed["output_dir"]])
    _, data, _ = parse_arguments(types, ["--model_name_or_path", "a", "--output_dir", needed["output_dir"]])
    with pytest.raises(FineCLError, match="Name the training documents"):
        data.require_training_documents()


@pytest.mark.parametrize(
    "file, text, message",
    [
        ("c.json", "{", "cannot be read as JSON"),
        ("c.json", "[" * 100_000, "cannot be read as JSON"),
        ("c.yaml", "a: " + "[" * 1000 + "]" * 1000, "cannot be read as a configuration file"),
        ("c.yaml", "eval_strategy: {start: 2024-01-01}", "eval_strategy: expected text"),
        ("c.yaml", "1: 2", "expected an object"),
        ("c.json", "[1]", "expected an object of argument: value"),
        ("c.yaml", "", "expected an object of argument: value"),
        ("c.yaml", "a: [", "cannot be read as a configuration file"),
        ("c.yaml", "just words", "expected an object of argument: value"),
    ],
)
def test_unreadable_files(file, text, message, parse, tmp_path):
    with pytest.raises(FineCLError) as error:
        parse(file=file, text=text)
    assert str(error.value).startswith(f"{tmp_path / file}: ") and message in str(error.value)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(FineCLError, match="nowhere.yaml: cannot be read"):
        parse_arguments((ModelArguments,), [str(tmp_path / "nowhere.yaml")])


# Defaults -----------------------------------------------------------------------------------------


CLASSES = [FineCLTrainingArguments, DenoiseArguments, PretrainArguments, FinetuneArguments]


def changed_defaults(arguments, base):
    """name -> default, of inherited fields that `arguments` changes."""
    inherited = {field.name: field.default for field in dataclasses.fields(base)}
    return {
        field.name: field.default
        for field in dataclasses.fields(arguments)
        if field.name in inherited and field.default != inherited[field.name]
    }


@pytest.mark.parametrize("arguments", CLASSES)
def test_docstrings_list_every_changed_default(arguments):
    text = " ".join(arguments.__doc__.split())
    changed = changed_defaults(arguments, arguments.__mro__[1])
    listed = {name: value.strip('"') for name, value in re.findall(r'(\w+)=("?[\w.-]+"?)', text)}
    for name, value in changed.items():
        if name == "dataloader_pin_memory":
            assert name in text
        else:
            assert str(value) == listed[name] or float(value) == float(listed[name]), name
    assert listed.keys() <= changed.keys()


@pytest.mark.parametrize("arguments", CLASSES)
def test_every_own_argument_has_help(arguments):
    own = set(arguments.__annotations__)
    assert all(field.metadata.get("help") for field in dataclasses.fields(arguments) if field.name in own)


def test_arguments_are_training_arguments(tmp_path):
    args = FineCLTrainingArguments(output_dir=str(tmp_path))
    assert isinstance(args, TrainingArguments) and not args.remove_unused_columns
    assert args.get_warmup_steps(1000) == 100


def test_stage_2_needs_an_order_unless_labels_weigh_alike(tmp_path):
    def args(**kwargs):
        return PretrainArguments(output_dir=str(tmp_path), **kwargs)

    with pytest.raises(FineCLError, match="--learning_order is missing.*--weight_scheme uniform"):
        args()
    assert args(learning_order="a.parquet").na_weight == 0.5
    assert args(weight_scheme="uniform").na_weight == 0.0
    assert args(weight_scheme="uniform", na_weight=0.25).na_weight == 0.25


def test_stage_3_chooses_the_loss_by_the_task(tmp_path):
    def loss(before=None, **kwargs):
        args = FinetuneArguments(output_dir=str(tmp_path), **kwargs)
        args.complete(before)
        return args.loss

    assert loss() == "adaptive_threshold" and loss(task="sentence") == "softmax"
    assert loss(task="sentence", loss="bce") == "bce"
    assert loss(FineCLConfig(loss="bce")) == loss(FineCLConfig(loss="bce"), task="document") == "bce"
    assert loss(FineCLConfig(loss="bce"), task="sentence") == "softmax"
    assert loss(FineCLConfig(task="sentence", loss="softmax")) == "softmax"


def test_stage_3_takes_the_recipe_of_its_task(tmp_path):
    def args(before=None, **kwargs):
        args = FinetuneArguments(output_dir=str(tmp_path), **kwargs)
        args.complete(before)
        return {"head": args.head, **{name: getattr(args, name) for name in DEFAULTS["document"]}}

    sentence = FineCLConfig(task="sentence", head="linear")
    assert args() == {"head": "context", **DEFAULTS["document"]}
    assert args(FineCLConfig()) == {"head": "bilinear", **DEFAULTS["document"]}  # of a model that goes on
    assert (
        args(task="sentence") == {"head": "sentence", **DEFAULTS["sentence"]} == args(FineCLConfig(), task="sentence")
    )
    assert args(sentence) == {"head": "linear", **DEFAULTS["sentence"]} == args(sentence, task="sentence")
    assert args(sentence, head="bilinear", learning_rate=1e-9)["head"] == "bilinear"
    assert args(sentence, learning_rate=1e-9) == {"head": "linear", **DEFAULTS["sentence"], "learning_rate": 1e-9}
    assert (
        FinetuneArguments(output_dir=str(tmp_path), task="sentence").num_train_epochs
        == DEFAULTS["sentence"]["num_train_epochs"]
    )


@pytest.mark.parametrize(
    "arguments, name, values",
    [
        (DenoiseArguments, "num_train_epochs", [0, -1, float("nan")]),
        (DenoiseArguments, "na_ratio", [-1, float("nan"), float("inf")]),
        (DenoiseArguments, "per_device_train_batch_size", [0, -1]),
        (DenoiseArguments, "learning_rate", [-1e-5, float("nan"), float("inf")]),
        (DenoiseArguments, "seed", [-1, 2**32]),
        (PretrainArguments, "temperature", [0, -1, float("nan"), float("inf")]),
        (PretrainArguments, "na_weight", [-1, float("nan"), float("inf"), 1e9]),
        (PretrainArguments, "mlm_probability", [-0.1, 1.1, float("nan")]),
        (PretrainArguments, "na_pairs", [-1]),
        (FinetuneArguments, "lora_r", [0, -4]),
        (FinetuneArguments, "lora_dropout", [1.0, -0.1, float("nan")]),
    ],
)
def test_numbers_out_of_range_are_refused(arguments, name, values, tmp_path):
    for value in values:
        with pytest.raises(FineCLError, match=f"--{name} {value} is out of range; give a number "):
            arguments(output_dir=str(tmp_path), **{name: value})


def test_every_column_is_needed(tmp_path):
    with pytest.raises(FineCLError, match="--remove_unused_columns"):
        FineCLTrainingArguments(output_dir=str(tmp_path), remove_unused_columns=True)


# Scripts ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [FineCLError("wrong."), DocumentError("wrong."), OSError("wrong.")])
def test_a_users_mistake_is_one_sentence_and_status_2(error, capsys):
    def main():
        raise error

    with pytest.raises(SystemExit) as end:
        run_script(main)
    assert end.value.code == 2
    assert capsys.readouterr() == ("", "error: wrong.\n")


def test_a_bug_keeps_its_traceback():
    with pytest.raises(ZeroDivisionError):
        run_script(lambda: 1 / 0)
    assert run_script(lambda: "ignored") is None


def test_a_script_reports_a_mistake_in_one_sentence(tmp_path):
    argv = [sys.executable, str(ROOT / "run_denoise.py"), "--model_name_or_path", "enc", "--train_file", "t.json"]
    run = subprocess.run([*argv, "--epochs", "3"], capture_output=True, text=True, cwd=tmp_path)
    assert run.returncode == 2
    assert run.stderr.splitlines()[-1] == "error: Unknown arguments: --epochs 3. Run with --help for all arguments."
    assert "Traceback" not in run.stderr and not list(tmp_path.iterdir())


@pytest.mark.parametrize("arguments", [EvaluationArguments, DataArguments, ModelArguments])
def test_flags_have_one_meaning(arguments):
    """No flag of one group is a flag of another."""
    names = {field.name for field in dataclasses.fields(arguments)}
    others = {EvaluationArguments, DataArguments, ModelArguments, *CLASSES} - {arguments}
    assert not names & {field.name for other in others for field in dataclasses.fields(other)}


def test_an_argument_that_is_no_json(tmp_path):
    words = ["--output_dir", str(tmp_path), "--weight_scheme", "uniform", "--lr_scheduler_kwargs", "{foo"]
    with pytest.raises(FineCLError, match="The argument `{foo` is no JSON: Expecting property name"):
        parse_arguments((PretrainArguments,), words)


@pytest.mark.parametrize(("hidden_size", "factor"), [(384, 4), (128, 4), (768, 1), (1024, 0.5625), (None, 1)])
def test_default_learning_rates_follow_the_width_of_the_encoder(hidden_size, factor, tmp_path):
    args = FinetuneArguments(output_dir=str(tmp_path), head_learning_rate=7e-4)
    args.complete(None, hidden_size)
    assert args.learning_rate == pytest.approx(factor * DEFAULTS["document"]["learning_rate"])
    assert args.head_learning_rate == 7e-4 and args.num_train_epochs == DEFAULTS["document"]["num_train_epochs"]


@pytest.mark.parametrize(("metric", "greater"), [("f1", True), ("eval_ece", False), ("co_occurrence_fpr", False)])
def test_errors_are_better_the_lower_they_are(metric, greater, tmp_path):
    options = {"load_best_model_at_end": True, "metric_for_best_model": metric}
    assert FinetuneArguments(output_dir=str(tmp_path), **options).greater_is_better is greater
    assert (
        FinetuneArguments(output_dir=str(tmp_path), greater_is_better=not greater, **options).greater_is_better
        != greater
    )


def test_flags_of_a_push_without_a_push(parse, caplog):
    parse("--hub_model_id", "me/it", "--push_to_hub")
    assert not caplog.text
    parse("--push_report")
    assert "--push_report" in caplog.text and "pushes nothing" in caplog.text


def test_the_paper_steps_over_a_few_documents(parse, caplog):
    *_, args = parse("--weight_scheme", "uniform", kind=PretrainArguments)
    args.warn_of_many_passes(100_000)
    assert not caplog.text
    args.warn_of_many_passes(190)
    assert "8,084 times" in caplog.text and "--max_steps" in caplog.text
