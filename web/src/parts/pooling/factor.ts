// The pooling factor as it is written, and whether what is written is all of it.

import { times } from "../../numbers";

export function factorOf(before: bigint, after: bigint): { text: string; exactly: boolean } {
  const text = times(before, after);
  // What does not divide is written with a few digits: exact only where they give `before` back.
  const written = Number(text.replaceAll(",", ""));
  const exactly = before % after === 0n || BigInt(Math.round(written * 1000)) * after === before * 1000n;
  return { text, exactly };
}
