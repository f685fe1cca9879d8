"""The options of a run, each declared once: flag, type, default, help and check.

pytest's options, those of `roibench run` and the table in docs/measuring.md are made of them. No torch is imported, so
that --help stays fast.
"""

from collections.abc import Mapping
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, NamedTuple, Self, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError

from roibench.datasets.bad_data import OnBadData
from roibench.specs import TORCH

GROUP = "What is measured (lists are separated by commas)"

Precision = Literal["float32", "bfloat16", "float16"]


def words(typed: str) -> list[str]:
    """What a person typed as a list."""
    return [word for word in map(str.strip, typed.split(",")) if word]


def _assigned(typed: Any) -> Any:
    """NAME=NUMBER,... as typed, once or several times: the numbers by name."""
    if not isinstance(typed, str | list):
        return typed
    found: dict[str, tuple[int | float, ...]] = {}
    for one in [typed] if isinstance(typed, str) else typed:
        name, _, values = one.partition("=")
        try:
            numbers = tuple(map(_number, words(values)))
        except ValueError:
            numbers = ()
        if not (name.strip() and numbers):
            raise PydanticCustomError("assignment", "no assignment", {"typed": one})
        found[name.strip()] = found.get(name.strip(), ()) + numbers
    return found


def _number(word: str) -> int | float:
    try:
        return int(word)
    except ValueError:
        return float(word)


T = TypeVar("T")
Listed = Annotated[tuple[T, ...], BeforeValidator(lambda value: words(value) if isinstance(value, str) else value)]
Assigned = Annotated[Mapping[str, Annotated[tuple[int | float, ...], Field(min_length=1)]], BeforeValidator(_assigned)]
Count = Annotated[int, Field(ge=1)]


class Options(BaseModel):
    """What a person may choose of a run. models are wildcard patterns; every list multiplies the cells.

    Each is passed by its name or its flag, as a value or as typed: Options(rounds=5) is Options(**{"--rounds": "5"}).
    Raises ValueError: one line that names the flag and says what would be right.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    models: Listed[str] = Field(
        ("*",),
        min_length=1,
        validation_alias="--model",
        description="names, with wildcards; `*` alone: all that have weights for the dataset. `grad_cam@fcn` is a "
        "model around another one. A model that is named must be able to run on one of the datasets; where it or "
        "what a wildcard matches can't, that is listed, with the reason. `onnx:FILE`, `torchvision:NAME` and other "
        "SCHEME:REST are models from outside (docs/outside.md)",
    )
    # A comma may be a path's own: roibench.datasets.reference.split_list, which knows the names, splits what was typed.
    datasets: tuple[str, ...] = Field(
        ("scenes", "icons"),
        min_length=1,
        validation_alias="--dataset",
        description="`scenes`, `icons`, `voc:PATH`, `coco:PATH`, `masks:PATH`, `folders:PATH`, `lsp:PATH`, "
        "`yolo:PATH`, `csv:PATH`; `@SPLIT` names another split than the usual one; a comma inside a path is the "
        "path's own",
    )
    devices: Listed[str] = Field(
        ("cpu",), min_length=1, validation_alias="--device", description="`cpu`, `cuda`, `cuda:1`"
    )
    precisions: Listed[Precision] = Field(
        ("float32",), min_length=1, validation_alias="--precision", description="others than float32: under autocast"
    )
    backends: Listed[str] = Field(
        (TORCH,),
        min_length=1,
        validation_alias="--backend",
        description="what runs a model's networks: `torch`, `compile`, `onnx`, `openvino`, `int8`, or a plugin's. What "
        "can't run a model is listed, with the reason (docs/backends.md)",
    )
    batch_sizes: Listed[Count] = Field(
        (1,), min_length=1, validation_alias="--batch-size", description="images per call"
    )
    images: Count | None = Field(
        None, validation_alias="--images", description="how many, from the first one on; all if not given"
    )
    rounds: Count = Field(
        1,
        validation_alias="--rounds",
        description="timed passes over the images, each in turns; more where few images fill no turns",
    )
    threads: Listed[Count] = Field(
        (), validation_alias="--threads", description="CPU threads; one per core if not given"
    )
    knobs: Assigned = Field(
        {},
        validation_alias="--set",
        description="what needs no retraining (`roibench list` has each model's knobs), such as `proposals=10,50,150`; "
        "may be given several times. A model that is named must have the knob; one that a wildcard matches and that "
        "lacks it is measured as it is",
    )
    weights: Path | None = Field(
        None,
        validation_alias="--weights",
        description="a file that `roibench train` wrote, in place of the shipped ones",
    )
    class_map: Path | None = Field(
        None,
        validation_alias="--class-map",
        description="a YAML file for models from outside, which bring classes of their own: lines of `model's name: "
        "dataset's name`, or null for one that is left out",
    )
    on_bad_data: OnBadData = Field(
        "fail",
        validation_alias="--on-bad-data",
        description="`fail`, listing every broken file and box; `skip`; or `clip`, which clips boxes to their images "
        "and skips the rest",
    )
    budget_s: float = Field(
        10.0,
        gt=0,
        allow_inf_nan=False,
        validation_alias="--cell-budget",
        description="seconds that a cell's timed passes may take; a slower model is measured on the first images "
        "alone, the most of 10, 20, 50, 100, ... that it can see in that time",
    )
    timeout_s: float = Field(
        900.0,
        gt=0,
        allow_inf_nan=False,
        validation_alias="--cell-timeout",
        description="seconds after which a cell is given up",
    )
    max_ms: float | None = Field(
        None,
        gt=0,
        allow_inf_nan=False,
        validation_alias="--max-ms",
        description="milliseconds per image: a model that is slower when it is warmed up, at its best, is left out and "
        "listed; none is if not given",
    )
    executor: Literal["local", "ray"] = Field(
        "local",
        validation_alias="--executor",
        description="`local`: this machine; `ray`: the machines of a Ray cluster (docs/measuring.md)",
    )
    address: str | None = Field(
        None,
        validation_alias="--address",
        description="of the cluster, such as `ray://HOST:10001`; the one that this machine belongs to if not given",
    )
    out: Path = Field(Path("results/runs"), validation_alias="--out", description="where each run gets its folder")

    def __init__(self, **chosen: Any) -> None:
        try:
            super().__init__(**chosen)
        except ValidationError as error:
            raise ValueError(_mistake(error.errors()[0])) from error


_MISTAKES = {
    "too_short": "{flag}: want at least one",
    "int_parsing": "{flag} {input!r}: want a whole number",
    "greater_than_equal": "{flag} {input}: want {ge} or more",
    "literal_error": "{flag} {input!r}: want one of {choices}",
    "float_parsing": "{flag} {input!r}: want a number",
    "greater_than": "{flag} {input}: want a number above {gt:g}",
    "assignment": "{flag} {typed}: want NAME=NUMBER,..., such as proposals=50,150",
    "finite_number": "{flag} {input}: want a number above 0",
}


def _mistake(error: Mapping[str, Any]) -> str:
    """One of pydantic's errors in words. Its place begins with what was passed, a field's name or its flag."""
    passed, *place = error["loc"]
    flag = next((option.flag for option in OPTIONS if option.field == passed), passed)
    context = error.get("ctx", {})
    choices = context.get("expected", "").replace("'", "").replace(" or ", ", ")
    text = _MISTAKES.get(error["type"], "{flag} {input!r}: {message}").format(
        flag=flag, input=error["input"], choices=choices, message=error["msg"], **context
    )
    return text.replace("a whole number", "whole numbers") if place else text


class Option(NamedTuple):
    """A field of Options as a person sees it.

    type: in the words of a command line, such as INTEGER or TEXT,....
    default: as typed, None where nothing stands for it.
    repeats: it may be given several times.
    """

    field: str
    flag: str
    type: str
    default: str | None
    help: str
    repeats: bool

    @classmethod
    def of(cls, name: str, field: FieldInfo) -> Self:
        flag, annotation = str(field.validation_alias), field.annotation
        repeats = get_origin(annotation) is Mapping
        return cls(name, flag, _type(annotation), _typed(field.default), field.description or "", repeats)

    @property
    def help_with_default(self) -> str:
        return self.help if self.default is None else f"{self.help} (default: {self.default})"


def _type(annotation: Any) -> str:
    kind, arguments = get_origin(annotation), get_args(annotation)
    if kind is Literal:
        return "|".join(arguments)
    if kind is tuple:
        return f"{_type(arguments[0])},..."
    if kind is Mapping:
        return "NAME=NUMBER,..."
    if kind in (Annotated, Union, UnionType):  # a union is with None alone, which is typed by leaving the option out
        return _type(arguments[0])
    return {str: "TEXT", int: "INTEGER", float: "FLOAT", Path: "PATH"}[annotation]


def _typed(default: Any) -> str | None:
    if default in (None, (), {}):
        return None
    if isinstance(default, tuple):
        return ",".join(map(str, default))
    return f"{default:g}" if isinstance(default, float) else str(default)


OPTIONS = tuple(Option.of(name, field) for name, field in Options.model_fields.items())


def markdown() -> str:
    """The table of options in docs/measuring.md, which `roibench publish` puts there."""
    lines = ["| option | type | default | meaning |", "|---|---|---|---|"]
    for option in OPTIONS:
        kind = option.type.replace("|", "\\|")
        default = "" if option.default is None else f"`{option.default}`"
        lines.append(f"| `{option.flag}` | `{kind}` | {default} | {option.help} |")
    return "\n".join(lines)
