"""finecl_hf: relation extraction from noisy labels, as Hugging Face Trainers.

The names below load on first use, so that `import finecl_hf` and the command line start without torch.
"""

from importlib import import_module


__version__ = "0.1.0"

_MODULE_OF = {
    "Document": "data.documents",
    "DocumentEncoder": "encoding.features",
    "FineCLConfig": "extraction.configuration",
    "FineCLForRelationExtraction": "extraction.modeling",
    "DenoiseTrainer": "denoising.trainer",
    "PretrainTrainer": "pretraining.trainer",
    "FinetuneTrainer": "extraction.trainer",
    "DenoiseArguments": "denoising.arguments",
    "PretrainArguments": "pretraining.arguments",
    "FinetuneArguments": "extraction.arguments",
    "LearningOrder": "learning_order",
    "LearningOrderCallback": "denoising.recorder",
    "RelationEmbedder": "extraction.embedder",
    "RelationExtractionPipeline": "extraction.pipeline",
    "RelationPrototypes": "extraction.prototypes",
    "load_relation_model": "extraction.loading",
    "read_documents": "data.readers",
    "write_documents": "data.readers",
}

__all__ = list(_MODULE_OF)


def __getattr__(name: str):
    if name in _MODULE_OF:
        return getattr(import_module(f"finecl_hf.{_MODULE_OF[name]}"), name)
    raise AttributeError(f"module 'finecl_hf' has no attribute '{name}'")


def __dir__():
    return sorted([*globals(), *__all__])
