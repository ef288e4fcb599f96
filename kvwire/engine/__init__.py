"""Runs one model: its own cache, explicit positions, own masks, prompts, scoring and greedy decoding.

May import: kvwire.errors, kvwire.byte_budget, kvwire.chat_template, kvwire.progress, the values in kvwire.requests,
kvwire.report and kvwire.model_card, kvwire.models, torch, transformers; never codecs, fusers or gRPC. Both services
stand on it. What a new model family needs is in card.py (its RoPE and windows) and nowhere else.
"""
