"""What all benchmarks share: flags, clocks that take turns, the device in words, tables and JSON."""

import argparse
import atexit
import itertools
import json
import multiprocessing
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))


def parser(doc: str) -> argparse.ArgumentParser:
    """The flags of every benchmark: ``--device``, ``--threads``, ``--json``."""
    flags = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("--device", default=None, choices=["cpu", "cuda"], help="a GPU if there is one, else the CPU")
    flags.add_argument("--threads", type=int, default=None, help="of torch on the CPU; torch's own choice when absent")
    flags.add_argument("--json", default=None, metavar="FILE", help="write what was measured to this file too")
    return flags


def start(flags: argparse.ArgumentParser, words: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse, set the threads, settle the device."""
    args = flags.parse_args(words)
    import torch

    if args.threads:
        torch.set_num_threads(args.threads)
    if args.device == "cuda" and not torch.cuda.is_available():
        flags.error("--device cuda, but there is no GPU")
    args.device = args.device or ("cuda" if torch.cuda.is_available() else "cpu")
    return args


def memory_as_in_a_run(device: str) -> None:
    """What a training run asks of a CPU's memory, asked of this process."""
    if device == "cpu":
        from utils.training.freed_memory import keep_freed_memory

        keep_freed_memory()


def wait(device: str) -> None:
    """Until the device has done all that was asked of it."""
    if device == "cuda":
        import torch

        torch.cuda.synchronize()


def in_turns(
    works: Mapping[Any, Callable[[], Any]], rounds: int, device: str = "cpu", repeat: Mapping[Any, int] | None = None
) -> dict[Any, float]:
    """Median seconds of each work over ``rounds`` in which all take turns, so that noise hits all alike.

    Args:
        works: name -> what to run; run once before, unmeasured.
        rounds: how often each is timed.
        repeat: name -> runs in a row that are timed as one; 1 when absent.
    """
    seconds: dict[Any, list[float]] = {name: [] for name in works}
    for work in works.values():
        work()
    for _ in range(rounds):
        for name, work in works.items():
            times = (repeat or {}).get(name, 1)
            wait(device)
            begun = time.perf_counter()
            for _ in range(times):
                work()
            wait(device)
            seconds[name].append((time.perf_counter() - begun) / times)
    return {name: statistics.median(values) for name, values in seconds.items()}


def some_data(count: int):
    """Random images (N, 3, 32, 32) uint8 and labels (N,) in 0..4, half of them -1."""
    import torch

    images = torch.randint(0, 256, (count, 3, 32, 32), dtype=torch.uint8)
    labels = torch.randint(0, 10, (count,))
    return images, torch.where(labels < 5, labels, -1)


def training_step(module: Any, views: Sequence[Any], labels: Any) -> Callable[[], None]:
    """A step of a discovery module on one batch, from network to optimizer, as a function without arguments."""
    optimizer = module.configure_optimizers()[0][0]

    def step() -> None:
        module.model.normalize_prototypes()
        loss = module.compute_losses(module.outputs(views, labels), labels)["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def apart(make: Callable[..., Callable[[], Any]], *settings: Any) -> Callable[[], None]:
    """Work that a process of its own does when it is called: nothing that the caller has set reaches it.

    Args:
        make: makes the work in that process, from ``settings``; a function of a module.
    """
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_serve, args=(there, make, settings))
    process.start()
    there.close()

    def work() -> None:
        here.send(None)
        if error := here.recv():
            raise RuntimeError(error)

    atexit.register(here.close)  # which ends it
    return work


def _serve(calls: Connection, make: Callable[..., Callable[[], Any]], settings: tuple) -> None:
    try:
        work = make(*settings)
        while True:
            calls.recv()
            work()
            calls.send("")
    except EOFError:
        return
    except Exception as error:
        calls.send(f"{type(error).__name__}: {error}")


class Marks:
    """Points in time on the device's own clock, set without waiting for it."""

    def __init__(self, device: str) -> None:
        self.device, self.marks = device, []  # type: ignore[var-annotated]

    def set(self) -> None:
        if self.device == "cuda":
            import torch

            self.marks.append(torch.cuda.Event(enable_timing=True))
            self.marks[-1].record()
        else:
            self.marks.append(time.perf_counter())

    def spans(self) -> list[float]:
        """Seconds between neighbours."""
        wait(self.device)
        pairs = list(itertools.pairwise(self.marks))
        return [a.elapsed_time(b) / 1e3 if self.device == "cuda" else b - a for a, b in pairs]


def matmul_rate(device: str, dtype: Any, size: int | None = None) -> float:
    """FLOP/s of a large matrix product: what the device can do."""
    import torch

    size = size or (8192 if device == "cuda" else 2048)
    a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    seconds = in_turns({"matmul": lambda: a @ b}, 7, device, {"matmul": 10 if device == "cuda" else 1})
    return 2 * size**3 / seconds["matmul"]


def device_words(device: str) -> str:
    """The device, torch's version, and the threads."""
    import torch

    from utils.devices import processor

    if device == "cuda":
        return f"{torch.cuda.get_device_name()}, torch {torch.__version__}"
    return f"{processor()}, {torch.get_num_threads()} threads, torch {torch.__version__}"


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows as a Markdown table; columns are the keys of the first."""
    names = list(rows[0])
    cells = [names, *([_cell(row.get(name, "")) for name in names] for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(names))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in cells
    ]
    return "\n".join([lines[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *lines[1:]])


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return str(value)


def report(args: argparse.Namespace, title: str, **tables: Any) -> None:
    """Print the tables, and write them to ``--json`` with the device and the command."""
    words = device_words(args.device)
    command = " ".join(["python", "benchmarks/" + Path(sys.argv[0]).name, *sys.argv[1:]])
    print(f"\n{title}\n{words}\n{command}\n")
    for rows in tables.values():
        print(table(rows if isinstance(rows, list) else [rows]) + "\n", flush=True)
    if args.json:
        from utils.files import write_text

        write_text(args.json, json.dumps({"title": title, "device": words, "command": command, **tables}, indent=1))
