"""A cycle event by event: loader, queue of batches, forward and backward pass, buckets of gradients on the wire."""

from __future__ import annotations

import math

from fx_d2.schedule import CycleSchedule

from .scaling import BACKWARD, Machine, Rate, Rates, check_batches, exchange_seconds, rate_of


def simulate(schedule: CycleSchedule, rates: Rates, machine: Machine, cycles: int = 1, prefetched: int = 16) -> float:
    """Seconds of ``cycles`` cycles as :mod:`.scaling` estimates them, found by walking every step.

    The loader works on while the GPU does, up to ``prefetched`` batches ahead (two workers, 8 batches each),
    also across the boundary of two passes.
    """
    check_batches(schedule, machine.gpus)
    begun: list[float] = []  # when the GPU took each batch, which frees a place in the queue
    loaded = clock = 0.0
    for iteration in range(cycles * schedule.cycle_length):
        slot = schedule.at(iteration)
        share = math.ceil((slot.stop - slot.start) / machine.gpus)
        place = begun[-prefetched] if len(begun) >= prefetched else 0.0
        loaded = max(loaded, place) + share / (machine.cores * machine.loader_rate)
        begun.append(max(clock, loaded))
        clock = _step_end(begun[-1], share, rate_of(rates, slot.unit, slot.plan), machine)
        if slot.last_of_pass:
            clock += machine.pass_seconds
    return clock


def _step_end(start: float, share: int, rate: Rate, machine: Machine) -> float:
    """When the last gradient has arrived; a bucket is sent when it is full and the one before has been sent."""
    busy = max(share / rate.images, rate.host)
    bucket = exchange_seconds(rate, machine) / rate.buckets
    computed = start + (1 - BACKWARD) * busy
    sent = computed
    for _ in range(rate.buckets):
        computed += BACKWARD * busy / rate.buckets
        sent = max(sent, computed) + bucket
    return sent
