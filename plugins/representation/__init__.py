"""Images as points: what a network's last maps say of them, and what their pixels do."""

from roibench.hookspecs import hookimpl
from roibench.specs import CommandSpec, ModelSpec, Paper


@hookimpl
def register_models(register):
    for name, paper in (
        (
            "features",
            Paper(
                "DeCAF: A Deep Convolutional Activation Feature for Generic Visual Recognition",
                2014,
                "https://arxiv.org/abs/1310.1531",
            ),
        ),
        ("pixels", Paper("80 Million Tiny Images", 2008, "https://doi.org/10.1109/TPAMI.2008.128")),
    ):
        register(
            ModelSpec(
                name,
                family="representation",
                tasks=("representation",),
                build=f"roibench.plugins.representation.features:build_{name}",
                paper=paper,
                wraps=True,
            )
        )


@hookimpl
def register_commands(register):
    register(
        CommandSpec(
            "tsne",
            run="roibench.plugins.representation.tsne:tsne",
            help="Draw images in a plane as a model's features have them, and as their pixels do, by class.",
        )
    )
