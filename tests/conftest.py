from docker_engine import docker_engine, pytest_runtest_setup, torchserve_image, wheelhouse  # noqa: F401 fixtures
