# Everything that the project can do on a fresh machine; each target makes what it needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

# torch's own package is the CPU build only at this exact version; see constraints.txt.
$(VENV)/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[all]' pytest pytest-xdist hypothesis mypy ruff types-psutil \
	    playwright schemathesis tensorrt_rtx_cu13_bindings tensorrt_rtx_cu13_libs webdataset nvidia-nvimgcodec-cu12
	@touch $@

.PHONY: demo chromium test soak lint format bench bench-ratio bench-engines clean

demo: $(VENV)/ready  ## A checkpoint exported, served by Triton, and shown: out/index.html
	$(BIN)/nonesuch-export build demo/portraits.safetensors --name portraits \
	    --directions demo/directions.safetensors --modes 1024 --repository build/demo
	$(BIN)/nonesuch-server run --repository build/demo --grpc-port 0 --http-port 0 --metrics-port 0 -- \
	    $(BIN)/python -m demo.show portraits --out out
	@echo "A page with a new face at each reload: $(BIN)/nonesuch-server run --repository build/demo -- $(BIN)/nonesuch web"

# The browser of the tests; without it they are skipped and say so.
chromium:
	@command -v chromium >/dev/null \
	    || { test "$$(id -u)" = 0 && command -v apt-get >/dev/null \
	        && timeout 300 sh -c "apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium >/dev/null"; } \
	    || echo "no Chromium, and none can be installed here: the browser tests will be skipped" >&2

test: $(VENV)/ready chromium  ## All tests but the slow ones
	$(BIN)/nonesuch-server prepare
	$(BIN)/pytest -n 2 --dist loadfile -m 'not slow and not gpu'

soak: $(VENV)/ready  ## The slow tests
	$(BIN)/nonesuch-server prepare
	$(BIN)/pytest -m slow

lint: $(VENV)/ready  ## Style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/ready
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/ready  ## The portraits by every scenario: loadtest/results/MACHINE-DATE/report.html
	$(BIN)/nonesuch-server run --grpc-port 0 --http-port 0 --metrics-port 0 -- \
	    $(BIN)/nonesuch-loadtest bench portraits --out loadtest/results

bench-ratio: $(VENV)/ready  ## What the server keeps of the bare engine's speed, at 256x256
	@mkdir -p build
	$(BIN)/nonesuch-export random build/random256.safetensors --resolution 256
	$(BIN)/nonesuch-export build build/random256.safetensors --name random256 --repository build/bench
	$(BIN)/nonesuch-server run --repository build/bench --grpc-port 0 --http-port 0 --metrics-port 0 -- \
	    $(BIN)/nonesuch-loadtest ratio random256 --repository build/bench --callers 4 --batch 8

bench-engines: $(VENV)/ready  ## The engines beside PyTorch and the machine's matrix peak
	@mkdir -p build
	$(BIN)/python loadtest/bench_engines.py --out build/bench-engines.json

clean:
	rm -rf $(VENV) build out dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
