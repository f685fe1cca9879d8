"""Which of ImageNet's 1,000 classes a dataset's class stands for."""

from collections.abc import Mapping, Sequence

from torchvision.models import MobileNet_V2_Weights

CATEGORIES = tuple(MobileNet_V2_Weights.IMAGENET1K_V1.meta["categories"])

# Animals fill ranges of indices.
_RANGES = {
    "bird": (range(7, 25), range(80, 101), range(127, 147)),
    "dog": (range(151, 269),),
    "cat": (range(281, 286),),
    "bear": (range(294, 298),),
    "elephant": (range(385, 387),),
}

# COCO's classes (Lin et al. 2014) that ImageNet shows under other names; what isn't here and has no name in common,
# a person for instance, is none of ImageNet's.
_NAMES = {
    "bicycle": ("bicycle-built-for-two", "mountain bike"),
    "car": ("beach wagon", "cab", "convertible", "jeep", "limousine", "minivan", "racer", "sports car"),
    "motorcycle": ("moped", "motor scooter"),
    "airplane": ("airliner", "warplane"),
    "bus": ("school bus", "minibus", "trolleybus"),
    "train": ("bullet train", "electric locomotive", "freight car", "passenger car", "steam locomotive"),
    "truck": ("fire engine", "garbage truck", "moving van", "pickup", "tow truck", "trailer truck"),
    "boat": ("canoe", "catamaran", "fireboat", "gondola", "lifeboat", "schooner", "speedboat", "trimaran", "yawl"),
    "stop sign": ("street sign",),
    "bench": ("park bench",),
    "horse": ("sorrel",),
    "sheep": ("ram", "bighorn"),
    "cow": ("ox", "water buffalo"),
    "tie": ("bow tie", "Windsor tie"),
    "skis": ("ski",),
    "sports ball": ("basketball", "croquet ball", "ping-pong ball", "rugby ball", "soccer ball", "tennis ball"),
    "tennis racket": ("racket",),
    "bottle": ("beer bottle", "pill bottle", "pop bottle", "water bottle", "wine bottle"),
    "wine glass": ("goblet",),
    "cup": ("coffee mug", "cup"),
    "knife": ("cleaver", "letter opener"),
    "spoon": ("wooden spoon",),
    "bowl": ("mixing bowl", "soup bowl"),
    "apple": ("Granny Smith",),
    "hot dog": ("hotdog",),
    "chair": ("barber chair", "folding chair", "rocking chair", "throne"),
    "couch": ("studio couch",),
    "potted plant": ("pot",),
    "bed": ("four-poster",),
    "toilet": ("toilet seat",),
    "tv": ("television",),
    "laptop": ("laptop", "notebook"),
    "remote": ("remote control",),
    "keyboard": ("computer keyboard",),
    "cell phone": ("cellular telephone",),
    "oven": ("stove",),
    "sink": ("washbasin",),
    "book": ("book jacket",),
    "clock": ("analog clock", "digital clock", "wall clock"),
    "teddy bear": ("teddy",),
    "hair drier": ("hand blower",),
}


def imagenet_members(classes: Sequence[str]) -> list[list[int]]:
    """Indices of ImageNet's classes for each class, by COCO's names or ImageNet's own (`_` is a space, case is none);
    empty where ImageNet has none.
    """
    by_name: Mapping[str, int] = {_plain(name): index for index, name in reversed(list(enumerate(CATEGORIES)))}
    members = []
    for name in map(_plain, classes):
        ranged = [index for part in _RANGES.get(name, ()) for index in part]
        named = [by_name[_plain(one)] for one in _NAMES.get(name, (name,)) if _plain(one) in by_name]
        members.append(ranged or named)
    return members


def _plain(name: str) -> str:
    return name.replace("_", " ").casefold()
