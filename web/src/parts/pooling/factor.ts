// How much fewer, as it is written, and whether what is written is all of it.

import { times } from "../../numbers";

export interface Less {
  readonly kind: "same" | "share" | "factor";
  readonly text: string;
  readonly exactly: boolean;
}

/** A factor from two up; below that a share says more. */
export function lessOf(before: bigint, after: bigint): Less {
  if (after >= before) return { kind: "same", text: "", exactly: true };
  // Whole thousandths, or undefined for what is written as a power of ten.
  const thousandths = (written: string) => {
    const number = Number(written.replaceAll(",", ""));
    return Number.isFinite(number) ? BigInt(Math.round(number * 1000)) : undefined;
  };
  if (before < 2n * after) {
    const share = String(Number(((100 * Number(before - after)) / Number(before)).toPrecision(2)));
    return { kind: "share", text: `${share} %`, exactly: thousandths(share)! * before === (before - after) * 100_000n };
  }
  const text = times(before, after);
  return { kind: "factor", text, exactly: before % after === 0n || (thousandths(text) ?? 0n) * after === before * 1000n };
}
