#!/usr/bin/env python
"""IIC's discovery on CIFAR-10 by the plain implementation: accuracies to hold beside those of the project's commands.

python benchmarks/plain_run.py checkpoints_iic/pretrain-resnet18-CIFAR10-5_5.cp --data_dir data --precision bf16

Prints one line an epoch; --state FILE keeps what a second call goes on from. Views by PIL, one call a view, a loop over
heads; with bf16 the heads and Sinkhorn are rounded too, as the published loop does it.
"""

import argparse
import random
from pathlib import Path

import numpy as np
import plain
import torch
from torch import Tensor, nn

from utils.data.specs import dataset_spec
from utils.evaluation.metrics import cluster_acc
from utils.torch_files import load_torch, save_torch
from utils.training.lr_scheduler import warmup_cosine_lr

SPEC = dataset_spec("CIFAR10")
HEADS, LABELED = 4, 5  # heads; known classes, which are the first


def network(pretrained: str) -> plain.PlainNet:
    """The plain network with the encoder and the labelled head of a file of pretraining."""
    net = plain.PlainNet(LABELED, SPEC.num_classes - LABELED, HEADS, 10, 2048, 256)
    net.load_state_dict({**net.state_dict(), **plain.plain_names(load_torch(pretrained))})
    return net


@torch.no_grad()
def predict(net: nn.Module, images: np.ndarray, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Classes (N,) of the labelled head and clusters (HEADS, N), from uint8 images (N, 32, 32, 3)."""
    mean, std = torch.tensor(SPEC.mean)[:, None, None], torch.tensor(SPEC.std)[:, None, None]
    labeled, clusters = [], []
    for chunk in torch.from_numpy(images).split(250):
        with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
            known, novel, _ = net((chunk.permute(0, 3, 1, 2) / 255 - mean) / std)
        labeled.append(known.float().argmax(1))
        clusters.append(torch.stack(novel).float().argmax(2))
    return torch.cat(labeled), torch.cat(clusters, dim=1)


def evaluate(net: nn.Module, data: dict[str, np.ndarray], dtype: torch.dtype) -> str:
    """Mean over heads for the novel images of both halves, accuracy of the labelled head for the known test images."""
    net.eval()
    words = []
    for half in ("train", "test"):
        labels = data[f"{half}_labels"]
        novel = labels >= LABELED
        clusters = predict(net, data[f"{half}_images"][novel], dtype)[1].numpy()
        words.append(f"novel {half} {np.mean([cluster_acc(labels[novel] - LABELED, head) for head in clusters]):.3f}")
    known = labels < LABELED
    accuracy = (predict(net, data["test_images"][known], dtype)[0].numpy() == labels[known]).mean()
    net.train()
    return "  ".join([*words, f"known test {accuracy:.3f}"])


def main(words=None) -> list[str]:
    """Train, print a line an epoch, return the lines."""
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("pretrained", help="weights that main_pretrain.py wrote for five classes of CIFAR-10")
    flags.add_argument("--data_dir", default="data", help="holds cifar10.npz")
    flags.add_argument("--precision", default="32", choices=["32", "bf16"])
    flags.add_argument("--epochs", type=int, default=20)
    flags.add_argument("--batch_size", type=int, default=128)
    flags.add_argument("--seed", type=int, default=0)
    flags.add_argument("--threads", type=int, default=None)
    flags.add_argument("--state", default=None, metavar="FILE", help="of the last epoch; read if it is there")
    args = flags.parse_args(words)
    if args.threads:
        torch.set_num_threads(args.threads)
    random.seed(args.seed)
    torch.manual_seed(args.seed)
    dtype = torch.bfloat16 if args.precision == "bf16" else torch.float32
    data = dict(np.load(Path(args.data_dir) / "cifar10.npz"))
    labels = np.where(data["train_labels"] < LABELED, data["train_labels"], -1)
    net = network(args.pretrained).train()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.2, momentum=0.9, weight_decay=1.5e-4)
    loader = plain.plain_loader(data["train_images"], labels, args.batch_size, 0, SPEC.mean, SPEC.std)
    lines: list[str] = []
    if args.state and Path(args.state).exists():
        state = load_torch(args.state)
        net.load_state_dict(state["net"])
        optimizer.load_state_dict(state["optimizer"])
        torch.set_rng_state(state["torch"])
        random.setstate(state["random"])
        lines = state["lines"]
        print(*lines, sep="\n")
    for epoch in range(len(lines), args.epochs):
        rate = warmup_cosine_lr(epoch, base_lr=0.2, min_lr=0.001, warmup_epochs=3, max_epochs=args.epochs)
        optimizer.param_groups[0]["lr"] = rate
        loss = 0.0
        for views, targets in loader:
            loss += plain.plain_step(net, optimizer, views, targets, dtype) / len(loader)
        lines.append(f"epoch {epoch + 1}/{args.epochs}  loss {loss:.3f}  {evaluate(net, data, dtype)}")
        print(lines[-1], flush=True)
        if args.state:
            state = {"net": net.state_dict(), "optimizer": optimizer.state_dict(), "lines": lines}
            save_torch(args.state, {**state, "torch": torch.get_rng_state(), "random": random.getstate()})
    return lines


if __name__ == "__main__":
    main()
