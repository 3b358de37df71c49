"""Every block of code in the card of each kind of repository runs, in a folder that has documents and the Hub only."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from finecl_hf import LearningOrder, RelationExtractionPipeline, read_documents
from tests.helpers.fake_hub import FakeHub, hub_environment
from tests.helpers.script_runs import ROOT
from tests.test_docs import FEW_STEPS, Block, Desk, blocks_of


GOLD = "--train_file train.json --validation_file validation.json --test_file test.json --rel_info rel_info.json"
SILVER = "--train_file silver.json --rel_info rel_info.json"
LEARNS = {**FEW_STEPS, "run_finetune.py": "--max_steps 40 --learning_rate 3e-3"}  # enough to find something
RUNS = {
    "denoised": f"run_denoise.py {SILVER}",
    "encoder": f"run_pretrain.py {SILVER} --learning_order order.parquet",
    "extractor": f"run_finetune.py {GOLD}",
    "adapter": f"run_finetune.py {GOLD} --use_lora",
}
DATA = {
    "silver": ["silver"],
    "gold_train": ["train"],
    "gold_validation": ["validation"],
    "gold_test": ["test", "documents"],
    "rel_info": ["rel_info"],
}


def make_desk(folder, encoder, corpus, hub, monkeypatch, steps=FEW_STEPS):
    """A folder with the corpus and the scripts, whose Hub is ours."""
    folder.mkdir()
    for name, targets in DATA.items():
        for target in targets:
            shutil.copy(corpus / f"{name}.json", folder / f"{target}.json")
    ids = list(json.loads((corpus / "truth.json").read_text()))
    LearningOrder(ids, first_epoch=[0] * len(ids)).write(folder / "order.parquet")
    for script in FEW_STEPS:
        (folder / script).symlink_to(ROOT / script)
    shutil.copytree(encoder, folder / Path(encoder).name)  # as the command of a card names it
    desk = Desk(folder, encoder, monkeypatch, steps)
    desk.environment = hub_environment(hub, folder)
    return desk


@pytest.mark.slow
def test_the_code_of_every_card_runs(bert_folder, corpus, tmp_path, monkeypatch):
    with FakeHub() as hub:
        maker = make_desk(tmp_path / "maker", bert_folder, corpus, hub, monkeypatch, LEARNS)
        for name, command in RUNS.items():
            flags = (
                f"--model_name_or_path bert-base-uncased --output_dir {name} --push_to_hub --hub_model_id user/{name}"
            )
            maker.run(Block("a run", "bash", f"python {command} {flags}\n"))
        cards = {key: repo.files["README.md"] for key, repo in hub.repos.items() if "README.md" in repo.files}
        assert len(cards) >= len(RUNS)
        # As the models were pushed; the commands of the cards push anew
        expected = {key: RelationExtractionPipeline.from_pretrained(str(maker.folder / key))(
            read_documents(corpus / "gold_test.json")) for key in ("extractor", "adapter")}  # fmt: skip
        found = {}
        for key, card in cards.items():
            reader = make_desk(tmp_path / key.replace("/", "-"), bert_folder, corpus, hub, monkeypatch)
            (reader.folder / "CARD.md").write_bytes(card)
            blocks = blocks_of(reader.folder / "CARD.md")
            assert {block.language for block in blocks} == {"python", "bash"}, key
            for block in blocks:
                asks_documents = "documents.json" in block.code
                if asks_documents:
                    block = replace(
                        block, code=f'{block.code}\nimport json\njson.dump(facts, open("facts.json", "w"))\n'
                    )
                reader.run(block)
                if asks_documents:
                    found[key.split("/")[-1]] = json.loads((reader.folder / "facts.json").read_text())
        assert hub.unknown == []
    for name, facts in expected.items():
        assert found[name] == json.loads(json.dumps(facts)), name
    assert sum(map(len, expected["extractor"])) > 0
