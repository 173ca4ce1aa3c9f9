"""Every command of README and docs runs on small data of the size its page names, as a user would type it.

Also with fewer instructions: a kernel that only another processor chooses is then chosen here.
"""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.documented import ELSEWHERE, PAGES, SIZES_OF_STRANGERS

DOCUMENTS = {str(path.relative_to(ROOT)): path for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))}
SHORT = ["--limit_train_batches", "2", "--gpus", "0", "--precision", "32"]
TRAINING = ["--max_epochs", "1", "--warmup_epochs", "0", "--batch_size", "8", "--no-wandb", "--limit_val_batches", "2"]
HEADS = ["--hidden_dim", "32", "--proj_dim", "16", "--num_heads", "2"]
CONTRASTIVE = ["--epochs", "1", "--record_every", "1", "--batch_size", "8"]


def commands_of(text: str) -> list[str]:
    """The commands in a text's shell blocks, continued lines joined, comments left out."""
    blocks = re.findall(r"^```bash\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    return [" ".join(line.split("  #")[0].split()) for line in lines if line.strip()]


def elsewhere(command: str) -> bool:
    return any(re.match(pattern, command) for pattern in ELSEWHERE)


def shortened(command: str, folder: Path) -> list[str]:
    """The words of a command that takes seconds: its own flags, then limits, which win."""
    words = [word for word in shlex.split(command) if word not in ("python", "--download")]
    script = words[1] if words[0] == "-m" else words[0]
    given = set(words)
    if script.endswith(".sh"):  # they go to the repository: everything that they read or write is named
        words = [str(ROOT / script), *words[1:], "--data_dir", f"{folder}/data", "--log_dir", f"{folder}/logs"]
        if script.endswith("pretrain.sh"):
            words += ["--checkpoint_dir", f"{folder}/checkpoints_iic"]
        else:
            words += ["--pretrained", str(next(folder.glob("checkpoints_iic/pretrain-*.cp")))]
    else:
        words = [sys.executable, *(words if words[0] == "-m" else [str(ROOT / script), *words[1:]])]
    if (
        re.match(r"main_pretrain|main_discover|baselines\.(?!kmeans|semi_kmeans)|scripts/.*\.sh", script)
        and "--print_config" not in given
    ):
        words += TRAINING + (SHORT[:2] if "--num_processes" in given else SHORT)
        words += ["--width", "8"] if not given & {"--width", "--backbone", "digits"} else []
        words += ["--no-sync_batchnorm"] if "--sync_batchnorm" in given else []
        words += HEADS if re.match(r"main_discover(?!_gcd)|scripts/.*/(discover|ablation)\.sh", script) else []
    elif re.match(r"baselines\.(kmeans|semi_kmeans)|scripts/estimate_classes\.py", script):
        words += ["--width", "8"] if not given & {"--width", "--backbone", "digits"} else []
    elif script in ("evaluate.py", "scripts/downstream.py"):
        words += ["--epoch", "1"] if not given & {"--epoch", "--model"} else []
    elif script == "train.py":
        words += CONTRASTIVE + SHORT + (["--width", "8"] if "--width" not in given else [])
    return words


def run(command: str, folder: Path, instructions: str) -> None:
    environment = {
        **os.environ,
        "ONEDNN_MAX_CPU_ISA": instructions,
        "PYTHONPATH": str(ROOT),
        "PYTHON": sys.executable,
        "WANDB_MODE": "offline",
    }
    words = shortened(command, folder)
    done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, (
        f"{shlex.join(words)}\nexit code {done.returncode}\n{done.stdout[-1500:]}{done.stderr[-3000:]}"
    )


def run_page(name: str, folder: Path, instructions: str) -> None:
    page = PAGES[name]
    if page.needs:
        pytest.importorskip(page.needs)
    for make in page.data:
        make(folder)
    commands = [command for command in commands_of(DOCUMENTS[name].read_text()) if not elsewhere(command)]
    assert commands
    for command in [*page.before, *commands]:
        for old, new in page.words:
            command = command.replace(old, new)
        run(command, folder, instructions)


def test_every_command_has_a_place():
    """A page with commands has a row, and every line of a shell block is run here or tried elsewhere."""
    for name, path in DOCUMENTS.items():
        mine = [command for command in commands_of(path.read_text()) if not elsewhere(command)]
        assert not mine or name in PAGES, f"{name}: {mine[0]}"
        for command in mine:
            assert re.match(r"python (-m )?[\w.]+|scripts/", command), f"{name}: {command}"


def test_the_pretraining_of_ones_own_photographs(tmp_path):
    """The one of every day: the narrow network whose backward pass some kernels of oneDNN do not survive."""
    page = "docs/your-images.md"
    (command,) = (command for command in commands_of(DOCUMENTS[page].read_text()) if "main_pretrain.py" in command)
    assert "--width 8" in command
    for make in PAGES[page].data:
        make(tmp_path)
    run(command, tmp_path, "DEFAULT")


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("instructions", ["DEFAULT", "AVX512_CORE"])
@pytest.mark.parametrize("name", PAGES)
def test_the_commands_of_a_page(name, instructions, tmp_path):
    run_page(name, tmp_path, instructions)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("instructions", ["DEFAULT", "AVX512_CORE"])
@pytest.mark.parametrize("name", SIZES_OF_STRANGERS)
def test_sizes_that_people_bring(name, instructions, tmp_path):
    make, command = SIZES_OF_STRANGERS[name]
    make(tmp_path)
    run(command, tmp_path, instructions)
