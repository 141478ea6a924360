"""The laptop base models: tokenizer, architecture, documents and pretraining.

    tokenizer = build_tokenizer(texts)           # byte-level BPE on words, each digit a token
    model = new_model(tokenizer)                 # Qwen2, about 0.9M parameters
    pretrain(model, windows(countdown_skills, tokenizer, seed=0), steps=100, learning_rate=3e-3)

What a model learns is a module of skills: countdown_skills or islanders_skills.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Iterator
from types import ModuleType

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

END_OF_TEXT, START, END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
CHAT_TEMPLATE = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\\n' + m['content'] + '<|im_end|>\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
# Words keep their leading space, punctuation its trailing one; each digit is a token, as in Qwen2.5.
WORDS = Regex(r" ?[A-Za-z]+|\d|[^A-Za-z\d\s]+ ?|\s+")


def build_tokenizer(texts: Iterable[str], vocabulary: int = 512) -> PreTrainedTokenizerFast:
    """A lossless byte-level BPE tokenizer with a chat template, trained on texts."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(WORDS, behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[END_OF_TEXT, START, END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(texts, trainer)
    bpe.add_tokens(["<think>", "</think>"])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        eos_token=END,
        pad_token=END_OF_TEXT,
        model_max_length=1024,
        clean_up_tokenization_spaces=False,
        padding_side="left",
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


def new_model(
    tokenizer: PreTrainedTokenizerFast, seed: int = 0, layers: int = 4, width: int = 128
) -> Qwen2ForCausalLM:
    """A Qwen2 model with fresh weights."""
    torch.manual_seed(seed)
    config = Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        intermediate_size=3 * width,
        max_position_embeddings=1024,
        tie_word_embeddings=True,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=None,
    )
    return Qwen2ForCausalLM(config)


@torch.no_grad()
def look_back(model: Qwen2ForCausalLM, strength: float = 6.5, pairs: int = 8) -> None:
    """Set the biases of the first head so that it starts by attending to the token before.

    Under rotary embeddings two biases alone give a score that depends on the distance d: sum over the pairs
    of strength^2 cos((d - 1) f), largest at d = 1. Whoever looks up a name needs such a head ("Ben" came
    before "lies"). Steps of 4,096 tokens of recall: without it 80% of the kinds are right after 600 of them,
    as by counting; with it all are after 150.
    """
    attention = model.model.layers[0].self_attn
    half = attention.head_dim // 2
    pairs = min(pairs, half)
    turn = model.model.rotary_emb.inv_freq[:pairs]
    attention.k_proj.bias[:pairs] = strength
    attention.q_proj.bias[:pairs] = strength * turn.cos()
    attention.q_proj.bias[half : half + pairs] = -strength * turn.sin()


def documents(
    skills: ModuleType, seed: int, phase: str = "first", batch: int = 1000
) -> Iterator[list[tuple[str, str, str]]]:
    """Endless batches of (skill, prompt, response), skills drawn by the phase's mixture in characters."""
    rng, mixture = random.Random(f"curriculum:{seed}"), skills.MIXTURES[phase]
    makers = skills.makers(rng, phase)
    written = dict.fromkeys(mixture, 1.0)
    while True:
        made = []
        for _ in range(batch):
            skill = min(mixture, key=lambda s: written[s] / mixture[s])
            prompt, response = makers[skill]()
            written[skill] += len(prompt) + len(response)
            made.append((skill, prompt, response))
        rng.shuffle(made)
        yield made


def windows(
    skills: ModuleType,
    tokenizer: PreTrainedTokenizerFast,
    seed: int,
    phase: str = "first",
    tokens: int = 8192,
    lengths: tuple[int, ...] = (256, 512, 1024),
) -> Iterator[torch.Tensor]:
    """Endless batches of documents packed into windows: inputs, labels and positions, each (rows, length).

    A document opens a window of the shortest length that holds it, because attention costs the square of the
    length; one that fits into none is left out. Each batch has one length. Labels are -100 outside the
    assistant's turn and in the padding. For skills that look things up, positions start again with
    each document, which hides the documents before it.
    """
    open_rows: dict[int, list[list[tuple[int, int, int]]]] = {length: [] for length in lengths}
    full: dict[int, list[list[tuple[int, int, int]]]] = {length: [] for length in lengths}
    for made in documents(skills, seed, phase):
        chats = [[{"role": "user", "content": p}] for _, p, _ in made]
        prompts = tokenizer.apply_chat_template(chats, tokenize=False, add_generation_prompt=True)
        prompt_ids = tokenizer(prompts, add_special_tokens=False)["input_ids"]
        response_ids = tokenizer([r + END for *_, r in made], add_special_tokens=False)["input_ids"]
        for p, r in zip(prompt_ids, response_ids, strict=True):
            labels = [-100] * len(p) + r
            document = list(zip(p + r, labels, range(len(labels)), strict=True))
            if len(document) > max(lengths):
                continue
            open_gaps = ((n - len(row), row) for n in lengths for row in open_rows[n])
            fits = [gap for gap in open_gaps if gap[0] >= len(document)]
            if fits:
                min(fits, key=lambda gap: gap[0])[1].extend(document)
                continue
            length = min(n for n in lengths if len(document) <= n)
            rows, batch = open_rows[length], tokens // length
            rows.append(document)
            if len(rows) > 2 * batch:
                full[length].append(rows.pop(max(range(len(rows)), key=lambda i: len(rows[i]))))
            if len(full[length]) == batch:
                pad = (tokenizer.pad_token_id, -100, 0)
                window = torch.tensor([r + [pad] * (length - len(r)) for r in full[length]]).permute(2, 0, 1)
                if not skills.LOOKUPS:
                    window[2] = torch.arange(length)
                yield window
                full[length] = []


class Muon(torch.optim.Optimizer):
    """Muon in the parameters' own precision, matrices of one shape at a time (Jordan et al., 2024).

    torch.optim.Muon works in bf16, hundreds of times slower on a CPU without bf16 instructions. Steps have
    the root mean square of AdamW's: lr * 0.2 * sqrt(larger dimension) (arXiv 2502.16982).
    """

    def __init__(self, parameters: list[torch.nn.Parameter], lr: float, decay: float = 0.05):
        by_shape: dict[torch.Size, list[torch.nn.Parameter]] = {}
        for p in parameters:
            by_shape.setdefault(p.shape, []).append(p)
        super().__init__([{"params": group} for group in by_shape.values()], {"lr": lr, "decay": decay})

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]
        for group in self.param_groups:
            matrices = group["params"]
            gradients = torch.stack([p.grad for p in matrices])
            momentum = self.state[matrices[0]].setdefault("momentum", torch.zeros_like(gradients))
            momentum.lerp_(gradients, 0.05)
            updates = orthogonalised(gradients.lerp(momentum, 0.95))
            scale = group["lr"] * 0.2 * max(matrices[0].shape) ** 0.5
            for p, update in zip(matrices, updates, strict=True):
                p.mul_(1 - group["lr"] * group["decay"]).add_(update, alpha=-scale)


def orthogonalised(matrices: torch.Tensor) -> torch.Tensor:
    """(n, rows, columns) matrices with singular values brought near 1 by five Newton-Schulz steps."""
    tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.mT if tall else matrices
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp(min=1e-7)
    for _ in range(5):
        gram = x @ x.mT
        x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
    return x.mT if tall else x


def optimizers(model: Qwen2ForCausalLM, learning_rate: float) -> list[torch.optim.Optimizer]:
    """Muon for the matrices inside the layers, AdamW for embeddings, norms and biases."""
    matrices = [p for n, p in model.named_parameters() if p.ndim == 2 and "embed" not in n]
    others = [p for n, p in model.named_parameters() if p.ndim != 2 or "embed" in n]
    return [
        Muon(matrices, learning_rate),
        torch.optim.AdamW(others, lr=learning_rate, betas=(0.9, 0.95), weight_decay=0.0, fused=True),
    ]


def pretrain(
    model: Qwen2ForCausalLM,
    batches: Iterator[torch.Tensor],
    steps: int,
    learning_rate: float,
    schedule: int | None = None,
    report: Callable[[dict], None] = print,
    every: int = 100,
) -> list[dict]:
    """Train for a number of steps: warm-up over 2%, linear decay over the last 60%.

    The percentages refer to `schedule` steps (default: `steps`), of which the first `steps` are run. Returns
    (and reports along the way) rows of step, loss (nats per response token), tokens and seconds.
    """
    schedule = schedule or steps
    optims = optimizers(model, learning_rate)
    log, started, losses, tokens = [], time.time(), [], 0
    model.train()
    for step in range(1, steps + 1):
        scale = min(1.0, step / (0.02 * schedule), (schedule - step + 1) / (0.6 * schedule))
        inputs, labels, positions = next(batches)
        output = model(input_ids=inputs, position_ids=positions, use_cache=False)
        shifted = output.logits[:, :-1].flatten(0, 1)
        loss = torch.nn.functional.cross_entropy(shifted, labels[:, 1:].flatten())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optim in optims:
            for group in optim.param_groups:
                group["lr"] = learning_rate * scale
            optim.step()
            optim.zero_grad()
        losses.append(loss.item())
        tokens += inputs.numel()
        if step % every == 0 or step == steps:
            row = {"step": step, "loss": sum(losses) / len(losses), "tokens": tokens,
                   "seconds": time.time() - started}  # fmt: skip
            log.append(row)
            report(row)
            losses = []
    return log
