"""Items that a thread makes while the ones before are used."""

import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch


def made_ahead(items: Iterator[Any], depth: int, on_cpu: bool) -> Iterator[Any]:
    """The items of an iterator, made by a thread of its own while the ones before are used.

    Args:
        items: the first of them is made at once, by the calling thread, where processes may be started.
        depth: how many wait at most.
        on_cpu: whether both threads compute on the CPU: the new one then does so with one core.
    """
    end = object()
    ready: queue.Queue = queue.Queue(depth)
    stopped = threading.Event()

    def put(item: Any) -> None:
        while not stopped.is_set():
            try:
                return ready.put(item, timeout=0.1)
            except queue.Full:
                continue

    def make() -> None:
        try:
            with _one_core(on_cpu):
                for item in items:
                    put((item, None))
                    if stopped.is_set():
                        return
            put((end, None))
        except BaseException as error:
            put((end, error))

    first = next(items, end)
    if first is end:
        return
    thread = threading.Thread(target=make, name="views", daemon=True)
    thread.start()
    try:
        yield first
        while True:
            item, error = ready.get()
            if error is not None:
                raise error
            if item is end:
                return
            yield item
    finally:
        stopped.set()
        thread.join()


@contextmanager
def _one_core(wanted: bool) -> Iterator[None]:
    """One core for the calling thread; torch's number of threads is set for each thread, and for those to come."""
    threads = torch.get_num_threads()
    if wanted:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        if wanted:
            torch.set_num_threads(threads)
