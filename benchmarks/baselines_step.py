#!/usr/bin/env python
"""A training step of every method of baselines/ beside UNO v2's, on the same batch and two views of it.

python benchmarks/baselines_step.py --threads 1 --json logs/benchmarks/baselines_step.json
"""

import measure


def main(words=None) -> dict:
    """Measure, print, return the table."""
    flags = measure.parser(__doc__)
    flags.add_argument("--batch_size", type=int, default=64)
    flags.add_argument("--width", type=int, default=32, help="of the encoder")
    flags.add_argument("--rounds", type=int, default=5)
    args = measure.start(flags, words)
    measure.memory_as_in_a_run(args.device)
    from utils.methods.discoverer import Discoverer
    from utils.methods.named import baseline_module, baseline_names

    methods = {"UNO v2": Discoverer}
    for name in baseline_names():
        module = baseline_module(name)
        if hasattr(module, "Discoverer"):
            methods[module.METHOD.title] = module.Discoverer
    seconds = measure.in_turns({name: step(args, method) for name, method in methods.items()}, args.rounds, args.device)
    table = [
        {"method": name, "ms": 1e3 * value, "times UNO v2": value / seconds["UNO v2"]}
        for name, value in seconds.items()
    ]
    measure.report(
        args, f"Steps of all methods (batch {args.batch_size}, width {args.width}, 2 views of 32²)", step=table
    )
    return {"step": table}


def step(args, method):
    """A training step of a method, as a function without arguments; all layers are trained."""
    import torch

    torch.manual_seed(0)
    heads = {"num_heads": 4} | (method.method.always if method.method else {})
    sizes = {"num_labeled_classes": 5, "num_unlabeled_classes": 5, "width": args.width} | heads
    module = method(dataset="CIFAR10", **sizes).to(args.device).train()
    if hasattr(module, "teacher"):  # no part of the module: in a run on_fit_start moves it
        module.teacher.to(module.loss_per_head)
    views = [torch.randn(args.batch_size, 3, 32, 32, device=args.device) for _ in range(2)]
    labels = torch.arange(args.batch_size, device=args.device) % 10
    labels = torch.where(labels < 5, labels, -1)
    targets = torch.full((args.batch_size, 5), 0.2, device=args.device)
    module.targets_of_batch = lambda: targets  # DTC's, which in a run are of all images
    return measure.training_step(module, views, labels)


if __name__ == "__main__":
    main()
