"""The sampler bench: chains run here and now on the saved energy, watched step by step, their ends decoded on request."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import streamlit as st
from safetensors.numpy import save_file

from workbench.app import energy_panels, frame, latent_space
from workbench.app.energy_panels import Scene
from workbench.views.energy import landscape, sampler, slices, snapshots
from workbench.views.energy.sampler import Walk

STARTS = ("reference", "codes", "picked point")
KERNELS = ("ULA", "MALA", "wrong sign")
DECODE_SECONDS = 300
DECODED = 4


def bench_panel(at: Scene) -> None:
    """Controls, chains, picture, and decoded ends of the cursor's task."""
    task = at.here.task if at.here.task in at.energy.symbols else at.energy.symbols[0]
    energy_config = at.here.run.config.get("energy") or {}
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium", key="bench_controls"):
        kernel = (
            st.segmented_control(
                "Kernel",
                KERNELS,
                default="ULA",
                required=True,
                key="kernel",
                bind="query-params",
            )
            or "ULA"
        ).lower()
        steps = int(
            st.slider("K, steps", 1, 200, min(max(int(energy_config.get("steps") or 20), 1), 200), key="k", bind="query-params", width=140)
        )
        delta = float(
            st.slider(
                "δ, step size",
                0.02,
                1.5,
                float(np.clip(float(energy_config.get("delta") or 0.4), 0.02, 1.5)),
                0.02,
                key="delta",
                bind="query-params",
                width=140,
                help="Pang's δ: drift δ²/2, noise δ",
            )
        )
        start = st.selectbox("Start", STARTS, key="start", bind="query-params", width=150) or STARTS[0]
        count = int(st.slider("Chains", 1, 128, 32, key="n", bind="query-params", width=110))
        seed = int(st.number_input("Seed", 0, 10_000, 0, key="bseed", bind="query-params", width=100))
    st.caption(f"Task {task} at iteration {at.iteration:,}. {sampler.KERNELS[kernel]}.")
    if kernel == "wrong sign":
        st.warning(
            "w' = w − s ∇log p(w) + √(2s) ε, as the paper's summary prints it. Since log p = −U up to a constant, this "
            "goes UP the energy: the samples run away. A sampler of exp(−U) takes w' = w − s ∇U(w) + √(2s) ε.",
            icon=":material/warning:",
        )
    elif delta**2 / 2 >= 2 * at.energy.sigma**2:
        st.warning(
            f"δ²/2 = {delta**2 / 2:.2f} is not below 2σ² = {2 * at.energy.sigma**2:.2f}: the chain diverges even on the reference.",
            icon=":material/warning:",
        )
    begin = starts(at, task, start, count, seed)
    if begin is None:
        return
    chains = sampler.walk(at.energy, task, begin, steps, delta, kernel, seed)
    mine = at.codes.of(task) if at.codes is not None else begin[:0]
    where = slices.extent(
        at.slice, mine, begin, sampler.reference_starts(at.energy, task, 200, 0), margin=0.25 if kernel != "wrong sign" else 1.5
    )
    values = slices.field(at.energy, at.slice, *where.axes(81), "U", task)
    known = latent_space.data_energy(at.energy, at.codes, task)
    seen = np.concatenate([known, chains.energy.ravel() if kernel != "wrong sign" else chains.energy[0]])
    background = landscape.heatmap(values, where, at.slice, "U", slices.color_range([values], "U", include=seen))
    figure = sampler.bench(background, chains, at.slice, where, known, dark=at.here.dark)
    frame.chart(
        figure,
        key="bench",
        alt=f"{count} chains of {steps} steps over U of {task}, and their energies by step",
        data=lambda: walk_rows(chains),
        name=f"{at.here.run.name}-bench",
    )
    st.text(sampler.verdict(at.energy, chains, known, delta, kernel))
    st.caption(
        f"Play, or drag the step. Chains are projected to the slice ({at.slice.name}) and coloured by their true U; the "
        "large dot is chain 0. Up to 64 are drawn."
    )
    decode_panel(at, task, chains)


def starts(at: Scene, task: str, kind: str, count: int, seed: int) -> np.ndarray | None:
    """Start points [count, d]; None (with the reason said) where there are none."""
    if kind == "codes":
        mine = at.codes.of(task) if at.codes is not None else np.empty((0, 0))
        if not len(mine):
            st.info(f"No codes of {task} were saved at this moment; choose another start.", icon=":material/block:")
            return None
        return mine[np.random.default_rng([seed, 3]).integers(len(mine), size=count)].astype(np.float64)
    if kind == "picked point":
        point = energy_panels.picked(at)
        if point is None:
            st.info("No point is picked: click on the map, or write one under Point.", icon=":material/ads_click:")
            return None
        return np.repeat(point[None], count, axis=0)
    return sampler.reference_starts(at.energy, task, count, seed)


def walk_rows(chains: Walk) -> Any:
    import pandas as pd

    steps, count = chains.energy.shape
    return pd.DataFrame(
        {
            "chain": np.tile(np.arange(count), steps),
            "step": np.repeat(np.arange(steps), count),
            "nats": chains.energy.ravel(),
            "grad_norm": chains.grad_norm.ravel(),
        }
    )


def decode_panel(at: Scene, task: str, chains: Walk) -> None:
    """Text of the first chains' ends, through the run's own language model in a process of its own."""
    if not latent_space.has_language_model(at.here.run):
        st.info(
            "This run kept no weights of its language model, so nothing can be decoded. Set `recording.weights` to `last` "
            "or `tasks` when training.",
            icon=":material/block:",
        )
        nearest_decoded(at, task, chains)
        return
    if not st.button(f"Decode the ends of chains 0 to {min(DECODED, chains.z.shape[1]) - 1}", key="decode", icon=":material/translate:"):
        return
    with st.spinner("Loading the language model and decoding", show_time=True):
        texts, fault = decode(at.here.run.path, task, chains.z[-1, :DECODED])
    if fault:
        st.error("Decoding did not work.", icon=":material/report:")
        frame.text_block(fault, limit=1500)
    for k, text in enumerate(texts):
        st.caption(f"chain {k}: U {chains.energy[0, k]:.2f} → {chains.energy[-1, k]:.2f} nats")
        frame.text_block(text)
    if texts:
        st.caption("Decoded with the language model's last weights; at an earlier iteration it may have said something else.")


def nearest_decoded(at: Scene, task: str, chains: Walk) -> None:
    """In place of decoding: for the first ends, the nearest text that the run itself decoded from a chain."""
    moments = [value for value in snapshots.chain_iterations(at.here.run, task) if value <= max(at.here.iteration, at.iteration)]
    if not moments:
        return
    st.caption("The nearest texts that the run itself decoded from this task's chains, by distance in all dimensions")
    for k, end in enumerate(chains.z[-1, :DECODED]):
        for _, _, text, distance in latent_space.nearest_texts(at.here.run, end, None, [(moments[-1], task)]):
            st.caption(f"chain {k}: U {chains.energy[-1, k]:.2f} nats, {distance:.2f} away")
            frame.text_block(text, limit=600)


def decode(run: Path, task: str, z: np.ndarray) -> tuple[list[str], str]:
    """(texts, fault) of latents z [n, d] by `workbench sample` in a subprocess: torch never enters the app."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "z.safetensors"
        save_file({"z": np.ascontiguousarray(z, np.float32)}, file)
        command = [sys.executable, "-m", "workbench", "sample", str(run), "--task", task, "--z", str(file), "--json"]
        try:
            done = subprocess.run(
                command,
                capture_output=True,
                text=True,
                timeout=DECODE_SECONDS,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
            )
        except subprocess.TimeoutExpired:
            return [], f"No answer within {DECODE_SECONDS} seconds."
        except OSError as error:
            return [], str(error)
    if done.returncode:
        return [], (done.stderr or done.stdout).strip() or f"exit status {done.returncode}"
    return read_texts(done.stdout)


def read_texts(output: str) -> tuple[list[str], str]:
    """The texts of the last JSON list in what `workbench sample --json` printed."""
    begin = output.find("[")
    try:
        rows = json.loads(output[begin:]) if begin >= 0 else None
        return [str(row["text"]) for row in rows or []], "" if rows else f"No texts came back: {output[:300]}"
    except (ValueError, TypeError, KeyError):
        return [], f"What came back is no list of texts: {output[:300]}"
