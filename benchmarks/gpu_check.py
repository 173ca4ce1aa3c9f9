#!/usr/bin/env python
"""What only a GPU can show, in at most 8 minutes: is it right, does it wait, how fast is it, what does it hold.

python benchmarks/gpu_check.py                          # make gpu-check
python benchmarks/gpu_check.py --device cpu --tiny      # a rehearsal, in under a minute

Each part runs in a process of its own for at most its time: one that fails, hangs or damages the device is listed and
the others go on. The JSON is written after each part; what the parts print is in the .log beside it. The exit code is 1
where a part has failed, and 2 where there is no GPU.
"""

import contextlib
import importlib
import json
import multiprocessing
import os
import signal
import sys
import time
import traceback
from multiprocessing.connection import Connection
from pathlib import Path

import measure

from utils.files import write_text

PARTS = {  # module, function, seconds that it may take; in this order
    "parity": ("gpu_right", "parity", 30),
    "no waiting": ("gpu_right", "no_waiting", 70),
    "precisions": ("gpu_right", "precisions", 30),
    "compiled": ("gpu_right", "compiled", 120),
    "discover_step": ("gpu_speed", "speed_of_discovery", 60),
    "disentangle_step": ("gpu_speed", "speed_of_disentangling", 50),
    "kernels": ("gpu_speed", "kernels", 30),
    "k-means": ("gpu_speed", "k_means", 50),
    "memory": ("gpu_speed", "memory", 20),
}
SECONDS, SECONDS_OF_REHEARSAL = 480.0, 300.0  # for all of it
ENDING = 5.0  # seconds that a process has to end, asked or killed
NO_TIME = {"rows": [], "error": "no time was left for it", "seconds": 0.0}
JSON = "logs/benchmarks/gpu_check.json"


def main(words=None) -> int:
    """Run the parts, print the table, return the exit code."""
    begun = time.monotonic()
    flags = measure.parser(__doc__)
    flags.add_argument("--tiny", action="store_true", help="sizes that say nothing about speed")
    flags.add_argument(
        "--parts", nargs="+", default=list(PARTS), choices=list(PARTS), metavar="PART", help="these alone"
    )
    flags.set_defaults(json=JSON)
    args = flags.parse_args(words)  # measure.start would wake the device in this process, whose children need it
    args.threads = args.threads or (1 if args.tiny else None)
    context = multiprocessing.get_context("forkserver")  # it imports once, and knows no device
    context.set_forkserver_preload(["gpu_speed"])
    os.environ["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])  # for it
    Path(args.json).parent.mkdir(parents=True, exist_ok=True)
    Path(args.json).with_suffix(".log").write_text("")
    device = _part(context, ("gpu_right", "device", 60), args, 60)
    if device["error"] or not device["rows"]:
        print(
            device["error"] or "no CUDA device here, so that there is nothing to check (--device cpu --tiny rehearses)"
        )
        return 1 if device["error"] else 2
    args.device = device["rows"][0].pop("device")
    found = {"title": "GPU check", "command": " ".join(["python", "benchmarks/gpu_check.py", *(words or sys.argv[1:])])}
    found |= {"device": device["rows"][0], "parts": {}}
    print(", ".join(map(str, device["rows"][0].values())), flush=True)
    for name in args.parts:
        left = (SECONDS_OF_REHEARSAL if args.tiny else SECONDS) - (time.monotonic() - begun)
        seconds = min(PARTS[name][2] * (2 if args.tiny else 1), left - 2 * ENDING)
        part = dict(NO_TIME) if seconds <= 0 else _part(context, PARTS[name], args, seconds)
        found["parts"][name] = part
        write_text(args.json, json.dumps(found, indent=1) + "\n")
        print(f"{name:<17} {part['seconds']:6.1f} s  {part['error'] or 'good'}", flush=True)
    rows = [{"part": name, **row} for name, part in found["parts"].items() for row in part["rows"]]
    failed = [name for name, part in found["parts"].items() if part["error"]]
    print(f"\n{measure.table(rows)}\n" if rows else "")
    print(
        f"{args.json}, {time.monotonic() - begun:.0f} seconds; "
        + (f"failed: {', '.join(failed)}" if failed else "good")
    )
    return 1 if failed else 0


def _part(context, part: tuple[str, str, int], args, seconds: float) -> dict:
    """What a part finds, in a process of its own: its rows, its seconds, and its error if there is one."""
    begun = time.monotonic()
    here, there = context.Pipe()
    process = context.Process(target=_child, args=(*part[:2], args, there), daemon=False)
    process.start()
    there.close()
    result = {"rows": [], "error": f"took more than its {seconds:.0f} seconds"}
    if here.poll(max(seconds, 0)):
        try:
            result = here.recv()
        except (EOFError, OSError):  # nothing, or half a message
            process.join(ENDING)
            result["error"] = f"its process ended with the exit code {process.exitcode}"
        process.join(ENDING)
    if process.pid is not None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # with what it has started
    process.kill()  # one that has no group yet too
    process.join(ENDING)
    if process.is_alive():
        result["error"] += "; nothing ends its process"
    return result | {"seconds": round(time.monotonic() - begun, 1)}


def _child(module: str, function: str, args, connection: Connection) -> None:
    os.setpgid(0, 0)
    log = os.open(Path(args.json).with_suffix(".log"), os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.dup2(log, 1)
    os.dup2(log, 2)
    print(f"\n== {function}", flush=True)
    import torch

    if args.threads:
        torch.set_num_threads(args.threads)
    rows: list[dict] = []
    try:
        for row in getattr(importlib.import_module(module), function)(args):
            rows.append(row)
        error = "; ".join(f"{row['what']}: {row['value']}" for row in rows if row.get("right") == "NO")
    except BaseException as problem:
        traceback.print_exc()
        error = (f"{type(problem).__name__}: {problem}".splitlines() or [""])[0][:300]
    connection.send({"rows": rows, "error": error})


if __name__ == "__main__":
    code = main()
    if multiprocessing.active_children():  # held by the device's driver: an exit as usual would wait for them for ever
        sys.stdout.flush()
        os._exit(code)
    sys.exit(code)
