"""Everything is written by `pipeline/files.py`: whole or not at all, through nobody's planted link."""

import ast
import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("pipeline", "reward", "envs", "policies", "mixagent")

WRITERS = {"write_text", "write_bytes", "rename", "symlink_to", "hardlink_to", "tofile", "save_file"}
WRITERS |= {"savez", "savez_compressed"}
TEMPORARY = {"TemporaryDirectory", "NamedTemporaryFile", "TemporaryFile", "mkdtemp", "mkstemp", "mktemp"}

ALLOWED = {
    "pipeline/files.py:atomically": "the one way to write",
    "pipeline/folders.py:temporary_folder": "the last place for a cache",
    "pipeline/types.py:DiskAudioWriter.__init__": "raw samples inside a stage's or a run's own folder",
    "pipeline/graph/cache.py:Cache._make": "inside the entry's folder, before it gets its name",
    "pipeline/graph/cache.py:Cache._publish": "the folder gets its name",
    "pipeline/graph/cache.py:Cache._use": "a line of the lease's list, written under the cache's lock",
    "pipeline/graph/cache.py:_out_of_the_way": "a folder loses its name before it is removed",
    "pipeline/io/encoding.py:_write": "the place that `atomically` gave",
    "pipeline/io/encoding.py:_make_reproducible": "the place that `atomically` gave",
    "pipeline/io/encoding.py:_refusal": "asks why the place that `atomically` gave cannot be written",
    "pipeline/io/decoding.py:_mpeg_blocks": "inside a scratch folder",
    "pipeline/plugins/processor.py:OpenPlugin.__init__": "memory that two processes share",
    "pipeline/plugins/worker.py:Plugged.open": "memory that two processes share",
    "pipeline/plugins/worker.py:_answers": "its own stdout",
    "pipeline/io/wav_chunks.py:append_chunks": "the place that `atomically` gave",
    "pipeline/finaliser/codecs.py:_encode_opus": "inside a scratch folder",
    "pipeline/matching/matchering.py:_write": "inside the stage's folder",
    "pipeline/separation/shifts.py:ShiftedSeparator.separate": "a folder inside the stage's",
    "pipeline/restoration/audiosr_process.py:Worker.__enter__": "inside the stage's folder",
    "pipeline/restoration/audiosr_process.py:Worker.extended": "inside the stage's folder",
    "pipeline/restoration/audiosr_worker.py:main": "its own stdout",
    "pipeline/restoration/audiosr_worker.py:convert": "imports nothing of this program; the name comes last",
    "pipeline/restoration/audiosr_worker.py:answer": "the place that its parent named",
    "mixagent/daw/dawproject.py:write_dawproject": "the place that `atomically` gave",
    "mixagent/daw/files.py:write_project": "the places that `atomically` gave",
    "mixagent/session/feedback.py:listen_to_song": "inside the stage's folder",
    "mixagent/session/stages.py:level": "inside the stage's folder",
    "mixagent/session/stems_stages.py:decode_tracks": "inside the stage's folder",
    "mixagent/api.py:_song_files": "inside a scratch folder",
    "mixagent/report/listening.py:mp3": "into memory",
    "mixagent/cli/app.py:_open_standard_streams": "nothing is kept",
    "mixagent/cli/streams.py:_read": "inside a scratch folder",
    "mixagent/cli/streams.py:_send": "into a pipe of the user's",
    "mixagent/client.py:Client._fetch": "the place that `atomically` gave",
    "mixagent/service/access.py:Signer.__init__": "a secret for its owner alone, made once",
    "mixagent/service/api/tus.py:_cut": "an upload's own file, which grows by pieces, under its lock",
    "mixagent/service/api/uploads.py:_copy": "an upload's own file, under its lock",
    "mixagent/service/api/uploads.py:write_body": "an upload's own file, under its lock",
    "mixagent/service/store/backup.py:_linked": "inside a backup's own folder",
    "mixagent/service/store/backup.py:_first_bytes": "inside a backup's own folder",
    "mixagent/service/store/backup.py:_table_of": "inside a backup's own folder",
    "mixagent/service/store/backup.py:_write": "inside a folder beside the one that is restored into",
    "mixagent/service/store/backup.py:_put_in_place": "what was checked gets its name, the database last",
    "mixagent/service/store/objects.py:ObjectBlobs._fetched": "a new file of the caller's own",
    "mixagent/service/worker/check_child.py:_check": "a pipe to its parent",
    "mixagent/service/worker/child.py:_own_stdout": "its own stdout",
    "mixagent/service/worker/sandbox.py:give_way_in_need": "a setting of the system for this process",
    "mixagent/service/worker/sandbox.py:leave_network": "a setting of the system for this process",
    "envs/pathologies.py:_mp3": "into memory",
    "policies/experience.py:_flac": "into memory",
}
"""What may write otherwise: file and function, and why."""


def files():
    for package in PACKAGES:
        # Through no links: they would be read twice.
        for folder, inner, names in os.walk(ROOT / package):
            inner[:] = sorted(inner)
            yield from (Path(folder) / name for name in sorted(names) if name.endswith(".py"))


class Writes(ast.NodeVisitor):
    """The calls that write, by the function that they stand in."""

    def __init__(self):
        self.scope, self.safe, self.found = [], 0, []

    def visit_scope(self, node):
        self.scope.append(node.name)
        self.generic_visit(node)
        self.scope.pop()

    visit_ClassDef = visit_FunctionDef = visit_AsyncFunctionDef = visit_scope

    def visit_With(self, node):
        names = {ast.unparse(item.context_expr.func) for item in node.items if is_call(item.context_expr)}
        inside = "atomically" in names
        for item in node.items:
            self.safe += inside
            self.visit(item)
            self.safe -= inside
        self.safe += inside
        for statement in node.body:
            self.visit(statement)
        self.safe -= inside

    def visit_Call(self, node):
        if writes(node) and not self.safe:
            self.found.append((".".join(self.scope), node.lineno, ast.unparse(node)[:80]))
        self.generic_visit(node)


def is_call(node):
    return isinstance(node, ast.Call)


def is_text(node):
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def writes(call):
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    texts = [each.value for each in ast.walk(call) if isinstance(each, ast.Constant)]
    modes = {
        text for text in texts if isinstance(text, str) and 0 < len(text) <= 3 and set(text) <= set("rwaxbt+")
    }
    writing = any(set(mode) & set("wax+") for mode in modes)
    if name in ("open", "SoundFile", "fdopen", "memmap", "open_memmap"):
        return writing
    if name == "replace":
        # A text's has two arguments and a dataclass's has names; a path's has one.
        return isinstance(call.func, ast.Attribute) and (
            (len(call.args) == 1 and not call.keywords) or ast.unparse(call.func) == "os.replace"
        )
    saving = ast.unparse(call.func) in ("soundfile.write", "np.save", "torch.save")
    return saving or name in WRITERS | TEMPORARY


def found():
    for path in files():
        visitor = Writes()
        visitor.visit(ast.parse(path.read_text(encoding="utf-8")))
        for scope, line, text in visitor.found:
            yield f"{path.relative_to(ROOT).as_posix()}:{scope}", line, text


def test_nothing_else_writes_renames_or_makes_temporary_files():
    others = [f"{place} (line {line}): {text}" for place, line, text in found() if place not in ALLOWED]
    assert not others, "write with pipeline/files.py:\n" + "\n".join(others)


def test_what_may_write_otherwise_still_does():
    assert set(ALLOWED) == {place for place, _, _ in found()} & set(ALLOWED)


@pytest.mark.parametrize(
    "code",
    [
        "open(path, 'w')",
        "path.open('ab')",
        "path.open(mode='r+b')",
        "path.write_text('')",
        "path.replace(other)",
        "os.replace(path, other)",
        "path.rename(other)",
        "soundfile.SoundFile(path, 'w', 44100, 2)",
        "torch.save(state, path)",
        "tempfile.NamedTemporaryFile()",
    ],
)
def test_what_writes_is_seen(code):
    visitor = Writes()
    visitor.visit(ast.parse(code))
    assert visitor.found


@pytest.mark.parametrize(
    "code",
    [
        "open(path)",
        "path.open('rb')",
        "text.replace('a', 'b')",
        "replace(request, song=None)",
        "soundfile.SoundFile(path)",
        "with atomically(path) as place:\n    torch.save(state, place)",
    ],
)
def test_what_does_not_is_not(code):
    visitor = Writes()
    visitor.visit(ast.parse(code))
    assert not visitor.found
