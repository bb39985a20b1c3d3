"""The .mar file: what goes in, how it is written, what it holds, whether its weights are safe, where it lies."""
