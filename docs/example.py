"""From a model to vectors, a probe read-out, a steered text and a verdict, in twenty lines.

python docs/example.py          # about a minute on the bundled organism; needs no network
"""

# ruff: noqa: T201 (an example prints)

import torch

from emoexp import Steering, fit_vectors, load_model, load_stimuli, verify
from emoexp.models.prompts import Prompt, ask

EMOTIONS = ["happy", "sad", "calm", "desperate", "angry", "afraid", "loving", "proud"]

model, pack = load_model("bundled:organism", dtype="float32"), load_stimuli("bundled:organism")
vectors = fit_vectors(model, pack, layer=4, emotions=EMOTIONS)

scenario = next(s for s in pack.scenarios if s.emotion in EMOTIONS)
encoding = model.encode([ask(Prompt(scenario.text), model.config.format, model.tokenizer)])
residual = model.residuals(encoding, [vectors.layer])[0, 0, -1].double().numpy()
cosines = {name: vectors[name] @ residual / (residual @ residual) ** 0.5 for name in vectors.names}
print(f"{scenario.emotion}: read as {max(cosines, key=cosines.__getitem__)}", cosines)

opening = model.encode([ask(Prompt("How do you feel?"), model.config.format, model.tokenizer)])
added = torch.tensor(vectors["desperate"] * vectors.residual_norm, dtype=torch.float32)
steering = Steering({vectors.layer: added[None]}, torch.zeros_like(opening.mask))
print(
    "steered with desperate:", model.generate(opening, max_new_tokens=20, steering=steering).texts
)

result = verify(model, pack, only=["implicit"], layer=4, emotions=EMOTIONS)
for v in result.verdicts:
    print(v.id, v.name, f"{v.value:g}", f"({v.ci_low:g} .. {v.ci_high:g})", "passed:", v.passed)
