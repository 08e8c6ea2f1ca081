// Part 5: windows over windows, and how far a unit sees through them.

import type { JSX } from "preact";
import { exact, times } from "../../numbers";
import type { Part } from "../../part";
import { account } from "../../state";
import { Branching } from "./branches";
import { Cone } from "./cone";
import { Editor, Presets } from "./editor";
import { Effective } from "./effective";
import { Growth } from "./growth";
import { layersToSee } from "./stack";
import { fields, layers, side } from "./state";
import { text } from "./words";

/** The field's rule with the stack's own numbers: 1 + 2·1 + 2·1 + 1·1 + 2·2 = 10. */
function Formula(): JSX.Element {
  const t = text();
  const terms = layers.value.map(({ window }, k) => `${window - 1}·${exact(fields.value[k]!.stride)}`);
  return (
    <>
      <p>{t.formulaIntro}</p>
      <p class="stack-formula">
        <i>r</i> = 1 + (<i>k</i>₁ − 1) + (<i>k</i>₂ − 1)·<i>s</i>₁ + (<i>k</i>₃ − 1)·<i>s</i>₁·<i>s</i>₂ + …
      </p>
      <p>
        {t.formulaFor}
        {t.gap}
        <span class="stack-formula">
          1 + {terms.join(" + ")} = <b>{exact(fields.value[terms.length]!.size)}</b>
        </span>
      </p>
    </>
  );
}

function saved(): string {
  const t = text();
  const { pixels } = account.value;
  const reach = layersToSee(layers.value, side.value);
  if (!reach) return t.savedNever;
  const { layers: many, weights } = reach;
  if (many === 0) return t.savedNothing;
  if (weights === 0n) return t.savedPool;
  if (weights >= pixels) return t.savedMore(exact(many), exact(weights), exact(pixels));
  return t.saved(exact(many), exact(weights), exact(pixels), times(pixels, weights));
}

function View(): JSX.Element {
  const t = text();
  return (
    <>
      <p>{t.intro}</p>
      <p>{t.presetsIntro}</p>
      <Presets />
      <Cone />
      <Editor />
      <p class="small quiet">
        {t.fieldNote}
        {t.gap}
        {t.presetsNote}
      </p>
      <Formula />
      <p>{t.growthIntro(exact(side.value))}</p>
      <Growth />
      <p class="small quiet">{t.weightsNote}</p>
      <h3>{t.branchesHead}</h3>
      <p>{t.branchesIntro}</p>
      <Branching />
      <h3>{t.effectiveHead}</h3>
      <p>{t.effectiveIntro}</p>
      <Effective />
      <p>{t.effectiveNote}</p>
      <p>
        <strong>{t.savedHead}</strong>
        {t.gap}
        {saved()}
      </p>
      <p>
        <strong>{t.lostHead}</strong>
        {t.gap}
        {t.lost}
      </p>
    </>
  );
}

export const stack: Part = { id: "stack", title: () => text().title, View };
