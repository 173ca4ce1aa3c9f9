"""The command line: flags, settings, the parser and its errors, names of runs. No torch is imported here.

May import: data (its table of datasets), errors, devices.
"""

from utils.cli.methods import ONE_HEAD, PAIR_DIGITS, PAIR_FLAGS, PAIR_RECIPE, Method
from utils.cli.parser import build_parser, parse, preset_of, run
from utils.cli.run_names import file_name, run_name
from utils.cli.trainer_arguments import trainer_arguments

__all__ = [
    "ONE_HEAD",
    "PAIR_DIGITS",
    "PAIR_FLAGS",
    "PAIR_RECIPE",
    "Method",
    "build_parser",
    "file_name",
    "parse",
    "preset_of",
    "run",
    "run_name",
    "trainer_arguments",
]
