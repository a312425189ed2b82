"""Verified tasks: from an environment's verdict to a reward, and to validation accuracy."""
