"""Floor 3: the only code that touches a model or an optimizer. Loads torch."""
