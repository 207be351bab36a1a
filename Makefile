# Two commands, each from a bare clone:
#   make reproduce                 the mini suite: training, scores, tables, page   (SUITE=..., ARGS="-n")
#   make test                      every test                                       (ARGS="-k config")
# The first call also installs the locked requirements into .venv; VENV=... puts them elsewhere.
SUITE ?= mini
ARGS ?=
VENV ?= .venv
# `make gpu` takes the machine's own Python, or the one that PYTHON names.
OWN_PYTHON := $(if $(filter environment command,$(firstword $(origin PYTHON))),$(PYTHON),python3)
PYTHON := $(VENV)/bin/python

FIND = for python in python3.11 python3.12 python3.13 python3.14 python3 python; do \
	"$$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15))' 2>/dev/null \
	&& echo "$$python" && break; done
NO_PYTHON = Python 3.11 to 3.14 is needed and was not found: install one (Debian, Ubuntu: apt install python3-venv; \
	macOS: brew install python@3.13; anywhere: uv python install 3.13, then put its folder on PATH), and run this again
sum = $(firstword $(shell { $(1); } | cksum))
# What is installed is named by what asked for it: the lock; the project's own data and its place.
LOCKED := $(VENV)/.locked-$(call sum,cat requirements.lock)
PLACED := $(VENV)/.placed-$(call sum,cat requirements.lock pyproject.toml; pwd)

export OMP_NUM_THREADS ?= 1

.PHONY: help install reproduce test proof bench gpu gpu-wheels reference lint schemas lock docs docs-builder

help:
	@sed -n '2,4s/^# *//p' Makefile
	@echo "make proof | bench | gpu | gpu-wheels | reference | lint | schemas | lock | docs: see CONTRIBUTING.md"

install: $(PLACED)

$(LOCKED):
	@base=$$($(FIND)); test -n "$$base" || { echo "$(NO_PYTHON)" >&2; exit 2; }; \
	echo "installing the locked requirements into $(VENV): about 4 minutes and 6 GB, once"; \
	"$$base" -m venv "$(VENV)"
	@$(PYTHON) -m pip install -qq --disable-pip-version-check --require-hashes -r requirements.lock
	@rm -f $(VENV)/.locked-* && touch $@

$(PLACED): $(LOCKED)
	@$(PYTHON) -m pip install -qq --disable-pip-version-check --no-deps --no-build-isolation -e .
	@rm -f $(VENV)/.placed-* && touch $@

# -m finds this checkout by itself, wherever it was moved to.
reproduce: install
	@$(PYTHON) -m benchmarks reproduce $(SUITE) $(ARGS)

test: install
	@$(PYTHON) -m pytest --numprocesses=auto --maxprocesses=4 --dist=loadfile --no-loadscope-reorder $(ARGS)

# What takes the machine for an hour: 20 kills, failing disks, SLURM, awkward names, deployments. Writes docs/proofs.md.
proof: install
	@$(PYTHON) -m tests.smoke.proofs $(ARGS)

# Speeds as ratios, measured here: records in benchmarks/speed/records/, shown in docs/speed.md. Takes the whole machine.
bench: install
	@$(PYTHON) -m benchmarks.speed

# What a GPU says within a time budget, from a plain tree without git, package index or Snakemake: SECONDS=480 in all,
# records below OUT, SHARED=results of a `make reproduce`, ONLY=env,ddpmpp some steps, TINY=1 a rehearsal on a CPU.
# `python -m benchmarks.speed.gpu --take OUT` files the records and makes docs/speed.md anew.
OUT ?= .gpu/out
SECONDS ?= 480
SHARED ?= results
WHEELS ?= .gpu/whl
gpu:
	@$(OWN_PYTHON) -m benchmarks.speed.gpu --out "$(OUT)" --seconds "$(SECONDS)" --wheels "$(WHEELS)" \
		--shared "$(SHARED)" --other "$(SHARED)" $(if $(ONLY),--only "$(ONLY)") $(if $(TINY),--tiny) $(ARGS)

# The wheels that such a machine may lack, into a folder that is brought along; this needs a package index.
gpu-wheels:
	@$(OWN_PYTHON) -m benchmarks.speed.gpu --collect --wheels "$(WHEELS)"

# The project's own reference of the miniature: committed alone, with the reason.
reference: install
	@$(PYTHON) -m benchmarks --results results/_reference reproduce mini-reference $(ARGS)
	@$(PYTHON) -m benchmarks --results results/_reference table mini --as-reference

lint: install
	@$(PYTHON) -m ruff check .
	@$(PYTHON) -m ruff format --check .
	@$(PYTHON) -m mypy
	@$(PYTHON) -m snakefmt --check Snakefile workflow
	@$(PYTHON) -m snakemake --lint

schemas: install
	@$(PYTHON) -m benchmarks.suite.schema

# The versions that are locked stay where they still fit; `make lock ARGS=--upgrade` moves them.
lock:
	@uv pip compile --quiet --universal --generate-hashes --no-header --no-annotate --extra all --extra dev \
		--python-version 3.11 pyproject.toml --output-file requirements.lock $(ARGS)
	@sed -i.old "s/[0-9a-f]\{64\}/$$(sha256sum requirements.lock | cut -c1-64)/" workflow/envs/sidbench.post-deploy.sh
	@rm workflow/envs/sidbench.post-deploy.sh.old

# The documentation as pages, build/docs/index.html, which need no network to be read. The builder is no part of the lock: the extra
# `docs` of pyproject.toml names it, and it has an environment of its own.
DOCS ?= .venv-docs
docs: docs-builder
	@NO_MKDOCS_2_WARNING=1 $(DOCS)/bin/mkdocs build --strict --quiet $(ARGS)
	@echo "build/docs/index.html"

docs-builder: install
	@test -x $(DOCS)/bin/mkdocs || { $(PYTHON) -m venv $(DOCS) && $(DOCS)/bin/python -m pip install -qq --disable-pip-version-check \
		$$($(PYTHON) -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]["docs"])'); }
