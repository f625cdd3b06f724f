# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run over a fleet decides on the controller: order, window, what was done before."""
