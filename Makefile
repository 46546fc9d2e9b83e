# Short names for what CONTRIBUTING.md explains. The first run makes .venv.

UV ?= uv
COMPILE = $(UV) pip compile pyproject.toml --universal --generate-hashes --python-version 3.11 --no-header --no-annotate

.PHONY: dev test lint bench lock settings

dev:
	python3 -m bridge dev

test:
	python3 -m bridge test

# The tools come with the tests' environment: run `make test` once before.
lint:
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy --strict

bench:
	for file in tests/bench/bench_*.py; do .venv/bin/python $$file || exit 1; done

# Both locks together: what the tests run with is what production gets.
lock:
	$(COMPILE) --upgrade -o deploy/requirements.lock
	$(COMPILE) --upgrade -c deploy/requirements.lock --group test --group lint -o deploy/requirements-test.lock

settings:
	python3 -m bridge config reference > docs/settings.md
