# kvwire: `make demo` and `make test` set up what they need and can be run again at any time.
PYTHON ?= python3.11
BIN := .venv/bin
STAMP := .venv/.ready
# A process per core; a file's tests stay together, for they share services.
SPREAD := --numprocesses auto --dist loadfile

.PHONY: setup demo test test-all test-gpu fuzz mutants docs lint proto proto-breaking proto-released audit sbom bench dashboards dashboard-previews clean

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $(STAMP)

demo: $(STAMP)
	$(BIN)/kvwire demo

test: $(STAMP)
	$(BIN)/kvwire models pull smollm2-135m >/dev/null
	$(BIN)/pytest -m 'not slow' $(SPREAD)

test-all: $(STAMP)
	$(BIN)/kvwire models pull smollm2-135m gemma3-270m qwen2.5-coder-0.5b >/dev/null
	$(BIN)/pytest $(SPREAD)

# Every codec and fuser, copies to the host, the engine and two services on one CUDA GPU; all skipped without one.
test-gpu: $(STAMP)
	$(BIN)/kvwire models pull smollm2-135m >/dev/null
	$(BIN)/pytest -m gpu -rs

# Coverage-guided fuzzing of everything that reads foreign bytes; so many seconds for each of four targets.
FUZZ_SECONDS ?= 600
fuzz: $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check atheris==3.0.0
	for target in frames messages specs checkpoints; do \
	  $(BIN)/python -m tests.fuzz $$target -max_total_time=$(FUZZ_SECONDS) || exit 1; \
	done

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/buf lint proto

# The stubs are checked in; CI regenerates them and fails on a difference.
proto: $(STAMP)
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m grpc_tools.protoc -I proto --python_out=. --mypy_out=quiet:. \
	  proto/kvwire/v1/*.proto
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m grpc_tools.protoc -I proto --grpc_python_out=. \
	  --mypy_grpc_out=quiet:. proto/kvwire/v1/*_service.proto

# What a peer of the last release says must still mean the same. Needs no network.
proto-breaking: $(STAMP)
	$(BIN)/buf breaking proto --against proto/released.binpb

# With each release: the protos that later ones are held against.
proto-released: $(STAMP)
	$(BIN)/buf build proto --exclude-source-info -o proto/released.binpb

# Known vulnerabilities of what constraints.txt pins; fails too where the feed cannot be asked.
audit: $(STAMP)
	$(BIN)/python -m deploy.audit

# What an installation is made of, as CycloneDX JSON.
sbom: $(STAMP)
	mkdir -p build
	$(BIN)/cyclonedx-py environment --pyproject pyproject.toml --output-reproducible -o build/sbom.json $(BIN)/python

# Changes the code one spot at a time; each change must fail a test (docs/testing.md). Names are patterns.
MUTANTS ?= receiver_service.*
mutants: $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check mutmut==3.8.1
	$(BIN)/mutmut run '$(MUTANTS)'
	$(BIN)/mutmut results

# The documentation as a site in build/site. Whatever is wrong with a link, an anchor or a docstring ends it.
docs: $(STAMP)
	$(BIN)/python -m deploy.site

bench: $(STAMP)
	$(BIN)/kvwire codec bench

# The dashboards' files are checked in; a test fails on a difference.
dashboards: $(STAMP)
	$(BIN)/python -m deploy.grafana.source

# Pictures of the dashboards over a real load of three minutes; needs Prometheus and Chromium.
dashboard-previews: $(STAMP)
	$(BIN)/python -m deploy.grafana.preview

clean:
	rm -rf .venv mutants .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist *.egg-info
