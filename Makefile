# What one does with Stoa's source. `make help` lists it. Works with GNU make 3.81 and newer.

SHELL := /bin/bash
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

TARGET := $(or $(CARGO_TARGET_DIR),target)
# More arguments for `make run`, such as ARGS="--listen 0.0.0.0:4000".
ARGS ?=

.PHONY: help run build web test test-postgres proof bench check schema

help: ## List what can be made
	@if [ -t 1 ]; then name=$$'\e[1;36m'; plain=$$'\e[0m'; else name= plain=; fi; \
	sed -n 's/^\([a-z][a-z-]*\):.*## \(.*\)/\1|\2/p' $(MAKEFILE_LIST) | \
	while IFS='|' read -r target words; do printf "  $$name%-14s$$plain %s\n" "$$target" "$$words"; done

run: build ## Build, then start Stoa with demo data on http://127.0.0.1:4000 (ARGS="…" for more)
	@scripts/deps
	@exec "$(TARGET)/release/stoa" serve --demo $(ARGS)

build: web ## Build the program: target/release/stoa
	@scripts/toolchain
	@cargo build --release --locked --bin stoa

web: ## Build GraphiQL into web/dist, where Node is; Stoa works without
	@scripts/web

test: ## Run all tests: of the program and, where Node is, of Apollo Client, urql and others against it
	@scripts/test

test-postgres: ## Run the tests that concern the database on each PostgreSQL (POSTGRES="14 15 16 17 18")
	@scripts/test-postgres $(POSTGRES)

proof: ## Kill, cut and put back nodes, database and Redis while people talk; flood the sign-in: a quarter of an hour
	@scripts/proof

bench: ## Measure speed and memory beside pgbench, in eight minutes (ARGS="--only Q2 --seconds 10 --keep /tmp/bench")
	@scripts/toolchain
	@cargo build --release --locked --bin stoa
	@cargo run --quiet --release --locked --package stoa-bench -- --stoa "$(TARGET)/release/stoa" $(ARGS)

check: ## See whether format, lints and documentation are in order; changes nothing
	@scripts/toolchain
	@cargo fmt --all --check
	@cargo clippy --workspace --all-targets --locked -- -D warnings
	@RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --document-private-items --locked --quiet

schema: ## Write schema.graphql and src/schema.rs anew, after a change of the API or a migration
	@scripts/toolchain && scripts/postgres
	@STOA_UPDATE_SCHEMA=1 cargo test --quiet --test api schema::
