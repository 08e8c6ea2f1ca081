// What a small kernel does to a small image, number by number. Images and maps are rows one after another.

/** The values under a kernel of `side` × `side` centred on a place; beyond the image they are 0. */
export function under(image: ArrayLike<number>, columns: number, row: number, column: number, side = 3): number[] {
  const rows = image.length / columns;
  const reach = Math.floor((side - 1) / 2);
  return Array.from({ length: side * side }, (_, k) => {
    const y = row - reach + Math.floor(k / side);
    const x = column - reach + (k % side);
    return y < 0 || x < 0 || y >= rows || x >= columns ? 0 : image[y * columns + x]!;
  });
}

/** The sum of products at a place. */
export const productsSum = (values: ArrayLike<number>, taps: ArrayLike<number>): number =>
  Array.from(values, (value, k) => value * taps[k]!).reduce((sum, product) => sum + product, 0);

/** The map of one kernel over the whole image, as large as the image (padding "same"). */
export function mapOf(image: ArrayLike<number>, columns: number, taps: ArrayLike<number>): number[] {
  const side = Math.sqrt(taps.length);
  return Array.from(image, (_, k) => productsSum(under(image, columns, Math.floor(k / columns), k % columns, side), taps));
}
