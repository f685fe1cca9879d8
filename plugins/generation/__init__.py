"""Generators: pictures of noise; what they are worth, and what their units do."""

from roibench.hookspecs import hookimpl
from roibench.specs import CommandSpec, MetricSpec, ModelSpec, Paper, Recipe, Value

DCGAN = Paper(
    "Unsupervised Representation Learning with Deep Convolutional Generative Adversarial Networks",
    2016,
    "https://arxiv.org/abs/1511.06434",
    published={"CIFAR-10, classes by a linear SVM on the critic's features": "82.8 %"},
)


@hookimpl
def register_models(register):
    register(
        ModelSpec(
            "gan",
            family="generation",
            tasks=("generation",),
            build="roibench.plugins.generation.gan:build",
            weights={"icons": "weights/gan-icons.safetensors"},
            paper=DCGAN,
            recipe=Recipe(
                epochs=30,
                batch_size=16,
                learning_rate=5e-4,
                optimizer="rmsprop",
                weight_decay=0.0,
                warmup_steps=200,
                clip_norm=None,
                average=0.998,
            ),
        )
    )


@hookimpl
def register_metrics(register):
    register(
        MetricSpec(
            "recognition",
            "generation",
            "roibench.plugins.generation.quality:recognition",
            (Value("IS", unit="", ranks=True), Value("recognised", shown=True)),
        )
    )
    register(
        MetricSpec(
            "kernel_distance",
            "generation",
            "roibench.plugins.generation.quality:distance",
            (Value("KID", unit="", higher_is_better=False, shown=True),),
            needs_probe=True,
        )
    )


@hookimpl
def register_commands(register):
    register(
        CommandSpec(
            "gan-dissection",
            run="roibench.plugins.generation.dissection_report:gan_dissection",
            help="Say which units of a generator draw which class, and what becomes of it without and with them.",
        )
    )
