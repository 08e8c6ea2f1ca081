// node --test tests/*.test.mjs
import assert from "node:assert/strict";
import { test } from "node:test";
import { load } from "./load.mjs";

const { fromHalf, tensor } = await load("tensors.ts");

const KNOWN = [
  [0x0000, 0],
  [0x0001, 2 ** -24], // the smallest above zero
  [0x03ff, 1023 * 2 ** -24], // the largest subnormal
  [0x0400, 2 ** -14], // the smallest normal
  [0x3555, 0.333251953125],
  [0x3bff, 0.99951171875],
  [0x3c00, 1],
  [0x3c01, 1.0009765625],
  [0xc000, -2],
  [0x7bff, 65504], // the largest
  [0x7c00, Infinity],
  [0xfc00, -Infinity],
  [0x7c01, NaN],
  [0xfe00, NaN],
];

test("half precision numbers that the standard names", () => {
  for (const [bits, value] of KNOWN) assert.equal(fromHalf(bits), value, bits.toString(16));
  assert.ok(Object.is(fromHalf(0x8000), -0));
});

test("every half grows with its bits and has its opposite", () => {
  for (let bits = 1; bits <= 0x7c00; bits++) {
    assert.ok(fromHalf(bits) > fromHalf(bits - 1), bits.toString(16));
    assert.equal(fromHalf(bits | 0x8000), -fromHalf(bits));
  }
});

const stored = (halves) =>
  Buffer.from(halves.flatMap((bits) => [bits & 0xff, bits >> 8])).toString("base64");

test("a tensor keeps its shape and order, and every half is one float32", () => {
  const all = Array.from({ length: 0x7c01 }, (_, bits) => bits);
  const { shape, values } = tensor({ shape: [all.length], float16: stored(all) });
  assert.deepEqual(shape, [all.length]);
  assert.deepEqual([...values], all.map(fromHalf));
  const small = tensor({ shape: [2, 3], float16: stored([0x3c00, 0xc000, 0, 0x3800, 0x4200, 0x4400]) });
  assert.deepEqual([...small.values], [1, -2, 0, 0.5, 3, 4]);
});

test("the same bytes as NumPy writes", () => {
  // base64.b64encode(numpy.array([[0.1, -0.3], [1e-7, 12345.678]], "<f2").tobytes())
  const { values } = tensor({ shape: [2, 2], float16: "Zi7NtAIAB3I=" });
  assert.deepEqual([...values], [0.0999755859375, -0.300048828125, 1.1920928955078125e-7, 12344]);
});

test("no number at all, and a scalar", () => {
  assert.equal(tensor({ shape: [0, 3], float16: "" }).values.length, 0);
  assert.deepEqual([...tensor({ shape: [], float16: stored([0x3c00]) }).values], [1]);
});

test("too few or too many bytes are refused with both counts", () => {
  for (const halves of [[], [1, 2, 3], [1, 2, 3, 4, 5]])
    assert.throws(() => tensor({ shape: [2, 2], float16: stored(halves) }), {
      name: "RangeError",
      message: `a tensor of 2×2 takes 8 bytes of float16, but ${2 * halves.length} are stored`,
    });
});
