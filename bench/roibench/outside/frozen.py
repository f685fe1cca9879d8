"""What models from outside have in common: nobody here trains them, and their weights stay where they are."""

from collections.abc import Mapping

from torch import Tensor


class Frozen:
    """A model that learns nothing here and shows none of its weights; its files' hashes pin it."""

    device_type = "cpu"

    def fit(self, data: object, trainer: object) -> None:
        raise TypeError(f"{type(self).__name__} is from outside; it learns nothing here")

    def state_dict(self) -> dict[str, Tensor]:
        return {}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        if state:
            raise TypeError(f"{type(self).__name__} is from outside; its weights are in its own files")
