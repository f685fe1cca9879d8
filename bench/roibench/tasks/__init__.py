"""The built-in tasks, a file each: what is predicted, how it is checked, drawn and described, and what ranks models."""

from roibench.hookspecs import hookimpl


@hookimpl
def register_tasks(register):
    from roibench.tasks.attribution import Attribution
    from roibench.tasks.classification import Classification
    from roibench.tasks.dense_captioning import DenseCaptioning
    from roibench.tasks.detection import Detection
    from roibench.tasks.generation import Generation
    from roibench.tasks.instance_segmentation import InstanceSegmentation
    from roibench.tasks.keypoints import Keypoints
    from roibench.tasks.localization import Localization
    from roibench.tasks.proposals import Proposals
    from roibench.tasks.representation import Representation
    from roibench.tasks.semantic_segmentation import SemanticSegmentation

    for task in (
        Classification(),
        Localization(),
        Proposals(),
        Detection(),
        DenseCaptioning(),
        InstanceSegmentation(),
        Keypoints(),
        SemanticSegmentation(),
        Attribution(),
        Representation(),
        Generation(),
    ):
        register(task)
