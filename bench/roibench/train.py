"""One training loop for every gradient-trained model.

A run is decided by model, recipe and data alone: each epoch seeds itself, so that a run that was interrupted and goes
on ends with the same bits as one that was not.
"""

import dataclasses
import hashlib
import json
import math
import multiprocessing
import os
import pickle
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from graphlib import TopologicalSorter
from importlib.metadata import version
from io import BytesIO
from multiprocessing import resource_tracker
from multiprocessing.context import BaseContext
from pathlib import Path
from time import monotonic

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader

from roibench.assemble import build_model, ready_model, usable_device
from roibench.dataset import Dataset
from roibench.datasets.reference import DatasetRef, open_dataset
from roibench.files import file_hash, hold, write_atomically
from roibench.model import Model, TrainableModel
from roibench.nn.augment import GEOMETRIC, augment
from roibench.registry import Registry
from roibench.specs import ModelSpec, Recipe
from roibench.structures import Sample, Target
from roibench.weights import WeightsHeader, load_shared, save_weights, shipped_weights

CHECKPOINT = "checkpoint.pt"
LOG = "training.jsonl"
PRECISIONS = ("float32", "bfloat16")

# Told after every step: epoch, step within it, steps per epoch, mean losses of the epoch so far.
Progress = Callable[[int, int, int, dict[str, float]], None]


class TrainingError(RuntimeError):
    """Training can't go on; the message names what happened where."""


def best_precision(device: torch.device) -> str:
    """bfloat16 where the hardware computes in it, else float32."""
    if device.type == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported() else "float32"
    has_bf16 = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return "bfloat16" if has_bf16 else "float32"


class Trainer:
    """Runs a recipe on a model: batches, precision, schedule, average, checkpoints.

    folder: where the checkpoint and the log go; a checkpoint found there is continued if recipe and data are the same.
    losses: after fit, the mean of each loss over the last epoch.
    deterministic: only algorithms that give the same bits every time are used; on a GPU they are much slower.
    teacher: as in roibench.model.Trainer; the loop itself doesn't ask it.
    """

    def __init__(
        self,
        recipe: Recipe,
        folder: Path,
        device: torch.device,
        precision: str | None = None,
        progress: Progress | None = None,
        workers: int = 1,
        deterministic: bool = True,
        teacher: Model | None = None,
    ) -> None:
        self.recipe = recipe
        self.folder = folder
        self.device = device
        self.precision = precision or best_precision(device)
        self.progress = progress
        self.workers = workers
        self.deterministic = deterministic
        self.teacher = teacher
        self.losses: dict[str, float] = {}

    def fit(self, model: TrainableModel, data: Dataset) -> None:
        """Trains the model in place; at the end it holds the averaged weights and is in eval mode.

        Raises TrainingError if the recipe has no learning rate, if a loss is not finite, or if the folder holds a
        checkpoint of another run; before the first step, BusyError or UnwritableError if the folder can't be used.
        """
        recipe = self.recipe
        if recipe.learning_rate is None:
            raise TrainingError(
                f"{type(model).__name__}: the recipe has no learning rate, without which the common loop can't train; "
                "want one, or a fit of the model's own"
            )
        torch.manual_seed(recipe.seed)
        model.to(self.device, memory_format=torch.channels_last)
        optimizer = _optimizer(model, recipe)
        steps = math.ceil(len(data) / recipe.batch_size)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, _schedule(recipe, steps * recipe.epochs))
        average = None
        if recipe.average is not None:
            average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(recipe.average), use_buffers=True)
        parts = {"model": model, "optimizer": optimizer, "schedule": schedule, "average": average}
        run = self._fingerprint(model, data)
        lock = hold(self.folder)
        before = torch.are_deterministic_algorithms_enabled()
        torch.use_deterministic_algorithms(self.deterministic)
        try:
            for epoch in range(self._resume(run, parts), recipe.epochs):
                begun = monotonic()
                self._epoch(epoch, steps, model, data, optimizer, schedule, average)
                self._log(epoch, schedule.get_last_lr()[0], monotonic() - begun)
                self._save(run, epoch + 1, parts)
        finally:
            torch.use_deterministic_algorithms(before)
            lock.release()
        if average is not None:
            model.load_state_dict(average.module.state_dict())
        model.eval()

    def _epoch(
        self,
        epoch: int,
        steps: int,
        model: TrainableModel,
        data: Dataset,
        optimizer: torch.optim.Optimizer,
        schedule: torch.optim.lr_scheduler.LRScheduler,
        average: AveragedModel | None,
    ) -> None:
        model.train()
        torch.manual_seed(_seed(self.recipe.seed, epoch))
        sums: dict[str, float] = {}
        for step, batch in enumerate(self._batches(data, epoch)):
            inputs = [one.input for one in batch]
            targets = [one.target for one in batch]
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bfloat16"):
                losses = model.losses(inputs, targets)
            total = torch.stack([loss.float() for loss in losses.values()]).sum()
            if not torch.isfinite(total):
                values = ", ".join(f"{name} {loss.item():.4g}" for name, loss in losses.items())
                raise TrainingError(
                    f"loss is not finite in epoch {epoch + 1}, step {step + 1} ({values}), images "
                    f"{', '.join(one.id for one in inputs)}; the last epoch's checkpoint stands"
                )
            optimizer.zero_grad(set_to_none=True)
            total.backward()
            if self.recipe.clip_norm is not None:
                nn.utils.clip_grad_norm_(model.parameters(), self.recipe.clip_norm)
            optimizer.step()
            schedule.step()
            if average is not None:
                average.update_parameters(model)
            for name, loss in losses.items():
                sums[name] = sums.get(name, 0.0) + loss.item()
            self.losses = {name: value / (step + 1) for name, value in sums.items()}
            if self.progress is not None:
                self.progress(epoch, step + 1, steps, self.losses)

    def _batches(self, data: Dataset, epoch: int) -> Iterator[list[Sample]]:
        seed = _seed(self.recipe.seed, epoch)
        order = torch.randperm(len(data), generator=torch.Generator().manual_seed(seed))
        if data.unbounded:
            order = order + epoch * len(data)
        source = _Augmented(data, self.recipe.augment, seed)
        loader = DataLoader(
            source,
            batch_size=self.recipe.batch_size,
            sampler=order.tolist(),
            num_workers=self.workers,
            collate_fn=list,
            multiprocessing_context=_worker_context() if self.workers else None,
            generator=torch.Generator(),  # else the loader draws its workers' seeds from the global generator
        )
        batches = None
        try:
            with _without_interrupt():
                batches = iter(loader)
            yield from batches
        finally:
            del batches  # its workers end here and now, in good order

    def _fingerprint(self, model: TrainableModel, data: Dataset) -> str:
        shapes = {name: list(value.shape) for name, value in model.state_dict().items()}
        parts = [dataclasses.asdict(self.recipe), data.hash, self.precision, shapes]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    def _resume(self, run: str, parts: dict[str, object]) -> int:
        """Loads the folder's checkpoint, if any; returns the first epoch to run."""
        path = self.folder / CHECKPOINT
        if not path.exists():
            return 0
        try:
            state = torch.load(path, map_location=self.device, weights_only=True)
            owner = state["run"]
        except (RuntimeError, LookupError, TypeError, EOFError, pickle.UnpicklingError) as error:
            raise TrainingError(f"{path} is no checkpoint of a training: delete it to start anew") from error
        if owner != run:
            raise TrainingError(
                f"{path} belongs to another run (recipe, model, precision or data differ): "
                "name another folder, or delete it to start anew"
            )
        for name, part in parts.items():
            if part is not None:
                part.load_state_dict(state[name])
        self.losses = state["losses"]
        return state["epoch"]

    def _save(self, run: str, epoch: int, parts: dict[str, object]) -> None:
        state = {name: part.state_dict() for name, part in parts.items() if part is not None}
        buffer = BytesIO()
        torch.save(state | {"run": run, "epoch": epoch, "losses": self.losses}, buffer)
        write_atomically(self.folder / CHECKPOINT, buffer.getvalue())

    def _log(self, epoch: int, learning_rate: float, seconds: float) -> None:
        path = self.folder / LOG
        # A line per epoch; one that was logged, but interrupted before its checkpoint, is replaced.
        lines = path.read_text().splitlines()[:epoch] if path.exists() else []
        line = {"epoch": epoch + 1, "seconds": round(seconds, 1), "learning_rate": learning_rate}
        lines.append(json.dumps(line | self.losses))
        write_atomically(path, ("\n".join(lines) + "\n").encode())


def train_model(
    name: str,
    dataset: str,
    folder: Path,
    registry: Registry,
    device: str = "cpu",
    *,
    precision: str | None = None,
    epochs: int | None = None,
    seed: int = 0,
    batch_size: int | None = None,
    threads: int | None = None,
    workers: int | None = None,
    deterministic: bool = False,
    on_bad_data: str = "fail",
    begin: Callable[[int, int], Progress] | None = None,
) -> Path:
    """Trains a registered model on a dataset's train split and writes folder/MODEL-DATASET.safetensors.

    epochs, seed, batch_size: instead of the recipe's; the learning rate follows the batch (with_batch_size). workers:
    processes that load images; 1 if not given, on a GPU as many as there are cores. deterministic: on a GPU, too, as
    always on the CPU. begin: called with epochs and steps per epoch before the first step of the common loop; returns
    who is told of each. Raises ValueError where model, dataset and recipe don't go together.
    """
    counts = ("--epochs", epochs, 1), ("--batch-size", batch_size, 1), ("--threads", threads, 1)
    for option, value, least in (*counts, ("--workers", workers, 0)):
        if value is not None and value < least:
            raise ValueError(f"{option} {value}: want {least} or more")
    if precision not in (None, *PRECISIONS):
        raise ValueError(f"--precision {precision!r}: want {' or '.join(PRECISIONS)}")
    placed = usable_device(device)
    spec = registry.model(name)
    if spec.recipe is None:
        raise ValueError(f"model {name!r} has no recipe: it isn't trained")
    recipe = dataclasses.replace(spec.recipe, seed=seed, epochs=epochs or spec.recipe.epochs)
    by_gradients = recipe.learning_rate is not None
    for option, value in (("--batch-size", batch_size), ("--precision", precision)):
        if value is not None and not by_gradients:
            raise ValueError(f"{option} {value}: model {name!r} isn't trained by gradients, and has none to choose")
    if batch_size is not None:
        recipe = with_batch_size(recipe, batch_size)
    data = open_dataset(dataset, registry, split="train", on_bad_data=on_bad_data)
    if missing := set(spec.required_targets) - data.info.fields:
        needed, lacking = ", ".join(spec.required_targets), ", ".join(sorted(missing))
        raise ValueError(f"model {name!r} learns from {needed}; {dataset!r} lacks {lacking}")
    common = {one.name for one in dataclasses.fields(Target)}
    own = [one for one in (*spec.required_targets, *spec.optional_targets) if one not in common]
    if own and (moving := [one for one in recipe.augment if one in GEOMETRIC]):
        raise ValueError(f"model {name!r} learns from {', '.join(own)}, which {moving[0]!r} can't move with the image")
    reference = DatasetRef.parse(dataset)
    if reference.split == registry.datasets[reference.name].eval_split:
        train = dataclasses.replace(reference, split="train")
        raise ValueError(f"dataset {dataset!r}: models are scored on this split; train on another, such as {train}")
    if threads is not None:
        torch.set_num_threads(threads)
    torch.manual_seed(recipe.seed)
    model = build_model(spec, data.info)
    if isinstance(model, TrainableModel):
        model.initialize()
    start = _starting_weights(spec, registry)
    if start is not None:
        load_shared(start, model)
    lessons = _teachers_weights(spec, reference.name, registry)
    teacher = None if lessons is None else ready_model(registry.models[spec.teacher], data.info, lessons, placed)
    steps = math.ceil(len(data) / recipe.batch_size)
    progress = begin(recipe.epochs, steps) if begin and by_gradients else None
    on_cpu = placed.type == "cpu"
    workers = (1 if on_cpu else os.cpu_count() or 1) if workers is None else workers
    precision = precision if by_gradients else "float32"
    trainer = Trainer(recipe, folder, placed, precision, progress, workers, deterministic or on_cpu, teacher)
    model.fit(data, trainer)
    header = WeightsHeader(
        model=name,
        dataset=data.info.name,
        data_hash=data.hash,
        classes=data.info.classes,
        joints=data.info.joints,
        config=dict(spec.config),
        recipe=dataclasses.asdict(recipe),
        seed=recipe.seed,
        precision=trainer.precision,
        threads=torch.get_num_threads(),
        roibench=version("roibench"),
        torch=torch.__version__,
        warm_start=None if start is None else file_hash(start),
        teacher=None if lessons is None else file_hash(lessons),
        final_losses=trainer.losses,
    )
    path = folder / f"{name}-{reference.name}.safetensors"
    save_weights(path, model.state_dict(), header)
    return path


def with_batch_size(recipe: Recipe, images: int) -> Recipe:
    """The recipe with another batch and the learning rate that goes with it: in proportion to the batch for SGD (Goyal
    et al. 2017, arXiv 1706.02677), to its root for AdamW and RMSprop (Malladi et al. 2022, arXiv 2205.10287).
    The warm-up takes as many images as before.
    """
    factor = images / recipe.batch_size
    rate = recipe.learning_rate * (factor if recipe.optimizer == "sgd" else math.sqrt(factor))
    warmup = max(1, round(recipe.warmup_steps / factor)) if recipe.warmup_steps else 0
    return dataclasses.replace(recipe, batch_size=images, learning_rate=rate, warmup_steps=warmup)


def in_order_of_training(specs: Sequence[ModelSpec]) -> list[ModelSpec]:
    """Each after those of them that it begins with or is taught by."""
    by_name = {spec.name: spec for spec in specs}
    needs = {
        spec.name: [one for one in (spec.warm_start and spec.warm_start.model, spec.teacher) if one in by_name]
        for spec in specs
    }
    return [by_name[name] for name in TopologicalSorter(needs).static_order()]


def _starting_weights(spec: ModelSpec, registry: Registry) -> Path | None:
    """The file of a model's warm start. Raises ValueError where none is shipped."""
    if spec.warm_start is None:
        return None
    return _needed_weights(f"model {spec.name!r} begins with", spec.warm_start.model, spec.warm_start.dataset, registry)


def _teachers_weights(spec: ModelSpec, dataset: str, registry: Registry) -> Path | None:
    """The file of a model's teacher, for the dataset that it learns from. Raises ValueError where none is shipped."""
    if spec.teacher is None:
        return None
    return _needed_weights(f"model {spec.name!r} is taught by", spec.teacher, dataset, registry)


def _needed_weights(why: str, model: str, dataset: str, registry: Registry) -> Path:
    file = shipped_weights(registry.models[model], dataset, registry)
    if file is None or not file.is_file():
        raise ValueError(
            f"{why} the weights of {model!r} for {dataset!r}, which aren't there: "
            f"train that first (roibench train {model} --dataset {dataset}) and ship its file"
        )
    return file


class _Augmented:
    """A dataset whose samples are augmented, each from a generator of its own: the same in any order and worker."""

    def __init__(self, data: Dataset, names: tuple[str, ...], seed: int) -> None:
        self.data, self.names, self.seed = data, names, seed

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> Sample:
        generator = torch.Generator().manual_seed(_seed(self.seed, index))
        return augment(self.data[index], self.names, generator, self.data.info.joints)


@contextmanager
def _without_interrupt() -> Iterator[None]:
    """Ctrl-C waits until the workers are started: one that loses its parent halfway prints a traceback of its own.

    The workers inherit the blocked signal, and leave Ctrl-C to this process. That alone wouldn't hold it off here,
    where another thread may take the signal.
    """
    if threading.current_thread() is not threading.main_thread():  # which Ctrl-C never interrupts
        yield
        return
    resource_tracker.ensure_running()  # starting it later would unblock the signal
    caught: list[int] = []
    handler = signal.signal(signal.SIGINT, lambda number, _: caught.append(number))
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        signal.signal(signal.SIGINT, handler)
        if caught:
            signal.raise_signal(signal.SIGINT)


def _worker_context() -> BaseContext:
    """Workers are forked from a server that has already imported what they need: each epoch starts new ones."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    return context


def _seed(seed: int, index: int) -> int:
    """A well-mixed 63-bit seed: neighbouring seeds and indices give unrelated streams."""
    digest = hashlib.sha256(f"{seed}/{index}".encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


def _schedule(recipe: Recipe, total: int) -> Callable[[int], float]:
    """Factor of the peak learning rate at each step: linear warm-up, then half a cosine to zero."""
    warmup = min(recipe.warmup_steps, total // 2)

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / warmup
        return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, total - warmup)))

    return factor


def _optimizer(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """Weight decay spares vectors: biases and normalisation."""
    learned: list[Tensor] = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in learned if p.dim() > 1], "weight_decay": recipe.weight_decay},
        {"params": [p for p in learned if p.dim() <= 1], "weight_decay": 0.0},
    ]
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=recipe.learning_rate, momentum=0.9, nesterov=True)
    if recipe.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=recipe.learning_rate)
    if recipe.optimizer == "rmsprop":
        return torch.optim.RMSprop(groups, lr=recipe.learning_rate)
    raise ValueError(f"recipe.optimizer: want 'sgd', 'adamw' or 'rmsprop', got {recipe.optimizer!r}")
