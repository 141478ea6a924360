"""A wrong recipe stops with one line that names file, key and the nearest valid name."""

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from helpers import conditions
from helpers.perturbations.arms import ARMS, PARTS
from helpers.workflow import provenance, recipe
from tests.support.notebooks import write_notebook

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
GOOD = {"recipe": "mine", "conditions": ["base", "correct", "shuffle-67"], "seeds": [0, 1]}


def load(folder: Path, text: str | None = None, **changes: object) -> dict:
    """Write GOOD with changes (or a text) to a file, and load it."""
    path = folder / "mine.yaml"
    path.write_text(text if text is not None else yaml.safe_dump(GOOD | changes))
    return recipe.load(str(path), NOTEBOOKS)


def test_a_recipe_gets_a_section_for_every_notebook(tmp_path):
    found = load(tmp_path, **{"03_lora_training": {"learning_rate": 1}})
    assert [key for key in found if key in recipe.NOTEBOOKS] and all(n in found for n in recipe.NOTEBOOKS)
    assert found["03_lora_training"] == {"learning_rate": 1} and found["05_analysis"] == {}


def test_given_seeds_take_the_place_of_the_recipe_s_own_and_are_checked_like_them():
    assert recipe.load("laptop", NOTEBOOKS, seeds=[2, 5])["seeds"] == [2, 5]
    with pytest.raises(ValueError, match="seeds: 2 is there twice"):
        recipe.load("laptop", NOTEBOOKS, seeds=[2, 2])


def test_more_seeds_of_single_conditions_are_runs_beside_the_common_ones(tmp_path):
    more = {"shuffle-67": [5, 3], "correct": [5]}
    found = load(tmp_path, more_seeds=more)
    assert recipe.all_seeds(found) == [0, 1, 5, 3]
    assert recipe.runs(found)[5:] == ["correct.s5", "shuffle-67.s5", "shuffle-67.s3"]
    jobs = recipe.jobs(found)
    assert {"02_perturbations.s3", "03_lora_training.shuffle-67.s3"} < set(jobs)
    assert "03_lora_training.correct.s3" not in jobs
    assert recipe.seeds_of("base", [1, 2], more) == [0]
    given = recipe.load(str(tmp_path / "mine.yaml"), NOTEBOOKS, seeds=[5])
    assert recipe.runs(given) == ["base.s0", "correct.s5", "shuffle-67.s5"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"condition": ["base"]}, "unknown key 'condition': did you mean 'conditions'?"),
        ({"03_lora_trainin": {}}, "unknown key '03_lora_trainin': did you mean '03_lora_training'?"),
        ({"03_lora_training": {"learning_rat": 0.1}}, "03_lora_training: unknown parameter 'learning_rat'"),
        ({"03_lora_training": {"learning_rat": 0.1}}, "did you mean 'learning_rate'?"),
        ({"03_lora_training": {"epochs": "two"}}, "03_lora_training: epochs: a whole number is expected"),
        ({"03_lora_training": {"epochs": True}}, "a whole number is expected, not true or false"),
        ({"03_lora_training": {"epochs": 1.5}}, "a whole number is expected, not a number (1.5)"),
        ({"03_lora_training": {"learning_rate": "1e-3"}}, "YAML wants a point, as in 1.0e-3"),
        ({"03_lora_training": {"seed": 3}}, "'seed' comes from the recipe's top level"),
        ({"03_lora_training": [1]}, "03_lora_training: a mapping of parameters is expected, not a list"),
        ({"04_evaluation": {"benchmarks": [1]}}, "04_evaluation: benchmarks: 1: a text is expected"),
        ({"conditions": ["base", "shufle-67"]}, "did you mean 'shuffle-67'?"),
        ({"conditions": ["correct.ful"]}, "unknown method 'ful': did you mean 'full'?"),
        ({"conditions": ["base", "base"]}, "conditions: 'base' is there twice"),
        ({"conditions": []}, "conditions: the list is empty"),
        ({"conditions": "base"}, "conditions: a list is expected, not a text ('base')"),
        ({"seeds": [0, "1"]}, "seeds: '1': a whole number is expected"),
        ({"seeds": [-1]}, "seeds: -1 is negative"),
        ({"more_seeds": [1]}, "more_seeds: a mapping is expected, not a list"),
        ({"more_seeds": {"corect": [2]}}, "more_seeds: corect is no trained condition"),
        ({"more_seeds": {"corect": [2]}}, "did you mean 'correct'?"),
        ({"more_seeds": {"base": [2]}}, "more_seeds: base is no trained condition"),
        ({"more_seeds": {"correct": 2}}, "more_seeds: correct: a list is expected, not a whole number"),
        ({"more_seeds": {"correct": []}}, "more_seeds: correct: the list is empty"),
        ({"more_seeds": {"correct": [2, 1]}}, "more_seeds: correct: 1 is there twice"),
        ({"more_seeds": {"correct": [-2]}}, "seeds: -2 is negative"),
        ({"base_model": "../base_modle"}, "base_model: '../base_modle' does not exist"),
        ({"recipe": "../elsewhere"}, "names a folder"),
        ({"conditions": ["correct.full.lora"]}, "'full' and 'lora' are one method too many"),
        ({"conditions": ["correct.n0"]}, "unknown method 'n0'"),
        ({"conditions": ["correct.rl"]}, "'correct.rl' goes on from 'correct', which is not there"),
        ({"conditions": ["base", "base.full.rl"]}, "the base is not trained, so it has a size at most"),
        ({"conditions": ["correct.full", "correct.full.rl"]}, "goes on from LoRA adapters alone"),
        ({"conditions": ["correct", "correct.rlps"]}, "did you mean 'rlsp'?"),
        ({"09_reinforcement": {"updats": 3}}, "09_reinforcement: unknown parameter 'updats': did you mean"),
        ({"conditions": ["base.full"]}, "the base is not trained, so it has a size at most"),
        ({"conditions": ["correct.7b"]}, "'correct.7b': no model of size '7b' in models"),
        ({"conditions": ["correct.7b"], "models": {"70b": "a/b"}}, "did you mean '70b'?"),
        ({"models": {"big": "a/b"}}, "models: 'big' is no size: a number and m or b, as in 500m or 7b"),
        ({"models": {"7b": "../nowhere"}}, "models: 7b: '../nowhere' does not exist"),
        ({"models": ["7b"]}, "models: a mapping is expected, not a list"),
    ],
)
def test_what_is_wrong_is_named_in_one_line(tmp_path, changes, said):
    with pytest.raises(ValueError) as error:
        load(tmp_path, **changes)
    assert str(error.value).startswith(f"{tmp_path / 'mine.yaml'}: ")
    assert said in str(error.value) and "\n" not in str(error.value)


def test_a_recipe_that_does_not_exist_names_the_nearest():
    with pytest.raises(ValueError, match=r"no recipe 'laptob'.*did you mean 'laptop'\?"):
        recipe.load("laptob", NOTEBOOKS)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("conditions: [base", "not valid YAML"),
        ("", "a mapping of keys to values is expected, not nothing"),
        ("seeds: [0]", "the key 'conditions' is missing"),
    ],
)
def test_a_file_that_holds_no_recipe(tmp_path, text, said):
    with pytest.raises(ValueError, match=said) as error:
        load(tmp_path, text)
    assert "\n" not in str(error.value)


@given(st.sampled_from(ARMS), st.sampled_from(["", *(f".{m}" for m in conditions.METHODS)]))
def test_every_arm_with_every_method_is_a_condition(arm, method):
    recipe.check_condition(arm + method)
    found = conditions.parse(arm + method)
    assert (found.arm, found.method) == (arm, method.removeprefix("."))


@given(
    st.sampled_from(ARMS), st.sampled_from(["", *conditions.METHODS]), st.integers(0, 99_999),
    st.sampled_from(["", "500m", "7b"]), st.randoms(),
)  # fmt: skip
def test_method_number_and_size_come_back_in_any_order(arm, method, traces, size, rng):
    more = [part for part in (method, f"n{traces}" if traces else "", size) if part]
    rng.shuffle(more)
    condition = ".".join([arm, *more])
    recipe.check_condition(condition, ["500m", "7b"])
    assert conditions.parse(condition) == conditions.Condition(arm, method, traces, size)
    found = {"base_model": "usual", "models": {"500m": "small", "7b": "large"}}
    assert recipe.base_model_of(found, condition) == {"": "usual", "500m": "small", "7b": "large"}[size]


def test_a_base_of_each_size_is_evaluated_once_and_never_trained(tmp_path):
    conditions = ["base", "base.7b", "correct", "correct.n20.7b"]
    found = load(tmp_path, conditions=conditions, models={"7b": "Qwen/Qwen2.5-7B-Instruct"})
    assert recipe.runs(found)[:2] == ["base.s0", "base.7b.s0"] and len(recipe.runs(found)) == 6
    assert recipe.trained(found) == ["correct", "correct.n20.7b"]
    assert "04_evaluation.base.7b.s0" in (jobs := recipe.jobs(found))
    assert not [job for job in jobs if job.startswith("03_lora_training.base")]


@given(st.text(min_size=1))
def test_any_other_text_is_refused_in_one_line(text):
    if text != "base" and text.partition(".")[0] not in (*ARMS, *PARTS) and "-" not in text:
        with pytest.raises(ValueError) as error:
            recipe.check_condition(text)
        assert len(str(error.value).splitlines()) == 1


def test_the_base_is_evaluated_once_and_the_rest_with_every_seed(tmp_path):
    found = load(tmp_path)
    assert recipe.runs(found) == ["base.s0", "correct.s0", "shuffle-67.s0", "correct.s1", "shuffle-67.s1"]
    jobs = recipe.jobs(found)
    assert len(jobs) == len(set(jobs)) == 1 + 2 + 4 + 5 + 1
    assert "03_lora_training.base.s0" not in jobs and "04_evaluation.base.s0" in jobs


def test_parameters_are_read_from_the_tagged_cell_alone(tmp_path):
    path = write_notebook(tmp_path / "a.ipynb", "n = 3  # how many\nnames: list = ['a']", "m = 4")
    assert recipe.parameters(path) == {"n": 3, "names": ["a"]}


def test_the_laptop_recipe_holds_the_22_conditions_of_the_study():
    conditions = recipe.load("laptop", NOTEBOOKS)["conditions"]
    assert set(conditions) == {"base", "correct.full", "correct.n20", *ARMS} and len(conditions) == 22


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("seeds: [0]\nconditions: [base]\nseeds: [1]", "line 3: the key 'seeds' is there twice"),
        ("conditions: [base]\n03_lora_training: {epochs: 1, epochs: 2}", "line 2: the key 'epochs' is there"),
        ("conditions: [base]\nseeds: [1:30]", "seeds: '1:30': a whole number is expected"),
        ("conditions: [base]\nseeds: [0x10]", "seeds: '0x10': a whole number is expected"),
        ("conditions: [base]\n03_lora_training: {learning_rate: .nan}", "a number is expected, not nan"),
        ("conditions: [base]\n03_lora_training: {learning_rate: -.inf}", "a number is expected, not -inf"),
        (
            "conditions: [base]\n03_lora_training: {checkpointing: yes}",
            "true or false is expected, not a text",
        ),
        ("conditions: [base]\nrecipe: 2025", "recipe: a text is expected, not a whole number"),
    ],
)
def test_what_yaml_makes_of_a_text_is_no_surprise(tmp_path, text, said):
    with pytest.raises(ValueError) as error:
        load(tmp_path, text)
    assert said in str(error.value) and "\n" not in str(error.value)


def test_a_number_with_a_zero_before_it_is_that_number_and_a_byte_order_mark_is_nothing(tmp_path):
    found = load(tmp_path, "\ufeffconditions: [base]\nseeds: [010, +3]\nabout: no")
    assert found["seeds"] == [10, 3] and found["about"] == "no"


def test_a_tilde_is_the_user_s_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "models" / "b").mkdir(parents=True)
    found = load(tmp_path, base_model="~/models/b", models={"7b": "~/models/b"})
    assert found["base_model"] == found["models"]["7b"] == str(tmp_path / "models" / "b")
    with pytest.raises(ValueError, match="'~/models/c' does not exist"):
        load(tmp_path, base_model="~/models/c")


def test_a_recipe_may_be_a_number_a_source_have_braces_and_a_folder_spaces(tmp_path):
    """As Snakemake sees it: a plan of all jobs, without one run."""
    tmp_path /= "My Drive (x) {y}"
    tmp_path.mkdir()
    python = tmp_path / "python"
    python.symlink_to(os.path.realpath(sys.executable))
    shutil.copytree(NOTEBOOKS, tmp_path / "notebooks")
    shutil.copytree(NOTEBOOKS.parent / "helpers", tmp_path / "helpers")
    (tmp_path / "base_model").mkdir()
    section = {"01_data_preparation": {"source": "data/{name}.jsonl"}}
    path = tmp_path / "notebooks" / "recipes" / "2025.yaml"
    path.write_text(yaml.safe_dump({"conditions": ["base", "correct"]} | section))
    command = [str(python), "-m", "snakemake", "--snakefile", "notebooks/Snakefile", "--cores", "1"]
    command += ["--dry-run", "--printshellcmds", "--config", "recipe=2025"]
    environment = os.environ | {"PYTHONPATH": sysconfig.get_path("purelib")}
    ran = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    said = ran.stdout + ran.stderr
    assert ran.returncode == 0, said
    assert "data/{name}.jsonl" in said and "outputs/2025/" in said
    assert f"exec '{python}' -m helpers.workflow.chain notebook" in said


def test_conditions_with_a_reward_are_trained_by_notebook_09_in_jobs_of_their_own():
    conditions = ["base", "correct", "short", "base.rl", "correct.rl64", "correct.t1"]
    given = {"conditions": conditions, "conditions_per_job": 2}
    found = recipe.checked(given, "few", NOTEBOOKS)
    assert [c for group, _ in recipe.batches(found).values() for c in group] == conditions
    trainings = [job for job in recipe.jobs(found) if job.startswith(("03", "09"))]
    assert trainings == [
        "03_lora_training.correct+1.s0",
        "09_reinforcement.base.rl+1.s0",
        "09_reinforcement.correct.t1.s0",
    ]
    assert recipe.runs(found) == [f"{c}.s0" for c in conditions]


def test_conditions_share_a_job_where_the_recipe_says_so():
    given = {"conditions": ["base", "correct", "wrong", "short", "correct.500m"], "models": {"500m": "a/b"}}
    found = recipe.checked(given | {"seeds": [0, 1], "conditions_per_job": 2}, "few", NOTEBOOKS)
    assert recipe.batches(found) == {
        "base.s0": (["base"], 0),
        "correct+1.s0": (["correct", "wrong"], 0), "short.s0": (["short"], 0),
        "correct.500m.s0": (["correct.500m"], 0),
        "correct+1.s1": (["correct", "wrong"], 1), "short.s1": (["short"], 1),
        "correct.500m.s1": (["correct.500m"], 1),
    }  # fmt: skip
    assert "03_lora_training.correct+1.s1" in recipe.jobs(found)
    assert [provenance.conditions_in(job) for job in ("a.correct+1.s1", "a.short.s0", "b")] == [2, 1, 1]
    with pytest.raises(ValueError, match="conditions_per_job: 0"):
        recipe.checked(given | {"conditions_per_job": 0}, "few", NOTEBOOKS)
