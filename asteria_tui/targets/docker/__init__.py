"""TorchServe in a container of the Docker engine."""
