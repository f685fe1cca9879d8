import pytest
from torch import nn

from roibench.model import Model, TrainableModel, listening, stage


class Recorder:
    def __init__(self):
        self.events = []

    def enter(self, name):
        self.events.append(f"+{name}")

    def exit(self, name):
        self.events.append(f"-{name}")


def test_stages_are_told_to_a_listener_in_order_and_to_nobody_else():
    recorder = Recorder()
    with stage("before"):
        pass
    with listening(recorder), stage("outer"), stage("inner"):
        pass
    with stage("after"):
        pass
    assert recorder.events == ["+outer", "+inner", "-inner", "-outer"]


def test_the_stages_of_a_model_inside_a_stage_can_be_kept_from_the_listener():
    recorder = Recorder()
    with listening(recorder), stage("outer"):
        with listening(None), stage("of the model inside"):
            pass
        with stage("inner"):
            pass
    assert recorder.events == ["+outer", "+inner", "-inner", "-outer"]


def test_a_stage_that_raises_is_closed_and_so_is_the_listener():
    recorder = Recorder()
    with pytest.raises(KeyError), listening(recorder), stage("broken"):
        raise KeyError
    with stage("after"):
        pass
    assert recorder.events == ["+broken", "-broken"]


def test_a_trainable_model_is_a_model_and_says_what_it_lacks():
    class Empty(TrainableModel):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(1, 1)

    model = Empty()
    assert isinstance(model, Model)
    assert model.device.type == "cpu"
    with pytest.raises(NotImplementedError, match="Empty must implement predict"):
        model.predict([])
    with pytest.raises(NotImplementedError, match="Empty must implement losses"):
        model.losses([], [])
