"""Evaluates a language model on a task, one durable record per sample: `python -m evaluate --task gsm8k`.

Importing this package imports nothing else; torch comes in only where a model is loaded.
"""
