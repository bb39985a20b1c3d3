"""TorchServe as a process tree on this machine."""
