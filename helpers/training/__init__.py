"""Training (notebook 03): one fine-tune per condition.

models       loading a model, its tokenizer, its chat template
examples     an arm's texts as tokens and labels, and their order
finetune     LoRA, QLoRA or full fine-tuning
saving       checkpoints, the trained weights as a folder, the progress that is shown
launch       training on several GPUs
shapes       what a model of any architecture consists of, without loading it
memory       whether it fits: memory, time and cost before anything is trained
"""
