// Kernels to slide: known ones by name, and any nine whole numbers.

export const NAMES = ["vertical", "horizontal", "outline", "blur"] as const;
export type Name = (typeof NAMES)[number];
export type Taps = readonly number[];

export const KNOWN: Readonly<Record<Name, Taps>> = {
  vertical: [-1, 0, 1, -2, 0, 2, -1, 0, 1],
  horizontal: [-1, -2, -1, 0, 0, 0, 1, 2, 1],
  outline: [0, -1, 0, -1, 4, -1, 0, -1, 0],
  blur: [1, 1, 1, 1, 1, 1, 1, 1, 1],
};

/** So that a product, up to 16 times this, is two digits. */
export const LARGEST_TAP = 6;

/** The known kernel with these taps. */
export const nameOf = (taps: Taps): Name | undefined => NAMES.find((name) => KNOWN[name].every((tap, k) => tap === taps[k]));

/** Taps as an address has them: the name, or `0_1_0_-1_...`. */
export const tapsText = (taps: Taps): string => nameOf(taps) ?? taps.join("_");

export function tapsFrom(text: string): Taps | undefined {
  const name = NAMES.find((known) => known === text);
  if (name) return KNOWN[name];
  const taps = text.split("_");
  return taps.length === 9 && taps.every((tap) => /^(0|-?[1-6])$/.test(tap)) ? taps.map(Number) : undefined;
}
