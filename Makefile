# `make` lists the targets.

CARGO ?= cargo
CARGO_TARGET_DIR ?= target
SCRIPTS = $(filter-out scripts/arrows,$(wildcard scripts/*)) .ci/run benches/compare benches/on-demand $(wildcard testdata/*/make-*)

# mkfs and friends are in sbin, which is not on an ordinary user's PATH.
export PATH := $(PATH):/usr/sbin:/sbin

.PHONY: help setup build demo test test-long lint check bench fuzz

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1	/p' $(MAKEFILE_LIST) | expand -t 12

setup: ## install missing system packages (says which and why)
	@scripts/setup

build: ## build the release binary
	@scripts/setup --build-only
	$(CARGO) build --release --locked -p snaprestore-cli

demo: setup ## build, then restore the sample volume in testdata/demo
	$(CARGO) build --release --locked -p snaprestore-cli
	@scripts/demo $(CARGO_TARGET_DIR)/release/snaprestore

test: setup ## run the tests
	$(CARGO) test --workspace --locked

test-long: setup ## run the tests with their full counts
	SNAPRESTORE_TEST_LONG=1 $(CARGO) test --workspace --locked

lint: ## format, clippy, docs, licences, file sizes, arrows between crates and rooms, shell scripts
	$(CARGO) fmt --all --check
	$(CARGO) fmt --manifest-path fuzz/Cargo.toml --check
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings
	RUSTDOCFLAGS=-Dwarnings $(CARGO) doc --workspace --no-deps --locked
	@if command -v cargo-deny >/dev/null; then $(CARGO) deny check bans licenses sources; \
	else echo 'lint: cargo-deny is not installed: licences and sources not checked'; fi
	scripts/file-sizes
	scripts/arrows
	@if command -v shellcheck >/dev/null; then shellcheck $(SCRIPTS); \
	else echo 'lint: shellcheck is not installed: shell scripts not checked'; fi

check: lint test ## lint and test

bench: setup ## run the benchmarks
	$(CARGO) bench -p snaprestore-benches --locked

fuzz: ## run each fuzz target for FUZZ_SECONDS (60)
	@scripts/fuzz
