"""Stopping: the exception with which a user's Ctrl-C reaches the work in progress."""

from __future__ import annotations


class Stopped(KeyboardInterrupt):
    """The user wants the program to end; a plug-in's own KeyboardInterrupt is another thing."""
