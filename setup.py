"""Packaging of finecl_hf. Exact tested versions live in constraints.txt; here are only floors."""

from pathlib import Path

from setuptools import find_packages, setup


# For triple tables larger than memory. Before 2.0, a gzipped table that is cut off may pass for a whole one.
DUCKDB = ["duckdb>=2.0; python_version >= '3.11'", "duckdb>=1.4; python_version < '3.11'"]
EXTRAS = {
    "distant": DUCKDB,  # a requirement by now; the name stays for those who use it
    # export and inference by onnxruntime; the lowest that should know opset 23
    "onnx": ["onnx>=1.18", "onnxruntime>=1.23", "onnxscript>=0.5", "torch>=2.9"],
    "spacy": ["spacy>=3.7"],  # its documents, files and pipelines
    "ray": ["ray[data]>=2.60"],  # prediction and projection over a cluster
    "gradio": ["gradio>=6.31"],  # finecl-hf demo
    "trackers": ["tensorboard>=2.15", "codecarbon>=3.0"],  # --report_to
    "tables": ["openpyxl>=3.1"],  # spreadsheets
    "docs": ["mkdocs>=1.6", "mkdocs-material>=9.6", "mkdocstrings[python]>=1.0"],  # make docs
    "test": [
        "pytest>=8.0",
        "pytest-xdist>=3.5",
        "hypothesis>=6.100",
        "sentencepiece>=0.2",
        "cleanlab>=2.8",  # for an example; the first that allows numpy 2
        "optuna>=4.0",  # for the search in docs/python.md
    ],
    "quality": ["ruff>=0.9"],
}
LARGE = {"ray", "gradio", "trackers", "docs"}  # whose tests skip where they are absent
EXTRAS["dev"] = sorted({requirement for name in EXTRAS.keys() - LARGE for requirement in EXTRAS[name]})

setup(
    name="finecl_hf",
    version="0.1.0",
    description="Relation extraction from noisy labels: FineCL as Hugging Face Trainers",
    long_description=Path(__file__).with_name("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.10",
    packages=[*find_packages(include=["finecl_hf", "finecl_hf.*"]), "finecl_hf.model_cards"],
    package_dir={"finecl_hf.model_cards": "model_cards"},
    package_data={
        "finecl_hf.denoising": ["report.html", "report.md", "judging.js"],
        "finecl_hf.extraction": ["relation_page.html"],
        "finecl_hf.model_cards": ["*.md"],
    },
    install_requires=[
        "torch>=2.6",
        "transformers>=5.20",  # the first with SubConfigSpec
        "datasets>=4.0",
        "accelerate>=1.1",
        "evaluate>=0.4.3",
        "filelock>=3.12",
        "peft>=0.17",
        "huggingface-hub>=1.0",
        *DUCKDB,
        "jinja2>=3.1",  # model cards; only an extra of huggingface-hub
        "matplotlib>=3.8",  # the charts of the denoising report
        "numpy>=1.26",
        "pandas>=2.0",
        "psutil>=5.9",
        "pyarrow>=16.0",
        "pyyaml>=6.0",
    ],
    extras_require=EXTRAS,
    entry_points={
        "console_scripts": ["finecl-hf=finecl_hf.cli:main"],
        "spacy_factories": ["finecl=finecl_hf.extraction.spacy_component:make_component"],
    },
)
