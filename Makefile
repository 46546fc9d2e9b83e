# Short names for what CONTRIBUTING.md explains. The first run makes .venv.

UV ?= uv
COMPILE = $(UV) pip compile --universal --generate-hashes --python-version 3.11 --no-header --no-annotate

.PHONY: dev test lint bench bench-write bench-compare bundle rolling churn cluster endurance fuzz autobahn crash contracts lock model npm release settings slope soak storm

dev:
	python3 -m bridge dev

test:
	python3 -m bridge test

# The tools come with the tests' environment: run `make test` once before.
lint:
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy --strict

# How fast, beside a floor in C, bare Python, and nchan and Centrifugo where they are: at most ten minutes. bench-write
# puts the figures into the READMEs and docs/performance.md. make bench CENTRIFUGO=path/to/centrifugo
bench:
	.venv/bin/python -m tests.bench $(CENTRIFUGO:%=--centrifugo %) $(NCHAN:%=--nchan %)

bench-write:
	.venv/bin/python -m tests.bench --write $(CENTRIFUGO:%=--centrifugo %) $(NCHAN:%=--nchan %)

# What became better or worse since a commit, by paired runs; a quarter of an hour. make bench-compare REV=v1.4 ROWS="ws-* worker"
ROUNDS ?= 5
bench-compare:
	@test -n "$(REV)" || { echo "bench-compare: which commit? REV=..." >&2; exit 2; }
	.venv/bin/python -m tests.bench.compare $(REV) --rounds $(ROUNDS) $(if $(ROWS),--rows $(ROWS))

# What one more idle connection costs an edge, and how long mails take beside 18,000 of them; some four minutes.
slope:
	.venv/bin/python -m tests.bench.slope $(BEFORE:%=--before %)

# Three edges behind nginx are restarted one after the other under 3,000 pages and mail; some three minutes.
rolling:
	.venv/bin/python -m tests.bench.rolling

# 10,000 browsers come back at once, 15,000 leave, a mail comes to 10,000 mailboxes, and to one that 5,000 have open.
storm:
	.venv/bin/python -m tests.bench.storm

# What 300,000 connections that come and go leave in an edge's memory.
churn:
	.venv/bin/python -m tests.bench.churn

# What a mail costs each node of a cluster of three, with plain and with sharded channels.
cluster:
	.venv/bin/python -m tests.bench.cluster

# The whole bridge under steady load for so many minutes, with 5,000 people who come and go; does anything grow?
MINUTES ?= 40
endurance:
	.venv/bin/python -m tests.bench.endurance --minutes $(MINUTES)

# The whole bridge while things break, seed after seed, for so many seconds.
FOR ?= 3600
soak:
	.venv/bin/python -m tests.soak --for $(FOR)

# With `pip install atheris` in .venv the inputs grow by coverage. BYTES=100000000 goes on for longer.
BYTES ?= 10000000
fuzz:
	for target in listen push answer position message settings settings-file; do \
		.venv/bin/python -m tests.fuzz $$target --bytes $(BYTES) || exit 1; done

# The Autobahn WebSocket suite, cases 1 to 7, against the edge; CONTRIBUTING.md says how to get wstest.
WSTEST ?= wstest
autobahn:
	.venv/bin/python -m tests.autobahn --wstest "$(WSTEST)"

# Worker and edge end at every point between two effects, in every way; some twenty minutes.
crash:
	BRIDGE_TEST_CRASH=all .venv/bin/python -m pytest -q -s tests/e2e/test_crash_points.py

# What can happen to two workers and Redis, in every order; the large bounds take an hour or so.
model:
	.venv/bin/python -m tests.model --deep

# All locks together: what the tests run with is what production gets. UPGRADE= changes no version that may stay.
UPGRADE ?= --upgrade
lock:
	$(COMPILE) $(UPGRADE) pyproject.toml -o deploy/requirements.lock
	$(COMPILE) $(UPGRADE) -c deploy/requirements.lock --group dev -o deploy/requirements-dev.lock
	$(COMPILE) $(UPGRADE) --group build -o deploy/requirements-build.lock
	$(COMPILE) $(UPGRADE) pyproject.toml -c deploy/requirements.lock --group test --group lint -o deploy/requirements-test.lock

# The browser's client for bundlers: dist/exmail-bridge-client-VERSION.tgz. Needs npm, and no registry.
npm:
	.venv/bin/python deploy/npm/make.py dist

# For machines without a network (docs/offline.md): dist/exmail-bridge-VERSION-linux-MACHINE-cpMINOR.tar, one for each.
# make bundle PYTHONS="3.11 3.12" MACHINES="x86_64 aarch64"; without either, for this machine and its Python.
bundle:
	.venv/bin/python -m deploy.bundle --into dist $(PYTHONS:%=--python %) $(MACHINES:%=--machine %)

# What is wrong, a line each; if nothing is, dist/ has wheel, source, npm tarball and bundles with their checksums.
release:
	.venv/bin/python -m deploy.release --into dist $(PYTHONS:%=--python %) $(MACHINES:%=--machine %)

# What readers of events, frames and answers are promised. It refuses to take a promise back without BREAKING=--breaking.
contracts:
	.venv/bin/python -m tests.support.contracts $(BREAKING)

settings:
	python3 -m bridge config reference > docs/settings.md
