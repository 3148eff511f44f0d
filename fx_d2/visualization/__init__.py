def draw_curves(*a, **k): pass
def write_overlays(*a, **k): pass
