# SPDX-License-Identifier: GPL-3.0-or-later
"""Checked traffic from pod to pod."""
