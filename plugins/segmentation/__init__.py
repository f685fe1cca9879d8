"""Semantic segmentation: every pixel gets a class."""

from dataclasses import replace

from roibench.hookspecs import hookimpl
from roibench.knobs import SHORT_SIDE
from roibench.recipes import AUGMENT, BASE_NETWORKS, ICONS_BACKBONE, SCENES_RECIPE
from roibench.specs import ClaimSpec, Knob, ModelSpec, Paper, Recipe, WarmStart

FCN = Paper(
    "Fully Convolutional Networks for Semantic Segmentation",
    2015,
    "https://arxiv.org/abs/1411.4038",
    published={"VOC12 test mIoU": "62.2 (FCN-8s, VGG16, 175 ms on a K40c); VOC11 test 62.7"},
)
UNET = Paper(
    "U-Net: Convolutional Networks for Biomedical Image Segmentation",
    2015,
    "https://arxiv.org/abs/1505.04597",
    published={"IoU": "92.0 PhC-U373, 77.6 DIC-HeLa (ISBI cell tracking 2015); 512x512 in less than a second"},
)
SLIDING_WINDOW = Paper(
    "Deep Neural Networks Segment Neuronal Membranes in Electron Microscopy Images",
    2012,
    "https://papers.nips.cc/paper/4741-deep-neural-networks-segment-neuronal-membranes-in-electron-microscopy-images",
    published={"ISBI 2012 pixel error": "6.0 %"},
)
DECONVNET = Paper(
    "Learning Deconvolution Network for Semantic Segmentation",
    2015,
    "https://arxiv.org/abs/1505.04366",
    published={"VOC12 test mIoU": "69.6 (70.5 with a CRF), 50 object proposals an image"},
)
# For a few photographs: the backbone begins with what ImageNet taught it.
PHOTOGRAPHS = Recipe(
    epochs=48,
    batch_size=4,
    learning_rate=1e-3,
    optimizer="adamw",
    weight_decay=0.02,
    warmup_steps=100,
    augment=AUGMENT,
    average=0.99,
)
STRIDE = Knob("stride", 4, 1, 32, "every so many pixels one is classified, and those around it alike")
SHARED = Knob("shared", 0, 0, 1, "1: the same function of each patch, run convolutionally")
WAYS = ("nearest", "bed_of_nails", "max_unpool", "transposed_3x3", "transposed_4x4", "transposed_2x2", "bilinear")
VGG = {
    "config": BASE_NETWORKS["small_vgg"],
    "warm_start": WarmStart(model="small_vgg_classifier", dataset="icons"),
}
UNTRAINED = ("fcn_full_resolution_wide",)  # it has a recipe alone, and is timed as it is initialised
WIDE = 146  # channels of each of six layers: as many parameters as FCN has
MOBILENET = {"backbone": "mobilenet_v2", "strides": (8, 16, 32)}


@hookimpl
def register_models(register):
    quarter, short, half = (replace(SCENES_RECIPE, epochs=epochs) for epochs in (2, 3, 4))
    for name, module, paper, changes in (
        ("fcn", "fcn", FCN, {}),
        ("unet", "unet", UNET, {}),
        ("deconvnet_segmenter", "deconvnet_segmenter", DECONVNET, {**VGG, "recipe": half}),
        ("fcn_full_resolution", "fcn_full_resolution", FCN, {"warm_start": None, "recipe": half}),
        (
            "fcn_full_resolution_wide",
            "fcn_full_resolution",
            FCN,
            {"warm_start": None, "recipe": half, "config": {"channels": WIDE}},
        ),
        (
            "sliding_window_segmenter",
            "sliding_window_segmenter",
            SLIDING_WINDOW,
            {"warm_start": None, "recipe": quarter, "knobs": (STRIDE, SHARED, SHORT_SIDE)},
        ),
        *(
            (f"upsampling_{way}", "upsampling", FCN, {**VGG, "config": {**VGG["config"], "way": way}, "recipe": short})
            for way in WAYS
        ),
    ):
        model = ModelSpec(
            name,
            family="segmentation",
            tasks=("semantic_segmentation",),
            build=f"roibench.plugins.segmentation.{module}:build",
            paper=paper,
            required_targets=("semantic_map",),
            knobs=(SHORT_SIDE,),
            warm_start=ICONS_BACKBONE,
            recipe=SCENES_RECIPE,
            weights={"scenes": f"weights/{name}-scenes.safetensors"} if name not in UNTRAINED else {},
        )
        register(replace(model, **changes))
        if name not in ("fcn", "unet"):
            continue
        begins = {"warm_start": None, "pretrained_on": "ImageNet"}
        photographs = {"config": MOBILENET, "recipe": PHOTOGRAPHS, "weights": {}, **begins}
        register(replace(model, name=f"{name}_mobilenet", **photographs))


@hookimpl
def register_claims(register):
    for name, statement in (
        (
            "remembered_maxima",
            "Max unpooling, which remembers where maxima were, leads to better maps than a bed of nails does.",
        ),
        ("learned_way", "A transposed convolution, which learns, leads to better maps than bilinear interpolation."),
        (
            "way_down",
            "FCN, which goes down and up again, is better and faster than convolutions at full resolution with as many "
            "operations.",
        ),
        (
            "convolutional",
            "Run convolutionally, the same classifier of patches takes less than a tenth of the time (Long et al. "
            "2015, arXiv 1411.4038: AlexNet takes 22 ms for 10 x 10 patches, and 1.2 ms for each alone).",
        ),
    ):
        register(ClaimSpec(name, statement, judge=f"roibench.plugins.segmentation.claims:{name}"))
