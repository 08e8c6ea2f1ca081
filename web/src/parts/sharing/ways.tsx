// The ways to share, in words and as controls of the shared setting.

import type { JSX } from "preact";
import { Choice, Controls, NumberField, Slider, WindowControls } from "../../controls";
import { exact } from "../../numbers";
import { outputsOf, type Share } from "../../setting";
import { change, setting } from "../../state";
import { sameShare, stops, type Arrangement } from "./sharers";
import { arrangement } from "./state";
import { text } from "./text";

/** A way to share in words; `ways` or the shorter `waysShort`. */
export function wayText(share: Share, names: "ways" | "waysShort" = "ways"): string {
  const t = text()[names];
  return "step" in share ? t[share.kind](exact(share.step)) : t[share.kind];
}

/** How units that share are arranged: the setting's, and where it has none the last chosen. */
export function arranged(): Arrangement {
  const { share } = setting.value;
  return "step" in share ? share.kind : arrangement.value;
}

export const ways = (): Share[] => stops(setting.value, arranged());

export const chosenWay = (all: readonly Share[]): number => all.findIndex((share) => sameShare(share, setting.value.share));

export function WayControls(): JSX.Element {
  const t = text();
  const all = ways();
  const { share } = setting.value;
  const most = Math.max(...outputsOf(setting.value));
  return (
    <>
      <Controls>
        <Slider
          label={t.slider}
          value={chosenWay(all)}
          low={0}
          high={all.length - 1}
          show={(k) => wayText(all[k]!)}
          onChange={(k) => change({ share: all[k]! })}
        />
        <Choice
          label={t.arrangement}
          value={arranged()}
          options={[
            ["block", t.block],
            ["tile", t.tile],
          ]}
          onChange={(kind) => {
            arrangement.value = kind;
            if ("step" in share) change({ share: { kind, step: share.step } });
          }}
        />
        {"step" in share && (
          <NumberField
            label={share.kind === "block" ? t.blockSide : t.tileStep}
            value={share.step}
            low={1}
            high={most}
            onChange={(step) => change({ share: { kind: share.kind, step } })}
          />
        )}
      </Controls>
      <Controls>
        <WindowControls />
      </Controls>
    </>
  );
}
