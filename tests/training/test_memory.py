"""The estimator: counts against real models, memory against measured memory, refusals that name a way out."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers import devices
from helpers.devices import GPUS
from helpers.training import memory, shapes
from helpers.training.memory import Plan
from tests.benchmarks import memory as measured

# The numbers of parameters that the hub shows for these models.
PUBLISHED = {
    "0.5B": 494_032_768, "1.5B": 1_543_714_304, "3B": 3_085_938_688, "7B": 7_615_616_512,
    "14B": 14_770_033_664, "32B": 32_763_876_352,
}  # fmt: skip
SEVEN = shapes.shape_of("Qwen/Qwen2.5-7B-Instruct")
plans = st.builds(
    Plan,
    st.sampled_from(["lora", "qlora", "full"]), st.sampled_from([8, 64]), st.sampled_from([1, 2, 8]),
    st.sampled_from([512, 4096, 16384]), st.booleans(), st.sampled_from(["bf16", "fp16", "fp32"]),
)  # fmt: skip


@pytest.mark.parametrize("size", PUBLISHED)
def test_parameters_are_those_that_the_hub_shows(size):
    for name in (f"Qwen/Qwen2.5-{size}", f"Qwen/Qwen2.5-{size}-Instruct"):
        assert shapes.shape_of(name).parameters == PUBLISHED[size]


def test_smollm2_has_the_parameters_that_its_name_says():
    assert shapes.shape_of("HuggingFaceTB/SmolLM2-135M-Instruct").parameters == 134_515_008


def test_a_matrix_has_a_weight_per_input_and_output_and_lora_their_sum_times_the_rank():
    h, i, kv, layers = 3584, 18944, 512, 28  # Qwen2.5-7B: q, k, v, o, gate, up, down
    linears = [(h, h), (h, kv), (h, kv), (h, h), (h, i), (h, i), (i, h)]
    assert SEVEN.matrices == layers * sum(a * b for a, b in linears)
    assert SEVEN.adapter == layers * sum(a + b for a, b in linears)
    assert memory.trained(SEVEN, Plan("lora", 64, 1, 1, False))[0] == 64 * SEVEN.adapter
    assert memory.trained(SEVEN, Plan("full", 0, 1, 1, False)) == (SEVEN.parameters, 1.0)


def test_a_layer_keeps_what_autograd_needs():
    """Qwen2 in fp32, tensor by tensor: what the inputs of its products and of its attention are."""
    h, i, kv, rank = 3584, 18944, 512, 64
    inputs = 7 * h + 4 * i + 7 * rank  # keys and values as attention has them: as wide as the queries
    assert shapes.kept(SEVEN, "lora", "fp32", rank) == pytest.approx(4 * (inputs + 2 * kv), rel=0.04)
    assert shapes.kept(SEVEN, "lora", "bf16", rank) < 0.7 * shapes.kept(SEVEN, "lora", "fp32", rank)
    assert shapes.kept(SEVEN, "full", "fp32") > shapes.kept(SEVEN, "lora", "fp32")


@given(plans)
def test_memory_grows_with_traces_length_and_rank_and_shrinks_by_checkpointing_and_shards(plan):
    def peak(**changes):
        return sum(memory.memory(SEVEN, replace(plan, **changes)).values())

    assert peak(micro_batch=2 * plan.micro_batch) >= peak() > 0
    assert peak(length=2 * plan.length) >= peak()
    assert peak(checkpointing=True) <= peak(checkpointing=False)
    assert peak(gpus=8, sharding="fsdp2") < peak(gpus=8, sharding="ddp") == peak()
    assert plan.method == "full" or peak(rank=2 * plan.rank) > peak()


@given(plans, st.sampled_from(sorted(GPUS)))
@settings(max_examples=200)
def test_what_does_not_fit_is_refused_with_settings_that_do(plan, name):
    gpu = GPUS[name]
    if memory.fits(SEVEN, plan, gpu):
        memory.check(SEVEN, plan, gpu)
        return
    with pytest.raises(ValueError, match="does not fit: about .* GB are needed") as error:
        memory.check(SEVEN, plan, gpu)
    other = next((p for p in memory.smaller(plan) if memory.fits(SEVEN, p, gpu)), None)
    if other is None:
        assert "take a larger GPU" in str(error.value)
    else:
        assert memory.changes(plan, other) and memory.changes(plan, other) in str(error.value)
        assert "\n" not in str(error.value)


def test_the_nearest_setting_keeps_the_results_where_it_can():
    plan = Plan("lora", 32, 8, 8192, False)
    with pytest.raises(ValueError, match=r"It fits .* with checkpointing: true, micro_batch: \d$"):
        memory.check(SEVEN, plan, GPUS["a100-40"])
    with pytest.raises(ValueError, match="default_method: qlora"):
        memory.check(SEVEN, plan, GPUS["t4"])


def test_flops_are_four_a_parameter_and_token_for_lora_and_six_for_full():
    used = SEVEN.matrices + SEVEN.vocabulary * SEVEN.hidden
    assert memory.flops_per_token(SEVEN, Plan("lora", 0, 1, 0, False)) == 4 * used
    assert memory.flops_per_token(SEVEN, Plan("full", 0, 1, 0, False)) == 6 * used
    twice = Plan("lora", 0, 1, 4096, True)
    assert memory.flops_per_token(SEVEN, twice) > memory.flops_per_token(SEVEN, replace(twice, length=0))


def test_hours_and_cost_follow_from_tokens_rate_and_price():
    plan = Plan("lora", 64, 1, 4096, True)
    one = memory.hours(SEVEN, plan, GPUS["h100"], 10**8)
    assert memory.hours(SEVEN, plan, GPUS["h100"], 2 * 10**8) == pytest.approx(2 * one)
    assert memory.hours(SEVEN, replace(plan, gpus=8), GPUS["h100"], 10**8) == pytest.approx(one / 8)
    table = memory.table(SEVEN, {"a": plan}, GPUS["h100"], {"a": 10**8}, price=3.0)
    assert float(table.loc["a", "cost"]) == pytest.approx(3 * one, abs=0.01)
    assert memory.table(SEVEN, {"a": plan}, GPUS["h100"], {"a": 1}).loc["a", "cost"] == "no price given"


def test_a_gpu_is_found_by_its_name_and_here_by_default():
    assert devices.machine("h200").memory == 141 and devices.machine("t4").precision == "fp16"
    with pytest.raises(ValueError, match="gpu: 'h20' is not in the table: did you mean 'h200'"):
        devices.machine("h20")
    if not torch.cuda.is_available():
        here = devices.machine("")
        assert here.precision == "fp32" and here.memory > 0 and here.tflops != here.tflops


@pytest.mark.parametrize(
    ("name", "gigabytes", "key"),
    [
        ("Tesla T4", 15.8, "t4"), ("NVIDIA H200", 150.1, "h200"), ("NVIDIA A100-SXM4-80GB", 85.1, "a100-80"),
        ("NVIDIA A100-SXM4-40GB", 42.4, "a100-40"), ("NVIDIA H100 80GB HBM3", 85.0, "h100"),
        ("NVIDIA GeForce RTX 4090", 25.4, "rtx-4090"), ("NVIDIA L4", 23.7, "l4"),
        ("NVIDIA L40S", 47.7, "l40s"),
    ],
)  # fmt: skip
def test_the_driver_s_names_are_recognised(name, gigabytes, key):
    assert next(k for k in GPUS if devices.is_named(k, name, gigabytes * 1e9)) == key


@pytest.mark.slow  # minutes: each case is a training in a process of its own
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("number", range(len(measured.CASES)))
def test_the_estimate_is_within_15_percent_of_measured_memory(number):
    found = measured.run(number)
    assert found["predicted"] == pytest.approx(found["measured"], rel=0.15)
