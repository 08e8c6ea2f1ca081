// A length on the screen, as one would measure it.

const METRES_PER_PIXEL = 0.0254 / 96;

const UNITS = [
  [1e3, "km"],
  [1, "m"],
  [1e-2, "cm"],
  [1e-3, "mm"],
  [1e-6, "µm"],
  [1e-9, "nm"],
  [1e-12, "pm"],
] as const;

/** CSS pixels as a length, two digits: 7.1 cm, 0.71 µm. */
export function length(pixels: number): string {
  const metres = Number((pixels * METRES_PER_PIXEL).toPrecision(2));
  const [size, name] = UNITS.find(([size]) => metres >= size) ?? UNITS[UNITS.length - 1]!;
  return `${Number((metres / size).toPrecision(2)).toLocaleString("en-US")} ${name}`;
}
