"""Keeping transformers' own bars and warnings out of the user's sight."""

from __future__ import annotations


def quiet_transformers() -> None:
    """Errors still come through, as exceptions."""
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
