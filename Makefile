# Each target does its own set-up: a virtual environment with the versions of constraints.txt.
PYTHON ?= python3
VENV ?= .venv
DOCS_VENV ?= .venv-docs
BIN := $(VENV)/bin
SOURCES := finecl_hf tests docs examples benchmarks setup.py run_denoise.py run_pretrain.py run_finetune.py

.DEFAULT_GOAL := help
.PHONY: help quickstart test test-slow style quality bench evidence-table docs wheel clean

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

quickstart: $(VENV)/.installed  ## all three stages on a generated corpus, in a few minutes
	rm -rf quickstart_output
	$(BIN)/python examples/quickstart.py --output_dir quickstart_output

test: $(VENV)/.installed  ## the test suite, offline
	$(BIN)/python -m pytest -q -n 2 --dist worksteal

test-slow: $(VENV)/.installed  ## also what takes long, or needs the real data named by FINECL_REAL_DATA
	$(BIN)/python -m pytest -q -n 2 --dist worksteal -m "slow or real or not slow"

style: $(VENV)/.installed  ## format the code
	$(BIN)/ruff format $(SOURCES)
	$(BIN)/ruff check --fix $(SOURCES)

quality: $(VENV)/.installed  ## check format and lint
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/ruff check $(SOURCES)

bench: $(VENV)/.installed  ## stage 1 on injected noise; FEWREL and MODEL name the corpus and the encoder
	$(BIN)/python benchmarks/denoise.py --corpus fewrel --documents $(FEWREL) --model $(MODEL)

GRIDS = pretraining longer remedies wrong_labels review
IN_README = "FewRel, 5-way 1-shot, unseen relations" "SemEval 1 %" "Re-DocRED 1 %" "Re-DocRED 10 %"
EVIDENCE = $(BIN)/python benchmarks/evidence.py --cells benchmarks/cells --table
evidence-table: $(VENV)/.installed  ## tables and charts of README and docs/evidence.md, from the kept cells of benchmarks/evidence.py
	@for grid in $(GRIDS); do $(EVIDENCE) --config benchmarks/configs/$$grid.json --write docs/evidence.md \
	    --chart docs/images/$$grid.svg > /dev/null || exit 1; done
	@$(EVIDENCE) --wide --only $(IN_README) --write README.md > /dev/null
	@echo "Wrote the tables and charts of README.md and docs/evidence.md"

docs: $(DOCS_VENV)/.installed  ## all pages and an API reference, into site/index.html; has an environment of its own
	NO_MKDOCS_2_WARNING=1 $(DOCS_VENV)/bin/python -m mkdocs build --strict  # with -q, it would not see warnings
	@echo "Wrote site/index.html"

wheel: $(VENV)/.installed  ## build a wheel into dist/
	$(BIN)/python -m pip wheel -q --no-deps -w dist .

clean:  ## remove the virtual environment and what runs left behind
	rm -rf $(VENV) $(DOCS_VENV) site dist build *.egg-info quickstart_output .pytest_cache .ruff_cache .hypothesis

$(VENV)/.installed: setup.py constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e ".[dev]"
	touch $@

# The reference is read from the source, so neither the package nor torch is needed
$(DOCS_VENV)/.installed: constraints.txt
	$(PYTHON) -m venv $(DOCS_VENV)
	$(DOCS_VENV)/bin/python -m pip install -q --disable-pip-version-check -c constraints.txt \
	    mkdocs mkdocs-material "mkdocstrings[python]"
	touch $@
