"""Two processes on the CPU: the same metrics on both, files once, synchronised BatchNorm equal to the whole batch."""

import json
import os
import subprocess
import sys

import pytest
import torch
import torch.distributed as dist

from tests.conftest import ROOT, TINY, free_port, read_table
from utils import torch_files
from utils.evaluation import ClusterMetrics
from utils.methods.disentangler import Disentangler
from utils.nets.batch_norm import HeadBatchNorm1d, ViewBatchNorm2d, ViewSyncBatchNorm, group_batch_norm
from utils.training.nonfinite import NAME


class Norms(torch.nn.Module):
    """One layer of the encoder and one of two heads, on two views."""

    def __init__(self):
        super().__init__()
        self.conv_norm = ViewBatchNorm2d(3)
        self.conv_norm.num_views = 2
        self.heads = torch.nn.ModuleList(HeadBatchNorm1d(4) for _ in range(2))

    def forward(self, images, feats):  # (V*B, 3, 2, 2), (H, V, B, 4)
        return self.conv_norm(images), group_batch_norm(feats, list(self.heads))


def inputs():
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(2, 8, 3, 2, 2, generator=generator, dtype=torch.float64)
    feats = torch.randn(2, 2, 8, 4, generator=generator, dtype=torch.float64)
    return images, feats


def run_norms(rows):
    """Outputs, input gradients and running statistics for some rows of the batch of 8."""
    images, feats = (value[:, rows] if value.dim() == 5 else value[:, :, rows] for value in inputs())
    images, feats = images.flatten(0, 1).requires_grad_(), feats.requires_grad_()
    torch.manual_seed(0)
    norms = ViewSyncBatchNorm().apply(Norms().double())
    first, second = norms(images, feats)
    (first.sin().sum() + second.cos().sum()).backward()
    state = {name: value.clone() for name, value in norms.state_dict().items()}
    return first.detach().unflatten(0, (2, -1)), second.detach(), images.grad.unflatten(0, (2, -1)), feats.grad, state


def run_contrastive(rows):
    """Losses, gradients of a shared weight, and scores, for some of 12 images."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(2, 12, 5, generator=generator, dtype=torch.float64)[:, rows]
    weight = torch.randn(5, 4, generator=generator, dtype=torch.float64).requires_grad_()
    module = Disentangler(width=8, backbone="ResNet18", gather_negatives=True)
    outputs = images @ weight
    losses = module.compute_losses({"projections": outputs, "features": outputs.sigmoid()})
    losses["loss"].backward()
    if dist.is_initialized():  # as DistributedDataParallel does
        dist.all_reduce(weight.grad)
        weight.grad /= dist.get_world_size()
    module.evaluation.update(images[0], outputs[0].detach(), torch.arange(12)[rows] % 3)
    module.evaluation.gather()
    return (
        losses["loss"].detach(),
        weight.grad,
        module.evaluation.outputs["backbone"],
        module.evaluation.labels.tolist(),
    )


def run_metrics(rows):
    """Metrics of two heads for some of 101 images; no row of the second process has the last class and cluster."""
    generator = torch.Generator().manual_seed(1)
    targets, preds = torch.randint(5, (101,), generator=generator), torch.randint(9, (2, 101), generator=generator)
    targets[0], preds[:, 0] = 6, 10
    metrics = ClusterMetrics(num_heads=2)
    metrics.update(preds[:, rows], targets[rows])
    return metrics.compute()


def _worker(rank, port, folder):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    results = {"norms": run_norms(slice(rank * 4, rank * 4 + 4)), "contrastive": run_contrastive(slice(rank, 12, 2))}
    results["metrics"] = run_metrics(slice(rank, None, 2))
    torch.save(results, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def two_processes(tmp_path_factory):
    """What each of two processes computes, in one start of them."""
    folder = tmp_path_factory.mktemp("processes")
    torch.multiprocessing.spawn(_worker, (free_port(), str(folder)), nprocs=2)
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(2)]


def test_synchronised_batch_norm_equals_the_whole_batch(two_processes):
    halves = [results["norms"] for results in two_processes]
    whole = run_norms(slice(None))
    for position, dim in ((0, 1), (1, 2), (2, 1), (3, 2)):
        joined = torch.cat([half[position] for half in halves], dim=dim)
        torch.testing.assert_close(joined, whole[position], rtol=1e-9, atol=1e-10)
    for half in halves:
        for name, value in whole[4].items():
            torch.testing.assert_close(half[4][name], value, rtol=1e-9, atol=1e-10, msg=name)


def test_gathered_negatives_and_scores_equal_those_of_one_process(two_processes):
    whole = run_contrastive(slice(None))
    for results in two_processes:
        for value, expected in zip(results["contrastive"], whole, strict=True):
            torch.testing.assert_close(value, expected)


def test_metrics_of_two_processes_are_those_of_one_to_the_last_digit(two_processes):
    for results in two_processes:
        assert results["metrics"] == run_metrics(slice(None))


@pytest.mark.slow
@pytest.mark.parametrize("flags", [[], ["--sync_batchnorm"]])
def test_discovery_on_two_processes(tmp_path, flags):
    words = [*TINY["common"], *TINY["discover"], "--num_processes", "2", "--distributed_backend", "ddp", *flags]
    words += ["--max_epochs", "2", "--batch_size", "32", "--log_dir", str(tmp_path), "--run_name", "run"]
    done = subprocess.run(
        [sys.executable, "main_discover_inter_intra.py", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=280,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("epoch 1/2") == 1
    assert [row["epoch"] for row in read_table(tmp_path / "run" / "metrics.csv")] == ["0", "1"]
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    evaluated = tmp_path / "evaluation.json"
    command = [
        sys.executable,
        "main_evaluate.py",
        "--checkpoint",
        str(tmp_path / "run" / "last.ckpt"),
        "--out",
        str(evaluated),
    ]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=200)
    for name, value in json.loads(evaluated.read_text()).items():
        assert metrics[name] == pytest.approx(value, abs=1e-6), name


FAILING = """
import importlib, os, sys, time
from utils import cli, experiment, torch_files
from utils.errors import UserError

save = torch_files.save_torch

def save_slowly(path, *values):
    if path.name == "nonfinite.ckpt":
        time.sleep(7)  # longer than the launcher takes to see that another process has ended
    save(path, *values)

torch_files.save_torch = save_slowly
main = importlib.import_module(os.environ["MAIN"])

class Failing(main.Discoverer):
    def here(self, *faults):
        fault, rank = os.environ["FAULT"].split()
        place = self.trainer.current_epoch, self.trainer.fit_loop.batch_idx, self.global_rank
        return fault in faults and place == (1, 1, int(rank))

    def training_step(self, batch, batch_idx):
        if self.here("error"):
            raise UserError("this process has a problem")
        if self.here("signal"):
            os.kill(os.getpid(), 15)
        return super().training_step(batch, batch_idx)

    def compute_losses(self, outputs, labels):
        losses = super().compute_losses(outputs, labels)
        return losses | {"loss": losses["loss"] * float("nan" if self.here("nan") else 1)}

method = {"method": main.METHOD} if hasattr(main, "METHOD") else {"factors": main.Discoverer.factors}
cli.run(lambda args: experiment.discover(Failing, args), cli.parse("discover", **method))
"""


def run_two(folder, name, fault, *flags, main="main_discover_inter_intra"):
    """A run of two processes, in which something happens to one."""
    script = folder / "failing.py"
    script.write_text(FAILING)
    settings = TINY["discover"] if main.startswith("main") else []
    words = [*TINY["common"], *settings, "--num_processes", "2", "--distributed_backend", "ddp", *flags]
    words += ["--max_epochs", "3", "--batch_size", "32", "--log_dir", str(folder), "--run_name", name]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "FAULT": fault, "MAIN": main, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(script), *words]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280, env=environment)


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
def test_one_process_that_fails_ends_both_with_its_message_and_code(tmp_path, rank):
    done = run_two(tmp_path, "run", f"error {rank}")
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("error: this process has a problem") == 1
    assert "Traceback" not in done.stderr


DTC = ["--check_val_every_n_epoch", "5", "--warmup_targets", "1", "--update_interval", "1"]  # targets at every epoch


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
@pytest.mark.parametrize(("main", "flags"), [("main_discover_inter_intra", []), ("baselines.dtc", DTC)])
def test_two_processes_stop_and_go_on(tmp_path, rank, main, flags):
    assert run_two(tmp_path, "whole", "error 9", *flags, main=main).returncode == 0
    stopped = run_two(tmp_path, "run", f"signal {rank}", *flags, main=main)
    assert stopped.returncode == 143, stopped.stderr
    resumed = run_two(tmp_path, "run", "error 9", *flags, "--resume_from_checkpoint", "auto", main=main)
    assert resumed.returncode == 0, resumed.stderr
    assert (tmp_path / "run" / "metrics.csv").read_text() == (tmp_path / "whole" / "metrics.csv").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("steps", ["1", "3"])  # with 3 their gradients have not met when it is seen
def test_a_bad_step_of_one_process_stops_both_with_the_state_before_and_its_batch(tmp_path, steps):
    batches = []
    for rank in (0, 1):
        done = run_two(tmp_path, f"run{rank}", f"nan {rank}", "--accumulate_grad_batches", steps)
        assert done.returncode == 3, done.stderr
        assert done.stderr.count("error: not finite in epoch 2, step 2: loss, gradient norm (") == 1
        assert "Traceback" not in done.stderr
        saved = torch_files.load_torch(tmp_path / f"run{rank}" / NAME)
        assert all(value.isfinite().all() for value in saved["state_dict"].values())
        assert saved["nonfinite"]["rank"] == rank
        batches.append(saved["nonfinite"]["indices"])
    assert len(set(batches[0]) | set(batches[1])) == 64  # each had its own 32


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
def test_a_bad_step_of_one_process_is_skipped_by_both(tmp_path, rank):
    done = run_two(tmp_path, "run", f"nan {rank}", "--on_nonfinite", "skip", "--accumulate_grad_batches", "3")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("warning: not finite in epoch 2, step 2: loss, gradient norm (") == 1
    state = torch_files.load_torch(tmp_path / "run" / "last.ckpt")["state_dict"]
    assert all(value.isfinite().all() for value in state.values())
    assert all(float(row["loss"]) > 0 for row in read_table(tmp_path / "run" / "metrics.csv"))
