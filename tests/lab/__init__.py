# SPDX-License-Identifier: GPL-3.0-or-later
"""A fleet of simulated Calico nodes on one kernel: ``python3 -m tests.lab --help``."""
