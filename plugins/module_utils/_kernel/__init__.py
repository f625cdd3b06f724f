# SPDX-License-Identifier: GPL-3.0-or-later
"""The only code that makes system calls or speaks netlink; it knows no product's names."""
