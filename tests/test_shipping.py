"""The image's recipe and the compose file: linted, valid, and true to what they are built of."""

import importlib.util
import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
SCRIPTS = Path(sys.executable).parent


def tool(name: str) -> str:
    """A program beside this Python or on the path; the test is skipped where it is not installed."""
    found = shutil.which(name, path=f"{SCRIPTS}") or shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed: pip install -e '.[dev]'")
    return found


def deployed(name: str):
    spec = importlib.util.spec_from_file_location(name, ROOT / "deploy" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def composed(*profiles: str) -> dict:
    words = [word for profile in profiles for word in ("--profile", profile)]
    command = [
        tool("docker-compose"),
        "--env-file",
        "deploy/env.example",
        *words,
        "config",
        "--format",
        "json",
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["services"]


def test_the_recipe_of_the_image_has_no_lint():
    done = subprocess.run(
        [tool("hadolint"), "Dockerfile"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_compose_file_is_valid_in_all_of_its_profiles():
    assert {"api", "worker", "redis", "postgres", "s3"} == set(composed())
    assert {"gpu", "proxy"} <= set(composed("gpu", "tls"))


def test_what_runs_our_code_cannot_write_to_its_image_nor_gain_privileges():
    services = composed("gpu")
    for name in ("api", "worker", "gpu"):
        assert services[name]["read_only"] is True
        assert services[name]["cap_drop"] == ["ALL"]
        assert "no-new-privileges:true" in services[name]["security_opt"]


def test_nothing_but_the_page_is_reached_from_outside():
    services = composed()
    assert [name for name, service in services.items() if service.get("ports")] == ["api"]
    assert services["api"]["ports"][0]["host_ip"] == "127.0.0.1"


def test_a_compose_file_without_words_of_ones_own_does_not_start(tmp_path):
    compose = shutil.copy(ROOT / "compose.yaml", tmp_path)
    command = [tool("docker-compose"), "-f", compose, "config", "--quiet"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env={}, check=False)
    assert done.returncode != 0
    assert "see deploy/env.example" in done.stderr


def test_all_that_is_copied_into_the_image_is_there_and_not_ignored():
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = set()
    for line in re.findall(r"^COPY (?!--from)(.+) \S+$", (ROOT / "Dockerfile").read_text(), re.MULTILINE):
        copied |= set(line.split())
    assert copied == kept
    assert all((ROOT / name).exists() for name in copied)


def test_the_images_packages_are_those_of_the_project():
    table = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    found = deployed("dependencies").dependencies(ROOT / "pyproject.toml", ["serve"])
    assert found == [*table["dependencies"], *table["optional-dependencies"]["serve"]]
    through = deployed("dependencies").dependencies(ROOT / "pyproject.toml", ["peers"])
    assert set(table["optional-dependencies"]["matchering"]) <= set(through)
    assert not any(requirement.startswith("mixagent[") for requirement in through)


def test_the_bill_of_materials_names_packages_and_weights_with_their_hashes():
    bill = deployed("sbom").bill()
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    parts = {part["bom-ref"]: part for part in bill["components"]}
    assert len(parts) == len(bill["components"])
    (numpy,) = (part for part in parts.values() if part["name"] == "numpy")
    assert numpy["purl"] == f"pkg:pypi/numpy@{numpy['version']}"
    assert numpy["licenses"]
    weights = [part for part in parts.values() if part["type"] == "machine-learning-model"]
    assert weights
    assert all(re.fullmatch("[0-9a-f]{64}", part["hashes"][0]["content"]) for part in weights)


def test_every_variable_that_the_compose_file_asks_for_is_in_the_example():
    asked = set(re.findall(r"\$\{(\w+):\?", (ROOT / "compose.yaml").read_text()))
    given = set(re.findall(r"^(\w+)=", (ROOT / "deploy" / "env.example").read_text(), re.MULTILINE))
    assert asked == given


def test_the_service_that_is_composed_is_the_one_that_is_documented():
    services = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
    page = (ROOT / "docs" / "deploy.md").read_text()
    assert all(f"`{name}`" in page for name in services)
