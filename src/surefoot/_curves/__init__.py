"""Floor 1: pure numerics on curves, aware of NaN and of negative losses."""
