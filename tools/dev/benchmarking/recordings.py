"""What the recordings of a whole cycle cost."""

from __future__ import annotations

from fx_d2.config import cycle_passes, cycle_units

from .memory import GIB
from .options import Options
from .steps import Bench, Kind


def recording_rows(cfg, options: Options) -> list[dict]:
    """All kinds of passes of all units, recorded one after the other as a run does; nothing where none is recorded."""
    bench = Bench(cfg, options.batch, options.threads)
    if bench.graphs is None:
        return []
    passes = cycle_passes(cfg)
    found = [
        Kind(unit, train) for unit in cycle_units(cfg) for train in dict.fromkeys(p.train for p in passes[unit.task])
    ]
    with bench.stream():
        for kind in found:
            bench.lock(kind)
            bench.played_step(kind, bench.batch(kind.unit))
    return [
        {
            "case": "a cycle",
            "kinds of steps": len(found),
            "seconds": bench.graphs.seconds,
            "GiB": bench.graphs.bytes / GIB,
        }
    ]
