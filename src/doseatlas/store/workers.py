"""How do all processors work on a long list of objects, in bounded memory and in order?

Batches go to worker processes, a few ahead of what is being written; results come back in the order of the batches. A
single batch is done in this process, since starting workers takes longer. A worker stops before the end of its batch
when its results have become heavy; the rest is given out again.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager
from itertools import chain, islice
from multiprocessing.connection import wait
from typing import Any, NamedTuple, TypeVar

import msgspec

from doseatlas.model import StoreError
from doseatlas.store.prepare import Prepared

Task = TypeVar("Task")
State = TypeVar("State")
HEAVY_BYTES = 8 * 2**20
_AHEAD = 2  # batches waiting or ready for each worker

_decoder = msgspec.msgpack.Decoder(list[Prepared])


class Done(NamedTuple):
    """The results of the first objects of a batch, encoded, and how many of its tasks they are for."""

    encoded: bytes
    tasks: int

    def results(self) -> list[Prepared]:
        """Return the results."""
        return _decoder.decode(self.encoded)


def in_order(
    batches: Iterable[list[Task]],
    work: Callable[[State, list[Task]], Done],
    start: Callable[..., AbstractContextManager[State]],
    setup: tuple[object, ...],
    jobs: int,
) -> Generator[list[Prepared], None, None]:
    """Give the results of ``work`` on each batch, in order.

    Args:
        batches: what to work on; drawn only as far ahead as there is work to give out.
        work: a function of a module, run in a worker with what ``start`` gave there and a batch.
        start: opens, once in each process, what the work needs.
        setup: the arguments of ``start``; sent to the workers.
        jobs: number of processes, 0 for one a processor.

    Raises:
        StoreError: a worker process died, most likely because memory ran out.

    """
    pending = iter(batches)
    first = list(islice(pending, 2))
    jobs = jobs or _processors()
    if len(first) < 2 or jobs == 1:
        with start(*setup) as state:
            for batch in chain(first, pending):
                while batch:
                    done = work(state, batch)
                    yield done.results()
                    batch = batch[done.tasks :]
        return
    # Workers start afresh: a copy of this process would copy its threads' locks too.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(jobs, context, initializer=_start_worker, initargs=(start, setup))
    try:
        yield from _pooled(pool, chain(first, pending), work, jobs * _AHEAD + 1)
    except BrokenProcessPool:
        raise StoreError(
            "A worker process ended before its time; most likely memory ran out. What was reported as done is kept: "
            "run the same command again, perhaps with the setting jobs = 1."
        ) from None
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _processors() -> int:
    """Return how many processors this process may use, which may be fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _pooled(
    pool: ProcessPoolExecutor, batches: Iterator[list[Task]], work: Callable[[State, list[Task]], Done], most: int
) -> Iterator[list[Prepared]]:
    window: deque[tuple[list[Task], Future[Done]]] = deque()
    while True:
        while len(window) < most and (batch := next(batches, None)) is not None:
            window.append((batch, pool.submit(_in_worker, work, batch)))
        if not window:
            return
        batch, future = window.popleft()
        done = future.result()
        rest = batch[done.tasks :]
        if rest:
            window.appendleft((rest, pool.submit(_in_worker, work, rest)))
        yield done.results()


_state: Any = None  # of this worker process


def _in_worker(work: Callable[[State, list[Task]], Done], batch: list[Task]) -> Done:
    return work(_state, batch)


def _start_worker(start: Callable[..., AbstractContextManager[object]], setup: tuple[object, ...]) -> None:
    """Make a worker that leaves interrupts to its parent, and does not outlive it however that ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()
    global _state
    _state = start(*setup).__enter__()  # left when the process ends


def _end_with(sentinel: int) -> None:
    wait([sentinel])
    os._exit(1)


def encoded(results: Iterable[Prepared]) -> Done:
    """Return results for the way back, as many as come before they weigh too much to hold several batches of them."""
    held: list[Prepared] = []
    weight = 0
    for result in results:
        held.append(result)
        if result.dose is not None:
            weight += len(result.dose.frame or b"") + len(result.dose.alone.exam)
        if weight > HEAVY_BYTES:
            break
    return Done(msgspec.msgpack.encode(held), len(held))
