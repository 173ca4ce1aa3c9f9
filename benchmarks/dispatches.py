#!/usr/bin/env python
"""How many operations a training step asks of the device, part by part: what launching them costs the host of a GPU.

python benchmarks/dispatches.py
python benchmarks/dispatches.py --precision bf16 --dearest views

What computes launches at least one kernel on a GPU, which takes the host about 4 to 8 microseconds; what looks at a
tensor in another way launches none. The counts depend neither on the batch nor on the width, and hardly on the device,
so that a CPU can count. At 25,000 images/s a step of 512 images lasts 20 ms.
"""

import collections
import contextlib
import tempfile
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import measure

MICROSECONDS = 4, 8  # of the host for a kernel
NO_KERNEL = ("empty", "new_empty", "empty_like", "new_empty_strided", "empty_strided", "_unsafe_view")
IMAGES, CLASSES = 8, 5


def counter():
    """A mode that counts what torch dispatches below autograd, forward and backward, for the part that is set."""
    from torch.utils._python_dispatch import TorchDispatchMode

    class Counter(TorchDispatchMode):
        def __init__(self) -> None:
            super().__init__()
            self.part = ""
            self.computing: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
            self.looking: collections.Counter[str] = collections.Counter()

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            namespace, name = func._schema.name.split("::")
            if func.is_view or name in NO_KERNEL or namespace != "aten":
                self.looking[self.part] += 1
            else:
                self.computing[self.part][name] += 1
            return func(*args, **(kwargs or {}))

        @contextlib.contextmanager
        def within(self, part: str):
            before, self.part = self.part, part
            yield
            self.part = before

        def wrap(self, owner, name: str, part: str) -> None:
            """Count what a method dispatches for a part."""
            method = getattr(owner, name)

            def wrapped(*args, **kwargs):
                with self.within(part):
                    return method(*args, **kwargs)

            setattr(owner, name, wrapped)

        def from_here(self, tensor, part: str) -> None:
            """Count what comes in a backward pass after a tensor's gradient for a part."""
            tensor.register_hook(lambda gradient: setattr(self, "part", part))

    return Counter()


def steps(module, views, precision: str, count, outputs):
    """Training steps as a GPU makes them, one after the other, with the watch over numbers that are not finite."""
    import torch

    from utils.data.loaders import ViewLoader
    from utils.training import nonfinite
    from utils.transforms.pipeline import ViewPipeline

    optimizer = module.train().configure_optimizers()
    optimizer = optimizer if isinstance(optimizer, torch.optim.Optimizer) else optimizer[0][0]
    trainer = SimpleNamespace(scaler=None, optimizers=[optimizer], fit_loop=SimpleNamespace(batch_idx=0))
    images = torch.randint(0, 256, (4 * IMAGES, 3, 32, 32), dtype=torch.uint8)
    labels = torch.arange(len(images)) % (2 * CLASSES)
    pipeline = ViewPipeline(views, (0.5,) * 3, (0.5,) * 3)
    loader = ViewLoader(images, torch.where(labels < CLASSES, labels, -1), pipeline, batch_size=IMAGES, seed=0)
    batches = iter(loader)
    with tempfile.TemporaryDirectory() as folder:
        watch = nonfinite.NonFinite(Path(folder), "stop")
        watch.on_train_start(trainer, module)
    watch.on_host = False
    nonfinite._begin_momentum([optimizer])
    while True:
        with count.within("views"):
            batch = next(batches)
        watch.on_train_batch_start(trainer)
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16", cache_enabled=False):
            loss = module.training_step(batch, 0)
        with count.within("losses, backward"):
            outputs()
            loss.backward()
        with count.within("watch over non-finite numbers"):
            watch.on_after_backward(trainer, module)
        with count.within("optimizer"):
            optimizer.step()
        yield


def discovery(precision: str):
    """A step of main_discover_inter_intra.py with the published views and 4 heads of either kind."""
    from main_discover_inter_intra import Discoverer
    from utils.data.specs import dataset_spec

    module = Discoverer(
        dataset="CIFAR10",
        num_labeled_classes=CLASSES,
        num_unlabeled_classes=CLASSES,
        num_heads=4,
        multicrop=True,
        width=8,
    )
    count, seen = counter(), {}
    forward = module.model.forward

    def watched(views):
        seen.update(forward(views))
        return seen

    def outputs() -> None:
        for name in ("logits_unlab", "logits_unlab_over"):
            count.from_here(seen[name], "heads, backward")
        count.from_here(seen["feats"], "encoder, backward")

    module.model.forward = watched
    count.wrap(module.model, "forward", "heads")
    count.wrap(module.model, "encode", "encoder")
    count.wrap(module.model, "normalize_prototypes", "prototypes normalised")
    count.wrap(module, "compute_losses", "losses")
    count.wrap(module.sinkhorn, "forward", "Sinkhorn")
    count.wrap(module, "accumulate", "sums of the epoch")
    count.wrap(module.means, "update", "sums of the epoch")
    spec = dataset_spec("CIFAR10")
    return count, steps(module, [spec.large] * 2 + [spec.small] * 2, precision, count, outputs)


def disentangling(precision: str):
    """A step of train.py: contrastive disentangling with ResNet18."""
    from utils.data.specs import contrastive_view
    from utils.methods.disentangler import Disentangler

    module = Disentangler(backbone="ResNet18", width=8, image_size=32)
    count, seen = counter(), {}
    encode = module.model.resnet.forward

    def watched(*args):
        seen["feats"] = encode(*args)
        return seen["feats"]

    module.model.resnet.forward = watched
    count.wrap(module.model, "forward", "projector and predictor")
    count.wrap(module.model.resnet, "forward", "encoder")
    count.wrap(module, "compute_losses", "losses")
    count.wrap(module.means, "update", "sums of the epoch")

    def outputs() -> None:
        count.from_here(seen["feats"], "encoder, backward")

    return count, steps(module, [contrastive_view(32, 0.5, False)] * 2, precision, count, outputs)


def main(words=None) -> dict:
    """Count, print, return the tables."""
    flags = measure.parser(__doc__)
    flags.add_argument("--precision", default="bf16", choices=["bf16", "32"])
    flags.add_argument("--dearest", default=None, metavar="PART", help="list the operations of a part too")
    flags.set_defaults(device="cpu")
    args = measure.start(flags, words)
    tables: dict[str, list[dict]] = {}
    for name, make in {"discovery": discovery, "disentangling": disentangling}.items():
        count, training = make(args.precision)
        with mock.patch("utils.transforms.augment.DRAWN_ALONE", ()):  # a GPU computes all images alike
            next(training)  # the first step has more to do
            with count:
                next(training)
        parts = dict.fromkeys([*count.computing, *count.looking])
        counts = {part: count.computing[part].total() for part in parts}
        total = sum(counts.values())
        low, high = (total * micros / 1e3 for micros in MICROSECONDS)
        tables[name] = [
            {name: part or "else", "computing": counts[part], "looking": count.looking[part]} for part in parts
        ]
        tables[name].append({name: "all", "computing": total, "looking": count.looking.total()})
        tables[name].append({name: "ms of the host, about", "computing": f"{low:.0f} to {high:.0f}", "looking": ""})
        if args.dearest:
            dearest = count.computing[args.dearest].most_common(20)
            tables[f"{name}, {args.dearest}"] = [{"operation": key, "times": times} for key, times in dearest]
    measure.report(args, f"Operations of a step, {args.precision}", **{k: v for k, v in tables.items() if v})
    return tables


if __name__ == "__main__":
    main()
