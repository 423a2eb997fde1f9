"""Fixtures for the tests of the stand-ins themselves."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes import github_scene
from tests.fakes.github_scene import Client, Receiver, Scene


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    with github_scene.scene(tmp_path) as made:
        yield made


@pytest.fixture
def client(scene: Scene) -> Client:
    return Client(scene, scene.token())


@pytest.fixture
def receiver(scene: Scene) -> Iterator[Receiver]:
    with github_scene.receiver() as made:
        scene.fake.webhook(made.url, github_scene.SECRET)
        yield made
        scene.fake.settle()
        scene.fake.webhook(None)
