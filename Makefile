# What a person does with this repository. Needs python3 (3.11 or newer) and nothing else;
# `make test` installs the Debian packages of the servers it tests with.

.DEFAULT_GOAL := help
.PHONY: help test demo bench lint docs clean

SERVERS := redis-server rabbitmq-server postgresql valgrind

help:
	@echo "make demo    the sample system at work, in its own environment (ARGS=--once ends)"
	@echo "make test    the whole test matrix"
	@echo "make bench   what a request costs, beside others; writes docs/benchmark.*"
	@echo "make lint    form, spelling, types, imports"
	@echo "make docs    the documentation as HTML, in docs/_build"
	@echo "make clean   removes everything the above have made"

test:
	@tools/debian-packages $(SERVERS)
	@tools/make-venv .make/tools "tox>=4.24" "tox-uv>=1.25"
	@.make/tools/bin/python tools/run_tests.py $(ARGS)

demo:
	@tools/make-venv .make/demo --editable ".[sample]"
	@.make/demo/bin/python -m sample_app.demo $(ARGS)

bench:
	@tools/make-venv .make/bench --editable . -r benchmarks/requirements.txt
	@.make/bench/bin/python -m benchmarks.run $(ARGS)

lint:
	@tools/make-venv .make/tools "tox>=4.24" "tox-uv>=1.25"
	@UV_PYTHON_DOWNLOADS=never .make/tools/bin/tox run -e lint,typing,imports

docs:
	@tools/make-venv .make/docs --editable ".[docs]"
	@.make/docs/bin/sphinx-build -W -n -b html docs docs/_build
	@echo "Open docs/_build/index.html"

clean:
	rm -rf .make .tox build dist docs/_build *.egg-info .*_cache .coverage .hypothesis
	find flask_hardening celery_hooks sample_app tests tools -name __pycache__ -prune -exec rm -rf {} +
