"""Where TorchServe runs: what the operations ask of a process tree or of a container."""
