"""Object proposals: boxes that may hold an object of any class, for a second stage to look at."""

from roibench.hookspecs import hookimpl
from roibench.specs import ModelSpec, Paper

SLIDING_WINDOW = Paper("What Makes for Effective Detection Proposals?", 2016, "https://arxiv.org/abs/1502.05082")
SELECTIVE_SEARCH = Paper(
    "Selective Search for Object Recognition",
    2013,
    "https://doi.org/10.1007/s11263-013-0620-5",
    published={"VOC07 test, quality": "recall 99 %, mean average best overlap 0.879, with 10,097 boxes"},
)
RPN = Paper(
    "Faster R-CNN: Towards Real-Time Object Detection with Region Proposal Networks",
    2015,
    "https://arxiv.org/abs/1506.01497",
    published={
        "VOC07 mAP of Fast R-CNN, ZF": "59.9 with 300 of its proposals, 58.7 with 2,000 of selective search",
        "time, VGG16 on a K40": "10 ms beside the shared convolutions' 141; selective search about 2 s",
    },
)


@hookimpl
def register_models(register):
    register(
        ModelSpec(
            "sliding_window_proposals",
            family="proposals",
            tasks=("proposals",),
            build="roibench.plugins.proposals.sliding_window:build",
            paper=SLIDING_WINDOW,
        )
    )
    register(
        ModelSpec(
            "selective_search",
            family="proposals",
            tasks=("proposals",),
            build="roibench.plugins.proposals.selective_search:build",
            paper=SELECTIVE_SEARCH,
        )
    )
    register(
        ModelSpec(
            "selective_search_quality",
            family="proposals",
            tasks=("proposals",),
            build="roibench.plugins.proposals.selective_search:build",
            paper=SELECTIVE_SEARCH,
            config={
                "colour_spaces": ("hsv", "lab", "rgi", "hue", "intensity"),
                "scales": (50, 100, 150, 300),
                "similarities": ("CTSF", "TSF", "F", "S"),
            },
        )
    )
    register(
        ModelSpec(
            "rpn",
            family="proposals",
            tasks=("proposals",),
            build="roibench.plugins.proposals.rpn:build",
            paper=RPN,
            wraps=True,
        )
    )
