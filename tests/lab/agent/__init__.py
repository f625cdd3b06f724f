# SPDX-License-Identifier: GPL-3.0-or-later
"""Stand-in for calico-node, copied into each node; Python 3.8, standard library."""
