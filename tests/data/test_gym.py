"""Problems and scorers of reasoning-gym, on five of its data sets, four of which are not mathematics."""

import ast
import json
import os
import re
import time

import pytest

from helpers.answers.boxed import final_answer
from helpers.data import filters, gym
from helpers.data.collection import collect
from helpers.data.sources import read_local
from helpers.evaluation import benchmarks, grading
from tests.support.sandboxed import needs_sandbox

pytest.importorskip("reasoning_gym", reason="the extra gym is not installed; it needs a C compiler")
SETS = {
    "knights_knaves": {"n_people": 3},
    "zebra_puzzles": {"num_people": 3, "num_characteristics": 3},
    "word_ladder": {"min_word_length": 3, "max_word_length": 3},
    "gsm_symbolic": {},
    "sudoku": {"min_empty": 20, "max_empty": 25},
}
each_set = pytest.mark.parametrize("name", SETS)


def make(name, n, split="", settings=None, seed=0):
    settings = SETS.get(name, {}) if settings is None else settings
    return gym.make(f"reasoning-gym:{name}{split}", n, settings, seed)


def gold(row):
    return ast.literal_eval(json.loads(row["answer"])["entry"])["answer"]


@each_set
def test_splits_have_no_problem_in_common_and_a_smaller_number_is_the_beginning(name):
    splits = {split: make(name, 8, split) for split in gym.SPLITS}
    splits["another seed"] = make(name, 8, "-train", seed=1)
    texts = {split: {row["problem"] for row in rows} for split, rows in splits.items()}
    assert all(len(found) == len({row["id"] for row in splits[split]}) == 8 for split, found in texts.items())
    assert not texts[""] & texts["-validation"]
    assert not (texts[""] | texts["-validation"]) & (texts["-train"] | texts["another seed"])
    assert make(name, 3) == splits[""][:3] and make(name, 8, "-train") != splits["another seed"]


def test_settings_change_the_difficulty():
    (easy,), (hard,) = (make("knights_knaves", 1, settings={"n_people": n}) for n in (2, 6))
    assert "You meet 2 inhabitants" in easy["problem"] and "You meet 6 inhabitants" in hard["problem"]


def test_problems_do_not_depend_on_the_hash_seed_of_whoever_asks(monkeypatch):
    """reasoning-gym walks over sets in word_ladder, ransom_note, isomorphic_strings and others."""
    monkeypatch.setenv("PYTHONHASHSEED", "1")
    first = gym.problems("reasoning-gym:word_ladder", 4)
    monkeypatch.setenv("PYTHONHASHSEED", "2")
    assert gym.problems("reasoning-gym:word_ladder", 4) == first and len(first) == 4


@pytest.mark.parametrize(
    ("name", "settings", "says"),
    [
        ("knight_knaves", {}, r"no data set 'knight_knaves': did you mean 'knights_knaves'\?"),
        ("composite", {}, "no data set 'composite'"),
        ("maze-validatoin", {}, r"ends in no split: did you mean '-validation'\?"),
        ("knights_knaves", {"people": 3}, r"no setting 'people': did you mean 'n_people'\?"),
        ("knights_knaves", {"seed": 3}, "no setting 'seed'"),
        ("knights_knaves", {"n_people": 0}, r"cannot have the settings .*: Number of people must be"),
        ("knights_knaves", {"n_people": "three"}, "cannot have the settings"),
        ("letter_counting", {"min_words": 9, "max_words": 3}, "cannot have the settings"),
        ("coin_flip", {"min_trials": 3, "max_trials": 3}, r"has only \d+ problems .*, not 100000"),
        ("countdown", {"min_target": 10**9, "max_target": 10**9}, r"only 0 problems .*Failed to generate"),
    ],
)
def test_what_cannot_be_made_is_said_with_the_closest_name(name, settings, says, monkeypatch):
    monkeypatch.setattr(gym, "BLOCK", 20)
    with pytest.raises(ValueError, match=says):
        make(name, 100_000, settings=settings)


def test_an_error_comes_back_from_the_process_that_makes_problems():
    with pytest.raises(ValueError, match="did you mean 'knights_knaves'"):
        gym.problems("reasoning-gym:knights_and_knaves", 1)


def test_without_the_package_the_error_says_how_to_install_it(monkeypatch):
    monkeypatch.setattr(gym, "find_spec", lambda name: None)
    with pytest.raises(
        ValueError, match=re.escape("pip install 'reasoning-gym>=0.1.25,<0.2', or -e '.[gym]'")
    ):
        make("maze", 1)
    with pytest.raises(ValueError, match="not installed"):
        gym.scores_of([("maze", {}, "{}", ["1"])])


ENTRY_OF_ITS_OWN = gym.ENTRY + '"letter_counting", "settings": {}, "entry": "{}"}'
BREAKOUT = "[__import__('os').write(fd, b'1.0') for fd in range(3, 99)], __import__('os')._exit(0)"
HOSTILE = [
    BREAKOUT,
    f"__import__('os').system('touch {os.getcwd()}/escaped')",
    f"S({BREAKOUT!r})",
    f"sqrt({BREAKOUT!r})",  # which sympy reads as a formula, so that it is evaluated there
    "sqrt('__imp' + 'ort__(\\'os\\').getpid()')",
    "().__class__.__base__.__subclasses__()",
    "open('/etc/passwd').read()",
    "exit(0)",
    "oracle_answer",
    "9**9**9**9",
    "'A'*10**10",
    "(" * 5000 + "1" + ")" * 5000,
    "1" * 20_000,
    "\ud800\x00",
    "[1, 2",
    "None",
]
# These pass the answer to eval (sympy's parser does), so they are the ones to attack.
EVALUATING = ("countdown", "simple_integration", "string_insertion", "n_queens")


@pytest.fixture(scope="module")
def judged():
    """Data set, problem's answer and given answer; the verdicts, reached at once; the seconds it took."""
    asked = []
    for name in SETS:
        rows = make(name, 4)
        asked += [(name, row["answer"], gold(row)) for row in rows]
        asked += [(name, rows[0]["answer"], given) for given in ("", None, "no idea", ENTRY_OF_ITS_OWN)]
        asked += [
            (name, a["answer"], gold(b)) for a, b in zip(rows, rows[1:], strict=False) if gold(a) != gold(b)
        ]
    for name in EVALUATING:
        (row,) = make(name, 1)
        asked += [(name, row["answer"], given) for given in (gold(row), *HOSTILE)]
    start = time.monotonic()
    verdicts = gym.judge([pair for _, *pair in asked])
    return asked, verdicts, time.monotonic() - start


@needs_sandbox
@each_set
def test_the_scorer_takes_the_expected_answer_and_no_other(judged, name):
    found = [
        (given, verdict) for (one, expected, given), verdict in zip(*judged[:2], strict=True) if one == name
    ]
    assert [verdict for _, verdict in found[:4]] == ["ok"] * 4
    assert [verdict for _, verdict in found[4:6]] == ["unparsed"] * 2
    assert len(found) > 8 and {verdict for _, verdict in found[6:]} == {"wrong"}


@needs_sandbox
@pytest.mark.parametrize("name", EVALUATING)
def test_a_hostile_answer_neither_passes_nor_escapes_nor_hangs(judged, name):
    found = {given: v for (one, _, given), v in zip(*judged[:2], strict=True) if one == name}
    assert {given: v for given, v in found.items() if given not in HOSTILE} == dict.fromkeys(
        [given for given in found if given not in HOSTILE], "ok"
    )
    assert not {given: v for given, v in found.items() if given in HOSTILE and v not in ("wrong", "timeout")}
    assert not os.path.exists("escaped") and judged[2] < 400


@needs_sandbox
def test_an_answer_in_several_lines_or_typeset_is_read():
    (grid,), (people,), (sums,) = make("sudoku", 1), make("knights_knaves", 1), make("countdown", 1)
    boxed = final_answer(f"So:\n\\boxed{{\n{gold(grid)}\n}}")
    assert "\n" in boxed.strip()
    typeset = gold(sums).replace("*", r" \times ").replace("/", r" \div ")
    pairs = [
        (grid["answer"], boxed),
        (grid["answer"], boxed.replace("1", "2")),
        (people["answer"], final_answer(f"\\boxed{{\\text{{{gold(people)}}}}}")),
        (sums["answer"], typeset),
        ("0.5", r"\frac{1}{2}"),  # not reasoning-gym's
    ]
    assert gym.judge(pairs) == ["ok", "wrong", "ok", "ok", "ok"]


@needs_sandbox
def test_numbers_that_the_scorer_of_countdown_does_not_see_are_refused():
    """It collects the numbers used as digits between word boundaries, and 5e0, 0x5 and 1_0 have none."""
    (row,) = make("countdown", 1)
    given = ast.literal_eval(json.loads(row["answer"])["entry"])["metadata"]
    numbers, target = "+".join(map(str, given["numbers"])), given["target"]
    cheats = [
        f"{target}e0+0e0*({numbers})",
        f"{target:#x}+0x0*({numbers})",
        f"{target}_0/1_0+0_0*({numbers})",
    ]
    assert gym.judge([(row["answer"], text) for text in (*cheats, gold(row))]) == ["wrong"] * 3 + ["ok"]


@needs_sandbox
def test_a_poisoned_answer_changes_no_later_verdict():
    """A grader that evaluates answers in its own process can be told to find the rest of them right."""
    rows = make("n_queens", 3)
    poison = "[setattr(__import__('json'), 'dumps', lambda _: '1.0')]"
    pairs = [(rows[0]["answer"], given) for given in (poison, BREAKOUT)]
    pairs += [(row["answer"], given) for row in rows for given in ("no board", gold(row))]
    assert gym.judge(pairs) == ["wrong"] * 2 + ["wrong", "ok"] * 3


def test_a_data_set_with_few_problems_shares_none_of_them_between_splits(monkeypatch):
    """Seeds that are apart do not help where there are only a few problems: the text decides."""
    monkeypatch.setattr(gym, "BLOCK", 60)
    found = {}
    for split in gym.SPLITS:
        for n in range(1, 30):
            try:
                found[split] = {row["problem"] for row in make("coin_flip", n, split, {"max_trials": 7})}
            except ValueError:
                break
    sizes = list(map(len, found.values()))
    assert all(0 < size < 29 for size in sizes) and len(set.union(*found.values())) == sum(sizes)


@needs_sandbox
def test_entries_with_tuples_are_scored_as_they_were_made():
    """JSON turns tuples into lists, and then the scorer of arc_agi gives 0.05 to the expected answer."""
    for name in ("arc_agi", "rearc"):
        (row,) = make(name, 1)
        assert gym.judge([(row["answer"], gold(row))]) == ["ok"]


@needs_sandbox
def test_a_scorer_that_cannot_run_is_an_error_and_no_verdict():
    with pytest.raises(RuntimeError, match=r"do not run in the sandbox: .*no_longer_there"):
        gym.judge([(gym.ENTRY + '"no_longer_there", "settings": {}, "entry": "{}"}', "1")])


@pytest.fixture
def narrow_eval(monkeypatch):
    space = {"__name__": "scorer"}
    exec(gym.SCORER, space)
    return space["narrow_eval"]


def test_what_is_evaluated_is_a_literal_or_a_formula(narrow_eval):
    double = {"sqrt": lambda n: 2 * n, "Integer": int}
    assert narrow_eval(" ['a', 'b']") == ["a", "b"] and narrow_eval("-3*(4+1)") == -15
    assert narrow_eval("sqrt(Integer(3))", double) == 6
    for text in ("x.real", "[1 for _ in ()]", "(lambda: 1)()", "f'{1}'", "(a := 1)", "len('a')", "sqrt(*[1])",
                 "sqrt(n=1)", "sqrt.x(1)", "[1][0]", "1 if 1 else 2", "getattr(1, 'real')"):  # fmt: skip
        with pytest.raises(ValueError, match="neither a literal nor a formula"):
            narrow_eval(text, double)
    with pytest.raises(NameError):
        narrow_eval("narrow_eval")  # nor a variable of whoever calls it


@needs_sandbox
def test_responses_get_statuses_and_partial_credit_is_wrong():
    (row, other), (maze,) = benchmarks.load("reasoning-gym:ab").to_pylist()[:2], make("maze", 1)
    given = {"benchmark": "reasoning-gym:ab", **row, "finished": True}
    buried = f"\\boxed{{it is {gold(row)}, I think}}"  # which reasoning-gym gives a fraction of a point
    rows = [
        given | {"response": f"\\boxed{{{gold(row)}}}"},
        given | {"response": buried},
        given | {"response": f"\\boxed{{{gold(other)}}}"},
        given | {"response": "no box"},
        given | {"response": "no box yet", "finished": False},
        maze | {"benchmark": "reasoning-gym:maze-validation", "response": "\\boxed{0}", "finished": True},
        {"benchmark": "math500", "answer": "5", "response": "\\boxed{5}", "finished": True},
    ]
    found = grading.statuses(rows)
    assert found == ["ok", "wrong", "wrong", "unparsed", "truncated", "wrong", "ok"]


def test_a_benchmark_of_a_data_set_is_asked_for_a_boxed_answer():
    assert benchmarks.prompt("reasoning-gym:maze", "Where?").startswith("Return your final response within")
    assert grading.kind_of("reasoning-gym:countdown-validation") == "gym"


@needs_sandbox
def test_problems_that_share_their_words_are_no_leak_and_the_same_one_is():
    train, test = make("knights_knaves", 4, "-train"), make("knights_knaves", 4)
    known = {"reasoning-gym:knights_knaves": [row["problem"] for row in test]}
    blocks = filters.blocks(known)
    assert not any(filters.leak(row["problem"], blocks) for row in train)
    steps = "I ask who of them lies. So it is one of two.\n\nWait, let me check that again."
    thought = f"<think>\n{steps}\n</think>\n\n\\boxed{{%s}}"
    rows = [
        row | {"response": thought % given} for row in [*train, test[0]] for given in (gold(row), "no idea")
    ]
    found = collect(enumerate(rows), read_local, "mine", benchmarks=known)
    assert {kind: len(traces) for kind, traces in found.traces.items()} == {
        "correct": 4,
        "wrong": 4,
        "short": 0,
    }
    assert [aside.reason for aside in found.aside] == ["leak"] * 2


def test_problems_of_signs_are_told_apart():
    """Without its signs a maze has the words of every other maze."""
    mazes = ["Find the way:\n#.#\n..#", "Find the way:\n###\n..#"]
    assert filters.plain_words(mazes[0]) == filters.plain_words(mazes[1])
    assert filters.whole(mazes[0], True) != filters.whole(mazes[1], True)
    blocks = filters.blocks({"reasoning-gym:maze": mazes[:1]})
    assert (
        filters.leak(mazes[0] + "\n", blocks) == "reasoning-gym:maze"
        and filters.leak(mazes[1], blocks) is None
    )
