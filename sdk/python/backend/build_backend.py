# SPDX-License-Identifier: Apache-2.0

"""Builds bb-mcp (PEP 517, PEP 660) with nothing but the standard library.

It is a backend for this package alone: pure Python, one package under src/,
metadata from the [project] table of pyproject.toml, the version from
bb_mcp/_version.py.
"""

import ast
import base64
import hashlib
import io
import re
import tarfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "bb_mcp"
TAG = "py3-none-any"
# Archives are the same whenever they are built; zip knows no earlier year.
EPOCH = (1980, 1, 1, 0, 0, 0)


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    files = {str(path.relative_to(ROOT / "src")): path.read_bytes() for path in _sources()}
    return _wheel(wheel_directory, files)


def build_editable(wheel_directory, config_settings=None, metadata_directory=None):
    return _wheel(wheel_directory, {f"__editable__.{PACKAGE}.pth": f"{ROOT / 'src'}\n".encode()})


def build_sdist(sdist_directory, config_settings=None):
    base = f"{PACKAGE}-{_version()}"
    files = {path.relative_to(ROOT): path.read_bytes() for path in _sources()}
    for pattern in "pyproject.toml", "README.md", "LICENSE", "backend/*.py", "tests/*.py":
        files.update((path.relative_to(ROOT), path.read_bytes()) for path in sorted(ROOT.glob(pattern)))
    files["PKG-INFO"] = _metadata().encode()
    name = f"{base}.tar.gz"
    with tarfile.open(Path(sdist_directory) / name, "w:gz", format=tarfile.PAX_FORMAT) as archive:
        for path, content in files.items():
            entry = tarfile.TarInfo(f"{base}/{path}")
            entry.size, entry.mode = len(content), 0o644
            archive.addfile(entry, io.BytesIO(content))
    return name


def _wheel(directory, files):
    base = f"{PACKAGE}-{_version()}"
    info = f"{base}.dist-info"
    files = dict(files)
    files[f"{info}/METADATA"] = _metadata().encode()
    files[f"{info}/WHEEL"] = f"Wheel-Version: 1.0\nGenerator: {PACKAGE}\nRoot-Is-Purelib: true\nTag: {TAG}\n".encode()
    files[f"{info}/licenses/LICENSE"] = (ROOT / "LICENSE").read_bytes()
    files[f"{info}/RECORD"] = _record(files, f"{info}/RECORD").encode()
    name = f"{base}-{TAG}.whl"
    with zipfile.ZipFile(Path(directory) / name, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, content in files.items():
            entry = zipfile.ZipInfo(path, EPOCH)
            entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o100644 << 16
            archive.writestr(entry, content)
    return name


def _record(files, itself):
    lines = []
    for path, content in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        lines.append(f"{path},sha256={digest},{len(content)}\n")
    return "".join(lines) + f"{itself},,\n"


def _sources():
    return sorted(path for path in (ROOT / "src" / PACKAGE).rglob("*") if path.suffix == ".py" or path.name == "py.typed")


def _version():
    text = (ROOT / "src" / PACKAGE / "_version.py").read_text(encoding="utf-8")
    return re.search(r'^__version__ = "([^"]+)"$', text, re.MULTILINE).group(1)


def _project():
    """The [project] table: its values are spelled alike in TOML and Python."""
    table = (ROOT / "pyproject.toml").read_text(encoding="utf-8").split("\n[project]\n", 1)[1]
    found = re.findall(r"^([a-z-]+) = (\"[^\n]*\"|\[.*?\])$", table, re.MULTILINE | re.DOTALL)
    return {key: ast.literal_eval(value) for key, value in found}


def _metadata():
    project = _project()
    lines = [
        "Metadata-Version: 2.4",
        f"Name: {project['name']}",
        f"Version: {_version()}",
        f"Summary: {project['description']}",
        f"Keywords: {','.join(project['keywords'])}",
        f"License-Expression: {project['license']}",
        "License-File: LICENSE",
        f"Requires-Python: {project['requires-python']}",
    ]
    lines += [f"Classifier: {classifier}" for classifier in project["classifiers"]]
    lines += [f"Requires-Dist: {requirement}" for requirement in project["dependencies"]]
    readme = (ROOT / project["readme"]).read_text(encoding="utf-8")
    return "\n".join([*lines, "Description-Content-Type: text/markdown", "", readme])
