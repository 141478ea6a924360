"""The base model's pretraining: its batches, its optimiser and its exam."""

from itertools import islice

import pytest
import torch

from helpers.base_model import countdown_skills, exam, islanders_skills, pretraining
from helpers.puzzles import countdown

FAMILIES = pytest.mark.parametrize(
    "skills", [countdown_skills, islanders_skills], ids=["countdown", "islanders"]
)


def small_tokenizer(skills):
    documents = next(pretraining.documents(skills, seed=0, batch=300))
    return pretraining.build_tokenizer([f"user\n{p}\nassistant\n{r}" for _, p, r in documents])


@FAMILIES
def test_windows_hold_whole_documents_and_label_the_responses_alone(skills):
    tokenizer, lengths = small_tokenizer(skills), set()
    for batch in islice(pretraining.windows(skills, tokenizer, seed=0, tokens=2048), 12):
        inputs, labels, positions = batch
        assert inputs.numel() == 2048
        lengths.add(inputs.shape[1])
        assert skills.LOOKUPS or (positions == torch.arange(inputs.shape[1])).all()
        for row, marked in zip(inputs, labels, strict=True):
            text = tokenizer.decode(row[row != tokenizer.pad_token_id])
            assert text.startswith("<|im_start|>user\n") and text.endswith("<|im_end|>")
            kept = marked != -100
            assert torch.equal(row[kept], marked[kept])
            responses = [
                part.partition("<|im_end|>")[0] for part in text.split("<|im_start|>assistant\n")[1:]
            ]
            assert tokenizer.decode(marked[kept]) == "".join(f"{r}<|im_end|>" for r in responses)
    assert lengths == {256, 512}


def test_muon_takes_the_steps_of_torch_s_own():
    torch.manual_seed(0)
    ours = [torch.nn.Parameter(torch.randn(shape)) for shape in ((24, 8), (8, 24), (24, 8))]
    theirs = [torch.nn.Parameter(p.detach().clone()) for p in ours]
    optimisers = (
        pretraining.Muon(ours, lr=0.01),
        torch.optim.Muon(theirs, lr=0.01, weight_decay=0.05, adjust_lr_fn="match_rms_adamw"),
    )
    for _ in range(3):
        for p, q in zip(ours, theirs, strict=True):
            p.grad = torch.randn(p.shape)
            q.grad = p.grad.clone()
        for optimiser in optimisers:
            optimiser.step()
    for p, q in zip(ours, theirs, strict=True):
        assert torch.allclose(p, q, atol=2e-3)  # theirs is rounded to bf16


def test_a_line_counts_up_to_the_first_that_is_wrong_whatever_it_opens_with():
    expected = "Hmm. 3+5=8. With 19: 27. No 11.\n\n4+5=9. With 2: 11. Yes, 9+2=11."
    got = f"3+5=8. With 19: 27. No 11.\n{countdown.NEW_PAIR} 4+5=9. With 2: 11. Yes, 9+2=11."
    leads = countdown_skills.LEADS
    assert exam.marked_lines(expected, got, leads) == [True, True]
    assert exam.marked_lines(expected, got.replace("3+5=8", "3+5=7"), leads) == [False]
    assert exam.marked_lines(expected, got.splitlines()[0], leads) == [True, False]


@FAMILIES
def test_whoever_answers_as_the_documents_do_passes_the_exam(skills):
    written = {}
    for made in islice(pretraining.documents(skills, seed=5), 3):
        written |= {prompt: response for _, prompt, response in made}
    marks = exam.exam(skills, lambda prompts: [written.get(p, "") for p in prompts], seed=5, n=20)
    assert marks.pop("direct") == 0 and set(marks.values()) == {1.0}


@FAMILIES
def test_a_direct_answer_is_right_and_no_document_is_of_another_split(skills):
    for skill, prompt, response in next(pretraining.documents(skills, seed=3, batch=400)):
        if skill == "direct":
            assert skills.is_correct(response, prompt)
    tested = {skills.shape(problem) for problem in skills.unseen(20, seed=0)}
    made = next(pretraining.documents(skills, seed=4, batch=400))
    whole = [prompt.partition("? ")[0] for skill, prompt, _ in made if skill in ("direct", "cases")]
    assert whole and not tested & {skills.shape(problem) for problem in whole}


def test_the_first_head_starts_with_the_token_before_and_the_rest_as_always():
    tokenizer = small_tokenizer(islanders_skills)
    plain, looking = (pretraining.new_model(tokenizer) for _ in range(2))
    pretraining.look_back(looking)
    looking.set_attn_implementation("eager")
    said = tokenizer("Ben lies. Carl tells the truth. Anna lies. Dora tells the truth.", return_tensors="pt")
    scores = looking(input_ids=said["input_ids"], output_attentions=True).attentions[0][0, 0]
    assert scores.diagonal(-1).min() > 0.9
    changed = {
        n
        for (n, p), q in zip(plain.named_parameters(), looking.parameters(), strict=True)
        if not torch.equal(p, q)
    }
    assert changed == {f"model.layers.0.self_attn.{name}_proj.bias" for name in "qk"}


def test_a_document_that_looks_things_up_does_not_see_those_before_it_in_its_window():
    tokenizer = small_tokenizer(islanders_skills)
    model = pretraining.new_model(tokenizer, layers=2).eval()
    inputs, _, positions = next(pretraining.windows(islanders_skills, tokenizer, seed=0, tokens=2048))
    row = next(i for i, starts in enumerate(positions == 0) if starts[:-20].sum() > 1)
    start = (positions[row, 1:] == 0).nonzero()[0].item() + 1
    second = slice(start, start + 20)
    with torch.no_grad():
        packed = model(input_ids=inputs[[row]], position_ids=positions[[row]], use_cache=False).logits[0]
        alone = model(input_ids=inputs[[row], second]).logits[0]
    assert torch.allclose(packed[second], alone, atol=1e-4)
