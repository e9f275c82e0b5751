"""AudioSR in a process and an environment of its own; it imports nothing of mixagent.

    python -I audiosr_worker.py pull FOLDER REPOSITORY REVISION FILE SHA256
    python -I audiosr_worker.py convert FOLDER FILE SHA256
    python -I audiosr_worker.py serve FOLDER DEVICE THREADS

`pull` fetches the official weights and hands them to `convert`, which checks their SHA-256, reads them
without running what a pickle may hold (`weights_only`), and writes what a run needs of them to FOLDER as
`weights.safetensors` with `config.json`. `serve` loads that folder and answers requests, one JSON object
a line on stdin:

    {"input": PATH, "output": PATH, "from_hz": 8000.0, "steps": 50, "guidance": 3.5, "seed": 0}

Files are raw float32, one channel at 48 kHz, at most `LONGEST_FRAMES` long; the input ends at `from_hz`. Each
command tells what it does on stdout, one JSON object a line, whose `event` is `ready`, `progress` (with the
`share` of the request), `done` or `failed` (with `why`, and then the process ends); `peak_bytes` is the most
memory that it held so far, where the system says. `serve` ends when stdin does, whatever it is at.
"""

from __future__ import annotations

import hashlib
import json
import os
import queue
import sys
import threading
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

RATE = 48000
LONGEST_FRAMES = 491520
"""10.24 s, the length that the model was trained on; it works in steps of half of that."""

CONFIG, WEIGHTS = "config.json", "weights.safetensors"

_QUANTUM = LONGEST_FRAMES // 2
_HOP = 480
_MEL_BANDS, _MEL_LOW_HZ, _MEL_HIGH_HZ = 256, 20, 24000
_PEAK = 0.5
# Training's moving averages, the model that ranked captions, and of the second autoencoder what comes after
# its encoder: sampling asks for none of them.
_UNUSED = ("clap.", "model_ema.")
_UNUSED_OF_CONDITION = (".vae.decoder.", ".vae.post_quant_conv.", ".vae.vocoder.")
# Made anew from the configuration wherever a file lacks them.
_SCHEDULE = ("alphas", "betas", "log_one", "logvar", "lvlb", "posterior_", "sqrt_")


def main() -> None:
    """Run the command of the command line; an error becomes a line on stdout, and exit status 1."""
    # Whatever the packages print goes to stderr: stdout is for events.
    events = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    command, folder, *rest = sys.argv[1:]
    try:
        if command == "pull":
            pull(Path(folder), *rest)
        elif command == "convert":
            convert(Path(folder), Path(rest[0]), rest[1])
        else:
            serve(Path(folder), rest[0], int(rest[1]), events)
    except Exception as error:  # The parent knows nothing else of what went wrong.
        tell(events, "failed", why=_said(error))
        raise
    tell(events, "done")


def tell(events: IO[str], event: str, **values: object) -> None:
    """Write an event."""
    events.write(json.dumps({"event": event, "peak_bytes": _peak_bytes(), **values}) + "\n")
    events.flush()


def _peak_bytes() -> int | None:
    try:
        import resource
    except ImportError:
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _said(error: Exception) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


# --- weights ---------------------------------------------------------------------------------------------


def pull(folder: Path, repository: str, revision: str, name: str, sha256: str) -> None:
    """Fetch the official file, convert it and delete it; what was fetched before is not fetched again."""
    from huggingface_hub import hf_hub_download

    there = folder / "download"
    fetched = Path(hf_hub_download(repository, name, revision=revision, local_dir=there))
    convert(folder, fetched, sha256, {"repository": repository, "revision": revision, "file": name})
    fetched.unlink()


def convert(folder: Path, file: Path, sha256: str, source: dict[str, str] | None = None) -> None:
    """Write the tensors of a checkpoint that a run needs as safetensors, and the configuration with hashes.

    Raises:
        ValueError: the file is not the one whose SHA-256 was given.
    """
    import torch
    from safetensors.torch import save_file

    found = hash_of(file)
    if found != sha256:
        raise ValueError(f"{file.name} is not the expected file: its SHA-256 is {found}")
    state = torch.load(file, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(file))[
        "state_dict"
    ]
    kept = {
        name: value.contiguous().clone()
        for name, value in state.items()
        if needed(name) and isinstance(value, torch.Tensor)
    }
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f"{WEIGHTS}.part"
    save_file(kept, part)
    config = json.loads((folder / CONFIG).read_text()) if (folder / CONFIG).is_file() else {}
    config |= {"source": {**(source or {}), "sha256": sha256}, "weights_sha256": hash_of(part)}
    part.replace(folder / WEIGHTS)
    # Last: the folder counts as whole once the configuration names its weights.
    (folder / f"{CONFIG}.part").write_text(json.dumps(config, indent=2) + "\n")
    (folder / f"{CONFIG}.part").replace(folder / CONFIG)


def needed(name: str) -> bool:
    """True if sampling asks for this tensor."""
    of_condition = name.startswith("cond_stage_models.")
    return not name.startswith(_UNUSED) and not (
        of_condition and any(part in name for part in _UNUSED_OF_CONDITION)
    )


def hash_of(path: Path) -> str:
    """The SHA-256 of a file, in hex."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 22):
            digest.update(block)
    return digest.hexdigest()


# --- the model -------------------------------------------------------------------------------------------


def load_model(folder: Path, device: str) -> Any:
    """The package's own model on the weights of a folder, checked by their SHA-256.

    The configuration may hold `model`, the parameters of another size of it, and `vocoder`, fields that
    differ from the package's vocoder; without them it is the official size.

    Raises:
        ValueError: the weights are not those of the configuration, or do not fit the model.
    """
    config = json.loads((folder / CONFIG).read_text())
    if hash_of(folder / WEIGHTS) != config["weights_sha256"]:
        raise ValueError(f"{folder / WEIGHTS} is not the file that {CONFIG} names")
    _stay_offline()
    from audiosr.latent_diffusion.models import ddpm
    from audiosr.utilities import model as vocoders
    from audiosr.utils import default_audioldm_config

    ddpm.CLAPAudioEmbeddingClassifierFreev2 = _nothing()
    if "vocoder" in config:
        fields = {**vocoders.get_vocoder_config_48k(), **config["vocoder"]}
        vocoders.get_vocoder_config_48k = lambda: fields
    parameters = config.get("model") or default_audioldm_config("basic")["model"]["params"]
    # The moving averages are training's; the device is where the condition's autoencoder is put at once.
    model = ddpm.LatentDiffusion(**{**parameters, "use_ema": False, "device": "cpu"})
    for stage in model.cond_stage_models:
        del stage.vae.decoder, stage.vae.post_quant_conv, stage.vae.vocoder
    _fill(model, folder / WEIGHTS)
    model.device = device
    return model.eval().to(device)


def _stay_offline() -> None:
    """The package asks a hub for a tokenizer when it is imported, and sampling never uses it."""
    os.environ["HF_HUB_OFFLINE"] = os.environ["TRANSFORMERS_OFFLINE"] = "1"
    import transformers

    transformers.RobertaTokenizer.from_pretrained = classmethod(lambda *_, **__: None)


def _nothing() -> type:
    """Takes the place of the model that ranked captions: 0.8 GB that sampling never asks."""
    import torch

    class Nothing(torch.nn.Module):
        def __init__(self, *_: Any, **__: Any) -> None:
            super().__init__()

    return Nothing


def _fill(model: Any, path: Path) -> None:
    """Copy the weights in, a tensor at a time, and miss none that is not made anew.

    The package itself would let missing ones be, and sing with random numbers in their place.
    """
    import torch
    from safetensors import safe_open

    own = model.state_dict()
    with safe_open(path, framework="pt") as file, torch.no_grad():
        names = set(file.keys())
        missing = [name for name in own if name not in names and not name.startswith(_SCHEDULE)]
        if missing:
            raise ValueError(f"{path} lacks {len(missing)} tensors of the model, {missing[0]} among them")
        for name in sorted(names & own.keys()):
            tensor = file.get_tensor(name)
            if tensor.shape != own[name].shape:
                raise ValueError(f"{path}: {name} is {tuple(tensor.shape)} and not {tuple(own[name].shape)}")
            own[name].copy_(tensor)


# --- requests --------------------------------------------------------------------------------------------


def serve(folder: Path, device: str, threads: int, events: IO[str]) -> None:
    """Load the model and answer requests until stdin ends."""
    requests = _requests()
    import torch

    torch.set_num_threads(max(threads, 1))
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    model = load_model(folder, device)
    tell(events, "ready", device=device)
    while True:
        answer(model, requests.get(), events)
        tell(events, "done")


def _requests() -> queue.Queue[dict[str, Any]]:
    """What stdin says. When it ends, so does this process: its parent is gone or wants no more."""
    found: queue.Queue[dict[str, Any]] = queue.Queue()

    def read() -> None:
        for line in sys.stdin:
            found.put(json.loads(line))
        os._exit(0)

    threading.Thread(target=read, daemon=True).start()
    return found


def answer(model: Any, request: dict[str, Any], events: IO[str]) -> None:
    """Extend the highs of one file and write the result, as long as the input, at a level of its own."""
    import numpy as np

    wave = np.fromfile(request["input"], "<f4")
    extended = extend(
        model,
        wave,
        request["from_hz"],
        steps=request["steps"],
        guidance=request["guidance"],
        seed=request["seed"],
        progress=lambda share: tell(events, "progress", share=share),
    )
    extended.astype("<f4").tofile(request["output"])


def extend(
    model: Any, wave: Any, from_hz: float, *, steps: int, guidance: float, seed: int, progress: Any
) -> Any:
    """The package's own sampling, told where the song ends.

    The package measures the end itself, by a share of the magnitudes that lies far too low in most music,
    filters there by a filter drawn at random, and puts the song back below it. Here the caller did the
    first, and does the last.

    Args:
        model: of `load_model`.
        wave: float32 (frames,), at most `LONGEST_FRAMES`, nothing above `from_hz`.
        from_hz: where it ends.
        steps: of the sampler.
        guidance: how closely it keeps to what is there.
        seed: of the noise that it begins with.
        progress: called with the share that is done.
    """
    import audiosr
    import librosa
    import numpy as np
    import torch
    from audiosr.latent_diffusion.models import ddim
    from audiosr.utils import normalize_wav, pad_wav, wav_feature_extraction

    frames = len(wave)
    length = -(-frames // _QUANTUM) * _QUANTUM
    padded = torch.from_numpy(pad_wav(normalize_wav(wave)[None], length).astype(np.float32))
    mel, spectrum = wav_feature_extraction(padded, length // _HOP)
    batch = {
        "waveform": padded[None],
        "waveform_lowpass": padded[None],
        "log_mel_spec": mel[None],
        "lowpass_mel": mel[None],
        "stft": spectrum[None],
        "sampling_rate": RATE,
    }
    centres_hz = librosa.mel_frequencies(_MEL_BANDS + 2, fmin=_MEL_LOW_HZ, fmax=_MEL_HIGH_HZ)[1:-1]
    below = int(np.searchsorted(centres_hz, from_hz))
    model._locate_cutoff_freq = lambda *_: below
    model.postprocessing = lambda made, _: made

    def counted(values: Iterable[Any], *_: Any, total: int, **__: Any) -> Iterator[Any]:
        for done, value in enumerate(values):
            yield value
            # Decoding and the vocoder take about as long as a few steps.
            progress(0.95 * (done + 1) / total)

    ddim.tqdm = counted
    audiosr.seed_everything(seed)
    with torch.inference_mode():
        made = model.generate_batch(batch, ddim_steps=steps, unconditional_guidance_scale=guidance)
    return np.asarray(made, np.float32).reshape(-1)[:frames]


if __name__ == "__main__":
    main()
