"""Talking to a running TorchServe."""
