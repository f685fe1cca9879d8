"""Numbers that are read off a whole map at once, where they depend on what lies where in it."""

from torch import Tensor, nn


class MapRegressor(nn.Sequential):
    """A 1x1 convolution to few channels, all of the square map as one vector, a hidden layer, and `values` numbers.

    channels, side: of the map.
    reduced: channels that are left of it.
    hidden: width of the hidden layer.
    """

    def __init__(self, channels: int, side: int, reduced: int, hidden: int, values: int) -> None:
        output = nn.Linear(hidden, values)
        nn.init.normal_(output.weight, std=0.01)
        nn.init.zeros_(output.bias)
        super().__init__(
            nn.Conv2d(channels, reduced, 1, bias=False),
            nn.BatchNorm2d(reduced),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(reduced * side**2, hidden),
            nn.ReLU(),
            output,
        )

    def forward(self, maps: Tensor) -> Tensor:
        """[B, channels, side, side] -> float32 [B, values]."""
        return super().forward(maps).float()
