# `make help` lists what there is. Everything works from a bare Python 3.11, 3.12 or 3.13: the newest that this machine
# has, or PYTHON=/path/to/python3.12. The environment VENV is made when it is needed, and keeps its Python.
VENV ?= .venv
export PATH := $(abspath $(VENV))/bin:$(PATH)
# MLflow must not go online to count its users, nor pick an environment by a stray lock file.
export MLFLOW_DISABLE_TELEMETRY ?= true
export MLFLOW_UV_AUTO_DETECT ?= false
# MLflow's server starts eight processes for jobs of its own, which nothing here asks for: 1.3 GB and 10 s of processor time.
export MLFLOW_SERVER_ENABLE_JOB_EXECUTION ?= false

NAME ?= flights
EXTRAS ?= dev
PORT ?= 5002
UI_PORT ?= 5000
FLIGHTS := -P exclude=date -P units=arr_delay=min,dep_delay=min,distance=mi

# What images hold, for their Python and their system; the hashes are of every platform's files.
IMAGE ?= serve
TAG ?= localhost/slipway-$(IMAGE):$(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
LOCK := uv pip compile --quiet --python-version 3.11 --python-platform x86_64-manylinux_2_28 --generate-hashes \
	--no-annotate --custom-compile-command "make lock" --upgrade
SBOM := uv tool run --quiet --from cyclonedx-bom==7.5.0 cyclonedx-py requirements --output-reproducible --of JSON

# What starts deploy/team: docker's or podman's.
COMPOSE ?= docker compose

# Two processes, a file at a time, in the order of their names: the long ones of tests/end_to_end first.
IN_TWO := -n 2 --dist loadfile --no-loadscope-reorder

# The site of docs/. Zensical reads mkdocs.yml, and mkdocs-material does too.
SITE := uv tool run --quiet --from 'zensical>=0.0.73,<0.1' zensical

.PHONY: help install run loop docs test unit recorded soak check format proto image team lock bench bench-accuracy ui serve clean
.DEFAULT_GOAL := help

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: ## make .venv and install the pinned requirements
	@.ci/environment "$(VENV)" "$(EXTRAS)" "$(PYTHON)"

run: install ## train on the flights sample, register, promote, serve with stock MLflow, score one row
	@echo "slipway: from data/samples/flights.csv to an endpoint"
	@mlflow run . --env-manager local --experiment-name flights $(FLIGHTS) -P time_budget=20 2> slipway-mlflow.log \
		|| { tail -n 5 slipway-mlflow.log; exit 1; }
	@python -m serving.tryout --model models:/flights@champion --data data/samples/flights.csv --row 25000 \
		--target arr_delay --exclude date --unit min
	@echo
	@echo "  next      make ui       compare the runs, at the address above"
	@echo "            make serve    an endpoint for models:/flights@champion"
	@echo "            source .venv/bin/activate, then your own table:"
	@echo "            mlflow run . --env-manager local -P data=/path/to/houses.csv -P target=price"

loop: install ## half a year with a model in some minutes: watched, broken, retrained, swapped
	@PYTHONPATH=. python docs/examples/closed_loop.py

docs: install ## the pages as a site, in build/site
	@PYTHONPATH=. python .ci/api_page.py
	@$(SITE) build --strict --clean

test: install ## set up, then run the tests, apart from the long ones
	@python -m pytest -q -m "not soak and not bench" $(IN_TWO)

unit: install ## the tests that start no processes: what CI runs on each other Python
	@python -m pytest -q -m "not soak and not bench and not starts and not once" $(IN_TWO)

recorded: install ## break and attack things, and write what happened to docs/reliability.md and docs/security.md
	@sed -i '1,/^|---/!d' docs/reliability.md docs/security.md
	@WRITE_RECORDED=1 python -m pytest -q $$(grep -rlE '\b(recorded|held)\(' tests --include='test_*.py')

soak: install ## the long tests, with the figures that they measure
	@python -m pytest -q -rfEP --durations=25 -m soak $(IN_TWO)

check: install ## ruff and mypy, as CI runs them
	@ruff check .
	@ruff format --check .
	@mypy

format: install ## format the code
	@ruff check --fix-only --quiet .
	@ruff format .

MESSAGES := serving/protocols/v2_messages

proto: install ## write the descriptors of gRPC's messages anew, after a change of open_inference.proto
	@python -m grpc_tools.protoc -I$(MESSAGES) --descriptor_set_out=$(MESSAGES)/open_inference.pb open_inference.proto

bench: install ## side-by-side measurements
	@PYTHONPATH=. python .ci/install.py "$(VENV)" dev,bench
	@command -v wrk > /dev/null || echo "the server's measurements need wrk: apt-get install wrk"
	@python -m pytest -q -m bench tests/test_benchmarks.py
	@python -m benchmarks

bench-accuracy: install ## how near the search comes to the noise; DATA=/path/to/uci adds public sets
	@python -m benchmarks.accuracy $(if $(DATA),--data $(DATA))

ui: install ## MLflow's UI on this folder's runs, on UI_PORT (5000)
	@mlflow ui --host 127.0.0.1 --port $(UI_PORT)

serve: install ## serve the champion of NAME (flights) on PORT (5002)
	@python -m serving --model models:/$(NAME)@champion --port $(PORT)

image: install ## build the IMAGE (serve) as TAG, from BASE, and its list of packages
	@deploy/images/build $(IMAGE) $(TAG) $(if $(BASE),--build-arg BASE=$(BASE))
	@$(SBOM) --output-file slipway-$(IMAGE).cdx.json deploy/images/$(IMAGE).txt
	@echo "$(TAG), and its packages in slipway-$(IMAGE).cdx.json"

team: ## start a team's MLflow in containers, on port 5000: with users, on PostgreSQL and S3
	@deploy/team/passwords
	@BUILDER=$(firstword $(COMPOSE)) $(MAKE) --no-print-directory image IMAGE=mlflow
	@$(COMPOSE) --project-directory deploy/team up --detach --wait

lock: install ## lock the images' requirements anew, each to the newest version that pyproject.toml allows
	@$(LOCK) --group serve --output-file deploy/images/serve.txt
	@$(LOCK) --group mlflow --output-file deploy/images/mlflow.txt
	@$(LOCK) pyproject.toml --extra postgres --extra grpc --extra excel --output-file deploy/images/train.txt

clean: ## remove the environment, the runs and what tools left behind
	rm -rf .venv .venv-* mlflow.db mlflow.db-* slipway.log slipway-mlflow.log .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info
	find mlruns -mindepth 1 -not -name README.md -delete
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
