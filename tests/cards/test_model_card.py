import re
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from huggingface_hub import EvalResult, ModelCard

from finecl_hf.cards import model_card
from finecl_hf.cards.model_card import (
    KINDS,
    FineCLCardData,
    TrainingData,
    changed_arguments,
    evaluation_results,
    frameworks,
    hub_id,
    render_model_card,
)


NASTY = "a | \"b\": 'c'\n---\n# d `e` {{ model }} {% raw %} <b> ```"
TOKEN = "hf_abcdefghijklmnopqrstuvwx"


def full(kind, **changes):
    """Everything that a card can hold."""
    data = FineCLCardData(
        kind=kind,
        model_name="user/finecl-docred",
        language="en",
        license="apache-2.0",
        tags=["docred"],
        base_model="bert-base-cased",
        datasets=[
            TrainingData("train.json", split="train", documents=3053, facts=38180, relations=96),
            TrainingData("user/silver", on_hub=True),
        ],
        relations={"P19": "place of birth", "P20": "place of death"},
        loss="adaptive threshold",
        task="document",
        head="atlop",
        threshold=0.41,
        train_fraction=0.1,
        learning_order="learning_order.parquet",
        learning_order_coverage=0.931,
        weight_scheme="linear",
        weight_by="first_epoch",
        truncated_mentions=1234,
        total_mentions=100000,
        eval_results=evaluation_results({"eval_f1": 0.594, "eval_ign_f1": 0.571}, "DocRED", "validation"),
        log_history=[{"loss": 0.5, "epoch": 1.0, "step": 10}, {"eval_f1": 0.4, "epoch": 1.0, "step": 10}],
        hyperparameters={"learning_rate": 3e-05, "adam_beta1": 0.9},
        non_default_hyperparameters={"learning_rate": 3e-05},
        seed=0,
        command=["python", "run_finetune.py", "--train_file", "my file.json", "--hub_token", TOKEN],
        hardware="1 NVIDIA H100",
        training_time=3725,
        versions={"Python": "3.11.7"},
    )
    return replace(data, **changes)


def bare(kind, **changes):
    """As little as one may give."""
    return FineCLCardData(kind=kind, model_name="finecl-docred", versions={}, **changes)


def section(card, heading):
    """The text below a heading, up to the next one of any level."""
    return re.search(rf"^#+ {heading}\n\n(.*?)\n*(?=^#|\Z)", card.text, re.MULTILINE | re.DOTALL)[1]


def headings(card):
    prose = re.sub(r"^```.*?^```", "", card.text, flags=re.MULTILINE | re.DOTALL)
    return re.findall(r"^#+ (.*)", prose, re.MULTILINE)


# What a card says


@pytest.mark.parametrize("kind", KINDS)
def test_a_full_card_has_every_section(kind):
    assert headings(render_model_card(full(kind))) == [
        "user/finecl-docred",
        "How to use it",
        "Results",
        "Training",
        "Data",
        "Progress",
        "Relations",
        "Intended use and limits",
        "Hyper-parameters",
        "Reproduction",
        "Versions",
        "Citation",
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_sections_without_data_are_left_out(kind):
    card = render_model_card(bare(kind))
    usage = [] if kind == "lora_adapter" else ["How to use it"]  # an adapter loads with its base model only
    assert headings(card) == ["finecl-docred", *usage, "Intended use and limits", "Citation"]
    assert not {"license", "language", "base_model", "datasets", "metrics"} & set(card.data.to_dict())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("make", [full, bare])
def test_no_placeholder_is_left(kind, make):
    content = render_model_card(make(kind)).content
    assert not re.search(r"None|null|[Mm]ore [Ii]nformation|TODO|\{\{|\{%", content)
    assert "\n\n\n" not in content


@pytest.mark.parametrize(
    "field", [name for name in vars(full("encoder")) if name not in ("kind", "model_name", "repo")]
)
@pytest.mark.parametrize("kind", KINDS)
def test_any_single_fact_may_be_missing(kind, field):
    empty = getattr(bare(kind), field)
    content = render_model_card(full(kind, **{field: empty})).content
    assert "None" not in content


def test_metadata_of_an_encoder():
    metadata = render_model_card(full("encoder")).data.to_dict()
    assert metadata.pop("model-index")[0]["name"] == "user/finecl-docred"
    assert metadata == {
        "base_model": "bert-base-cased",
        "datasets": ["user/silver"],
        "language": "en",
        "library_name": "transformers",
        "license": "apache-2.0",
        "metrics": ["f1", "ign_f1"],
        "pipeline_tag": "fill-mask",
        "tags": ["finecl", "relation-extraction", "contrastive-learning", "docred"],
    }


def test_metadata_that_tells_the_kinds_apart():
    relation_model, adapter = (render_model_card(full(kind)).data for kind in ("relation_model", "lora_adapter"))
    assert relation_model.library_name == "finecl_hf"
    assert (adapter.library_name, adapter.base_model_relation) == ("peft", "adapter")
    assert adapter.tags == ["finecl", "relation-extraction", "lora", "docred"]


def test_an_encoder_loads_without_our_code():
    usage = section(render_model_card(full("encoder", repo="me/encoder")), "How to use it")
    assert 'encoder = AutoModel.from_pretrained("me/encoder")' in usage
    assert "python run_finetune.py --model_name_or_path me/encoder" in usage


def test_a_relation_model_loads_as_a_pipeline():
    usage = section(render_model_card(full("relation_model")), "How to use it")
    assert 'pipe = RelationExtractionPipeline.from_pretrained("user/finecl-docred")' in usage
    assert 'pipe(read_documents("documents.json"))' in usage
    assert 'FineCLForRelationExtraction.from_pretrained("user/finecl-docred")' in usage


def test_an_adapter_loads_on_its_base_model():
    usage = section(render_model_card(full("lora_adapter")), "How to use it")
    assert 'FineCLForRelationExtraction.from_encoder("bert-base-cased", config=config)' in usage
    assert 'PeftModel.from_pretrained(base, "user/finecl-docred")' in usage


@pytest.mark.parametrize("kind", KINDS)
def test_examples_are_valid_python(kind):
    card = render_model_card(full(kind, repo='a "quoted"\\ folder\n```'))
    for example in re.findall(r"```python\n(.*?)^```$", card.text, re.MULTILINE | re.DOTALL):
        compile(example, "example", "exec")


def test_facts_of_the_training():
    training = section(render_model_card(full("relation_model")), "Training").splitlines()
    assert training == [
        "- **Base model:** [bert-base-cased](https://huggingface.co/bert-base-cased)",
        "- **Task:** `document`",
        "- **Head:** `atlop`",
        "- **Loss:** adaptive threshold",
        "- **Decision threshold (on logits):** 0.41",
        "- **Share of the training data used:** 10 %",
        "- **Learning order:** `learning_order.parquet`",
        "- **Training facts in the learning order:** 93.1 %",
        "- **Weight scheme:** `linear`",
        "- **Weights made from:** `first_epoch`",
        "- **Seed:** `0`",
        "- **Hardware:** 1 NVIDIA H100",
        "- **Training time:** 1 h 2 min",
    ]


def test_tables():
    card = render_model_card(full("relation_model"))
    assert section(card, "Results").splitlines()[2:] == [
        "| DocRED | validation | F1 | 0.5940 |",
        "| DocRED | validation | Ign F1 | 0.5710 |",
    ]
    assert section(card, "Data").splitlines()[2:] == [
        "| `train.json` | train | 3,053 | 38,180 | 96 |",
        "| [user/silver](https://huggingface.co/datasets/user/silver) |  |  |  |  |",
    ]
    assert section(card, "Progress").splitlines()[2:] == ["| 1 | 10 | 0.5000 | 0.4000 |"]
    assert section(card, "Versions").splitlines()[2:] == ["| Python | `3.11.7` |"]


def test_an_encoder_claims_the_objectives_it_was_trained_on():
    whole = render_model_card(full("encoder")).text
    assert "Two are contrastive" in whole and "mask tokens" not in whole and "left out" not in whole
    changes = {"loss_weights": {"rd": 1.0, "ed": 0.0, "mlm": 1.0}, "blank_share": 0.7, "drop_share": 0.2}
    blanked = render_model_card(full("encoder", **changes)).text
    assert "- entity pairs that share" in blanked and "- masked language" in blanked
    assert "completes a fact" not in blanked and "70 % of the entities had mask tokens" in blanked
    assert "The 20 % of the facts that were trusted least were left out" in blanked
    alone = render_model_card(full("encoder", loss_weights={"rd": 0.0, "ed": 0.0, "mlm": 1.0}, blank_share=0.7)).text
    assert "- masked language" in alone and "mask tokens" not in alone and "counts for more" not in alone


def test_learning_order_is_claimed_only_if_it_was_used():
    claim = "counts for more the earlier"
    assert claim in render_model_card(full("encoder")).text
    assert claim not in render_model_card(full("encoder", weight_by="margin")).text
    assert "by its `margin`" in render_model_card(full("encoder", weight_by="margin")).text
    assert claim not in render_model_card(full("encoder", weight_scheme="uniform")).text
    assert "counts alike, as in [ERICA]" in render_model_card(full("encoder", weight_scheme="uniform")).text
    assert claim not in render_model_card(full("encoder", learning_order=None)).text


def test_limits_name_the_lost_mentions_and_the_threshold():
    limits = section(render_model_card(full("relation_model")), "Intended use and limits")
    assert "Of the training data's 100,000 mentions, 1,234 were lost." in limits
    assert "threshold was chosen on validation data" in limits
    limits = section(render_model_card(bare("relation_model")), "Intended use and limits")
    assert "training data's" not in limits and "threshold" not in limits
    for count, said in [(0, "mentions, none was lost."), (1, "mentions, 1 was lost.")]:
        limits = section(render_model_card(full("encoder", truncated_mentions=count)), "Intended use and limits")
        assert said in limits


def test_a_model_of_stage_1_claims_no_gold_labels():
    text = render_model_card(full("relation_model", silver_labels=True, threshold=None)).text
    assert "trained on distantly supervised labels" in text and "fitted on nothing" in text
    assert "fine-tuned" not in text and "chosen on validation data" not in text
    assert "fine-tuned with `finecl_hf`" in render_model_card(full("relation_model")).text


def test_long_lists_of_relations_are_cut():
    relations = {f"P{number}": f"relation {number}" for number in range(43)}
    listed = section(render_model_card(full("relation_model", relations=relations)), "Relations")
    assert listed.startswith("It knows 43 relations:")
    assert "| `P39` | relation 39 |" in listed and "P40" not in listed
    assert listed.endswith("… and 3 more.")


def test_relations_without_names_need_no_column_for_them():
    listed = section(render_model_card(full("relation_model", relations={"Cause-Effect(e1,e2)": ""})), "Relations")
    assert listed.splitlines() == ["It knows 1 relation:", "", "| Relation |", "| --- |", "| `Cause-Effect(e1,e2)` |"]


def test_hyperparameters_set_for_the_run_come_first_and_once():
    changed, others = section(render_model_card(full("encoder")), "Hyper-parameters").split("<details>")
    assert "| `learning_rate` | `3e-05` |" in changed
    assert "| `adam_beta1` | `0.9` |" in others and "learning_rate" not in others


def test_the_command_can_be_pasted_and_holds_no_token():
    command = section(render_model_card(full("encoder")), "Reproduction")
    assert command == "```bash\npython run_finetune.py --train_file 'my file.json' --hub_token $HF_TOKEN\n```"


@pytest.mark.parametrize("command", [f"run --hub-token={TOKEN}", f"HF_TOKEN={TOKEN} run", f"run --token {TOKEN}"])
def test_no_token_gets_into_a_card(command):
    content = render_model_card(full("encoder", command=command, hyperparameters={"hub_token": TOKEN})).content
    assert TOKEN not in content


# Escaping


@pytest.mark.parametrize("kind", KINDS)
def test_names_break_neither_the_metadata_nor_the_page(kind):
    plain = render_model_card(full(kind))
    data = full(
        kind,
        model_name=NASTY,
        repo=NASTY,
        base_model=NASTY,
        base_model_id=None,
        datasets=[TrainingData(NASTY, split=NASTY, documents=1, facts=1, relations=1, on_hub=True)],
        relations={NASTY: NASTY, "P1": NASTY},
        tags=[NASTY],
        loss=NASTY,
        head=NASTY,
        hardware=NASTY,
        command=NASTY,
        learning_order=NASTY,
        hyperparameters={NASTY: NASTY, "b": [NASTY]},
        eval_results=evaluation_results({"f1": 0.5}, NASTY, NASTY),
        versions={"Python": NASTY},
    )
    card = render_model_card(data)
    assert card.data.eval_results == data.eval_results
    assert card.data.tags[-1] == NASTY and card.data.datasets == [NASTY]
    fences = re.findall(r"^`{3,}\w+\n.*?^`{3,}$", card.text, re.MULTILINE | re.DOTALL)
    assert len(fences) == len(re.findall(r"^```\w+$", plain.text, re.MULTILINE))
    assert headings(card)[1:] == headings(plain)[1:]
    assert "<b>" not in re.sub(r"`+[^`].*?`+", "", headings(card)[0])
    for heading, columns in [("Results", 4), ("Data", 5), ("Relations", 2), ("Versions", 2)]:
        rows = [line for line in section(card, heading).splitlines() if line.startswith("|")]
        assert {row.count("|") for row in rows} == {columns + 1}


def test_values_are_never_read_as_templates():
    card = render_model_card(full("relation_model", relations={"P1": "{{ 6 * 7 }} {% include 'encoder.md' %}"}))
    assert "{{ 6 \\* 7 }} {% include 'encoder.md' %}" in card.text


# Metadata and files


@pytest.mark.parametrize("kind", KINDS)
def test_results_come_back_from_the_file(kind, tmp_path):
    results = evaluation_results(
        {"f1": 0.59, "precision": 0.6}, "DocRED: dev", "validation", dataset_id="thunlp/docred"
    )
    results += evaluation_results({"f1": np.float32(0.5)}, "Re-DocRED", "test")
    path = tmp_path / "output" / "README.md"
    render_model_card(full(kind, eval_results=results)).save(path)
    assert ModelCard.load(path).data.eval_results == results
    assert isinstance(yaml.safe_load(path.read_text(encoding="utf-8").split("---\n")[1]), dict)


def test_numpy_scores_become_plain_numbers():
    result = EvalResult("relation-extraction", "d", "D", "f1", np.float64(0.5))
    value = render_model_card(full("encoder", eval_results=[result])).data.eval_results[0].metric_value
    assert value == 0.5 and type(value) is float


def test_local_base_models_stay_out_of_the_metadata(tmp_path):
    card = render_model_card(full("relation_model", base_model=str(tmp_path), base_model_id=None))
    assert card.data.base_model is None
    assert f"- **Base model:** `{tmp_path.name}`" in card.text


def test_hub_ids(tmp_path, monkeypatch):
    (tmp_path / "outputs" / "encoder").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert hub_id("user/encoder") == "user/encoder"
    assert [hub_id(name) for name in ("outputs/encoder", "/no/such/folder", "", None)] == [None] * 4


def test_unknown_kinds_are_refused():
    with pytest.raises(ValueError, match="encoder, relation_model, lora_adapter"):
        FineCLCardData(kind="denoiser", model_name="x")


# Gathering facts


def test_evaluation_results_keep_the_scores_only():
    metrics = {"eval_f1": 0.5, "eval_loss": 0.1, "eval_runtime": 3.0, "eval_recall": float("nan"), "epoch": 1.0}
    (result,) = evaluation_results(metrics, "DocRED", "validation")
    assert (result.task_type, result.metric_type, result.metric_name) == ("relation-extraction", "f1", "F1")
    assert (result.dataset_type, result.dataset_name, result.dataset_split) == ("DocRED", "DocRED", "validation")


def test_long_logs_are_thinned_and_the_card_says_so():
    card = render_model_card(full("encoder", log_history=[{"loss": 1.0, "step": step} for step in range(101)]))
    assert section(card, "Progress").endswith("20 of 101 rows, evenly spaced.")


def test_changed_arguments():
    @dataclass
    class Arguments:
        output_dir: str = "out"
        learning_rate: float = 5e-5
        seed: int = 42
        entity_token: str = "[E]"
        hub_token: str | None = None
        train_file: str | None = None

    @dataclass
    class Required:
        task: str

    arguments = Arguments(output_dir="here", learning_rate=3e-5, entity_token="*", hub_token=TOKEN)
    changed = changed_arguments(arguments, Required("document"))
    assert changed == {"learning_rate": 3e-5, "entity_token": "*", "task": "document"}


def test_frameworks():
    assert {"Python", "transformers", "torch"} <= set(frameworks())


# Templates


def test_templates_are_found_in_a_checkout(monkeypatch):
    def missing(package):
        raise ModuleNotFoundError(package)

    monkeypatch.setattr(model_card.resources, "files", missing)
    assert {f"{kind}.md" for kind in KINDS} <= {path.name for path in model_card._templates().iterdir()}


def test_packaged_templates_come_first(monkeypatch, tmp_path):
    (tmp_path / "encoder.md").write_text("# packaged {{ model.model_name | text }}", encoding="utf-8")
    monkeypatch.setattr(model_card.resources, "files", {"finecl_hf.model_cards": Path(tmp_path)}.get)
    assert render_model_card(full("encoder")).text.strip() == "# packaged user/finecl-docred"
