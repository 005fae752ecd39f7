# Each target calls one script or one cargo command.

.PHONY: run test fuzz bench check setup
.DEFAULT_GOAL := run

run: ## Build and start with a private PostgreSQL; ARGS=--ephemeral forgets everything at the end
	@exec scripts/run $(ARGS)

test: ## All tests; ARGS go to cargo test
	@exec scripts/test $(ARGS)

fuzz: ## Throw generated requests at a running program
	@exec scripts/fuzz $(ARGS)

bench: ## Measure a release build on this machine; ARGS=--rounds=3 is faster, ARGS=--only=evaluation less
	@exec bench/run $(ARGS)

check: ## Everything that CI checks
	@exec .ci/run

setup: ## Install what is missing
	@exec scripts/setup
