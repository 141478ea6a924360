import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.data.traces import (
    FRAMES,
    SCHEMA,
    SKY,
    Trace,
    parse,
    read_table,
    read_traces,
    render,
    thought,
    write_table,
    write_traces,
)

texts = st.text(st.characters(codec="utf-8"), max_size=40)
frames = st.sampled_from(sorted(FRAMES.values())) | st.tuples(texts, texts, texts)
steps = st.lists(texts, max_size=4).map(tuple)
traces = st.builds(Trace, texts, texts, steps, texts, texts, texts, texts, frames)


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
    found = parse(render(steps, solution))
    assert (found.thought, found.solution) == (thought(steps), solution)


def test_unusual_responses_split_too():
    for text, parts in {
        "The answer is 3.": ("", "The answer is 3."),
        "<think>\na\n\nb": ("a\n\nb", ""),
    }.items():
        assert (parse(text).thought, parse(text).solution) == parts


TAGS = ("<think>", "</think>", *SKY, "\\boxed{3}", "\n\n", " ", "a step. ", "\ud800", "答え")


@given(st.one_of(st.text(), st.lists(st.sampled_from(TAGS), max_size=9).map("".join)))
def test_a_parsed_response_joins_to_itself_whatever_it_is(response):
    parsed = parse(response)
    assert parsed.frame[0] + parsed.thought + parsed.frame[1] + parsed.solution + parsed.frame[2] == response
    assert parsed.thought == parsed.thought.strip() and parsed.solution == parsed.solution.strip()
    assert len(set(parsed.irregularities)) == len(parsed.irregularities)


@given(st.lists(words, min_size=1, max_size=4), words, st.sampled_from(sorted(FRAMES)))
def test_what_is_rendered_is_parsed_back_without_irregularity(steps, solution, name):
    boxed = solution + " \\boxed{3}"
    parsed = parse(render(steps, boxed, frame=FRAMES[name]))
    assert (parsed.thought, parsed.solution, parsed.format) == (thought(steps), boxed, name)
    assert parsed.irregularities == () and parsed.frame == FRAMES[name]


B, E, S, F = SKY


@pytest.mark.parametrize(
    "response, found, irregularities",
    [
        ("It is \\boxed{3}.", ("", "It is \\boxed{3}."), ["no tags"]),
        ("", ("", ""), ["no tags", "no solution"]),
        ("<think>a", ("a", ""), ["thought never closed", "no solution"]),
        ("<think>a</think>", ("a", ""), ["no solution"]),
        ("a</think>\\boxed{3}", ("a", "\\boxed{3}"), ["no opening tag"]),
        ("Hi <think>a</think>\\boxed{3}", ("a", "\\boxed{3}"), ["text before the thought"]),
        ("<think> </think>\\boxed{3}", ("", "\\boxed{3}"), ["empty thought"]),
        (f"{B}a{E}{S}\\boxed{{3}}{F}", ("a", "\\boxed{3}"), []),
        (f"{B}a{E}{S}\\boxed{{3}}", ("a", "\\boxed{3}"), ["solution never closed"]),
        (f"{B}a{S}\\boxed{{3}}{F}", ("a", "\\boxed{3}"), ["thought never closed"]),
        (f"{B}a{E}\\boxed{{3}}{F}", ("a", "\\boxed{3}"), ["no tag before the solution"]),
        (f"{B}a{E}b{S}\\boxed{{3}}{F}", ("a", "\\boxed{3}"), ["text between thought and solution"]),
        (f"{B}a{E}{S}\\boxed{{3}}{F}c", ("a", "\\boxed{3}"), ["text after the solution"]),
        (f"{B}a{E}{S}none{F}", ("a", "none"), ["no boxed answer"]),
        (f"{B}a{E}{S}\\boxed{{3}}\\boxed{{4}}{F}", ("a", "\\boxed{3}\\boxed{4}"), ["several boxed answers"]),
        (
            f"<think>{B}a{E}{S}\\boxed{{3}}{F}",
            ("a", "\\boxed{3}"),
            ["both formats", "text before the thought"],
        ),
        (f"{B}{B}a{E}{S}\\boxed{{3}}{F}", (f"{B}a", "\\boxed{3}"), ["repeated tags"]),
    ],
)
def test_what_models_do_to_their_tags_is_read_and_named(response, found, irregularities):
    parsed = parse(response)
    assert (parsed.thought, parsed.solution) == found
    assert list(parsed.irregularities) == irregularities


def test_steps_with_their_white_space_join_to_the_text_and_others_as_paragraphs():
    assert thought(["a. ", "b\n\n", "c"]) == "a. b\n\nc"
    assert thought(["c", "a. ", "b\n\n"]) == "c\n\na. b\n\n"
    assert render(["c", "b\n\n"], "s") == "<think>\nc\n\nb\n</think>\n\ns"


def test_a_file_without_frames_has_think_tags(tmp_path):
    made = [Trace("a", "p", ("one", "two"), "s", "1", "x")]
    write_traces(made, tmp_path / "new.parquet")
    write_table(read_table(tmp_path / "new.parquet").drop_columns(["frame"]), tmp_path / "old.parquet")
    assert read_traces(tmp_path / "old.parquet") == made


def test_the_library_for_data_sets_reads_the_file(tmp_path):
    import datasets

    write_traces([Trace("a", "p", ("one", "two"), "s", "1", "x")], tmp_path / "traces.parquet")
    loaded = datasets.load_dataset(
        "parquet", data_files=str(tmp_path / "traces.parquet"), split="train", cache_dir=str(tmp_path)
    )
    assert loaded.column_names == SCHEMA.names and loaded[0]["steps"] == ["one", "two"]
