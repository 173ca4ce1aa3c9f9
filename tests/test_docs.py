"""README, docs and scripts say what the code does: links, commands, flags, worked examples, the splits' settings."""

import ast
import gzip
import os
import re
import shlex
import shutil
import subprocess
import sys
from functools import cache

import numpy as np
import pytest
import torch

from scripts.compare import command_line
from tests.conftest import ROOT
from utils import cli
from utils.cli.flags import FAMILIES
from utils.comparison.protocol_file import read_protocols
from utils.comparison.protocols import chosen
from utils.comparison.published import SPLITS as SPLITS_PUBLISHED
from utils.comparison.published import published_protocol
from utils.data.specs import DIGITS_DEFAULTS, dataset_spec
from utils.data.splits import check_counts
from utils.methods.named import baseline_module

FLAGS = [flag for family in FAMILIES for rows in family.values() for flag in rows]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
SHELL = sorted((ROOT / "scripts").rglob("*.sh"))
ENTRIES = [path for path in SHELL if path.name in ("pretrain.sh", "discover.sh", "ablation.sh")]
MAINS_OF_CD = [ROOT / "train.py", ROOT / "evaluate.py"]
NOT_OURS = {"--help"}  # argparse's own
NOT_OURS |= {"--list"}  # of python -m baselines
NOT_OURS |= {"--name"}  # of scripts/wandb/workspace.py
NOT_OURS |= {option for action in command_line()._actions for option in action.option_strings}  # scripts/compare.py
NOT_OURS |= {"--no-deps", "--disable-pip"}  # pip-audit's
NOT_OURS |= {"--nnodes", "--nproc-per-node", "--rdzv-backend", "--rdzv-endpoint"}  # torchrun's
NOT_OURS |= {"--ntasks-per-node", "--gpus-per-node", "--requeue", "--signal", "--open-mode"}  # SLURM's
BY_NAME = {"ids": lambda path: str(path.relative_to(ROOT))}
MAIN = r"(?:(?:main_\w+|train|evaluate)\.py|-m baselines\.\w+)"
COMMAND = re.compile(rf"^[ \t]*(?:CUDA_VISIBLE_DEVICES=\S+ )?python ({MAIN}(?:.*\\\n)*.*)$", re.MULTILINE)


LAUNCHED = re.compile(rf"^(?:torchrun|sbatch) (?:.*\\\n)*?.*?({MAIN}(?:.*\\\n)*.*)$", re.MULTILINE)


def blocks(page, language):
    """The fenced blocks of a page."""
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)


def prose(page):
    """A page without its fenced blocks."""
    return re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)


@cache
def anchors(page):
    """The anchors of a page's headings, as on GitHub."""
    headings = re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@cache
def stage_and_factors(main):
    """The stage of a main and the weights of its constraints, read without importing it (and torch)."""
    tree = ast.parse((ROOT / main).read_text())
    factors = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "FACTORS":
            factors = ast.literal_eval(node.value)
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "cli.parse":
            stage = ast.literal_eval(node.args[0])
    return stage, factors


def parse(words):
    """The stage and the settings of a command, ``main_*.py`` first."""
    if words[0] == "-m":
        method = baseline_module(words[1].removeprefix("baselines.")).METHOD
        return method.stage, cli.parse(method.stage, words[2:], method=method)
    stage, factors = stage_and_factors(words[0])
    return stage, cli.parse(stage, [word for word in words[1:] if word != "--print_config"], factors=factors)


def commands_of(text):
    """The commands in a text, as lists of words."""
    commands = COMMAND.findall(text) + LAUNCHED.findall(text)
    return [shlex.split(command.replace("\\\n", " "), comments=True) for command in commands]


def documented_commands():
    found = []
    for page in PAGES:
        found += [(page.name, words) for words in commands_of("\n".join(blocks(page, r"\w*")))]
        found += [(page.name, shlex.split(words)) for words in re.findall(rf"`python ({MAIN}[^`]*)`", prose(page))]
    # The worked examples make a main and a dataset that are not there.
    return [
        (name, words)
        for name, words in found
        if not {"main_discover_spread.py", "FashionMNIST", "baselines.spread"} & set(words)
    ]


@pytest.mark.parametrize("page", PAGES, **BY_NAME)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if target.startswith(("http://", "https://")):
            continue
        path, _, anchor = target.partition("#")
        linked = (page.parent / path).resolve() if path else page
        assert linked.exists(), target
        assert not anchor or anchor in anchors(linked), target


@pytest.mark.parametrize("page", PAGES, **BY_NAME)
def test_files_that_are_named_are_there(page):
    for name in re.findall(r"`((?:utils|tests|scripts)/[\w./-]+|main_\w+\.py|\w+\.(?:md|toml))`", page.read_text()):
        examples = {"main_discover_spread.py", "utils/data/sources/fashion_mnist.py"}
        assert name in examples or (ROOT / name).exists() or (page.parent / name).exists(), name


@pytest.mark.parametrize(("page", "words"), documented_commands(), ids=lambda value: str(value)[:60])
def test_documented_commands_parse_and_their_classes_are_those_of_the_dataset(page, words):
    stage, args = parse(words)
    if stage in ("pretrain", "discover") and args.num_unlabeled_classes != "auto":
        check_counts(dataset_spec(args.dataset), args.num_labeled_classes, args.num_unlabeled_classes)


@pytest.mark.parametrize("main", sorted(path.name for path in (*ROOT.glob("main_*.py"), *MAINS_OF_CD)))
def test_commands_in_the_mains_docstrings_parse(main):
    commands = commands_of(ast.get_docstring(ast.parse((ROOT / main).read_text())))
    assert commands
    for words in commands:
        assert words[0] == main
        parse(words)


def test_flags_that_are_named_exist():
    known = {flag.name: flag for flag in FLAGS}
    flags = {f"--{name}" for name in known} | {f"--no-{name}" for name, flag in known.items() if flag.kind is bool}
    for path in [*PAGES, *SHELL]:
        text = re.sub(r"python benchmarks/.*", "", path.read_text())  # they have flags of their own
        for flag in re.findall(r"(?<![\w-])--[a-z][\w-]*", text):
            assert flag in flags | NOT_OURS or flag.startswith("--factor_"), f"{path.name}: {flag}"


@pytest.mark.parametrize(
    "words",
    sorted(
        {
            w
            for p in PAGES
            for w in re.findall(r"python scripts/compare\.py ([^`\n]*?)(?: -->|$|`)", p.read_text(), re.M)
        }
    ),
)
def test_comparisons_that_are_documented_exist(words):
    args = command_line().parse_args(shlex.split(words))
    protocols = read_protocols()
    if args.protocol in SPLITS_PUBLISHED:
        protocols[args.protocol] = published_protocol(args.protocol)
    assert args.list or args.docs or args.protocol in protocols
    if args.methods:
        chosen(args.methods, list(protocols[args.protocol].methods), "--methods")


@pytest.mark.parametrize(
    "words", sorted({w for p in PAGES for w in re.findall(r"python (benchmarks/.*)", p.read_text())})
)
def test_flags_of_benchmarks_exist(words):
    script, *flags = shlex.split(words)
    text = "".join((ROOT / path).read_text() for path in (script, "benchmarks/measure.py"))
    names = [flag.partition("=")[0] for flag in flags if flag.startswith("--")]
    assert [name for name in names if f'"{name}"' not in text] == []


def test_every_flag_is_documented():
    """Each flag of training and discovery is named on some page."""
    text = "".join(page.read_text() for page in PAGES)
    assert [flag.name for flag in FLAGS if f"--{flag.name}" not in text] == []


def test_make_targets_that_are_named_exist():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for page in PAGES:
        text = "\n".join([*re.findall(r"`([^`\n]+)`", prose(page)), *blocks(page, "bash")])
        assert set(re.findall(r"^make ([a-z-]+)", text, re.MULTILINE)) <= targets, page.name


# The worked examples are run


def worked_files():
    """Place -> what is there when the worked examples have been followed, but for what they add to a table."""
    function, test, main = blocks(ROOT / "docs" / "adding-a-constraint.md", "python")
    _, _, reader = blocks(ROOT / "docs" / "adding-a-dataset.md", "python")
    (method,) = blocks(ROOT / "CONTRIBUTING.md", "python")
    constraints = (ROOT / "utils" / "losses" / "constraints.py").read_text()
    return {
        "utils/losses/constraints.py": f"{constraints}\n\n{function}",
        "tests/utils/losses/test_spread.py": f"import torch\n\nfrom utils.losses import novel_spread\n\n\n{test}",
        "main_discover_spread.py": main,
        "utils/data/sources/fashion_mnist.py": reader,
        "baselines/spread.py": method,
    }


@pytest.mark.parametrize("place", worked_files())
@pytest.mark.parametrize("command", ["check", "format --check"])
def test_the_worked_examples_pass_the_linter(place, command):
    words = [sys.executable, "-m", "ruff", *command.split(), "--no-cache", "--stdin-filename", place, "-"]
    done = subprocess.run(words, cwd=ROOT, input=worked_files()[place], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_the_worked_examples_have_the_right_types(tmp_path):
    for name in ("utils", "baselines"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for place, text in worked_files().items():
        if place.startswith(("utils", "baselines")):
            (tmp_path / place).write_text(text)
    done = subprocess.run([sys.executable, "-m", "mypy"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_worked_constraint(monkeypatch):
    import utils.losses
    from utils.losses import constraints

    function, test, main = blocks(ROOT / "docs" / "adding-a-constraint.md", "python")
    space = vars(constraints).copy()
    exec(function, space)
    exec(test, space)
    torch.manual_seed(0)
    space["test_novel_spread"]()

    monkeypatch.setattr(utils.losses, "novel_spread", space["novel_spread"], raising=False)
    module = {"__name__": "main_discover_spread"}
    exec(main, module)
    flags = {"num_labeled_classes": 3, "num_unlabeled_classes": 2, "num_heads": 2, "width": 8, "hidden_dim": 8}
    discoverer = module["Discoverer"](**flags)
    assert discoverer.hparams["factor_spread"] == 0.1
    outputs = {
        "logits_lab": torch.randn(2, 4, 3),
        "logits_unlab": torch.randn(2, 2, 4, 2),
        "logits_unlab_over": torch.randn(2, 2, 4, 6),
    }
    losses = discoverer.compute_losses(outputs, torch.tensor([0, -1, 2, -1]))
    objective = (losses["loss_cluster"] + losses["loss_overcluster"]) / 2
    torch.testing.assert_close(losses["loss"], objective + 0.1 * losses["spread_loss"])


def test_the_worked_method():
    (text,) = blocks(ROOT / "CONTRIBUTING.md", "python")
    assert len(text.strip().splitlines()) <= 45
    module = {"__name__": "spread", "__file__": str(ROOT / "baselines" / "spread.py")}
    exec(text, module)
    discoverer = module["Discoverer"](
        num_labeled_classes=3, num_unlabeled_classes=2, num_heads=2, width=8, hidden_dim=8
    )
    assert (discoverer.hparams["baseline"], discoverer.hparams["factor_spread"]) == ("spread", 0.1)
    outputs = {"logits_lab": torch.randn(2, 4, 3), "logits_unlab": torch.randn(2, 2, 4, 2)}
    losses = discoverer.compute_losses(outputs, torch.tensor([0, -1, 2, -1]))
    first, second = (head.prototypes.weight for head in discoverer.model.head_unlab.prototypes)
    expected = ((first[0] @ first[1]).square() + (second[0] @ second[1]).square()) / 4
    torch.testing.assert_close(losses["spread_loss"], expected)


def test_values_beside_lines_of_code_are_theirs():
    """``expression  # value`` in the Python of the page on evaluation."""
    (code,) = blocks(ROOT / "docs" / "evaluation.md", "python")
    space: dict = {}
    exec(code, space)
    shown = re.findall(r"^(.*?)  # (.*)$", code, re.MULTILINE)
    assert shown
    for expression, value in shown:
        assert eval(expression, space) == ast.literal_eval(value)


@pytest.mark.slow
def test_the_worked_method_as_a_user_runs_it(tmp_path):
    """The file alone is added to baselines/: it is listed, has --help, trains, and its checkpoint is evaluated."""
    (text,) = blocks(ROOT / "CONTRIBUTING.md", "python")
    shutil.copytree(ROOT / "baselines", tmp_path / "baselines", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "main_evaluate.py", tmp_path)
    (tmp_path / "utils").symlink_to(ROOT / "utils")
    (tmp_path / "baselines" / "spread.py").write_text(text)
    command = re.search(r"python (-m baselines\.spread .*)", text)[1]
    short = "--limit_train_batches 1 --max_epochs 1 --width 8 --no-wandb --no-report"
    for words, expected in (
        ("-m baselines", "python -m baselines.spread"),
        ("baselines/spread.py --help", "--factor_spread"),
        (f"{command} {short} --run_name run", "metrics "),
        ("main_evaluate.py --checkpoint logs/run/last.ckpt", "novel, test, best head"),
    ):
        done = subprocess.run([sys.executable, *words.split()], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert expected in done.stdout


def test_the_worked_dataset(tmp_path):
    from utils.data import specs
    from utils.data.containers import SourceRequest
    from utils.errors import UserError

    entry, view, reader = blocks(ROOT / "docs" / "adding-a-dataset.md", "python")
    space = vars(specs).copy()
    spec, large = (eval(code, space) for code in (entry, view))
    assert (spec.name, spec.image_size, spec.low_res, large.size) == ("FashionMNIST", 28, True, 28)

    exec(reader, space)
    request = SourceRequest("FashionMNIST", tmp_path)
    with pytest.raises(UserError, match=r"train-images-idx3-ubyte\.gz"):
        space["read_fashion_mnist"](request)
    folder = tmp_path / "FashionMNIST" / "raw"
    folder.mkdir(parents=True)
    labels = np.arange(10, dtype=np.uint8)
    for prefix in ("train", "t10k"):
        images = gzip.compress(bytes(16) + labels.repeat(28 * 28).tobytes())
        (folder / f"{prefix}-images-idx3-ubyte.gz").write_bytes(images)
        (folder / f"{prefix}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(bytes(8) + labels.tobytes()))
    arrays = space["read_fashion_mnist"](request)
    assert arrays.train_images.shape == arrays.test_images.shape == (10, 28, 28, 3)
    assert (arrays.train_images[:, 3, 4, 2] == labels).all()
    assert arrays.test_labels.tolist() == labels.tolist()
    (folder / "t10k-labels-idx1-ubyte.gz").write_bytes(b"damaged")
    with pytest.raises(UserError, match=r"t10k-labels-idx1-ubyte\.gz is damaged"):
        space["read_fashion_mnist"](request)


def test_the_fields_of_a_dataset_are_documented():
    from dataclasses import fields

    from utils.data.specs import DatasetSpec

    text = (ROOT / "docs" / "adding-a-dataset.md").read_text()
    assert [field.name for field in fields(DatasetSpec) if f"`{field.name}`" not in text] == []


# Scripts


@pytest.fixture(scope="module")
def script_commands(tmp_path_factory):
    """Script -> the commands that it runs from another directory with ``--seed 7``, by a stand-in for python."""
    folder = tmp_path_factory.mktemp("elsewhere")
    stand_in = folder / "python"
    stand_in.write_text('#!/bin/sh\nprintf "%s\\n" "$PWD" "$@" --\n')
    stand_in.chmod(0o755)

    def run(path):
        environment = {**os.environ, "PYTHON": str(stand_in)}
        command = [str(path), "--seed", "7"]
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=30)
        assert done.returncode == 0, done.stderr
        commands = [lines.split("\n") for lines in done.stdout.removesuffix("\n--\n").split("\n--\n")]
        assert {command[0] for command in commands} == {str(ROOT)}
        return [command[1:] for command in commands]

    return {f"{path.parent.name}/{path.stem}": run(path) for path in ENTRIES}


CIFAR = {"gpus": "1", "precision": "16", "max_epochs": 500, "batch_size": 512, "num_heads": 4, "multicrop": True}
IMAGENET = {"gpus": "2", "precision": "16", "max_epochs": 60, "batch_size": 256, "num_heads": 2, "multicrop": True}
IMAGENET |= {"base_lr": 0.2, "warmup_epochs": 5, "distributed_backend": "ddp", "sync_batchnorm": True}
SPLITS = {  # dataset, L, U, comment, over-clustering, weight of inter beside intra, other settings of discovery
    "cifar10-5": ("CIFAR10", 5, 5, "5_5", 10, 0.05, CIFAR),
    "cifar100-20": ("CIFAR100", 80, 20, "80_20", 5, 0.02, CIFAR),
    "cifar100-50": ("CIFAR100", 50, 50, "50_50", 3, 0.05, CIFAR),
    "imagenet-a": ("ImageNet", 882, 30, "882_30-A", 4, 0.05, IMAGENET | {"imagenet_split": "A"}),
    "imagenet-b": ("ImageNet", 882, 30, "882_30-B", 4, 0.05, IMAGENET | {"imagenet_split": "B"}),
    "imagenet-c": ("ImageNet", 882, 30, "882_30-C", 4, 0.05, IMAGENET | {"imagenet_split": "C"}),
    "digits": ("digits", 5, 5, "5_5", None, 0.1, {}),
}
MAINS = {
    "uno": ("main_discover.py", {}),
    "inter": ("main_discover_inter.py", {"factor_inter": 0.01}),
    "intra": ("main_discover_intra.py", {"factor_intra": 0.01}),
    "inter_intra": ("main_discover_inter_intra.py", {"factor_intra": 0.01}),
    "mse": ("main_discover_mse.py", {"factor_mse": 0.01}),
}


GENERALIZED = {  # dataset, L, U, weight of the mean-entropy penalty
    "cifar10-gcd": ("CIFAR10", 5, 5, 1.0),
    "cifar100-gcd": ("CIFAR100", 80, 20, 4.0),
}


def test_every_split_has_its_scripts():
    expected = {f"{split}/{name}.sh" for split in SPLITS for name in ("pretrain", "discover", "ablation")}
    expected |= {f"{split}/discover.sh" for split in GENERALIZED}
    assert {str(path.relative_to(ROOT / "scripts")) for path in ENTRIES} == expected


@pytest.mark.parametrize("split", SPLITS)
def test_scripts_have_the_published_settings(split, script_commands):
    dataset, num_labeled, num_unlabeled, comment, overcluster, inter, others = SPLITS[split]
    common = {"dataset": dataset, "num_labeled_classes": num_labeled, "num_unlabeled_classes": num_unlabeled, "seed": 7}

    (pretraining,) = script_commands[f"{split}/pretrain"]
    stage, args = parse(pretraining)
    assert stage == "pretrain"
    expected = common if dataset == "digits" else common | {"batch_size": 256, "precision": "16"}
    expected = expected | {"CIFAR10": {"max_epochs": 200}, "CIFAR100": {"max_epochs": 200}}.get(dataset, {})
    if dataset == "ImageNet":
        expected |= {"gpus": "2", "max_epochs": 100, "num_workers": 8, "warmup_epochs": 5}
        expected |= {"distributed_backend": "ddp", "sync_batchnorm": True}
    assert {name: getattr(args, name) for name in expected} == expected
    left_behind = f"{args.checkpoint_dir}/{cli.run_name(args, 'pretrain')}.cp"

    ablation = script_commands[f"{split}/ablation"]
    assert [words[0] for words in ablation] == [main for main, _ in MAINS.values()]
    (discovery,) = script_commands[f"{split}/discover"]
    assert discovery == ablation[list(MAINS).index("inter_intra")]
    for words, (suffix, (_, factors)) in zip(ablation, MAINS.items(), strict=True):
        stage, args = parse(words)
        brought = DIGITS_DEFAULTS["discover"] if dataset == "digits" else {}
        factors = {name: brought.get(name, weight) for name, weight in factors.items()}
        expected = common | others | factors | {"pretrained": left_behind, "comment": f"{comment}_{suffix}"}
        expected |= {"factor_inter": inter} if suffix == "inter_intra" else {}
        expected |= {} if overcluster is None else {"overcluster_factor": overcluster}
        assert {name: getattr(args, name) for name in expected} == expected, suffix


@pytest.mark.parametrize("split", GENERALIZED)
def test_scripts_of_generalized_discovery_have_the_published_settings(split, script_commands):
    dataset, num_labeled, num_unlabeled, weight = GENERALIZED[split]
    (words,) = script_commands[f"{split}/discover"]
    stage, args = parse(words)
    published = {"max_epochs": 200, "batch_size": 128, "base_lr": 0.1, "min_lr": 1e-4, "weight_decay_opt": 5e-5}
    published |= {"sup_weight": 0.35, "memax_weight": weight, "warmup_teacher_temp": 0.07, "teacher_temp": 0.04}
    published |= {"warmup_teacher_temp_epochs": 30, "num_mlp_layers": 3, "hidden_dim": 2048, "proj_dim": 256}
    published |= {"sampler": "balanced", "standardize": False, "num_large_crops": 2, "prop_train_labels": 0.5}
    published |= {"backbone": "vit_base_patch16_224.dino", "train": "last_block", "setting": "gcd"}
    data = {"dataset": dataset, "num_labeled_classes": num_labeled, "num_unlabeled_classes": num_unlabeled}
    assert stage == "gcd"
    assert {name: getattr(args, name) for name in published | data} == published | data


@pytest.mark.parametrize("path", ENTRIES, **BY_NAME)
def test_scripts_are_executable_and_strict(path):
    text = path.read_text()
    assert os.access(path, os.X_OK)
    assert text.startswith("#!/usr/bin/env bash\n")
    assert "\nset -euo pipefail\n" in text
    assert "CUDA_VISIBLE_DEVICES" not in text


def test_scripts_are_bash():
    for path in SHELL:
        done = subprocess.run(["bash", "-n", str(path)], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


def test_shellcheck_has_nothing_to_say():
    if shutil.which("shellcheck") is None:
        pytest.skip("shellcheck is not installed")
    done = subprocess.run(["shellcheck", "-x", *map(str, SHELL)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_an_ablation_stops_at_the_first_failure(tmp_path):
    stand_in = tmp_path / "python"
    stand_in.write_text("#!/bin/sh\nexit 3\n")
    stand_in.chmod(0o755)
    script = ROOT / "scripts" / "digits" / "ablation.sh"
    done = subprocess.run([str(script)], env={**os.environ, "PYTHON": str(stand_in)}, capture_output=True, text=True)
    assert done.returncode == 3
    assert done.stderr.count("+ python") == 1
