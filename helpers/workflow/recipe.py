"""Recipes: one YAML file names the conditions, the seeds and the parameters of every notebook.

    recipe: smoke
    conditions: [base, correct, digits-50, shuffle-100]
    seeds: [0]
    base_model: ../base_model
    01_data_preparation: {n_traces: 60, n_problems: 20}

conditions.py explains the names of conditions; a model size in one is a key of `models`. Every condition runs
with all `seeds` and its own `more_seeds`: `{digits-50: [2, 3]}`. `conditions_per_job` of them share a kernel.

papermill only warns about unknown parameters, so everything is checked here before anything runs, against the
notebooks' parameters cells, but for whether a value makes sense beyond its type.
"""

from __future__ import annotations

import ast
import json
import math
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from helpers.conditions import KINDS, nearest, parse, run_of, seeds_of, start_of
from helpers.perturbations.arms import parse_arm

NOTEBOOKS = ("01_data_preparation", "02_perturbations", "03_lora_training", "04_evaluation", "05_analysis")
REINFORCEMENT = "09_reinforcement"  # in place of 03, for conditions with a reward
# Top-level keys with their defaults, which also give the types; `conditions` has to be there.
TOP: dict[str, Any] = {
    "recipe": "", "about": "", "conditions": [""], "seeds": [0], "base_model": "../base_model", "models": {},
    "more_seeds": {}, "conditions_per_job": 1}  # fmt: skip
FROM_THE_TOP = {"output_dir", "base_model", "conditions", "arms", "seed", "seeds", "more_seeds"}


class Loader(yaml.SafeLoader):
    """YAML's safe loader without surprises: 010 is ten, 1:30 and yes are texts, no key may repeat."""

    yaml_implicit_resolvers = {
        first: [r for r in resolvers if r[0] not in ("tag:yaml.org,2002:int", "tag:yaml.org,2002:bool")]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for i, key in enumerate(keys):
            if key in keys[:i]:
                line = node.value[i][0].start_mark.line + 1
                raise ValueError(f"line {line}: the key {key!r} is there twice")
        return super().construct_mapping(node, deep)


Loader.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(r"[-+]?[0-9]+$"), list("-+0123456789"))
Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile("(?:[tT]rue|[fF]alse)$"), list("tTfF"))
Loader.add_constructor("tag:yaml.org,2002:int", lambda loader, node: int(node.value))


def load(
    name: str, folder: str | Path = "notebooks", seeds: list[int] | None = None, model: str = ""
) -> dict[str, Any]:
    """The checked recipe with this name (in `folder`/recipes) or at this path of a YAML file.

    `seeds` replace all of the recipe's own, `model` its base model (as in the file, seen from `folder`).
    ValueError names the file, the key and the closest valid key.
    """
    path = find(name, Path(folder))
    try:
        given = {"seeds": seeds, "more_seeds": {}} if seeds else {}
        given |= {"base_model": model} if model else {}
        return checked(read(path) | given, path.stem, Path(folder))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def find(name: str, folder: Path) -> Path:
    """The path of a recipe."""
    path = Path(name) if name.endswith((".yaml", ".yml")) else folder / "recipes" / f"{name}.yaml"
    if not path.is_file():
        known = sorted(p.stem for p in (folder / "recipes").glob("*.yaml"))
        raise ValueError(f"no recipe {name!r} ({path} does not exist){nearest(path.stem, known)}")
    return path


def read(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file."""
    try:
        found = yaml.load(path.read_text(encoding="utf-8-sig"), Loader)
    except yaml.YAMLError as error:
        raise ValueError("not valid YAML: " + " ".join(str(error).split())) from error
    if not isinstance(found, dict):
        raise ValueError(f"a mapping of keys to values is expected, not {describe(found)}")
    return found


def checked(recipe: dict[str, Any], stem: str, folder: Path) -> dict[str, Any]:
    """The recipe with a section for every notebook, its name and seeds; ValueError if it is wrong."""
    for key in recipe:
        if key not in (known := [*TOP, *NOTEBOOKS, REINFORCEMENT]):
            raise ValueError(f"unknown key {key!r}{nearest(key, known)}")
    if "conditions" not in recipe:
        raise ValueError("the key 'conditions' is missing")
    recipe = TOP | {"recipe": stem} | recipe
    for key, example in TOP.items():
        check_type(key, recipe[key], example)
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", recipe["recipe"]):
        raise ValueError(f"recipe: {recipe['recipe']!r} names a folder: letters, digits and . _ - only")
    for key in ("conditions", "seeds"):
        check_list(key, recipe[key])
    for condition in recipe["conditions"]:
        check_condition(condition, recipe["models"], recipe["conditions"])
    for condition, more in recipe["more_seeds"].items():
        check_more_seeds(condition, more, recipe)
    if recipe["conditions_per_job"] < 1:
        raise ValueError(f"conditions_per_job: {recipe['conditions_per_job']} is not 1 or more")
    if min(all_seeds(recipe)) < 0:
        raise ValueError(f"seeds: {min(all_seeds(recipe))} is negative")
    check_base_model("base_model", recipe["base_model"], folder)
    for size, name in recipe["models"].items():
        if not re.fullmatch(KINDS["size"], str(size)):
            raise ValueError(f"models: {size!r} is no size: a number and m or b, as in 500m or 7b")
        check_type(f"models: {size}", name, "")
        check_base_model(f"models: {size}", name, folder)
    recipe["base_model"] = os.path.expanduser(recipe["base_model"])
    recipe["models"] = {size: os.path.expanduser(name) for size, name in recipe["models"].items()}
    rewarded = any(parse(c).reward for c in recipe["conditions"]) or REINFORCEMENT in recipe
    for notebook in NOTEBOOKS + (REINFORCEMENT,) * rewarded:
        recipe[notebook] = recipe.get(notebook) or {}
        check_section(notebook, recipe[notebook], folder)
    return recipe


def check_list(key: str, values: list) -> None:
    """ValueError for an empty list, or for a repeated value."""
    if not values:
        raise ValueError(f"{key}: the list is empty")
    twice = next((v for i, v in enumerate(values) if v in values[:i]), None)
    if twice is not None:
        raise ValueError(f"{key}: {twice!r} is there twice")


def check_more_seeds(condition: str, more: Any, recipe: dict[str, Any]) -> None:
    """ValueError unless a trained condition of the recipe gets seeds beyond the common ones."""
    key, valid = f"more_seeds: {condition}", trained(recipe)
    if condition not in valid:
        raise ValueError(f"{key} is no trained condition of this recipe{nearest(condition, valid)}")
    check_type(key, more, [0])
    check_list(key, [*recipe["seeds"], *more] if more else [])


def check_condition(condition: str, sizes: Iterable[str] = (), others: Iterable[str] = ()) -> None:
    """ValueError for an invalid arm or method, a size not in `sizes`, a start not among the `others`."""
    try:
        asked = parse(condition)
        if asked.arm != "base":
            parse_arm(asked.arm)
        elif asked.method or asked.traces:
            raise ValueError(f"{condition!r}: the base is not trained, so it has a size at most")
        if asked.reward and asked.method not in ("", "lora"):
            raise ValueError(f"{condition!r}: reinforcement goes on from LoRA adapters alone")
        if asked.reward and start_of(condition) not in others:
            raise ValueError(f"{condition!r} goes on from {start_of(condition)!r}, which is not there")
        if asked.size and asked.size not in sizes:
            hint = nearest(asked.size, sizes)
            raise ValueError(f"{condition!r}: no model of size {asked.size!r} in models{hint}")
    except ValueError as error:
        raise ValueError(f"conditions: {error}") from error


def check_base_model(key: str, name: str, folder: Path) -> None:
    """ValueError for a missing local base model; any other name is taken for a hub id."""
    if name.startswith((".", "/", "~")) and not (folder / os.path.expanduser(name)).is_dir():
        raise ValueError(f"{key}: {name!r} does not exist (seen from {folder}/)")


def check_section(notebook: str, section: Any, folder: Path) -> None:
    """ValueError unless a section has only parameters of its notebook, with the defaults' types."""
    if not isinstance(section, dict):
        raise ValueError(f"{notebook}: a mapping of parameters is expected, not {describe(section)}")
    defaults = parameters(folder / f"{notebook}.ipynb")
    own = [name for name in defaults if name not in FROM_THE_TOP]
    for key, value in section.items():
        if key in FROM_THE_TOP:
            raise ValueError(f"{notebook}: {key!r} comes from the recipe's top level: leave it out here")
        if key not in own:
            raise ValueError(f"{notebook}: unknown parameter {key!r}{nearest(key, own)}")
        check_type(f"{notebook}: {key}", value, defaults[key])


def parameters(path: str | Path) -> dict[str, Any]:
    """A notebook's parameters with their default values, from its cell tagged `parameters`."""
    if not Path(path).is_file():
        raise ValueError(f"the notebook {path} does not exist")
    cells = json.loads(Path(path).read_text(encoding="utf-8"))["cells"]
    source = "\n".join("".join(c["source"]) for c in cells if "parameters" in c["metadata"].get("tags", []))
    statements = [s for s in ast.parse(source).body if isinstance(s, ast.Assign | ast.AnnAssign)]
    targets = [(s.targets[0] if isinstance(s, ast.Assign) else s.target, s.value) for s in statements]
    return {t.id: ast.literal_eval(v) for t, v in targets if isinstance(t, ast.Name) and v is not None}


def check_type(key: str, value: Any, example: Any) -> None:
    """ValueError unless a value has the example's type; an int is fine for a float, anything for None."""
    if isinstance(example, list) and isinstance(value, list):
        for item in value if example else []:
            check_type(f"{key}: {item!r}", item, example[0])
        return
    if type(value) is float and not math.isfinite(value):
        raise ValueError(f"{key}: a number is expected, not {value}")
    if example is None or type(value) is type(example) or (type(example), type(value)) == (float, int):
        return
    exponent = type(example) is float and re.fullmatch("[-+]?[0-9.]+[eE][-+]?[0-9]+", str(value))
    hint = ": YAML wants a point, as in 1.0e-3" if exponent else ""
    raise ValueError(f"{key}: {describe(example)} is expected, not {describe(value)} ({value!r}){hint}")


def describe(value: Any) -> str:
    """A value's type in words."""
    said = {bool: "true or false", int: "a whole number", float: "a number", str: "a text", dict: "a mapping"}
    return "nothing" if value is None else said.get(type(value), f"a {type(value).__name__}")


def base_model_of(recipe: dict[str, Any], condition: str) -> str:
    """The model that a condition starts from: one of `models` if its name has a size."""
    return recipe["models"].get(parse(condition).size, recipe["base_model"])


def all_seeds(recipe: dict[str, Any]) -> list[int]:
    """Every seed of a recipe once, common ones first."""
    return list(dict.fromkeys([*recipe["seeds"], *sum(recipe["more_seeds"].values(), [])]))


def runs(recipe: dict[str, Any]) -> list[str]:
    """What is evaluated, as CONDITION.sSEED: a base model once, other conditions with each of their seeds."""
    found = batches(recipe).values()
    return [run_of(condition, seed) for conditions, seed in found for condition in conditions]


def trained(recipe: dict[str, Any]) -> list[str]:
    """The conditions that are fine-tuned: all except base models."""
    return [c for c in recipe["conditions"] if not parse(c).is_base]


def training_of(condition: str) -> str:
    """The notebook that trains a condition."""
    return REINFORCEMENT if parse(condition).reward else NOTEBOOKS[2]


def batches(recipe: dict[str, Any]) -> dict[str, tuple[list[str], int]]:
    """Conditions that notebooks 03 (or 09) and 04 take in one job, and their seed, by the job's name.

    A job of `conditions_per_job` is named after its first: `correct.s0` for one alone, `correct+3.s0` for it
    and three more. Base models have a job of their own; they are evaluated once, as seed 0.
    """
    most = recipe.get("conditions_per_job", 1)  # runs of earlier versions have none
    groups = [([c], 0) for c in recipe["conditions"] if parse(c).is_base]
    for seed in all_seeds(recipe):
        own = [c for c in trained(recipe) if seed in seeds_of(c, recipe["seeds"], recipe["more_seeds"])]
        for kind in dict.fromkeys((parse(c).size, bool(parse(c).reward)) for c in own):
            alike = [c for c in own if (parse(c).size, bool(parse(c).reward)) == kind]
            groups += [(alike[k : k + most], seed) for k in range(0, len(alike), most)]
    return {
        run_of(group[0] + (f"+{len(group) - 1}" if group[1:] else ""), seed): (group, seed)
        for group, seed in groups
    }


def jobs(recipe: dict[str, Any]) -> list[str]:
    """Every execution of a notebook, as its executed notebook is named: `03_lora_training.correct.s0`."""
    found = {name: group[0] for name, (group, _) in batches(recipe).items()}
    return [
        NOTEBOOKS[0],
        *(f"{NOTEBOOKS[1]}.s{seed}" for seed in all_seeds(recipe)),
        *(f"{training_of(first)}.{name}" for name, first in found.items() if not parse(first).is_base),
        *(f"{NOTEBOOKS[3]}.{name}" for name in found),
        NOTEBOOKS[4],
    ]
