# Everything that the project can do on a fresh machine; each target makes what it needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

# torch's own package is the CPU build only at this exact version; see constraints.txt.
$(VENV)/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[all]' pytest pytest-xdist hypothesis mypy ruff
	@touch $@

.PHONY: demo test soak lint format bench clean

demo: $(VENV)/ready  ## A checkpoint exported, served by Triton, and shown: out/index.html
	$(BIN)/nonesuch-export build demo/portraits.safetensors --name portraits \
	    --directions demo/directions.safetensors --modes 1024 --repository build/demo
	$(BIN)/nonesuch-server run --repository build/demo --grpc-port 0 --http-port 0 --metrics-port 0 -- \
	    $(BIN)/python -m demo.show portraits --out out

test: $(VENV)/ready  ## All tests but the slow ones
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

bench: $(VENV)/ready  ## What the server keeps of the bare engine's speed, at 256x256
	@mkdir -p build
	$(BIN)/nonesuch-export random build/random256.safetensors --resolution 256
	$(BIN)/nonesuch-export build build/random256.safetensors --name random256 --repository build/bench
	$(BIN)/nonesuch-server run --repository build/bench --grpc-port 0 --http-port 0 --metrics-port 0 -- \
	    $(BIN)/nonesuch-loadtest compare random256 --engine build/bench/random256_generator/1/model.onnx

clean:
	rm -rf $(VENV) build out dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
