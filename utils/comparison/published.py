"""The published runs of a split as a protocol, with the flags of ``scripts/<split>/*.sh``, which stand there alone."""

import contextlib
import itertools
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from utils.comparison.protocols import ROOT, Images, Method, Protocol
from utils.comparison.stopping import LAST, Stopped
from utils.errors import UserError

SPLITS = {  # training and test images of a class
    "cifar10-5": Images("CIFAR10", 5000, 1000),
    "cifar100-20": Images("CIFAR100", 500, 100),
    "cifar100-50": Images("CIFAR100", 500, 100),
}
SEEDS = (0, 1, 2)
MAINS = {
    "main_discover.py": "uno_v2",
    "main_discover_inter.py": "inter",
    "main_discover_intra.py": "intra",
    "main_discover_inter_intra.py": "iic",
    "main_discover_mse.py": "mse",
}
FETCH = """
import sys
from pathlib import Path
from utils.data.containers import SourceRequest
from utils.data.sources.cifar import fetch_cifar
from utils.errors import UserError
try:
    fetch_cifar(SourceRequest(sys.argv[1], Path(sys.argv[2]), download=True))
except UserError as error:
    sys.exit(str(error))
"""


def published_protocol(split: str) -> Protocol:
    """Pretraining, the five mains and the methods of ``baselines/`` on a split, with the flags of its scripts."""
    (pretraining,) = commands(split, "pretrain")
    methods = {}
    for main, *words in [*commands(split, "ablation"), *commands(split, "baselines")]:
        name = MAINS.get(main, Path(main).stem)
        methods[name] = Method(name, main, trains=True, pretrained=True, settings=as_settings(words))
    return Protocol(
        name=split,
        about="the published runs",
        hours=0.0,
        seeds=SEEDS,
        methods=methods,
        pretraining=as_settings(pretraining[1:]),
        images=SPLITS[split],
    )


def commands(split: str, script: str) -> list[list[str]]:
    """The command lines of a script, each from its main on.

    Raises:
        UserError: when the script cannot be run.
    """
    path = ROOT / "scripts" / split / f"{script}.sh"
    environment = os.environ | {"PYTHON": "echo"}  # in the interpreter's place
    done = subprocess.run(["bash", str(path)], env=environment, capture_output=True, text=True)
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["no output"])[-1]
        raise UserError(f"{path} ends with the exit code {done.returncode}: {said}")
    return [shlex.split(line) for line in done.stdout.splitlines()]


def as_settings(words: Sequence[str]) -> Mapping[str, Any]:
    """Words of a command line as settings.

    >>> as_settings(["--width", "16", "--multicrop", "--no-freeze_early", "--comment", "x"])
    {'width': '16', 'multicrop': True, 'freeze_early': False, 'comment': 'x'}
    """
    settings: dict[str, Any] = {}
    for word, following in itertools.pairwise([*words, "--"]):
        if word.startswith("--") and following.startswith("--"):
            name = word.removeprefix("--")
            settings[name.removeprefix("no-")] = not name.startswith("no-")
        elif word.startswith("--"):
            settings[word.removeprefix("--")] = following
    return settings


def fetch(images: Images, data_dir: Path, seconds: float | None = None) -> None:
    """Download what is not there, in a process that may be ended at any time; the next call goes on.

    Raises:
        UserError: when it cannot be had.
        Stopped: when it cannot be had in so many seconds.
    """
    command = [sys.executable, "-c", FETCH, images.dataset, str(data_dir)]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        last = min(LAST, (seconds or 0) / 8)
        try:
            _, said = process.communicate(timeout=None if seconds is None else seconds - last)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGINT)  # it removes what it has half unpacked
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.communicate(timeout=max(0.0, last / 2))
            process.kill()
            raise Stopped(signal.SIGALRM) from None
    if process.returncode:
        raise UserError((said.strip().splitlines() or ["the data could not be had"])[-1])
