import warnings

import pytest
import torch
from transformers import AutoConfig, AutoModel, AutoModelForMaskedLM

from finecl_hf.encoding.batches import RelationCollator
from finecl_hf.encoding.features import DocumentEncoder
from finecl_hf.errors import FineCLError
from finecl_hf.extraction.adapters import add_adapters
from finecl_hf.extraction.configuration import FineCLConfig
from finecl_hf.extraction.loading import load_relation_model
from finecl_hf.extraction.modeling import FineCLForRelationExtraction
from finecl_hf.extraction.pipeline import MODEL_ARGUMENTS


RELATIONS = ["NA", "born in", "located in", "capital of", "died in"]


def _config(**settings):
    settings = {"entity_size": 12, "distance_size": 4, **settings}
    return FineCLConfig(
        id2label=dict(enumerate(RELATIONS)), label2id={name: i for i, name in enumerate(RELATIONS)}, **settings
    )


@pytest.fixture(params=["bert", "roberta"])
def folder(request):
    return request.getfixturevalue(f"{request.param}_folder")


def _model(folder, **settings):
    torch.manual_seed(0)
    return FineCLForRelationExtraction.from_encoder(folder, _config(**settings)).eval()


@pytest.fixture
def batch(bert_tokenizer, ada, curie):
    """Ids of BERT's vocabulary are ids of the tiny RoBERTa's, too."""
    label2id = {name: i for i, name in enumerate(RELATIONS)}
    columns = DocumentEncoder(bert_tokenizer, label2id, 128).encode([ada, curie])
    rows = [{name: values[i] for name, values in columns.items()} for i in range(2)]
    batch = RelationCollator(bert_tokenizer.pad_token_id)(rows)
    return {name: batch[name] for name in (*MODEL_ARGUMENTS, "label_pair", "label_relation")}


def _logits(model, batch):
    model.eval()
    with torch.no_grad():
        return model(**{name: batch[name] for name in MODEL_ARGUMENTS}).logits


@pytest.mark.parametrize("loss", ["bce", "softmax", "adaptive_threshold"])
def test_forward(folder, loss, batch):
    model = _model(folder, loss=loss)
    output = model(**batch)
    assert output.logits.shape == (18, 5) and output.entities.shape == (7, 32)
    assert output.loss.isfinite() and output.loss > 0
    assert torch.equal(output.logits, _logits(model, batch))
    hidden = model.encoder(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).last_hidden_state
    at = batch["token_index"][batch["entity_offsets"][1] : batch["entity_offsets"][2]]  # London, one mention
    torch.testing.assert_close(output.entities[1], hidden.flatten(0, 1)[at].mean(0))


def test_padding_and_company_do_not_change_logits(bert_folder, bert_tokenizer, batch, curie):
    model = _model(bert_folder)
    columns = DocumentEncoder(bert_tokenizer, {name: i for i, name in enumerate(RELATIONS)}, 128).encode([curie])
    alone = RelationCollator(bert_tokenizer.pad_token_id)([{name: values[0] for name, values in columns.items()}])
    torch.testing.assert_close(_logits(model, alone), _logits(model, batch)[12:], rtol=1e-4, atol=1e-6)


def test_save_and_load(folder, batch, tmp_path):
    model = _model(folder, threshold=0.25, relation_names={"born in": "place of birth"})
    model.save_pretrained(tmp_path)
    loaded = FineCLForRelationExtraction.from_pretrained(tmp_path)
    assert torch.equal(_logits(loaded, batch), _logits(model, batch))
    assert loaded.config.label2id == model.config.label2id and loaded.config.id2label == dict(enumerate(RELATIONS))
    assert (loaded.config.threshold, loaded.config.relation_names) == (0.25, {"born in": "place of birth"})
    assert isinstance(AutoConfig.from_pretrained(tmp_path), FineCLConfig)
    auto = AutoModel.from_pretrained(tmp_path)
    assert isinstance(auto, FineCLForRelationExtraction)
    assert torch.equal(_logits(auto, batch), _logits(model, batch))
    assert torch.equal(_logits(load_relation_model(str(tmp_path)), batch), _logits(model, batch))


def _encoder_states(model):
    return {name: value for name, value in model.state_dict().items() if "pooler" not in name}  # MLM models have none


def _assert_same_encoder(left, right):
    left, right = _encoder_states(left), _encoder_states(right)
    assert left.keys() == right.keys()
    assert all(torch.equal(value, right[name]) for name, value in left.items())


def test_from_encoder_takes_bare_encoders_mlm_checkpoints_and_relation_models(folder, tmp_path):
    encoder = AutoModelForMaskedLM.from_pretrained(folder).base_model
    model = _model(folder)  # an MLM checkpoint
    _assert_same_encoder(model.encoder, encoder)
    encoder.save_pretrained(tmp_path / "bare")
    _assert_same_encoder(_model(tmp_path / "bare").encoder, encoder)
    model.save_pretrained(tmp_path / "relation_model")
    again = _model(tmp_path / "relation_model", entity_size=6)
    _assert_same_encoder(again.encoder, encoder)
    assert again.relation_head.project.out_features == 6
    assert again.config.text_config.model_type == encoder.config.model_type
    again.save_pretrained(tmp_path / "again")
    _assert_same_encoder(FineCLForRelationExtraction.from_pretrained(tmp_path / "again").encoder, encoder)


def test_half_precision_checkpoints_load_in_float32(folder, batch, tmp_path):
    AutoModelForMaskedLM.from_pretrained(folder, dtype=torch.float16).save_pretrained(tmp_path / "half")
    model = _model(tmp_path / "half")
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    assert _logits(model, batch).dtype == torch.float32
    model.save_pretrained(tmp_path / "model")
    loaded = FineCLForRelationExtraction.from_pretrained(tmp_path / "model")
    assert {parameter.dtype for parameter in loaded.parameters()} == {torch.float32}
    chosen = FineCLForRelationExtraction.from_encoder(folder, _config(), dtype=torch.bfloat16)
    assert {parameter.dtype for parameter in chosen.parameters()} == {torch.bfloat16}


def test_a_new_head_is_initialised_and_every_parameter_moves(folder, batch):
    model = _model(folder).train()
    bound = model.relation_head.weight.shape[-1] ** -0.5
    weight = model.relation_head.weight
    assert 0.9 * bound < weight.abs().max() <= bound and abs(weight.mean()) < 0.1 * bound
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, weight_decay=0.0)
    model(**batch).loss.backward()
    optimizer.step()
    still = {name for name, parameter in model.named_parameters() if torch.equal(parameter, before[name])}
    assert still == {name for name, parameter in model.named_parameters() if not parameter.requires_grad}
    assert all(".pooler." in name for name in still), still  # what gets no gradient asks for none: DDP and FSDP mind


@pytest.mark.filterwarnings("ignore::FutureWarning")  # the method has another name in later versions
def test_gradient_checkpointing_computes_layers_twice_and_changes_no_gradient(folder, batch):
    def gradients(checkpointing):
        model = _model(folder, loss="bce").train()
        for module in model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        if checkpointing:
            model.gradient_checkpointing_enable()
        passes = []
        model.encoder.encoder.layer[0].attention.register_forward_hook(lambda *_: passes.append(1))
        model(**batch).loss.backward()
        return len(passes), {name: p.grad for name, p in model.named_parameters() if p.grad is not None}

    (once, plain), (twice, checkpointed) = gradients(False), gradients(True)
    assert (once, twice) == (1, 2)
    assert plain.keys() == checkpointed.keys() and len(plain) > 30
    for name, gradient in plain.items():
        torch.testing.assert_close(gradient, checkpointed[name], msg=name)


@pytest.mark.parametrize("settings", [{"head": "trilinear"}, {"loss": "hinge"}])
def test_unknown_heads_and_losses_are_named(bert_folder, settings):
    with pytest.raises(FineCLError, match=next(iter(settings.values()))):
        _model(bert_folder, **settings)


@pytest.mark.parametrize("checkpointing", [False, True])
def test_adapters_are_added_without_warnings(checkpointing, bert_folder):
    model = _model(bert_folder)
    if checkpointing:
        model.gradient_checkpointing_enable()
    assert model.is_gradient_checkpointing == checkpointing
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        add_adapters(model, r=4)


def test_lora_trains_adapters_and_head_and_loads_merged(folder, batch, tmp_path):
    base = _model(folder)
    frozen = {name: parameter.detach().clone() for name, parameter in base.encoder.named_parameters()}
    adapted = add_adapters(base, r=4)
    adapted.train()
    trained = {name for name, parameter in adapted.named_parameters() if parameter.requires_grad}
    assert trained and all("lora_" in name or "relation_head" in name for name in trained)
    assert not any("pooler" in name for name in trained)
    optimizer = torch.optim.AdamW([p for p in adapted.parameters() if p.requires_grad], lr=1e-2)
    before = _logits(adapted, batch)
    start = {name: p.detach().clone() for name, p in adapted.named_parameters() if p.requires_grad}
    adapted.train()
    for _ in range(3):
        optimizer.zero_grad()
        adapted(**batch).loss.backward()
        optimizer.step()
    assert not any(torch.equal(p, start[name]) for name, p in adapted.named_parameters() if p.requires_grad)
    after = _logits(adapted, batch)
    assert (after - before).abs().max() > 0.01
    adapted.save_pretrained(tmp_path)
    base.config.save_pretrained(tmp_path)
    loaded = load_relation_model(str(tmp_path))
    assert type(loaded) is FineCLForRelationExtraction
    assert (_logits(loaded, batch) - after).abs().max() < 1e-5
    adapter_free = {name.replace(".base_layer", ""): p for name, p in base.encoder.named_parameters()}
    assert all(torch.equal(adapter_free[name], value) for name, value in frozen.items())
    loaded.save_pretrained(tmp_path / "merged")
    again = FineCLForRelationExtraction.from_pretrained(tmp_path / "merged")
    assert torch.equal(_logits(again, batch), _logits(loaded, batch))


@pytest.mark.parametrize("head", ["atlop", "context"])
def test_gradients_are_the_same_with_gradient_checkpointing(bert_folder, batch, head):
    """What the attention of mentions teaches the last layer's queries and keys must not get lost."""
    gradients = []
    for recompute in (False, True):
        model = _model(bert_folder, head=head)
        if recompute:
            model.gradient_checkpointing_enable()
        model.train()
        for module in model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        for layer in model.encoder.encoder.layer:
            layer.attention.self.dropout.p = layer.attention.self.config.attention_probs_dropout_prob = 0.0
        model(**batch).loss.backward()
        gradients.append({name: weight.grad for name, weight in model.named_parameters() if weight.grad is not None})
    assert gradients[0].keys() == gradients[1].keys()
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, rtol=1e-4, atol=1e-6, msg=name)
    assert gradients[0]["encoder.encoder.layer.1.attention.self.key.weight"].any()


@pytest.mark.parametrize("head", ["bilinear", "atlop", "context", "evidence"])
def test_heads_under_autocast(bert_folder, batch, head):
    model = _model(bert_folder, head=head)
    exact = _logits(model, batch)
    with torch.autocast("cpu", torch.bfloat16):
        rough = _logits(model, batch)
        model(**batch).loss.backward()
    torch.testing.assert_close(rough.float(), exact, rtol=0.1, atol=0.1)
    gradients = [weight.grad for weight in model.parameters() if weight.grad is not None]
    assert len(gradients) > 30 and all(gradient.isfinite().all() for gradient in gradients)


@pytest.mark.parametrize("head", ["atlop", "context", "evidence"])
def test_heads_that_read_attention_are_saved_and_do_not_depend_on_company(
    bert_folder, bert_tokenizer, batch, curie, head, tmp_path
):
    model = _model(bert_folder, head=head, entity_types=["PER", "LOC"])
    model.save_pretrained(tmp_path)
    loaded = FineCLForRelationExtraction.from_pretrained(tmp_path)
    assert loaded.config.head == head and torch.equal(_logits(loaded, batch), _logits(model, batch))
    columns = DocumentEncoder(bert_tokenizer, {name: i for i, name in enumerate(RELATIONS)}, 128).encode([curie])
    alone = RelationCollator(bert_tokenizer.pad_token_id)([{name: values[0] for name, values in columns.items()}])
    torch.testing.assert_close(_logits(model, alone), _logits(model, batch)[12:], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("asked", "found"), [(1, None), (2, 2), (4, 2)])  # the encoder has two layers
def test_weights_of_layers_are_learned_and_saved(bert_folder, batch, asked, found, tmp_path):
    model = _model(bert_folder, head="context", mixed_layers=asked)
    weights = model.relation_head.layer_weights
    assert (weights is None) if found is None else torch.allclose(weights, torch.full((found,), 1 / found))
    if found is None:
        return
    model(**batch).loss.backward()
    assert model.relation_head.layer_logits.grad.any()
    with torch.no_grad():
        model.relation_head.layer_logits.copy_(torch.tensor([1.0, -1.0]))
    model.save_pretrained(tmp_path)
    assert torch.equal(_logits(FineCLForRelationExtraction.from_pretrained(tmp_path), batch), _logits(model, batch))
