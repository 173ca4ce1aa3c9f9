"""The command line: flags, settings, the parser and its errors, names of runs. No torch is imported here.

May import: data (its table of datasets), errors, devices.
"""

from utils.cli.methods import Method, pair_method, similarity_method
from utils.cli.parser import parse
from utils.cli.run_names import RunLabels, file_name, run_labels, run_name, sweep_run_id
from utils.cli.running import run
from utils.cli.trainer_arguments import trainer_arguments

__all__ = [
    "Method",
    "RunLabels",
    "file_name",
    "pair_method",
    "parse",
    "run",
    "run_labels",
    "run_name",
    "similarity_method",
    "sweep_run_id",
    "trainer_arguments",
]
