// A small image moved, and the largest of its numbers. Images are rows one after another.

/** An image moved to the right (left, where negative); what comes in from outside is `outside`. */
export function movedRight<T>(image: ArrayLike<T>, columns: number, by: number, outside: T): T[] {
  return Array.from(image, (_, k) => {
    const from = (k % columns) - by;
    return from < 0 || from >= columns ? outside : image[k - by]!;
  });
}

export const largest = (values: ArrayLike<number>): number => Array.from(values).reduce((most, value) => Math.max(most, Math.abs(value)), 0);
