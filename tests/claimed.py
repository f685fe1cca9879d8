"""What records of made-up models hold: turns, stages, and how well they localize."""

from collections.abc import Callable

import numpy as np

from roibench.measure.record import Ok, Stage, Turns

NOISE = np.random.default_rng(0).normal(0, 0.02, 1000)  # of the images: all models feel it alike


def turns(milliseconds: float, run: str = "r", noise_floor: float = 0.02) -> Turns:
    mood = np.exp(np.sin(np.arange(20)) / 2)
    medians = tuple(milliseconds * mood * (1 + 0.001 * np.cos(np.arange(20) * milliseconds)))
    return Turns(run=run, group=0, medians=medians, reference_cell="x", reference=tuple(mood), noise_floor=noise_floor)


def staged(record: Ok, **milliseconds: float) -> Ok:
    """The record with stages that take so long."""
    stages = [Stage(name=name, milliseconds=value, share=0.1) for name, value in milliseconds.items()]
    return record.model_copy(update={"stages": stages})


def localizing(scored: Callable[..., Ok], name: str, accuracy: float) -> Ok:
    """The record of the localizer, or of a model of that name around the classifier, whose MaxBoxAccV2 this is."""
    if name == "localizer":
        others = {"localization_accuracy/MaxBoxAccV2": accuracy}
        return scored(name, 0.5, task="localization", others=others)
    about = {"task": "attribution", "primary": "pointing_game/pointing"}
    return scored(f"{name}@resnet_classifier", 0.5, **about, others={"max_box_acc/MaxBoxAccV2": accuracy})
