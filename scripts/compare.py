#!/usr/bin/env python
"""Compare methods: all methods and seeds of a protocol, one after another, a row each in results/<protocol>.csv.

    python scripts/compare.py --list
    python scripts/compare.py digits --threads 1
    python scripts/compare.py digits --table
    python scripts/compare.py --docs

Stop it at any time and call it again: a finished row is not run again, a half-done run goes on from its last
checkpoint. Several of them may work on one protocol. Failures are listed at the end; the exit code is then 1. The
protocols are in config/protocols.yaml; docs/comparing.md says more.
"""

import argparse
import shlex
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from utils import cli
from utils.cli.flag_types import AT_LEAST_ONE, POSITIVE
from utils.cli.parser import Parser
from utils.comparison import protocol_file, protocols, published
from utils.comparison.stopping import Stopped
from utils.errors import UserError

RESULTS = ROOT / "results"
STARTED = time.monotonic()
CHECKS = {"threads": AT_LEAST_ONE, "budget": POSITIVE}
SHOWING = ("protocol", "list", "table", "plot", "docs", "debug")  # what is not for a run


def command_line() -> Parser:
    """The flags."""
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False)
    parser.add_argument("protocol", nargs="?", help="a name of --list")
    parser.add_argument("--list", action="store_true", help="list the protocols with their hours, and stop")
    parser.add_argument("--table", action="store_true", help="print the table of what is there, and stop")
    parser.add_argument("--plot", metavar="FILE.png", type=Path, help="draw what is there, a point a seed, and stop")
    parser.add_argument("--docs", action="store_true", help="write all tables of README and docs anew, and stop")
    parser.add_argument("--methods", help="comma-separated [all of the protocol]")
    parser.add_argument("--seeds", help="comma-separated [all of the protocol]")
    parser.add_argument("--threads", type=int, help="of torch in each run [torch's choice]")
    parser.add_argument("--budget", type=float, metavar="SECONDS", help="stop by itself before, to go on another time")
    parser.add_argument("--download", action="store_true", help="fetch the data that are not there")
    parser.add_argument("--data_dir", type=Path, default=Path("data"), help="where the images are [data]")
    parser.add_argument("--feature_cache", type=Path, default=Path("data/features"), help="[data/features]")
    parser.add_argument("--log_dir", type=Path, default=Path("logs/compare"), help="of the runs [logs/compare]")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the tables [results]")
    parser.add_argument("--more", default="", help="further flags of the runs, as in --more='--max_epochs 2'")
    parser.add_argument("--protocols", type=Path, default=protocols.PROTOCOLS, help="[config/protocols.yaml]")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser


def main(args: argparse.Namespace) -> int:
    """List, print, draw or run; the exit code."""
    for name, (fits, must) in CHECKS.items():
        if (value := getattr(args, name)) is not None and not fits(value):
            raise UserError(f"--{name} is {value} but must be {must}")
    known = protocol_file.read_protocols(args.protocols)
    if args.list:
        print(listing(known, args))
        return 0
    if args.docs:
        write_documents(known, args.results)
        return 0
    if args.protocol in published.SPLITS:
        known[args.protocol] = published.published_protocol(args.protocol)
    if args.protocol not in known:
        given = f"there is no protocol {args.protocol}" if args.protocol else "a protocol is needed"
        raise UserError(f"{given}; there are {', '.join([*known, *published.SPLITS])}")
    protocol = known[args.protocol]
    methods = protocols.chosen(args.methods, list(protocol.methods), "--methods")
    seeds = [int(seed) for seed in protocols.chosen(args.seeds, [str(seed) for seed in protocol.seeds], "--seeds")]
    table = args.results / f"{protocol.name}.csv"
    if (args.more or args.protocols != protocols.PROTOCOLS) and args.results.resolve() == RESULTS:
        raise UserError("runs with --more or --protocols are not of results/: give another folder as --results")
    if args.table or args.plot:
        return show(args, protocol, methods, seeds, table)
    return run(args, protocol, methods, seeds, table)


def listing(known: dict, args: argparse.Namespace) -> str:
    """A line for each protocol."""
    from utils.comparison.rows import read_rows
    from utils.comparison.selection import select

    lines = []
    for name, protocol in known.items():
        rows, folder = read_rows(args.results / f"{name}.csv"), folder_of(args.log_dir, name)
        there = select(protocol, rows, list(protocol.methods), protocol.seeds, folder=folder)
        count = f"{len(there.rows):3} of {there.wanted:3} rows"
        lines.append(f"{name:24} {protocol.hours:5g} hours  {count}  {protocol.about}")
    return "\n".join([*lines, f"and the published runs of {', '.join(published.SPLITS)}"])


def write_documents(known: dict, results: Path) -> None:
    """The pages whose tables are not what the rows say."""
    from utils.comparison.documents import refreshed
    from utils.files import write_text

    for page in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))):
        before = page.read_text()
        if (after := refreshed(before, known, results)) != before:
            write_text(page, after)
            print(f"{page.relative_to(ROOT)} is written anew")


def show(
    args: argparse.Namespace, protocol: protocols.Protocol, methods: list[str], seeds: list[int], table: Path
) -> int:
    """Print the table, draw the picture."""
    from utils.comparison.plots import dot_plot, require_picture
    from utils.comparison.rows import read_rows
    from utils.comparison.selection import select
    from utils.comparison.tables import markdown

    if args.plot:
        require_picture(args.plot)
    folder = folder_of(args.log_dir, protocol.name, args.more)
    selection = select(protocol, read_rows(table), methods, seeds, args.more, folder)
    if args.table:
        print(markdown(selection, running(args)))
    if args.plot:
        dot_plot(protocol.name, selection, args.plot)
        print("\n".join([*([] if args.table else selection.left_out()), f"the picture is {args.plot}"]))
    return 0


def folder_of(log_dir: Path, protocol: str, more: str = "") -> Path:
    """Where the runs of a protocol have their files."""
    return log_dir.resolve() / "-".join([protocol, *more.replace("-", "").replace("/", "_").split()])


def running(args: argparse.Namespace) -> str:
    """The command that runs what a table shows, with every flag that was given."""
    default = vars(command_line().parse_args([]))
    words = ["python", "scripts/compare.py", args.protocol]
    for name, value in vars(args).items():
        if name not in SHOWING and value != default[name]:
            words.append(f"--{name}" if value is True else f"--{name}={shlex.quote(str(value))}")
    return " ".join(words)


def run(
    args: argparse.Namespace, protocol: protocols.Protocol, methods: list[str], seeds: list[int], table: Path
) -> int:
    """Run what is missing."""
    from utils.comparison.commands import Place, all_runs
    from utils.comparison.driver import Driver
    from utils.comparison.runs import Runner
    from utils.targets import require_folder

    until = STARTED + args.budget if args.budget else None
    if protocol.images and args.download:
        try:
            published.fetch(protocol.images, args.data_dir, until and until - time.monotonic())
        except Stopped as stopped:
            return ended(stopped, args)
    rehearsal = protocol.name in published.SPLITS and args.more  # whatever data there are
    images = protocols.require_images(protocol.images, args.data_dir) if protocol.images and not rehearsal else ""
    folder = folder_of(args.log_dir, protocol.name, args.more)
    place = Place(args.data_dir.resolve(), args.feature_cache.resolve(), folder, args.threads, args.more, images)
    driver = Driver(protocol, all_runs(protocol, methods, seeds, place), place, table)
    driver.require_comparable()
    require_folder("results", args.results)
    require_folder("log_dir", folder)
    code = 0
    try:
        with Runner(place, until).installed() as runner:
            driver.drive(runner)
    except Stopped as stopped:
        code = ended(stopped, args)
    if driver.failed:
        print(f"{len(driver.failed)} of {len(driver.runs)} runs failed; the same command tries them again:")
        print("\n".join(f"  {name}: {why}" for name, why in driver.failed.items()))
        return code or 1
    if not code:
        done = driver.finished()
        print(f"all {sum(run.key in done for run in driver.runs)} runs are in {table}")
    return code


def ended(stopped: Stopped, args: argparse.Namespace) -> int:
    """Say what stopped it; the exit code."""
    print(f"stopped{f' within {args.budget:g} seconds' if stopped.in_time else ''}; the same command goes on")
    return stopped.exit_code


if __name__ == "__main__":
    cli.run(main, command_line().parse_args)
