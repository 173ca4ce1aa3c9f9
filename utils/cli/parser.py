"""The parser: flags to settings, wrong ones to one line. Imports no torch."""

import argparse
import difflib
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from utils.cli.backbone_settings import refuse_contradictions
from utils.cli.baseline_flags import BASELINE
from utils.cli.flag_types import CD, NCD_DATA
from utils.cli.flags import flags_of, groups_of
from utils.cli.methods import PAIR_FLAGS, Method
from utils.cli.run_names import default_comment
from utils.cli.running import ends_when_interrupted, ends_when_unread
from utils.cli.settings import check, check_new_run, dependent_defaults, factor_flag
from utils.cli.trainer_arguments import trainer_arguments
from utils.errors import UserError, printable

MAINS = {  # stage -> its main, or one of them, or its scripts
    "pretrain": "main_pretrain.py",
    "discover": "main_discover.py",
    "gcd": "main_discover_gcd.py",
    "features": "scripts/estimate_classes.py, baselines/kmeans.py, baselines/semi_kmeans.py",
    "evaluate": "main_evaluate.py",
    "figures": "scripts/visualization.py, scripts/draw_confusion_matrix.py, scripts/compute_misclassification.py",
    "predict": "main_predict.py",
    "disentangle": "train.py",
    "cluster": "evaluate.py",
}


def mains_with(name: str) -> str:
    """The mains and methods that have a flag, comma-separated; a constraint's weight by the names of the files."""
    root = Path(__file__).resolve().parents[2]
    name = name.removeprefix("no-")
    word = name.removeprefix("factor_")
    if word != name:
        mains = [path.name for path in sorted(root.glob("main_discover_*.py")) if word in path.stem.split("_")]
        return ", ".join([*mains, *_methods_that_say(f'factors={{"{word}":', root)])
    mains = [main for stage, main in MAINS.items() if any(flag.name == name for flag in flags_of(stage))]
    if name in PAIR_FLAGS:
        mains.append("the methods of baselines/ on pairs of images")
    elif any(flag.name == name for rows in BASELINE.values() for flag in rows):
        mains += _methods_that_say(f'"{name}"', root)
    return ", ".join(mains)


def _methods_that_say(words: str, root: Path) -> list[str]:
    """The files of methods with these words, read and not imported: that would import torch."""
    return [f"baselines/{path.name}" for path in sorted(root.glob("baselines/*.py")) if words in path.read_text()]


class Parser(argparse.ArgumentParser):
    """argparse with one-line errors and a suggestion for a mistyped flag."""

    def error(self, message: str) -> NoReturn:
        if message.startswith("unrecognized arguments:"):
            flag = message.split(": ", 1)[1].strip().split(" ")[0].split("=")[0]
            others = mains_with(flag.removeprefix("--"))
            near = difflib.get_close_matches(flag, self._option_string_actions, n=1, cutoff=0.85 if others else 0.6)
            hints = [f"did you mean {name}?" for name in near]
            if others:
                hints.append(f"{flag} is a flag of {others}")
            message = f"unknown flag '{flag}'; {' '.join(hints) or 'see --help'}"
        self.exit(2, f"{self.prog}: error: {printable(message)}\n")


def build_parser(
    stage: str,
    factors: Mapping[str, float],
    doc: str | None = None,
    preset: Mapping[str, Any] | None = None,
    method: Method | None = None,
) -> Parser:
    """Parser of a stage.

    Args:
        stage: of those in :mod:`utils.cli.flag_types`.
        factors: constraint -> default weight; each becomes the flag ``--factor_<constraint>``.
        doc: the main's docstring.
        preset: flag -> default that replaces the table's.
        method: of ``baselines/``; its own flags have a group of their own.
    """
    parser = Parser(
        usage="%(prog)s [flags]",
        description=doc,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    for title, rows in (groups_of(stage) | ({method.title: method.rows} if method else {})).items():
        group = parser.add_argument_group(title)
        if title == "objective":
            rows += [factor_flag(name, weight) for name, weight in factors.items()]
        for flag in rows:
            default = (preset or {}).get(flag.name, flag.default_for(stage))
            kind: dict[str, Any] = {"type": flag.kind}
            if flag.kind is bool:
                kind = {"action": argparse.BooleanOptionalAction}
            text = flag.help if default is None or default is False else f"{flag.help} [{default}]"
            arguments = {**kind, "default": default, "help": text.replace("%", "%%"), **flag.extra}
            group.add_argument(f"--{flag.name}", **arguments)
    return parser


@ends_when_unread()
def parse(
    stage: str,
    argv: Sequence[str] | None = None,
    *,
    doc: str | None = None,
    factors: Mapping[str, float] | None = None,
    method: Method | None = None,
) -> argparse.Namespace:
    """Settings of a stage from the command line; ``--print_config`` prints them and stops.

    A dataset may bring its own defaults (``DatasetSpec.defaults``), as may a method of ``baselines/``; a flag that is
    given wins.
    """
    if argv is None:
        ends_when_interrupted()
    parser = Parser(add_help=False, allow_abbrev=False)
    try:
        preset = preset_of(stage, argv, method)
        factors = {**(factors or {}), **(method.factors if method else {})}
        parser = build_parser(stage, factors, doc, preset, method)
        args = parser.parse_args(argv)
        check(vars(args), stage, method)
        check_new_run(vars(args))
        if stage in NCD_DATA:
            refuse_contradictions(vars(args), sys.argv[1:] if argv is None else argv)
        vars(args).update(dependent_defaults(vars(args), stage))
        if stage == "disentangle" and args.reload and args.resume_from_checkpoint is None:
            args.resume_from_checkpoint = args.checkpoint or "auto"
        if getattr(args, "comment", "") is None:
            args.comment = default_comment(args, stage)
        trainer_arguments(args)  # a value of --gpus that means nothing is told now
    except UserError as error:
        parser.error(str(error))
    if args.print_config:
        print_config(args)
        parser.exit()
    return args


def preset_of(stage: str, argv: Sequence[str] | None, method: Method | None = None) -> Mapping[str, Any]:
    """The defaults that the dataset on the command line and the method bring for a stage.

    Those of contrastive disentangling are in the file of ``--config``.

    Raises:
        UserError: for an unknown dataset, and for what is wrong in the file.
    """
    from utils.data.specs import dataset_spec

    parser = Parser(add_help=False, allow_abbrev=False)
    for name in ("dataset", "config", "customize_datasets"):
        parser.add_argument(f"--{name}")
    given = parser.parse_known_args(argv)[0]
    if stage in CD:
        from utils.cli.settings_file import dataset_settings

        return dataset_settings(given.dataset, given.config, given.customize_datasets)
    brought: Mapping[str, Any] = {}
    if given.dataset is not None and stage in NCD_DATA:
        brought = dataset_spec(given.dataset).defaults.get("discover" if stage == "features" else stage, {})
    return method.preset(given.dataset, brought) if method else brought


def print_config(args: argparse.Namespace) -> None:
    """The resolved settings and Trainer arguments, as YAML."""
    import yaml

    settings = {name: value for name, value in vars(args).items() if name != "print_config"}
    yaml.safe_dump({"settings": settings, "trainer": trainer_arguments(args)}, sys.stdout, sort_keys=False)
