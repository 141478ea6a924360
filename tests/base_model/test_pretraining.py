"""The base model's pretraining: its batches, its optimiser and its exam."""

from itertools import islice

import torch

from helpers.base_model import curriculum, pretraining
from helpers.data import puzzles


def small_tokenizer():
    documents = next(curriculum.documents(seed=0, batch=300))
    return pretraining.build_tokenizer([f"user\n{p}\nassistant\n{r}" for _, p, r in documents])


def test_windows_hold_whole_documents_and_label_the_responses_alone():
    tokenizer, lengths = small_tokenizer(), set()
    for batch in islice(pretraining.windows(tokenizer, seed=0, tokens=2048), 12):
        inputs, labels = batch
        assert inputs.numel() == 2048
        lengths.add(inputs.shape[1])
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
    got = f"3+5=8. With 19: 27. No 11.\n{puzzles.NEW_PAIR} 4+5=9. With 2: 11. Yes, 9+2=11."
    assert pretraining.marked_lines(expected, got) == [True, True]
    assert pretraining.marked_lines(expected, got.replace("3+5=8", "3+5=7")) == [False]
    assert pretraining.marked_lines(expected, got.splitlines()[0]) == [True, False]
