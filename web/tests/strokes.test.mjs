import assert from "node:assert/strict";
import { test } from "node:test";
import { load } from "./load.mjs";

const { onGrid, strokesFrom, strokesText } = await load("parts/network/strokes.ts");

test("a drawing is read as it was written", () => {
  const drawn = [[[0, 0], [1, 1], [0.5, 0.123]], [[0.999, 0.001]]].map((stroke) => stroke.map(onGrid));
  assert.deepEqual(strokesFrom(strokesText(drawn)), drawn);
  assert.match(strokesText(drawn), /^[0-9a-z]{12}\.[0-9a-z]{4}$/);
});

test("points outside the pad are brought to its edge", () => assert.deepEqual(onGrid([-1, 2]), [0, 1]));

test("what is no drawing is none", () => {
  for (const wrong of ["", ".", "abc", "abcde", "abcd.", "abcd..abcd", "ABCD", "ab d", "a".repeat(16_004)]) assert.equal(strokesFrom(wrong), undefined, wrong.slice(0, 9));
});
