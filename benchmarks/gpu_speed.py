"""What of gpu_check.py asks how fast it is and what it holds: each part takes the flags and yields rows."""

import gc
import time
from argparse import Namespace
from collections.abc import Callable

import discover_step
import measure
import torch
from gpu_right import Rows, flags_of_step, row
from soak import resident


def speed_of_discovery(args: Namespace) -> Rows:
    """The tables of discover_step.py, and what compiling gives to them."""
    words = ["--precision", "32"] if args.tiny else ["--precision", "bf16", "16", "32"]
    tables = discover_step.measured(flags_of_step(args, "--steps", "1" if args.tiny else "5", *words))
    for line in tables["whole"]:
        for name in ("images/s", "TFLOP/s", "share of matmul"):
            yield row(f"{line['step']}: {name}", line[name])
    for line in tables["parts"]:
        yield row(f"{line['part']}, ms", line["ms"])


def speed_of_disentangling(args: Namespace) -> Rows:
    """The step of contrastive disentangling at the published size."""
    import disentangle_step

    sizes = {"backbone": "ResNet18", "width": 8, "image_size": 16, "batch_size": 4} if args.tiny else {}
    published = {"backbone": "ResNet34", "width": 64, "image_size": 224, "batch_size": 256} | sizes
    turns = disentangle_step.Turns(Namespace(device=args.device, **published))
    given = turns.views()
    works: dict[str, Callable[[], object]] = {
        "views": turns.views,
        "step": lambda: turns.step(given),
        "views and step": lambda: turns.step(turns.views()),
    }
    seconds = measure.in_turns(works, 1 if args.tiny else 5, args.device)
    for name, value in seconds.items():
        yield row(f"{name}: images/s", published["batch_size"] / value)
    dtype = torch.bfloat16 if args.device == "cuda" else torch.float32
    rate = turns.flops(given) / seconds["step"]
    yield row("step: TFLOP/s", rate / 1e12)
    yield row("step: share of matmul", rate / measure.matmul_rate(args.device, dtype, 256 if args.tiny else None))


def kernels(args: Namespace) -> Rows:
    """The ten dearest kernels of a step in bf16, and how many kernels it launches."""
    from torch.autograd import DeviceType
    from torch.profiler import ProfilerActivity, profile

    ours, steps = discover_step.Ours(flags_of_step(args), "bf16"), 3
    for _ in range(steps):
        ours.step()
    measure.wait(args.device)
    on_gpu = args.device == "cuda"
    begun = time.perf_counter()
    with profile(activities=[ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * on_gpu) as profiled:
        for _ in range(steps):
            ours.step()
        measure.wait(args.device)
    seconds = time.perf_counter() - begun
    events = [event for event in profiled.key_averages() if not on_gpu or event.device_type == DeviceType.CUDA]
    micros = {event.key: (event.self_device_time_total if on_gpu else event.self_cpu_time_total) for event in events}
    yield row("kernels a step", sum(event.count for event in events) / steps)
    yield row("share of the time that the device works", sum(micros.values()) / 1e6 / seconds)
    for name in sorted(micros, key=lambda name: -micros[name])[:10]:
        yield row(f"{name[:90]}, ms a step", micros[name] / 1e3 / steps)


def k_means(args: Namespace) -> Rows:
    """The k-means of GPUs against scikit-learn's: as low an inertia, the same for the same seed, and how fast."""
    from sklearn.cluster import KMeans

    from utils.evaluation.kmeans import SEED, STARTS, lloyd

    count, size, k = (500, 8, 5) if args.tiny else (20_000, 128, 20)
    generator = torch.Generator().manual_seed(0)
    vectors = torch.randn(k, size, generator=generator)[torch.arange(count) % k]
    vectors = vectors + 1.5 * torch.randn(count, size, generator=generator)
    begun = time.perf_counter()
    expected = KMeans(k, n_init=STARTS, random_state=SEED).fit(vectors.numpy()).inertia_
    theirs = time.perf_counter() - begun
    there = vectors.to(args.device)
    labels, inertia = lloyd(there, k, STARTS, SEED)
    seconds = measure.in_turns({"ours": lambda: lloyd(there, k, STARTS, SEED)}, 1 if args.tiny else 3, args.device)[
        "ours"
    ]
    yield row("inertia beside scikit-learn's", float(inertia) / float(expected), below=1.005)
    again = lloyd(there, k, STARTS, SEED)[0]
    yield row("share of labels that a second run repeats", float((labels == again).float().mean()), above=1)
    yield row("seconds, ours", seconds)
    yield row("seconds, scikit-learn's on the CPU", theirs)


def memory(args: Namespace) -> Rows:
    """What a step needs at its peak, and what is left when it is gone."""
    for precision in ("bf16", "32"):
        ours = discover_step.Ours(flags_of_step(args), precision)
        if args.device == "cuda":
            torch.cuda.reset_peak_memory_stats()
        for _ in range(2):
            ours.step()
        if args.device == "cuda":
            yield row(f"{precision}: peak of a step, GiB", torch.cuda.max_memory_allocated() / 2**30)
        del ours
        gc.collect()
        if args.device == "cuda":
            yield row(f"{precision}: left afterwards, MiB", torch.cuda.memory_allocated() / 2**20, below=128)
    if args.device == "cpu":
        yield row("of this process, GiB", resident() / 2**10)
