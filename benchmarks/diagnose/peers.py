"""What the rules of other tools say of a loss curve, at their defaults; written from their papers
and documentation.

Each takes the losses of all updates and the validation losses, and returns "lower", "alarm" (a
fault without a direction) or "fine". An epoch is a twentieth of the run.
"""

import numpy as np


def terminate_on_nan(losses, _):
    """Keras, TerminateOnNaN."""
    return "fine" if np.isfinite(losses).all() else "alarm"


def spike_detection(losses, _, window=10, rtol=2.0):
    """Lightning, SpikeDetection: above the last and twice the running mean away from it."""
    for at in range(window, len(losses)):
        mean = losses[at - window : at].mean()
        if not np.isfinite(losses[at]):
            return "alarm"
        if losses[at] > losses[at - 1] and abs(losses[at] - mean) >= rtol * abs(mean):
            return "alarm"
    return "fine"


def kill_loss_spike(losses, _, factor=2.0, patience=4):
    """llm-foundry, KillLossSpike: twice the mean of the window for more than four updates."""
    window = max(100, len(losses) // 20)
    above = 0
    for at in range(window, len(losses)):
        high = not (losses[at] < factor * losses[at - window : at].mean())
        above = above + 1 if high else 0
        if above > patience:
            return "lower"
    return "fine"


def six_sigma(losses, _, window=128, sigmas=6.0):
    """OLMo-core, SkipStep: six standard deviations above the mean of the last 128."""
    for at in range(min(window, len(losses) // 4), len(losses)):
        past = losses[max(0, at - window) : at]
        if not (losses[at] <= past.mean() + sigmas * past.std()):
            return "alarm"
    return "fine"


def ten_times(losses, _, samples=100, factor=10.0):
    """Megatron-LM: ten times the largest of the first hundred."""
    first = losses[: min(samples, len(losses) // 4)]
    return "fine" if (losses[len(first) :] <= factor * first.max()).all() else "alarm"


def plateau(losses, validation, patience=10, delta=1e-4):
    """Keras, ReduceLROnPlateau: no epoch of the last ten was better by 1e-4; the rate goes down."""
    watched = validation if len(validation) else np.array(
        [part.mean() for part in np.array_split(losses, 20)]
    )  # fmt: skip
    best, wait = np.inf, 0
    for value in watched:
        if value < best - delta:
            best, wait = value, 0
        else:
            wait += 1
            if wait >= patience:
                return "lower"
    return "fine"


def auto_trainer(losses, _, large=1e3):
    """AutoTrainer, of what needs no accuracy and no weights: exploding."""
    return "fine" if (losses < large).all() else "alarm"


PEERS = {
    "Keras TerminateOnNaN": terminate_on_nan,
    "Lightning SpikeDetection": spike_detection,
    "llm-foundry KillLossSpike": kill_loss_spike,
    "OLMo six sigma": six_sigma,
    "Megatron 10 × max": ten_times,
    "Keras ReduceLROnPlateau": plateau,
    "AutoTrainer (exploding)": auto_trainer,
}
