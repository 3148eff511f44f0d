"""The page of a run: plots and pictures from plain values, which :mod:`fx_d2.engine.reporting` gathers."""
