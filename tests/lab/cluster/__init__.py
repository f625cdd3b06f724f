# SPDX-License-Identifier: GPL-3.0-or-later
"""A Kubernetes cluster on top of the lab: real control plane, nodes and operator played."""
