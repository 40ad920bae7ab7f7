"""Floor 0: argument checks, lazy extras, the JSON codec, durations. Standard library only."""
