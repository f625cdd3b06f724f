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

.PHONY: help setup venv
