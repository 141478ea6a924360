"""Training (notebooks 03 and A1): one fine-tune per condition.

models       loading a model, its tokenizer, its chat template
examples     an arm's texts as tokens and labels, and their order
finetune     LoRA, QLoRA or full fine-tuning
saving       checkpoints, the trained weights as a folder, the progress that is shown
launch       training on several GPUs
memory       whether it fits: memory, time and cost before anything is trained
curriculum   the texts that the laptop's base model learns from
pretraining  that model, from nothing
"""
