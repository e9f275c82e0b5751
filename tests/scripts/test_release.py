"""A release: version and changelog by one command, and what must not be in the files."""

import io
import tarfile
import zipfile

import pytest
from script_modules import load_script

release = load_script("release")

CHANGELOG = "# Changelog\n\n## Unreleased\n\n### Added\n- A thing.\n\n## 0.1.0 – 2026-01-01\n\n- The first.\n"


@pytest.fixture
def project(tmp_path):
    (tmp_path / "mixagent").mkdir()
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "mixagent"\nversion = "0.1.0"\n')
    (tmp_path / "mixagent" / "__init__.py").write_text('"""Mixing."""\n\n__version__ = "0.1.0"\n')
    (tmp_path / "CHANGELOG.md").write_text(CHANGELOG)
    return tmp_path


def test_version_and_changelog_are_set_together(project):
    release.set_version(project, "0.2.0", "2026-12-01")
    assert 'version = "0.2.0"' in (project / "pyproject.toml").read_text()
    assert '__version__ = "0.2.0"' in (project / "mixagent" / "__init__.py").read_text()
    assert (project / "CHANGELOG.md").read_text() == (
        "# Changelog\n\n## Unreleased\n\n## 0.2.0 – 2026-12-01\n\n### Added\n- A thing.\n\n"
        "## 0.1.0 – 2026-01-01\n\n- The first.\n"
    )


@pytest.mark.parametrize("version", ["0.1.0", "0.0.9", "two", "0.2.0; rm"])
def test_what_is_no_later_version_is_refused_and_nothing_is_changed(project, version):
    before = {path: path.read_bytes() for path in project.rglob("*") if path.is_file()}
    with pytest.raises(ValueError, match=r"version|later"):
        release.set_version(project, version, "2026-12-01")
    assert {path: path.read_bytes() for path in project.rglob("*") if path.is_file()} == before


def test_a_release_of_nothing_is_refused(project):
    (project / "CHANGELOG.md").write_text(
        "# Changelog\n\n## Unreleased\n\n## 0.1.0 – 2026-01-01\n- The first.\n"
    )
    with pytest.raises(ValueError, match="tells nothing"):
        release.set_version(project, "0.2.0", "2026-12-01")


def test_files_that_disagree_are_refused(project):
    (project / "mixagent" / "__init__.py").write_text('__version__ = "0.1.1"\n')
    with pytest.raises(ValueError, match="different versions"):
        release.set_version(project, "0.2.0", "2026-12-01")


def test_links_strangers_and_gaps_in_built_files_are_found(tmp_path):
    wheel, sdist = tmp_path / "m.whl", tmp_path / "m.tar.gz"
    with zipfile.ZipFile(wheel, "w") as archive:
        link = zipfile.ZipInfo("mixagent/pipeline")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "../pipeline")
        archive.writestr("pipeline/render.py", "")
    with tarfile.open(sdist, "w:gz") as archive:
        member = tarfile.TarInfo("m-1/mixagent/pipeline")
        member.type, member.linkname = tarfile.SYMTYPE, "../pipeline"
        archive.addfile(member)
        archive.addfile(tarfile.TarInfo("m-1/mixagent/py.typed"), io.BytesIO())
    told = {path.name: "\n".join(release.problems_of(path)) for path in (wheel, sdist)}
    for name in told:
        assert "mixagent/pipeline is a link" in told[name]
        assert "mixagent/pipeline/render.py is missing" in told[name]
    assert "pipeline is beside mixagent" in told["m.whl"]
    assert "py.typed is missing" not in told["m.tar.gz"]
