import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.traces import (
    Trace,
    read_table,
    read_traces,
    render,
    split_response,
    thought,
    write_table,
    write_traces,
)

texts = st.text(st.characters(codec="utf-8"), max_size=40)
traces = st.builds(Trace, texts, texts, st.lists(texts, max_size=4).map(tuple), texts, texts, texts, texts)


@given(made=st.lists(traces, max_size=5))
def test_traces_survive_parquet(made, tmp_path_factory):
    path = tmp_path_factory.mktemp("traces") / "new" / "folder" / "traces.parquet"
    write_traces(made, path)
    assert read_traces(path) == made
    assert [p.name for p in path.parent.iterdir()] == ["traces.parquet"]


def test_the_same_traces_give_the_same_bytes(tmp_path):
    made = [Trace("a", "p", ("one", "two"), "s", "1", "x")]
    for name in ("first", "second"):
        write_traces(made, tmp_path / name)
    assert (tmp_path / "first").read_bytes() == (tmp_path / "second").read_bytes()


def test_a_missing_file_is_named_with_the_remedy(tmp_path):
    with pytest.raises(ValueError, match=r"gone\.parquet does not exist: run the notebook"):
        read_traces(tmp_path / "gone.parquet")


@pytest.mark.parametrize("share", [0, 0.1, 0.5, 0.99])
def test_a_half_written_file_is_named_with_the_remedy(tmp_path, share):
    path = tmp_path / "half.parquet"
    write_traces([Trace(str(i), "p", ("step",), "s", "1", "x") for i in range(50)], path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(
        ValueError, match=r"half\.parquet is not a complete Parquet file .*delete it"
    ) as caught:
        read_traces(path)
    assert "\n" not in str(caught.value)


def test_a_file_that_never_was_parquet_is_named(tmp_path):
    path = tmp_path / "text.parquet"
    path.write_text("id,problem\n1,2\n")
    with pytest.raises(ValueError, match=r"text\.parquet is not a complete Parquet file"):
        read_table(path)


def test_a_table_of_something_else_names_the_missing_column(tmp_path):
    write_table(pa.table({"id": ["a"], "problem": ["p"]}), tmp_path / "scores.parquet")
    with pytest.raises(ValueError, match=r"scores\.parquet has no column 'steps'"):
        read_traces(tmp_path / "scores.parquet")


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "table.parquet"
    write_table(pa.table({"a": [1]}), path)
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError("disk")))
    with pytest.raises(OSError, match="disk"):
        write_table(pa.table({"a": [2]}), path)
    assert read_table(path)["a"].to_pylist() == [1]


def test_a_response_is_tags_thought_and_solution():
    assert render(["a", "b"], "s") == "<think>\na\n\nb\n</think>\n\ns"
    assert render([], "s") == "<think>\n\n</think>\n\ns"
    assert render([], "s", kind="short") == "s"


words = st.text(alphabet="abc 123.\n", min_size=1).filter(lambda t: t == t.strip())


@given(st.lists(words, max_size=4), words)
def test_a_response_splits_into_what_it_was_made_of(steps, solution):
    assert split_response(render(steps, solution)) == (thought(steps), solution)


def test_unusual_responses_split_too():
    assert split_response("The answer is 3.") == ("", "The answer is 3.")
    assert split_response("<think>\nfirst\n\nsec") == ("first\n\nsec", "")
