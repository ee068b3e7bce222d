# Two commands do everything on a fresh machine: `make run` and `make test`. Both make .venv themselves.
SHELL := bash
DIR ?= review_pictures
.DEFAULT_GOAL := help
# If this is set, Python compiles TensorFlow Extended again at every start: 40 s instead of 10.
export PYTHONDONTWRITEBYTECODE :=
AGNEWS := .venv/bin/agnews
# Tests that need a server or the real data have targets of their own, and so do three that take many minutes.
WITHOUT_SERVERS := not (real or airflow or kubeflow or mlflow or openlineage or keycloak or postgres or flink or spark or container or kubernetes or orchestrators)
IN_TIME := $(WITHOUT_SERVERS) and not (continuous or interrupts or data_sets)
KEYCLOAK ?= 26.5.6
SOURCES := pipeline components schema serving benchmarks tests scripts setup.py
# Test files that `make test` runs at the same time: one more than cores, since many tests wait for a server or a clock,
# and at most five, since each takes up to 3 GB of memory.
WORKERS ?= $(shell cores=$$(nproc); echo $$((cores < 4 ? cores + 1 : 5)))
# A file stays on one worker, which makes its fixtures once. In the given order, whole runs come first and unit tests last,
# so that all workers are busy to the end; pytest-xdist's own order begins with the files of most tests.
PARALLEL := --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder
# Paths whose spelling and words `make lint` checks.
PROSE := $(wildcard *.md) docs Makefile Dockerfile .pre-commit-config.yaml pyproject.toml setup.py $(SOURCES)

.PHONY: help run test test-fast test-all test-coverage test-real test-continuous test-interrupts test-data-sets test-airflow test-postgres test-kubeflow test-kubernetes test-orchestrators test-mlflow test-openlineage test-keycloak test-container test-flink test-spark \
	airflow airflow-stop job-server-flink job-server-spark rows-file bench-train bench-step bench-gpu bench-stages bench-serve bench-review bench-scale \
	lint types format picture review-pictures reference client client-messages lock clean default dev

help:  ## List the targets.
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1\t\2/p' Makefile | expand -t 22

run: default  ## Run the whole pipeline; ARGS="--profile sample" passes options to `agnews run`.
	@$(AGNEWS) run $(ARGS)

test-fast: dev  ## Run the unit tests, which import no TensorFlow: under a minute.
	.venv/bin/python -m pytest tests/unit $(PARALLEL)

test: dev lint types  ## Check style and types, then run the tests, one of them the whole pipeline on synthetic rows.
	.venv/bin/python -m pytest -m "$(IN_TIME)" $(PARALLEL)

test-all: dev lint types  ## Run `make test`, ten days of training, interrupted runs, and other data sets: an hour.
	.venv/bin/python -m pytest -m "$(WITHOUT_SERVERS)" $(PARALLEL)

test-coverage: dev  ## Run the tests of `make test` and print the lines that none of them executes; fails under the floor.
	.venv/bin/python -m pytest -m "$(IN_TIME)" $(PARALLEL) --cov --cov-report=term-missing:skip-covered

test-continuous: dev  ## Feed ten days to the pipeline, good and bad ones, and check the trained and pushed models.
	.venv/bin/python -m pytest -m continuous

test-interrupts: dev  ## Interrupt and kill runs at random moments of every stage, delete files, and check what is left and what follows.
	.venv/bin/python -m pytest -m interrupts

test-data-sets: dev  ## Take data sets of 14, 3 and 2 classes, in Arabic, Chinese and German, from files to served models.
	.venv/bin/python -m pytest -m data_sets

test-real: dev  ## Run the pipeline on the data in AG_NEWS_DIR and check its accuracy.
	.venv/bin/python -m pytest -m "real and not flink and not spark" -s

airflow: default  ## Start a local Airflow with the DAGs loaded; `make airflow-stop` ends it.
	@scripts/setup.sh airflow
	@.venv-airflow/bin/python scripts/local_airflow.py start

airflow-stop:
	@if [ -x .venv-airflow/bin/python ]; then .venv-airflow/bin/python scripts/local_airflow.py stop; \
		else echo "Airflow does not run; make airflow installs and starts it"; fi

test-airflow: dev  ## Run the DAGs in a real Airflow: two days, a kill, an approval, batch scoring and monitoring.
	@scripts/setup.sh airflow
	.venv/bin/python -m pytest -m airflow

test-postgres: dev  ## Run the pipeline with its metadata in a real PostgreSQL server.
	.venv/bin/python -m pytest -m postgres

test-kubeflow: dev  ## Compile for Kubeflow and run the command of each task on PostgreSQL, through to pushes.
	@scripts/setup.sh kubeflow
	.venv/bin/python -m pytest -m kubeflow

test-mlflow: dev  ## Export runs to a real MLflow tracking server, twice.
	@scripts/setup.sh mlflow
	.venv/bin/python -m pytest -m mlflow

test-openlineage: dev  ## Check exported events with the schemas in OPENLINEAGE_SPEC, the folder spec of OpenLineage.
	.venv/bin/python -m pytest -m openlineage

test-keycloak: dev .keycloak  ## Log in to the review site at a real Keycloak, which Maven fetches.
	.venv/bin/python -m pytest -m keycloak

.keycloak:
	@command -v mvn >/dev/null && command -v java >/dev/null || \
		{ echo "Maven and Java 17 are needed (Debian and Ubuntu: apt install maven openjdk-17-jre-headless)"; exit 1; }
	@rm -rf $@.part && mvn --batch-mode --quiet --strict-checksums org.apache.maven.plugins:maven-dependency-plugin:3.8.1:unpack \
		-Dartifact=org.keycloak:keycloak-quarkus-dist:$(KEYCLOAK):zip -DoutputDirectory=$(CURDIR)/$@.part \
		-Dproject.basedir=$(CURDIR)/$@.part && mv $@.part $@

test-kubernetes: dev  ## Run tasks and model servers in pods of the cluster that KUBECONFIG names.
	@scripts/setup.sh kubeflow
	.venv/bin/python -m pytest -m kubernetes -s

test-orchestrators: dev  ## Run the same spans locally, in Airflow and as Kubeflow's tasks, and compare what they leave.
	@scripts/setup.sh airflow
	@scripts/setup.sh kubeflow
	.venv/bin/python -m pytest -m orchestrators

test-container: dev  ## Build the image with Docker and run it; DOCKER_BUILD_ARGS="--network host" adds options.
	.venv/bin/python -m pytest -m container -s

bench-train: default  ## Train with the seed notebook's code and with ours, in turns; ARGS="--rounds 3".
	@PYTHONPATH=. .venv/bin/python -m benchmarks.train $(ARGS)

bench-step: default  ## Profile training steps from rows.npz: where their time goes, printed and plotted.
	@PYTHONPATH=. .venv/bin/python -m benchmarks.step_profile $(ARGS)

rows-file: default  ## Write the rows of a training to rows.npz, for a host with TensorFlow alone; ARGS="--data DIR".
	@PYTHONPATH=. .venv/bin/python -m benchmarks.rows_file $(ARGS)

bench-gpu:  ## Train the notebook's way and ours on one GPU from rows.npz, with TensorFlow alone; PYTHON=python3 names it.
	@PYTHONPATH=. $(or $(PYTHON),.venv/bin/python) -m benchmarks.gpu $(ARGS)

bench-stages: default  ## Run the pipeline on 7,500 to 120,000 rows and plot the time of each stage.
	@PYTHONPATH=. .venv/bin/python -m benchmarks.stages $(ARGS)

bench-serve: default  ## Load-test the local server, TensorFlow Serving if TF_SERVING_BINARY is set, and the model in-process.
	@PYTHONPATH=. .venv/bin/python -m benchmarks.serve $(ARGS)

bench-review: default  ## Time the review site's pages over 2,000 simulated runs; ARGS="--runs 500".
	@PYTHONPATH=. .venv/bin/python -m benchmarks.review $(ARGS)

bench-scale: default  ## Run the data stages on 120,000 to 12 million rows on each engine; time and memory, plotted.
	@PYTHONPATH=. .venv/bin/python -m benchmarks.scale $(ARGS)

job-server-flink: .job_servers/flink/job-server.jar  ## Build Beam's job server for Flink, with Maven.

job-server-spark: .job_servers/spark/job-server.jar  ## Build Beam's job server for Spark, with Maven.

.job_servers/%/job-server.jar: scripts/job_server.xml
	@command -v mvn >/dev/null && command -v java >/dev/null || \
		{ echo "Maven and Java 17 are needed (Debian and Ubuntu: apt install maven openjdk-17-jre-headless)"; exit 1; }
	@rm -rf $(@D) && mvn --batch-mode --quiet --strict-checksums --file $< --activate-profiles $* -Dtarget=$(CURDIR)/$(@D) package
	@echo "job server of $*: $@"

test-flink: dev job-server-flink  ## Run the data stages on Flink, alone and as a cluster, and compare with the direct runner.
	.venv/bin/python -m pytest -m "flink and not real"

test-spark: dev job-server-spark  ## Run the data stages on Spark and compare with the direct runner.
	.venv/bin/python -m pytest -m "spark and not real"

lint: dev
	@.venv/bin/ruff check $(SOURCES)
	@.venv/bin/ruff format --check $(SOURCES)
	@.venv/bin/lint-imports
	@.venv/bin/codespell $(PROSE)

types: dev
	@.venv/bin/mypy

format: dev  ## Format the code.
	@.venv/bin/ruff check --fix-only $(SOURCES)
	@.venv/bin/ruff format $(SOURCES)

picture: dev  ## Draw docs/images/dag.svg from the pipeline.
	@PYTHONPATH=. .venv/bin/python scripts/draw_dag.py docs/images/dag.svg 2>/dev/null

review-pictures: dev  ## Take screenshots of all pages of the review site into DIR; ARGS="--set pipeline.root=…".
	@mkdir -p $(DIR)
	@PYTHONPATH=. .venv/bin/python scripts/review_pictures.py $(DIR) $(ARGS)

reference: dev  ## Write docs/reference/ from settings, commands and errors.
	@PYTHONPATH=. .venv/bin/python scripts/write_reference.py

client: dev  ## Build the wheel agnews-client in dist/.
	@.venv/bin/python scripts/build_client.py

client-messages: dev  ## Write the Python modules of serving/client/messages.proto.
	@scripts/client_messages.sh

lock: dev  ## Write requirements/*.txt from pyproject.toml; ARGS=--upgrade takes newer versions.
	@scripts/lock.sh $(ARGS)

clean:  ## Remove the environments and the tools' caches; data, runs and pushed models stay.
	rm -rf .venv .venv-* .setup.lock .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage

default dev:
	@scripts/setup.sh $@
