# The same targets for people and for CI; `make` lists them.
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
DOCS := build/docs-env
PANDAS := build/pandas-env
DBT := build/dbt-env
PREFECT := build/prefect-env
AIRFLOW := build/airflow-env
BROWSER := build/browser-env
PYTEST := $(BIN)/pytest -n auto
SUITES := core commands docs pipelines database
CHOSEN = $(PYTEST) -m "$(1) and not faults and not dbt"
SUITE = $(CHOSEN) $(or $(ARGS),--rows=build/rows/$(1).json)
FAULTS := $(PYTEST) --dist worksteal -m "faults and not dbt and not mutations"
TYPED := src/assay pipelines benchmarks tools
SOURCES := pyproject.toml $(shell find src tests pipelines tools -name '*.py' 2>/dev/null)

RETAIL := --warehouse postgresql:build/retail/server $(foreach name,customers products orders order_items,\
	--source '$(name)=build/retail/raw_data/$(name)/*/data.parquet')

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup demo demo-retail demo-shop demo-fleet test test-commands test-database test-pipelines test-docs test-pandas setup-dbt test-dbt test-postgres setup-prefect test-prefect setup-airflow test-airflow test-browser test-faults test-mutations sweep check scan lint format docs rows golden bench bench-large bench-retail bench-sync bench-shop bench-fleet lock clean

help: ## list the targets
	@awk -F ':.*## ' '/^### / { print "\n" substr($$0, 5) } /^[a-z-]+:.*## / { printf "make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(READY) ## make the environment in .venv (PYTHON=... names the interpreter)
	@echo "$(VENV) is ready: $$($(BIN)/python --version)"

$(READY): requirements.lock pyproject.toml tools/setup.sh
	@tools/setup.sh $(VENV)
	@touch $@

demo: $(READY) ## run the ride bookings pipeline on sample data, into build/demo
	$(BIN)/assay sample ride_bookings build/demo
	$(BIN)/assay run ride_bookings --source bookings=build/demo/bookings.csv.gz --as-of 2024-12-01 --warehouse build/demo/lake

demo-retail: $(READY) ## run the retail pipeline on a year of dirty sample data, into a PostgreSQL server of its own in build/retail (ARGS="--days 30 --hard")
	$(BIN)/assay sample retail build/retail $(ARGS)
	$(BIN)/assay run retail $(RETAIL) --as-of 2026-01-01
	$(BIN)/assay validate retail --warehouse postgresql:build/retail/server

demo-shop: $(READY) $(DBT)/.ready ## run the shop with its dbt project: source and target on servers of their own, in build/shop
	$(BIN)/python -m tools.demo_shop

demo-fleet: $(READY) ## run the fleet of tables in phases, with one that fails: source and target on servers of their own, in build/fleet
	$(BIN)/python -m tools.demo_fleet

test: $(READY) ## run the tests of the library (ARGS="-k merge" chooses some)
	$(call SUITE,core)

test-commands: $(READY) ## run the tests of whole commands as people type them, with pages and proofs
	$(call SUITE,commands)

test-database: $(READY) ## run the tests that need a server of PostgreSQL, which they start and stop
	$(call SUITE,database)

test-pipelines: $(READY) ## run the tests of the pipelines that are brought along
	$(call SUITE,pipelines)

test-docs: $(READY) ## run what the documentation and the README files show
	$(call SUITE,docs)

test-pandas: $(PANDAS)/.ready ## run the tests that need pandas, in an environment that has it
	$(PANDAS)/bin/pytest tests/pandas $(or $(ARGS),--rows=build/rows/pandas.json)

$(PANDAS)/.ready: requirements-pandas.lock pyproject.toml tools/setup.sh
	@tools/setup.sh $(PANDAS) requirements-pandas.lock
	@touch $@

setup-dbt: $(DBT)/.ready ## make the environment of dbt, apart from all others
	@echo "$(DBT) is ready: dbt-core $$($(DBT)/bin/python -c 'import importlib.metadata as m; print(m.version("dbt-core"))')"

$(DBT)/.ready: requirements-dbt.lock tools/setup.sh
	@tools/setup.sh $(DBT) requirements-dbt.lock
	@touch $@

test-dbt: $(READY) $(DBT)/.ready ## run the tests that need dbt, which has an environment of its own; for some minutes
	$(PYTEST) -m dbt $(or $(ARGS),--rows=build/rows/dbt.json)

setup-prefect: $(PREFECT)/.ready ## make the environment of Prefect, apart from all others
	@echo "$(PREFECT) is ready: $$($(PREFECT)/bin/prefect --version)"

$(PREFECT)/.ready: requirements-prefect.lock pyproject.toml tools/setup.sh
	@tools/setup.sh $(PREFECT) requirements-prefect.lock
	@touch $@

test-prefect: $(PREFECT)/.ready ## run the tests that need Prefect: its server and its workers, for some minutes
	$(PREFECT)/bin/pytest -n 2 --dist loadfile tests/prefect $(or $(ARGS),--rows=build/rows/prefect.json)

setup-airflow: $(AIRFLOW)/.ready ## make the environment of Airflow, apart from all others
	@echo "$(AIRFLOW) is ready: Airflow $$($(AIRFLOW)/bin/python -c 'import importlib.metadata as m; print(m.version("apache-airflow"))')"

$(AIRFLOW)/.ready: requirements-airflow.lock pyproject.toml tools/setup.sh
	@tools/setup.sh $(AIRFLOW) requirements-airflow.lock
	@touch $@

test-airflow: $(AIRFLOW)/.ready $(DBT)/.ready ## run the tests that need Airflow: its scheduler too, for some minutes
	$(AIRFLOW)/bin/pytest -n 2 --dist loadfile tests/airflow $(or $(ARGS),--rows=build/rows/airflow.json)

test-browser: $(BROWSER)/.ready ## run the tests that look at pages in Chromium, by an environment that drives it
	$(BROWSER)/bin/pytest tests/browser $(or $(ARGS),--rows=build/rows/browser.json)

$(BROWSER)/.ready: requirements-browser.lock pyproject.toml tools/setup.sh
	@tools/setup.sh $(BROWSER) requirements-browser.lock
	@touch $@

test-postgres: $(READY) $(DBT)/.ready ## run the tests of databases on the server whose programs are in POSTGRES=FOLDER; for half an hour
	@test -x "$(POSTGRES)/postgres" || { echo "make test-postgres: name the programs: POSTGRES=/usr/lib/postgresql/15/bin" >&2; exit 2; }
	$(PYTEST) -m "not faults" --postgres $(POSTGRES) $(or $(ARGS),tests/warehouses/postgres tests/warehouses/test_shared_lake.py tests/sources/postgres tests/conformance tests/engines/dbt tests/pipelines/shop $(wildcard tests/pipelines/test_*postgres.py) tests/pipelines/test_table_fleet.py)

test-faults: $(READY) ## run the tests that kill, interrupt and crowd runs, for some minutes
	$(FAULTS) $(or $(ARGS),--rows=build/rows/faults.json)

test-mutations: $(READY) ## change the code in ways that would lose or double data, one by one: tests must fail each time
	$(PYTEST) -m mutations $(ARGS)

sweep: $(READY) ## the tests of faults at every place, and on whole data: for hours (ARGS=tests/faults/test_disk.py chooses)
	$(FAULTS) -rP --sweep $(ARGS)

check: $(READY) ## formatting, lint, types, floors and locks
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy $(TYPED)
	$(BIN)/lint-imports
	$(BIN)/python tools/check_lock.py

scan: $(READY) ## look for secrets in all files
	@PATH="$(CURDIR)/$(BIN):$$PATH" tools/scan.sh

lint: check scan ## all that reads the files and runs none

format: $(READY) ## format the code and mend what ruff can mend
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: $(DOCS)/.ready ## build the site of docs/ into build/docs; a broken link fails
	$(DOCS)/bin/zensical build --clean --strict

$(DOCS)/.ready: requirements-docs.lock tools/setup.sh
	@tools/setup.sh $(DOCS) requirements-docs.lock
	@touch $@

rows: $(SUITES:%=build/rows/%.json) build/rows/pandas.json build/rows/dbt.json build/rows/prefect.json build/rows/airflow.json build/rows/browser.json build/rows/faults.json ## show which rows of the feature table are proven by tests; fails where one called done is not
	@$(BIN)/python tools/rows.py $^

$(SUITES:%=build/rows/%.json): build/rows/%.json: $(READY) $(SOURCES)
	@rm -f $@
	-$(call CHOSEN,$*) --rows=$@

build/rows/pandas.json: $(PANDAS)/.ready $(SOURCES)
	@rm -f $@
	-$(PANDAS)/bin/pytest tests/pandas --rows=$@

build/rows/dbt.json: $(READY) $(DBT)/.ready $(SOURCES)
	@rm -f $@
	-$(PYTEST) -m dbt --rows=$@

build/rows/prefect.json: $(PREFECT)/.ready $(SOURCES)
	@rm -f $@
	-$(PREFECT)/bin/pytest -n 2 --dist loadfile tests/prefect --rows=$@

build/rows/airflow.json: $(AIRFLOW)/.ready $(DBT)/.ready $(SOURCES)
	@rm -f $@
	-$(AIRFLOW)/bin/pytest -n 2 --dist loadfile tests/airflow --rows=$@

build/rows/browser.json: $(BROWSER)/.ready $(SOURCES)
	@rm -f $@
	-$(BROWSER)/bin/pytest tests/browser --rows=$@

build/rows/faults.json: $(READY) $(SOURCES)
	@rm -f $@
	-$(FAULTS) --rows=$@

golden: $(READY) ## compare a run on the file DATA=... with the golden counts
	@test -n "$(DATA)" || { echo "make golden: name the file: make golden DATA=bookings.csv.gz" >&2; exit 2; }
	$(BIN)/python benchmarks/golden.py $(DATA)

bench: $(READY) ## measure against the floor and the targets (ARGS="--runs 9", DATA=...); some minutes
	$(BIN)/python -m benchmarks.bench $(if $(DATA),--data $(DATA)) $(ARGS)

bench-large: $(READY) ## the same with 1.5 million rows; with ARGS=--huge 15 million, once
	$(BIN)/python -m benchmarks.bench --large $(ARGS)

bench-retail: $(READY) ## measure the retail pipeline on PostgreSQL against SQL by hand; some minutes
	$(BIN)/python -m benchmarks.retail $(ARGS)

bench-sync: $(READY) ## measure the mirror of a database against psql's own COPY; a quarter of an hour
	$(BIN)/python -m benchmarks.sync $(ARGS)

bench-shop: $(READY) $(DBT)/.ready ## measure the dbt step of a run against dbt alone
	$(BIN)/python -m benchmarks.shop $(ARGS)

bench-fleet: $(READY) $(PREFECT)/.ready $(AIRFLOW)/.ready ## measure twenty tables of a second each, in one process, on Prefect and on Airflow
	$(BIN)/python -m benchmarks.fleet --prefect --airflow $(ARGS)

lock: $(READY) ## make the locks from pyproject.toml
	$(BIN)/python tools/check_lock.py --write

clean: prefect-stop ## remove everything that make makes
	rm -rf $(VENV) build dist .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

include deploy/deploy.mk
include deploy/prefect.mk
