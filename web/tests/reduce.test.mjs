import assert from "node:assert/strict";
import { test } from "node:test";
import { load } from "./load.mjs";

const { BITMAP, counted, reduce } = await load("parts/network/reduce.ts");
const { SIDE } = await load("networks.ts");

const arc = (x, y, rx, ry, from, to, steps = 32) =>
  Array.from({ length: steps + 1 }, (_, k) => {
    const angle = ((from + ((to - from) * k) / steps) * Math.PI) / 180;
    return [x + rx * Math.cos(angle), y + ry * Math.sin(angle)];
  });
const SHAPES = {
  zero: [arc(0.5, 0.5, 0.25, 0.35, -90, 270)],
  two: [[...arc(0.5, 0.35, 0.2, 0.2, -170, 30), [0.3, 0.85], [0.72, 0.85]]],
  four: [[[0.6, 0.1], [0.2, 0.6], [0.8, 0.6]], [[0.6, 0.35], [0.6, 0.9]]],
  eight: [[...arc(0.5, 0.3, 0.16, 0.18, 90, -270), ...arc(0.5, 0.68, 0.2, 0.2, -90, 270)]],
};
const change = (strokes, move) => strokes.map((stroke) => stroke.map(move));
const ink = (bitmap) => bitmap.reduce((sum, black) => sum + black, 0);
const extent = (bitmap) => {
  const black = [...bitmap.keys()].filter((k) => bitmap[k]);
  const rows = black.map((k) => Math.floor(k / BITMAP));
  const columns = black.map((k) => k % BITMAP);
  return [Math.min(...rows), Math.max(...rows), Math.min(...columns), Math.max(...columns)];
};
const different = (one, other) => one.reduce((sum, value, k) => sum + (value !== other[k]), 0);

test("nothing drawn is nothing seen", () => {
  for (const strokes of [[], [[]]]) {
    const { bitmap, pixels } = reduce(strokes);
    assert.equal(ink(bitmap), 0);
    assert.deepEqual(pixels, new Array(SIDE * SIDE).fill(0));
  }
});

test("a drawing fills the rows and about 20 columns in the middle, with as much ink as the set has", () => {
  for (const [name, strokes] of Object.entries(SHAPES)) {
    const { bitmap } = reduce(strokes);
    const [top, bottom, left, right] = extent(bitmap);
    assert.ok(top <= 1 && bottom >= BITMAP - 2, `${name}: rows ${top} to ${bottom}`);
    assert.ok(Math.abs(right - left + 1 - 20) <= 2, `${name}: columns ${left} to ${right}`);
    assert.ok(Math.abs(left + right + 1 - BITMAP) <= 2, `${name}: columns ${left} to ${right}`);
    assert.ok(ink(bitmap) >= 261 && ink(bitmap) <= 368, `${name}: ${ink(bitmap)} black pixels`);
  }
});

test("where and how large it is drawn changes nothing but the rounding", () => {
  const moves = [([x, y]) => [x * 0.3 + 0.6, y * 0.3], ([x, y]) => [x * 0.9, y * 0.9 + 0.1], ([x, y]) => [x * 0.5 + 0.2, y * 0.8]];
  for (const [name, strokes] of Object.entries(SHAPES)) {
    const still = reduce(strokes).bitmap;
    for (const move of moves) {
      assert.ok(different(still, reduce(change(strokes, move)).bitmap) <= 8, name);
    }
  }
});

test("a slant is straightened", () => {
  for (const name of ["two", "four"]) {
    const still = reduce(SHAPES[name]).bitmap;
    const slanted = reduce(change(SHAPES[name], ([x, y]) => [x + 0.3 * (0.5 - y), y])).bitmap;
    assert.ok(different(still, slanted) <= 60, `${name}: ${different(still, slanted)}`);
  }
  const [, , left, right] = extent(reduce([[[0.7, 0.1], [0.4, 0.9]]]).bitmap);
  assert.ok(right - left + 1 <= 10, `a slanted line stands upright: columns ${left} to ${right}`);
});

test("a dot and a dash stay what they are, in the middle", () => {
  for (const strokes of [[[[0.2, 0.8]]], [[[0.1, 0.5], [0.1, 0.5]]], [[[0.3, 0.4], [0.7, 0.4]]]]) {
    const [top, bottom, left, right] = extent(reduce(strokes).bitmap);
    assert.ok(Math.abs(top + bottom + 1 - BITMAP) <= 1 && Math.abs(left + right + 1 - BITMAP) <= 1);
    assert.ok(bottom - top < 16 && right - left < 24);
  }
});

test("the counts are those of 4×4 blocks", () => {
  const bitmap = new Uint8Array(BITMAP * BITMAP);
  for (const [row, column] of [[0, 0], [3, 3], [3, 4], [31, 31]]) bitmap[row * BITMAP + column] = 1;
  const pixels = counted(bitmap);
  assert.deepEqual([pixels[0], pixels[1], pixels[63]], [2, 1, 1]);
  assert.equal(counted(new Uint8Array(BITMAP * BITMAP).fill(1)).every((count) => count === 16), true);
  for (const strokes of Object.values(SHAPES)) {
    const drawn = reduce(strokes);
    assert.equal(drawn.pixels.reduce((sum, count) => sum + count, 0), ink(drawn.bitmap));
  }
});
