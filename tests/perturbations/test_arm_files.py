import pytest

from helpers.data import collection, sources
from helpers.data.traces import Trace, read_table, read_traces, render, short_traces, write_traces
from helpers.perturbations.arm_files import ROWS, make_arm, write_arm, write_arms
from helpers.perturbations.arms import ARMS, CONTROLS, PARTS, perturb
from helpers.puzzles import countdown

POOL = countdown.correct_traces("train", 60, seed=0)
TRACES = {
    "correct": POOL,
    "wrong": countdown.wrong_traces("train", 20, 0),
    "short": short_traces(POOL),
}


def test_an_arms_file_holds_every_step_with_its_origin(tmp_path):
    made = [perturb(t, "insert-67", 0, POOL) for t in POOL]
    write_arm(made, tmp_path / "insert-67.s0.parquet")
    rows = read_table(tmp_path / "insert-67.s0.parquet").to_pylist()
    assert [r["response"] for r in rows] == [p.response for p in made]
    assert [r["id"] for r in rows] == [t.id for t in POOL]
    by_id = {t.id: t for t in POOL}
    for row in rows:
        assert len(row["steps"]) == len(row["origin"])
        for text, origin in zip(row["steps"], row["origin"], strict=True):
            assert (origin["change"] == "foreign") == (origin["trace"] != row["id"])
            assert by_id[origin["trace"]].steps[origin["index"]] == text


def test_the_bytes_do_not_depend_on_the_number_of_processes(tmp_path):
    arms = ["correct", "wrong", "short", "digits-50", "insert-67", "numbers-50", "propagated-100"]
    folders = {n: tmp_path / str(n) for n in (1, 2, 3)}
    rows = [write_arms(TRACES, arms, 3, folder, processes=n) for n, folder in folders.items()]
    assert rows[0] == rows[1] == rows[2]
    assert rows[0] == {a: 20 if a == "wrong" else 60 for a in arms}
    for arm in arms:
        files = [(folder / f"{arm}.s3.parquet").read_bytes() for folder in folders.values()]
        assert files[0] == files[1] == files[2]
    assert not list(tmp_path.glob("*/.*"))


def test_many_rows_are_written_in_parts(tmp_path):
    trace = POOL[0]
    rows = write_arm(
        (perturb(trace, "shuffle-67", s, POOL) for s in range(2 * ROWS + 5)), tmp_path / "a.parquet"
    )
    assert rows == 2 * ROWS + 5 == read_table(tmp_path / "a.parquet").num_rows


def test_no_rows_are_a_file_too_and_a_failure_leaves_none(tmp_path):
    assert write_arm([], tmp_path / "empty.parquet") == 0
    assert read_table(tmp_path / "empty.parquet").num_rows == 0
    real = Trace("real-7", "p", ("Let me add.", "2+3=5."), "s", "5", "x")
    with pytest.raises(ValueError, match="real-7: step 0 is no step of a Countdown puzzle"):
        write_arms({"correct": [POOL[0], real]}, ["propagated-100"], 0, tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["empty.parquet"]


@pytest.mark.parametrize("arm", [*ARMS, *CONTROLS])
def test_every_arm_is_made_of_traces_read_back(arm, tmp_path):
    for kind, made in TRACES.items():
        write_traces(made, tmp_path / f"{kind}.parquet")
    read = {kind: read_traces(tmp_path / f"{kind}.parquet") for kind in TRACES}
    assert [p.response for p in make_arm(read, arm, 0)] == [p.response for p in make_arm(TRACES, arm, 0)]


def test_the_parts_of_a_source_are_arms_each_with_as_many_traces_as_asked_for():
    solution = "I add the two numbers that I am given.\n\nWait, let me check that.\n\nIt is \\boxed{{{}}}."
    rows = [
        {"problem": f"Add {i} and 3.", "solution": solution.format(i + 3), "expected_answer": i + 3}
        | {"solution_type": part}
        for i in range(4)
        for part in PARTS[1:]
    ]
    found = collection.collect(enumerate(rows), sources.read_human, "people@1", "human", n=3)
    traces = found.traces
    assert len(traces["correct"]) == 3 * len(PARTS[1:])
    assert {aside.reason for aside in found.aside} == {"more than were asked for"}
    for part in PARTS[1:]:
        made = list(make_arm(traces, part, 0))
        assert [p.trace.source for p in made] == [f"people@1#{part}"] * 3
        assert made[0].response == render(made[0].trace.steps, made[0].trace.solution)
    with pytest.raises(ValueError, match=f"the arm '{PARTS[0]}' takes a part of its source, and no trace is"):
        make_arm(traces, PARTS[0], 0)
    with pytest.raises(ValueError, match="takes the traces of that part"):
        perturb(traces["correct"][0], PARTS[0], 0, [])
