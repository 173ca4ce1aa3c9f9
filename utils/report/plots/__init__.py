"""Figures of matplotlib, one kind a file, in one style; they are drawn from arrays and read no data.

May import: evaluation, and the modules of ``utils`` itself that all rooms share (errors, files, …).
"""
