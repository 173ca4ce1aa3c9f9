#!/usr/bin/env python
"""Images/s of the whole discovery step, views to optimizer, beside the plain one in the same run; and of each part.

python benchmarks/discover_step.py --device cpu --batch_size 64
python benchmarks/discover_step.py --device cuda --batch_size 512 --steps 5 --turn 10 --compile
"""

import statistics

import measure

DTYPES = {"bf16": "bfloat16", "16": "float16", "32": "float32"}
CLASSES = 5, 5  # labelled and unlabelled: CIFAR10-5


def parse(words=None):
    flags = measure.parser(__doc__)
    flags.add_argument("--batch_size", type=int, default=64)
    flags.add_argument("--steps", type=int, default=3, help="timed rounds, in which all take turns")
    flags.add_argument("--turn", type=int, default=4, help="training steps of a turn")
    flags.add_argument("--precision", nargs="+", default=["bf16", "32"], choices=["bf16", "16", "32"], help="of ours")
    flags.add_argument("--num_heads", type=int, default=8)
    flags.add_argument("--overcluster_factor", type=int, default=10)
    flags.add_argument("--width", type=int, default=64, help="of the encoder; the plain step runs at 64 alone")
    flags.add_argument("--compile", action="store_true", help="compile network and losses")
    flags.add_argument("--no-plain", dest="plain", action="store_false", help="ours alone")
    flags.add_argument("--workers", type=int, default=2, help="processes that make the plain step's views")
    args = measure.start(flags, words)
    args.plain = args.plain and args.width == 64
    return args


def main(words=None) -> dict:
    """Measure, print, return the tables."""
    args = parse(words)
    tables = measured(args)
    measure.report(args, f"Discovery step, CIFAR10-5, batch {args.batch_size}, {args.num_heads} heads", **tables)
    return tables


def measured(args) -> dict:
    """The tables."""
    import plain
    import torch

    measure.memory_as_in_a_run(args.device)
    ours = {f"ours, {name}{', compiled' if args.compile else ''}": Ours(args, name) for name in args.precision}
    first, name = next(iter(ours.values())), next(iter(ours))
    steps = {name: step.step for name, step in ours.items()}
    theirs = f"plain, 32, {args.workers} workers"
    pieces = first.parts()
    repeat = dict.fromkeys(steps, args.turn) | dict.fromkeys(pieces, args.turn if args.device == "cuda" else 1)
    if args.plain:
        steps[theirs] = measure.apart(plain.turn, args, CLASSES)
    seconds = measure.in_turns(steps | pieces, args.steps, args.device, repeat)
    flops = first.flops()
    rates = {name: measure.matmul_rate(args.device, step.dtype) for name, step in ours.items()}
    if args.plain:
        seconds[theirs] /= args.turn
        rates[theirs] = measure.matmul_rate(args.device, torch.float32)
    whole = [
        {
            "step": name,
            "images/s": args.batch_size / seconds[name],
            "ms": 1e3 * seconds[name],
            "TFLOP/s": flops / seconds[name] / 1e12,
            "share of matmul": flops / seconds[name] / rates[name],
            "times plain": seconds[theirs] / seconds[name] if args.plain else "",
        }
        for name in steps
    ]
    step = seconds[name]
    parts = [{"part": part, "ms": 1e3 * seconds[part], "share of step": seconds[part] / step} for part in pieces]
    if not args.compile:  # a compiled step has no encoder to be timed inside it
        rest = 1 - first.encoder_share(args.steps)
        parts.append({"part": "all but the encoder, inside a step", "ms": 1e3 * rest * step, "share of step": rest})
    return {"whole": whole, "parts": parts}


class Ours:
    """The step of main_discover_inter_intra.py without its Trainer, and its parts."""

    def __init__(self, args, precision: str) -> None:
        import torch

        from main_discover_inter_intra import Discoverer
        from utils.data.loaders import ViewLoader
        from utils.data.specs import dataset_spec
        from utils.experiment import compile_step
        from utils.transforms.pipeline import ViewPipeline

        torch.manual_seed(0)
        self.device = args.device
        self.dtype = getattr(torch, DTYPES[precision])
        self.module = Discoverer(
            dataset="CIFAR10",
            num_labeled_classes=CLASSES[0],
            num_unlabeled_classes=CLASSES[1],
            num_heads=args.num_heads,
            overcluster_factor=args.overcluster_factor,
            width=args.width,
        ).to(args.device)
        self.module.train()
        if args.compile:
            compile_step(self.module)
        self.optimizer = self.module.configure_optimizers()[0][0]
        self.scaler = torch.amp.GradScaler(args.device, enabled=precision == "16")
        self.images, self.labels = measure.some_data(max(args.turn * args.batch_size, 2048))
        spec = dataset_spec("CIFAR10")
        self.pipeline = ViewPipeline([spec.large] * 2 + [spec.small] * 2, spec.mean, spec.std)
        self.loader = ViewLoader(
            self.images, self.labels, self.pipeline, batch_size=args.batch_size, seed=0, device=args.device
        )
        self.batches = self._forever()
        self.generator = torch.Generator(device=args.device)
        self.some_images = self.images[: args.batch_size].to(args.device)
        self.some_labels = self.labels[: args.batch_size].to(args.device)
        self.views = self.pipeline(self.some_images, self.generator)

    def _forever(self):
        while True:
            yield from self.loader

    def step(self) -> None:
        views, labels = next(self.batches)
        self.train_on(views, labels)

    def train_on(self, views, labels, mark=lambda: None) -> None:
        self.module.model.normalize_prototypes()
        with self.autocast():
            losses = self.module.compute_losses(self.module.model(views), labels)
        self.backward(losses["loss"])
        mark()
        self.update()

    def encoder_share(self, steps: int) -> float:
        """Median share of a step that the encoder's two passes take, by the clock within whole steps."""
        encode, shares = self.module.model.encode, []

        def timed(views):
            marks.set()
            feats = encode(views)
            marks.set()
            feats.register_hook(lambda gradient: marks.set())  # what is left of the backward pass is the encoder's
            return feats

        self.module.model.encode = timed
        for _ in range(steps):
            marks = measure.Marks(self.device)
            marks.set()
            self.train_on(*next(self.batches), mark=marks.set)
            marks.set()
            _, forward, _, backward, _ = spans = marks.spans()
            shares.append((forward + backward) / sum(spans))
        self.module.model.encode = encode
        return statistics.median(shares)

    def autocast(self):
        import torch

        return torch.autocast(self.device, self.dtype, enabled=self.dtype != torch.float32)

    def backward(self, loss) -> None:
        self.optimizer.zero_grad()
        self.scaler.scale(loss).backward()

    def update(self) -> None:
        self.scaler.step(self.optimizer)
        self.scaler.update()

    def parts(self) -> dict:
        """Each part on its own, forward and backward where it has one."""
        from utils.nets.multi_head_resnet import forward_banks

        model = self.module.model
        with self.autocast():
            outputs = {name: value.detach() for name, value in model(self.views).items()}
        logits = {name: value.requires_grad_() for name, value in outputs.items() if name.startswith("logits")}
        feats = outputs["feats"].requires_grad_()

        def encoder() -> None:
            with self.autocast():
                model.encode(self.views).float().square().mean().backward()

        def heads() -> None:
            with self.autocast():
                parts = forward_banks([model.head_unlab, model.head_unlab_over], feats)
                sum(logits.square().mean() for logits, _ in parts).backward()

        def losses() -> None:
            self.module.compute_losses(outputs | logits, self.some_labels)["loss"].backward()

        mask = self.some_labels < 0

        def sinkhorn() -> None:
            for name in ("logits_unlab", "logits_unlab_over"):
                self.module.sinkhorn(outputs[name][:2], mask=mask)

        def optimizer() -> None:
            model.normalize_prototypes()
            self.optimizer.step()

        self.train_on(self.views, self.some_labels)  # so that all parameters have gradients
        works = {
            "views": lambda: self.pipeline(self.some_images, self.generator),
            "encoder": encoder,
            "heads": heads,
            "losses with Sinkhorn": losses,
            "Sinkhorn alone": sinkhorn,
            "optimizer": optimizer,
        }
        return works

    def flops(self) -> float:
        """Of one forward and backward pass, counted."""
        from torch.utils.flop_counter import FlopCounterMode

        with FlopCounterMode(display=False) as counter, self.autocast():
            self.module.compute_losses(self.module.model(self.views), self.some_labels)["loss"].backward()
        return counter.get_total_flops()


if __name__ == "__main__":
    main()
