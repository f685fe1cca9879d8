"""Two-stage detectors: find regions first, then classify each; and their ancestor, which classifies every window."""

from dataclasses import replace

from roibench.hookspecs import hookimpl
from roibench.knobs import NMS_IOU, SHORT_SIDE
from roibench.recipes import ICONS_BACKBONE, SCENES_RECIPE, on_base_networks
from roibench.specs import ClaimSpec, Knob, ModelSpec, Paper, Recipe

FASTER_RCNN = Paper(
    "Faster R-CNN: Towards Real-Time Object Detection with Region Proposal Networks",
    2015,
    "https://arxiv.org/abs/1506.01497",
    published={
        "VOC07 mAP": "69.9 (73.2 with 07+12), VGG16, 198 ms on a K40: 141 convolution + 10 proposals + 47 region"
    },
)
MASK_RCNN = Paper(
    "Mask R-CNN",
    2017,
    "https://arxiv.org/abs/1703.06870",
    published={
        "COCO box AP": "38.2 (ResNet-101-FPN, 195 ms an image on a Tesla M40, and 15 ms of CPU time)",
        "COCO mask AP": "35.7 (the same)",
        "COCO keypoint AP": "62.7 (ResNet-50-FPN, 5 images a second)",
    },
)
RFCN = Paper(
    "R-FCN: Object Detection via Region-based Fully Convolutional Networks",
    2016,
    "https://arxiv.org/abs/1605.06409",
    published={"VOC07 mAP": "79.5 (ResNet-101), 0.17 s an image on a K40, 0.12 s on a Titan X"},
)
SLIDING_WINDOW = Paper(
    "OverFeat: Integrated Recognition, Localization and Detection using Convolutional Networks",
    2013,
    "https://arxiv.org/abs/1312.6229",
    published={"ILSVRC13 mAP": "24.3 (windows share their convolutions, and boxes are regressed: neither is so here)"},
)
RCNN = Paper(
    "Rich Feature Hierarchies for Accurate Object Detection and Semantic Segmentation",
    2014,
    "https://arxiv.org/abs/1311.2524",
    published={"VOC07 mAP": "66.0 (VGG16, 47 s an image on a K40; 58.5 with AlexNet, 13 s on a GPU)"},
)
SPPNET = Paper(
    "Spatial Pyramid Pooling in Deep Convolutional Networks for Visual Recognition",
    2014,
    "https://arxiv.org/abs/1406.4729",
    published={"VOC07 mAP": "63.1 (VGG16, 5 scales, 2.3 s an image on a K40, without proposals: 20x R-CNN)"},
)
FAST_RCNN = Paper(
    "Fast R-CNN",
    2015,
    "https://arxiv.org/abs/1504.08083",
    published={
        "VOC07 mAP": "66.9 (70.0 with 07+12), VGG16, 0.32 s an image on a K40 (146x R-CNN with truncated SVD), "
        "without proposals, which take about 2 s"
    },
)
DENSE_CAPTIONING = Paper(
    "DenseCap: Fully Convolutional Localization Networks for Dense Captioning",
    2016,
    "https://arxiv.org/abs/1511.07571",
    published={"Visual Genome mAP, IoU and METEOR": "5.39, VGG16, 240 ms an image of 600 x 720 on a Titan X"},
)
HOG_SVM = Paper(
    "Histograms of Oriented Gradients for Human Detection",
    2005,
    "https://doi.org/10.1109/CVPR.2005.177",
    published={"INRIA person, miss rate at 1e-4 false positives per window": "about 10 %"},
)
PROPOSALS = Knob("proposals", 150, 1, 1000, "boxes of the first stage that the second one classifies, at most")
SEARCHED = Knob("proposals", 2000, 1, 2000, "boxes of selective search that are looked at, at most")
BEAM = Knob("beam", 1, 1, 10, "sentences of a region that are looked at side by side, word by word")


@hookimpl
def register_models(register):
    # Mirrored images come with their proposals (proposed.py); a flip would leave these out.
    searched = replace(SCENES_RECIPE, augment=("colour_jitter",))
    for name, paper, recipe, epochs, knobs in (
        ("sliding_window_detector", SLIDING_WINDOW, SCENES_RECIPE, 2, ()),
        ("rcnn", RCNN, searched, 2, (SEARCHED,)),
        ("sppnet", SPPNET, searched, 4, (SEARCHED,)),
        ("fast_rcnn", FAST_RCNN, searched, 4, (SEARCHED, replace(SHORT_SIDE, default=256))),
    ):
        register(
            ModelSpec(
                name,
                family="two_stage",
                tasks=("detection",),
                build=f"roibench.plugins.two_stage.{name}:build",
                paper=paper,
                required_targets=("boxes", "labels"),
                knobs=(*knobs, NMS_IOU),
                warm_start=ICONS_BACKBONE,
                recipe=replace(recipe, epochs=epochs),
                weights={"scenes": f"weights/{name}-scenes.safetensors"},
            )
        )
    for name, module, paper, config in (
        ("faster_rcnn", "faster_rcnn", FASTER_RCNN, {}),
        ("faster_rcnn_roi_pool", "faster_rcnn", FASTER_RCNN, {"pooling": "roi_pool"}),
        ("rfcn", "rfcn", RFCN, {}),
    ):
        spec = ModelSpec(
            name,
            family="two_stage",
            tasks=("detection",),
            build=f"roibench.plugins.two_stage.{module}:build",
            paper=paper,
            required_targets=("boxes", "labels"),
            config=config,
            knobs=(PROPOSALS, SHORT_SIDE, NMS_IOU),
            warm_start=ICONS_BACKBONE,
            recipe=SCENES_RECIPE,
            weights={"scenes": f"weights/{name}-scenes.safetensors"},
        )
        register(spec)
        if not config:
            for on_another in on_base_networks(spec):
                register(on_another)
    for name, config in (("mask_rcnn", {}), ("mask_rcnn_roi_pool", {"pooling": "roi_pool"})):
        register(
            ModelSpec(
                name,
                family="two_stage",
                tasks=("detection", "instance_segmentation", "keypoints"),
                build="roibench.plugins.two_stage.mask_rcnn:build",
                paper=MASK_RCNN,
                required_targets=("boxes", "labels"),
                optional_targets=("masks", "keypoints"),
                config=config,
                knobs=(PROPOSALS, SHORT_SIDE, NMS_IOU),
                warm_start=ICONS_BACKBONE,
                recipe=SCENES_RECIPE,
                weights={"scenes": f"weights/{name}-scenes.safetensors"},
            )
        )
    register(
        ModelSpec(
            "faster_rcnn_mobilenet",
            family="two_stage",
            tasks=("detection",),
            build="roibench.plugins.two_stage.faster_rcnn:build",
            paper=FASTER_RCNN,
            required_targets=("boxes", "labels"),
            config={
                "backbone": "mobilenet_v2",
                "strides": (8, 16, 32),
                "channels": 128,
                "hidden": 512,
                "short_side": 400,
                "long_side": 800,
                "anchor_sizes": ((24, 38), (60, 95), (151, 240)),
                "canonical_size": 7.0,
                "proposals": 300,
            },
            knobs=(replace(PROPOSALS, default=300), replace(SHORT_SIDE, default=400), NMS_IOU),
            pretrained_on="ImageNet",
            recipe=Recipe(
                epochs=24,
                batch_size=4,
                learning_rate=6e-4,
                optimizer="adamw",
                weight_decay=0.02,
                augment=("horizontal_flip", "vertical_flip", "transpose", "colour_jitter"),
                average=0.995,
            ),
        )
    )
    register(
        ModelSpec(
            "dense_captioning",
            family="two_stage",
            tasks=("dense_captioning",),
            build="roibench.plugins.two_stage.dense_captioning:build",
            paper=DENSE_CAPTIONING,
            required_targets=("boxes", "captions"),
            knobs=(BEAM, PROPOSALS, NMS_IOU),
            warm_start=ICONS_BACKBONE,
            recipe=SCENES_RECIPE,
            weights={"scenes": "weights/dense_captioning-scenes.safetensors"},
        )
    )
    register(
        ModelSpec(
            "hog_svm",
            family="two_stage",
            tasks=("detection",),
            build="roibench.plugins.two_stage.hog_svm:build",
            paper=HOG_SVM,
            required_targets=("boxes", "labels"),
            knobs=(replace(NMS_IOU, default=0.3),),
            recipe=Recipe(epochs=2),
            weights={"scenes": "weights/hog_svm-scenes.safetensors"},
        )
    )


CLAIMS = {
    "claims:two_stages": "Faster R-CNN, with two stages, finds objects better than RetinaNet, with one; RetinaNet is "
    "faster.",
    "comparisons:all_pairs": "Every detector with two stages finds objects better than every one with a single stage, "
    "which is faster.",
    "claims:fewer_proposals": "With fewer proposals, down to a sixth, Faster R-CNN keeps more than 90 % of its AP and "
    "takes less time (Huang et al. 2017, arXiv 1611.10012: with 50 instead of 300, 96 % in a third of the time).",
    "claims:shared_convolutions": "Without the time of proposals, which is the same, SPPnet and Fast R-CNN, whose "
    "convolutions run once per image, are at least ten times as fast as R-CNN (published: 20 and 146 times).",
    "claims:proposals_bottleneck": "Fast R-CNN waits for its proposals: selective search takes more than half of its "
    "time (published: 2 s beside 0.32 s).",
    "claims:learned_proposals": "Proposals that its network finds itself cost Faster R-CNN less than a tenth of what "
    "selective search costs Fast R-CNN (published: 10 ms on a GPU, and 2 s).",
    "claims:roi_align": "With RoI align, which doesn't round boxes to locations, Faster R-CNN has a better box AP than "
    "with RoI pool (He et al. 2017, arXiv 1703.06870).",
    "claims:position_sensitive": "What R-FCN computes per region takes less than a tenth of the time that it takes "
    "Faster R-CNN, and less even with the score maps; it costs AP (Huang et al. 2017, arXiv 1611.10012: 30.4 and 32).",
    "claims:multi_task": "Mask R-CNN, which learns masks and joints, too, finds boxes better than Faster R-CNN (He et "
    "al. 2017, arXiv 1703.06870: 38.2 and 37.3 AP).",
    "claims:masks_gain_more": "Masks gain more by RoI align than boxes do (He et al. 2017, arXiv 1703.06870: 7.3 and "
    "5.8 points of AP, at a stride of 32).",
    "claims:mask_branches": "Masks and joints of what it has found take less than a fifth of Mask R-CNN's time (He et "
    "al. 2017, arXiv 1703.06870: masks alone about 20 % more than boxes).",
    "claims:suppression": "With a higher IoU threshold of suppression, 0.7 instead of 0.5, Faster R-CNN finds more of "
    "the objects that overlap another one of their class, and has a lower AP.",
    "comparisons:architectures": "R-FCN and SSD are faster than Faster R-CNN, and less accurate, on every base network "
    "(Huang et al. 2017, arXiv 1611.10012, on average).",
    "comparisons:few_proposals_suffice": "With 50 proposals Faster R-CNN is about as fast as R-FCN, and keeps its "
    "accuracy (Huang et al. 2017, arXiv 1611.10012).",
    "comparisons:base_network_matters_less": "SSD's accuracy depends less on the base network than that of Faster "
    "R-CNN and R-FCN (Huang et al. 2017, arXiv 1611.10012).",
    "comparisons:half_the_side": "Half of the image's side makes every combination faster and less accurate (Huang et "
    "al. 2017, arXiv 1611.10012: 27.4 % of the time and 15.9 % of the AP on average).",
}


@hookimpl
def register_claims(register):
    for judge, statement in CLAIMS.items():
        register(ClaimSpec(judge.partition(":")[2], statement, judge=f"roibench.plugins.two_stage.{judge}"))
