# SPDX-License-Identifier: GPL-3.0-or-later
"""What a node's own timer runs, where there is no Ansible."""
