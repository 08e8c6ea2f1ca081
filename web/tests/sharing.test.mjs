// node --test tests/*.test.mjs
import assert from "node:assert/strict";
import { test } from "node:test";
import { load } from "./load.mjs";

const { answers, kernelOf, placed } = await load("parts/sharing/trained.ts");
const { mapOf, under } = await load("filter.ts");
const { movedRight } = await load("parts/sharing/sliding.ts");
const { plane, sharers, stops, MOST_CELLS } = await load("parts/sharing/sharers.ts");
const { KNOWN, nameOf, tapsFrom, tapsText } = await load("parts/sharing/taps.ts");
const { EXAMPLE, kernelAt, mended, outputsOf, shareText } = await load("setting.ts");

const SHARES = [
  { kind: "own" },
  { kind: "all" },
  ...[1, 2, 3, 5, 8, 40].flatMap((step) => [{ kind: "block", step }, { kind: "tile", step }]),
];

/** Small settings of every kind, each way to share. */
function* settings() {
  for (const [height, width] of [[1, 1], [3, 11], [8, 8], [13, 5], [30, 41]])
    for (const kernel of [1, 3])
      for (const stride of [1, 2])
        for (const padding of ["same", "valid"])
          for (const share of SHARES) yield mended({ ...EXAMPLE, height, width, kernel, stride, padding, share });
}

const named = (setting) => `${setting.height}x${setting.width} ${setting.kernel} ${setting.stride} ${setting.padding} ${shareText(setting.share)}`;

test("the count of units that share a kernel is that of the units with its name", () => {
  for (const setting of settings()) {
    const [rows, columns] = outputsOf(setting);
    const counts = new Map();
    for (let row = 0; row < rows; row++)
      for (let column = 0; column < columns; column++) {
        const name = kernelAt(setting, row, column);
        counts.set(name, (counts.get(name) ?? 0n) + 1n);
      }
    for (const [row, column] of [[0, 0], [rows - 1, columns - 1], [rows >> 1, columns >> 1]])
      assert.equal(sharers(setting, row, column), counts.get(kernelAt(setting, row, column)), named(setting));
  }
});

test("100,000 x 100,000 units share one kernel, and none of the digits is lost", () => {
  const setting = mended({ ...EXAMPLE, height: 100_000, width: 100_000 });
  assert.equal(sharers(setting, 0, 0), 10_000_000_000n);
});

test("the plane drawn is small, and cells of one colour are those of one kernel", () => {
  const large = SHARES.concat([13, 29, 64, 100, 500].flatMap((step) => [{ kind: "block", step }, { kind: "tile", step }]));
  for (const setting of [...settings(), ...large.map((share) => mended({ ...EXAMPLE, share }))]) {
    const { rows, columns, scale, kernels, rowsDrawn, columnsDrawn } = plane(setting);
    const [allRows, allColumns] = outputsOf(setting);
    assert.ok(rows <= MOST_CELLS && columns <= MOST_CELLS, named(setting));
    assert.ok(rowsDrawn <= allRows && columnsDrawn <= allColumns, named(setting));
    assert.ok((rows - 1) * scale < rowsDrawn && (columns - 1) * scale < columnsDrawn, named(setting));
    assert.equal(kernels.length, rows * columns);
    const colour = new Map();
    kernels.forEach((kernel, k) => {
      const name = kernelAt(setting, Math.floor(k / columns) * scale, (k % columns) * scale);
      assert.equal(colour.get(name) ?? kernel, kernel, named(setting));
      colour.set(name, kernel);
    });
    assert.equal(new Set(colour.values()).size, colour.size, named(setting));
  }
});

test("every cell of a block's plane is all of one kernel", () => {
  for (const step of [2, 13, 24, 29, 30, 64, 100, 500]) {
    const setting = mended({ ...EXAMPLE, share: { kind: "block", step } });
    const { scale, columns } = plane(setting);
    for (let column = 0; column < columns; column++) {
      const last = Math.min((column + 1) * scale, 1000) - 1;
      assert.equal(kernelAt(setting, 0, column * scale), kernelAt(setting, 0, last), `block ${step}`);
    }
  }
});

test("the ways to share run from most kernels to one, and hold the setting's own", () => {
  for (const setting of settings()) {
    const arrangement = setting.share.kind === "tile" ? "tile" : "block";
    const ways = stops(setting, arrangement);
    assert.equal(ways.filter((way) => shareText(way) === shareText(setting.share)).length, 1, named(setting));
    assert.deepEqual([ways[0], ways.at(-1)], [{ kind: "own" }, { kind: "all" }]);
    const counts = ways.map((share) => {
      const [rows, columns] = outputsOf(setting);
      const names = new Set();
      for (let row = 0; row < rows; row++) for (let column = 0; column < columns; column++) names.add(kernelAt({ ...setting, share }, row, column));
      return names.size;
    });
    assert.deepEqual(counts, counts.toSorted((a, b) => b - a), named(setting));
  }
});

const ramp = Array.from({ length: 12 }, (_, k) => k + 1); // 3 rows of 4

test("what is under a kernel, beyond the image too", () => {
  assert.deepEqual(under(ramp, 4, 1, 1), [1, 2, 3, 5, 6, 7, 9, 10, 11]);
  assert.deepEqual(under(ramp, 4, 0, 3), [0, 0, 0, 3, 4, 0, 7, 8, 0]);
});

test("a kernel that copies, and one that looks to the right", () => {
  assert.deepEqual(mapOf(ramp, 4, [0, 0, 0, 0, 1, 0, 0, 0, 0]), ramp);
  assert.deepEqual(mapOf(ramp, 4, [0, 0, 0, 0, 0, 1, 0, 0, 0]), [2, 3, 4, 0, 6, 7, 8, 0, 10, 11, 12, 0]);
});

test("moving stays within the row and brings in what is outside", () => {
  assert.deepEqual(movedRight(ramp, 4, 1, 0), [0, 1, 2, 3, 0, 5, 6, 7, 0, 9, 10, 11]);
  assert.deepEqual(movedRight(ramp, 4, -2, undefined).slice(0, 4), [3, 4, undefined, undefined]);
  assert.deepEqual(movedRight(ramp, 4, 0, 0), ramp);
});

test("the map of a moved image is the moved map, away from the edge", () => {
  const image = Array.from({ length: 64 }, (_, k) => (k % 8 === 7 ? 0 : (k * 37) % 17)); // nothing is pushed out
  for (const taps of [...Object.values(KNOWN), [3, -1, 4, 1, -5, 9, 2, -6, 5]]) {
    const after = mapOf(movedRight(image, 8, 1, 0), 8, taps);
    const along = movedRight(mapOf(image, 8, taps), 8, 1, undefined);
    along.forEach((value, k) => value === undefined || assert.equal(after[k], value));
  }
});

test("taps as an address has them", () => {
  for (const taps of [...Object.values(KNOWN), [0, -6, 6, 1, 2, 3, -4, 5, 0]]) assert.deepEqual(tapsFrom(tapsText(taps)), taps);
  assert.equal(nameOf([0, -1, 0, -1, 4, -1, 0, -1, 0]), "outline");
  for (const wrong of ["", "sharp", "1_2_3", "0_1_0_1_7_1_0_1_0", "0_1_0_1_x_1_0_1_0", "0_1_0_1_-0_1_0_1_0"]) assert.equal(tapsFrom(wrong), undefined, wrong);
});

/** A stored network of whole numbers below 2048, which float16 holds exactly. */
function network(share, rows, columns, kernels, biases, maps = 1) {
  const halves = (values) =>
    Buffer.from(
      values.flatMap((value) => {
        if (value === 0) return [0, 0];
        const exponent = Math.floor(Math.log2(Math.abs(value)));
        const bits = (value < 0 ? 0x8000 : 0) | ((exponent + 15) << 10) | ((Math.abs(value) / 2 ** exponent - 1) * 1024);
        return [bits & 0xff, bits >> 8];
      }),
    ).toString("base64");
  return {
    share,
    hidden: { kind: "blocks", share, kernel: 3, maps },
    tensors: {
      "hidden.weight": { shape: [rows, columns, maps, 1, 3, 3], float16: halves(kernels.flat()) },
      "hidden.bias": { shape: [rows, columns, maps], float16: halves(biases) },
    },
  };
}

test("each quarter has its own kernel and bias, and ReLU follows", () => {
  const only = (place) => Array.from({ length: 9 }, (_, k) => (k === place ? 1 : 0));
  const kernels = [only(4), only(5), only(4).map((tap) => -tap), only(4)];
  const quarters = placed(network(4, 2, 2, kernels, [0, 0, 0, -1]), 0);
  assert.deepEqual(quarters.kernels.map((taps) => taps.map((tap) => tap + 0)), kernels.map((taps) => taps.map((tap) => tap + 0)));
  assert.deepEqual([kernelOf(quarters, 0, 3), kernelOf(quarters, 3, 4), kernelOf(quarters, 4, 0), kernelOf(quarters, 7, 7)], [0, 1, 2, 3]);
  const pixels = Array.from({ length: 64 }, (_, k) => 2 * (k % 8));
  const got = answers(quarters, pixels);
  const row = (at) => got.slice(8 * at, 8 * at + 8).map((value) => 8 * value);
  assert.deepEqual(row(0), [0, 1, 2, 3, 5, 6, 7, 0]);
  assert.deepEqual(row(7), [0, 0, 0, 0, 0, 0, 0, 0]);
  assert.deepEqual(answers(placed(network("all", 1, 1, [only(4)], [2]), 0), pixels).slice(0, 2), [2, 2.125]);
});

test("each map has its own kernels and biases; one that is not there is refused", () => {
  const fill = (value) => Array(9).fill(value);
  const two = network(4, 2, 2, [1, 2, 3, 4, 5, 6, 7, 8].map(fill), [0, 1, 0, 2, 0, 3, 0, 4], 2);
  assert.deepEqual([0, 1].map((map) => placed(two, map).kernels.map(([tap]) => tap)), [[1, 3, 5, 7], [2, 4, 6, 8]]);
  assert.deepEqual([0, 1].map((map) => placed(two, map).biases), [[0, 0, 0, 0], [1, 2, 3, 4]]);
  assert.throws(() => placed(two, 2), /a map 2/);
});
