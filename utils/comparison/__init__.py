"""Methods × seeds of a named protocol, run one after another into a table of rows: ``scripts/compare.py``."""
