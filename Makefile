# `make` lists what there is. Every variable below can be given on the command line.

MODEL ?= models/smollm2-135m-instruct.gguf
RUN ?= runs/quickstart
PIPELINE ?= pipelines/quickstart.yaml
SEEDS ?= 1 2 3
MUTATIONS ?= 10000
# Python is needed for `data` (standard library) and `parity` (reference/requirements.txt) only.
PYTHON ?= python3
SWIFT_FLAGS ?=

RETORT := .build/release/retort
# How the teacher answers the prompts of data/make_prompts.py.
GENERATE_FLAGS ?= --temperature 0.7 --top-p 0.9 --max-new-tokens 128 --seed 1 --batch 96 \
  --complete-only --attempts 3 --replace

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: bench browser compare fuzz help mpi quickstart setup teacher build test lint format data parity goldens clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' Makefile

quickstart: setup teacher build ## the whole job: set up, fetch the teacher, build, extract, distil, evaluate
	$(RETORT) run $(PIPELINE) --set extract.teacher=$(MODEL) --set output=$(RUN)

setup: ## install the system libraries that are missing
	@scripts/setup.sh

teacher: setup ## fetch the teacher of the quick start (about 100 MB)
	@scripts/fetch-teacher.sh $(MODEL)

build: setup ## build the command, optimised
	swift build -c release --product retort $(SWIFT_FLAGS)

test: setup ## run every test; no network, no Python
	swift test --disable-xctest $(SWIFT_FLAGS)

# Installs chromium and Python packages: needs a network the first time.
browser: setup ## look at the report in a real browser: errors, accessibility, pictures (needs Python, chromium)
	@scripts/browser.sh

lint: ## check format, scripts and file lengths
	swift format lint --strict -r Sources Tests benchmarks Package.swift
	@if command -v shellcheck >/dev/null; then \
	  echo "shellcheck scripts/*.sh pipelines/*.sh .ci/run"; shellcheck scripts/*.sh pipelines/*.sh .ci/run; \
	else echo "lint: shellcheck is not installed, scripts not checked"; fi
	@scripts/check-lengths.sh

format: ## format the Swift files in place
	swift format -i -r Sources Tests benchmarks Package.swift

# Makes data/instructions.jsonl anew: prompts by a script, answers by the teacher.
data: teacher build ## make data/instructions.jsonl (takes the teacher a while)
	mkdir -p runs
	$(PYTHON) data/make_prompts.py > runs/prompts.jsonl
	$(RETORT) generate --model $(MODEL) --prompts runs/prompts.jsonl \
	  --output data/instructions.jsonl $(GENERATE_FLAGS)

# About two hours on two cores; stopped, it goes on from where it was.
compare: setup teacher build ## criteria against each other: two students, three seeds
	scripts/compare.sh $(RETORT) $(MODEL) $(SEEDS)
	$(PYTHON) scripts/seed_table.py $(SEEDS:%=runs/compare/%/gpt2/eval.json)
	$(PYTHON) scripts/seed_table.py $(SEEDS:%=runs/compare/%/pruned/eval.json)

bench: setup ## speed of products and of the student, as shares of a plain product
	swift build -c release --product benchmarks
	.build/release/benchmarks

mpi: setup ## train by several processes and hold them against one (needs libopenmpi-dev, openmpi-bin, Python)
	@scripts/mpi-test.sh

fuzz: setup ## open MUTATIONS damaged files of each kind under AddressSanitizer
	@MUTATIONS=$(MUTATIONS) scripts/fuzz.sh

parity: build ## hold the quick start's cache and students, and training itself, against PyTorch (needs Python)
	$(PYTHON) reference/gguf_parity.py $(RUN)/cache $(MODEL) --write-tokens $(RUN)/tokens.json
	$(RETORT) model logits $(MODEL) --tokens $(RUN)/tokens.json --output $(RUN)/logits.h5 --replace
	$(PYTHON) reference/gguf_parity.py $(RUN)/cache $(MODEL) --logits $(RUN)/logits.h5
	$(PYTHON) reference/student_parity.py $(RUN)
	$(PYTHON) reference/tensorboard_parity.py $(RUN)/dskd
	$(PYTHON) reference/online.py --retort $(RETORT)
	$(PYTHON) reference/sft_curve.py --retort $(RETORT) --student $(RUN)/student --cache $(RUN)/cache

goldens: ## make the golden files of the tests anew (needs Python)
	$(PYTHON) reference/model_goldens.py
	$(PYTHON) reference/criteria.py goldens
	$(PYTHON) reference/tokenizer_goldens.py
	$(PYTHON) reference/sentencepiece_goldens.py
	$(PYTHON) reference/unicode_goldens.py
	$(PYTHON) reference/weight_goldens.py
	$(PYTHON) reference/gguf_goldens.py
	$(PYTHON) reference/lora_goldens.py
	$(PYTHON) reference/training_goldens.py
	$(PYTHON) reference/ggml_goldens.py
	$(PYTHON) reference/hostile_cache.py Tests/CacheTests/Fixtures
	$(PYTHON) reference/tensor_files.py Tests/CacheTests/Fixtures/tensors
	$(PYTHON) reference/rouge_goldens.py
	$(PYTHON) reference/similarity_goldens.py
	$(PYTHON) reference/tensorboard_goldens.py

clean: ## remove what was built; runs/ and models/ stay
	rm -rf .build
