"""A small AudioSR of random weights in the official layout; runs where the package is installed.

    python -I audiosr_small.py make WORKER FOLDER
    python -I audiosr_small.py compare WORKER FOLDER

WORKER is the path of `audiosr_worker.py`. `make` writes config.json and pytorch_model.bin and prints the
hash of the latter; `compare` holds the package's own loader against the worker's and prints JSON.
"""

import importlib.util
import json
import sys
from pathlib import Path

SEED, FRAMES, FROM_HZ = 0, 96000, 8000.0


def main() -> None:
    command, folder = sys.argv[1], Path(sys.argv[3])
    # Not by the path of imports: beside the worker lies a module of the package's name.
    spec = importlib.util.spec_from_file_location("audiosr_worker", sys.argv[2])
    worker = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(worker)
    worker._stay_offline()
    from audiosr.latent_diffusion.models import ddpm

    # It asks a hub for its configuration, which a test has not; sampling never asks it.
    ddpm.CLAPAudioEmbeddingClassifierFreev2 = worker._nothing()
    if command == "make":
        folder.mkdir()
        make(folder)
        print(worker.hash_of(folder / "pytorch_model.bin"))
    else:
        print(json.dumps(compare(worker, folder)))


def make(folder: Path) -> None:
    import torch
    from audiosr.latent_diffusion.models import ddpm

    parameters, vocoder = sizes()
    (folder / "config.json").write_text(json.dumps({"model": parameters, "vocoder": vocoder}))
    use_vocoder(vocoder)
    torch.manual_seed(SEED)
    model = ddpm.LatentDiffusion(**{**parameters, "device": "cpu"})
    model.scale_factor.fill_(0.33)
    # As official: with the moving averages and the captions' model, and what else training left there.
    state = {**model.state_dict(), "clap.model.logit_scale_a": torch.zeros(())}
    torch.save({"state_dict": state, "epoch": 3, "global_step": 7}, folder / "pytorch_model.bin")


def sizes() -> tuple[dict, dict]:
    from audiosr.utils import default_audioldm_config

    parameters = default_audioldm_config("basic")["model"]["params"]
    condition = parameters["cond_stage_config"]["concat_lowpass_cond"]["params"]
    for autoencoder in (parameters["first_stage_config"], condition["first_stage_config"]):
        autoencoder["params"]["ddconfig"].update(ch=32, ch_mult=[1, 1, 1, 1], num_res_blocks=1)
    parameters["unet_config"]["params"].update(
        model_channels=32,
        channel_mult=[1, 2],
        num_res_blocks=1,
        attention_resolutions=[2],
        num_head_channels=16,
    )
    return parameters, {
        "upsample_initial_channel": 32,
        "resblock_kernel_sizes": [3],
        "resblock_dilation_sizes": [[1, 3, 5]],
    }


def use_vocoder(fields: dict) -> None:
    from audiosr.utilities import model as vocoders

    whole = {**vocoders.get_vocoder_config_48k(), **fields}
    vocoders.get_vocoder_config_48k = lambda: whole


def compare(worker, folder: Path) -> dict:
    import numpy as np
    import torch
    import yaml
    from audiosr import pipeline

    config = json.loads((folder / "config.json").read_text())
    ours = worker.load_model(folder, "cpu")
    written = folder / "package.yaml"
    written.write_text(yaml.safe_dump({"model": {"params": config["model"]}}))
    pipeline.download_checkpoint = lambda name: str(folder / "pytorch_model.bin")
    theirs = pipeline.build_model(config=str(written), device="cpu")
    own, whole = ours.state_dict(), theirs.state_dict()
    wave = np.random.default_rng(0).standard_normal(FRAMES).astype(np.float32)
    made = [
        worker.extend(model, wave, FROM_HZ, steps=2, guidance=3.5, seed=1, progress=lambda share: None)
        for model in (ours, theirs)
    ]
    return {
        "tensors": len(own),
        "left_out": len(whole) - len(own),
        "same_weights": all(torch.equal(own[name], whole[name]) for name in own),
        "same_sound": bool(np.array_equal(*made)),
        "frames": len(made[0]),
        "finite": bool(np.isfinite(made[0]).all() and made[0].any()),
    }


if __name__ == "__main__":
    main()
