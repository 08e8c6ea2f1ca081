import assert from "node:assert/strict";
import { test } from "node:test";
import { load } from "./load.mjs";

const { answerOf, forward, softmax } = await load("parts/network/forward.ts");

const SIDE = 8;
const MAPS = 2;
/** Whole numbers up to 2048 are halves exactly. */
function half(value) {
  if (value === 0) return 0;
  const exponent = Math.floor(Math.log2(Math.abs(value)));
  return (value < 0 ? 0x8000 : 0) | ((exponent + 15) << 10) | Math.round((Math.abs(value) / 2 ** exponent - 1) * 1024);
}
function stored(shape, value) {
  const count = shape.reduce((product, side) => product * side, 1);
  const view = new DataView(new ArrayBuffer(2 * count));
  for (let k = 0; k < count; k++) view.setUint16(2 * k, half(value(k)), true);
  return { shape, float16: Buffer.from(view.buffer).toString("base64") };
}
// Small whole numbers without a pattern that a wrong index would keep.
const mixed = (salt) => (k) => ((k * 7 + salt * 13 + ((k * k) % 11)) % 9) - 4;

function network(kind, kernels, { pool = null, pool_kind = "max", weight = mixed(1), bias = mixed(2) } = {}) {
  const side = pool ? Math.floor(SIDE / pool) : SIDE;
  const dense = kind === "dense";
  return {
    name: kind, pool, pool_kind,
    hidden: { kind, kernel: 3, maps: MAPS },
    tensors: {
      "hidden.weight": stored(dense ? [MAPS * SIDE * SIDE, SIDE * SIDE] : [kernels, kernels, MAPS, 1, 3, 3], weight),
      "hidden.bias": stored(dense ? [MAPS * SIDE * SIDE] : [kernels, kernels, MAPS], bias),
      "head.weight": stored([10, MAPS * side * side], mixed(3)),
      "head.bias": stored([10], mixed(4)),
    },
  };
}
const PIXELS = Array.from({ length: SIDE * SIDE }, (_, k) => (k * 5 + 3) % 17);

/** One hidden unit by the definition: its kernel is that of its block, taps outside the image are zero. */
function unit(map, row, column, kernels, weight, bias) {
  const block = Math.floor((row * kernels) / SIDE) * kernels + Math.floor((column * kernels) / SIDE);
  let sum = bias(block * MAPS + map);
  for (let i = -1; i <= 1; i++) {
    for (let j = -1; j <= 1; j++) {
      const [y, x] = [row + i, column + j];
      if (y < 0 || x < 0 || y >= SIDE || x >= SIDE) continue;
      sum += (weight((block * MAPS + map) * 9 + (i + 1) * 3 + j + 1) * PIXELS[y * SIDE + x]) / 16;
    }
  }
  return Math.max(sum, 0);
}

test("own kernels, blocks and one kernel are what the definition says", () => {
  for (const [kind, kernels] of [["local", 8], ["blocks", 4], ["blocks", 2], ["shared", 1]]) {
    const { hidden } = forward(network(kind, kernels), PIXELS);
    for (let k = 0; k < hidden.length; k++) {
      const [map, row, column] = [Math.floor(k / 64), Math.floor(k / 8) % 8, k % 8];
      assert.ok(Math.abs(hidden[k] - unit(map, row, column, kernels, mixed(1), mixed(2))) < 1e-5, `${kind} ${kernels}, unit ${k}`);
    }
  }
});

test("a dense layer with a local layer's weights in their places answers the same", () => {
  const local = network("local", 8);
  const dense = network("dense", 0, {
    weight: (k) => {
      const [unit, pixel] = [Math.floor(k / 64), k % 64];
      const [map, row, column] = [Math.floor(unit / 64), Math.floor(unit / 8) % 8, unit % 8];
      const [i, j] = [Math.floor(pixel / 8) - row + 1, (pixel % 8) - column + 1];
      return i < 0 || j < 0 || i > 2 || j > 2 ? 0 : mixed(1)(((row * 8 + column) * MAPS + map) * 9 + i * 3 + j);
    },
    bias: (unit) => mixed(2)((unit % 64) * MAPS + Math.floor(unit / 64)),
  });
  const [one, other] = [forward(local, PIXELS), forward(dense, PIXELS)];
  assert.deepEqual(one.hidden, other.hidden);
  assert.deepEqual(one.scores, other.scores);
});

test("pooling takes the largest or the mean of each window, and the head reads what is pooled", () => {
  for (const pool of [2, 3]) {
    for (const pool_kind of ["max", "average"]) {
      const { hidden, pooled } = forward(network("shared", 1, { pool, pool_kind }), PIXELS);
      const side = Math.floor(SIDE / pool);
      assert.equal(pooled.length, MAPS * side * side);
      pooled.forEach((value, k) => {
        const [map, row, column] = [Math.floor(k / (side * side)), Math.floor(k / side) % side, k % side];
        const window = Array.from({ length: pool * pool }, (_, tap) =>
          hidden[(map * SIDE + row * pool + Math.floor(tap / pool)) * SIDE + column * pool + (tap % pool)],
        );
        const expected = pool_kind === "max" ? Math.max(...window) : window.reduce((sum, x) => sum + x) / window.length;
        assert.ok(Math.abs(value - expected) < 1e-5);
      });
    }
  }
  assert.equal(forward(network("shared", 1), PIXELS).pooled, null);
});

test("the scores are the head's sums", () => {
  const { hidden, scores } = forward(network("shared", 1), PIXELS);
  scores.forEach((score, k) => {
    const sum = hidden.reduce((total, value, unit) => total + value * mixed(3)(k * hidden.length + unit), mixed(4)(k));
    assert.ok(Math.abs(score - sum) < 1e-3 * Math.max(1, Math.abs(sum)));
  });
});

test("softmax sums to 1, keeps the order and stands large scores", () => {
  for (const scores of [[1, 2, 3], [1000, 0, -1000], [-5000, -5001], new Array(10).fill(0)]) {
    const parts = softmax(scores);
    assert.ok(Math.abs(parts.reduce((sum, part) => sum + part) - 1) < 1e-12);
    assert.equal(answerOf(parts), answerOf(scores));
  }
});

test("an image of another size is refused by name", () => {
  assert.throws(() => forward(network("shared", 1), PIXELS.slice(1)), /64 pixels, not 63/);
});

test("a network without a tensor is refused by name", () => {
  const broken = network("shared", 1);
  delete broken.tensors["head.bias"];
  assert.throws(() => forward(broken, PIXELS), /shared has no head\.bias/);
});
