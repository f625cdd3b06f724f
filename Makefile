# SPDX-License-Identifier: GPL-3.0-or-later
# Only relative paths: the checkout's own path may contain spaces.
MAKEFLAGS += --no-print-directory
STAGES ?=

help: ## List the targets.
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 14

setup: ## Install what is missing: Debian packages (root) and .venv.
	@scripts/setup

venv: ## Make .venv only; leave the system's packages alone.
	@scripts/setup --python-only

collection: setup ## Build the collection and install it into .build/collections.
	@scripts/build-collection

demo: collection ## Resize a conntrack table under live traffic on lab nodes; KEEP=1 leaves them up.
	@scripts/demo

lab-down: venv ## Remove the lab that KEEP=1 left.
	@.venv/bin/python -m tests.lab down

test: collection ## Run every test that this machine allows, or STAGES="unit kernel".
	@scripts/test $(STAGES)

bench: collection ## Compare the copy with C, felix's way and bpftool; QUICK=1 runs a small one in a minute.
	@scripts/bench

screenshot: collection ## Renew docs/images from an audit of lab nodes, with defects planted.
	@scripts/screenshot

lock: ## Renew requirements/*.txt.
	@scripts/lock

clean: ## Remove what the other targets made in the checkout.
	@rm -rf .venv .build .ansible

.PHONY: help setup venv collection demo lab-down test bench screenshot lock clean
