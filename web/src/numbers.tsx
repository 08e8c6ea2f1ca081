// How numbers are written: exact, as powers, as bytes and as time, in both languages.

import type { JSX } from "preact";
import { BYTES_PER_SECOND, BYTES_PER_WEIGHT } from "./account";
import { language } from "./state";

type Whole = bigint | number;

/** 1,000,000: every digit. */
export const exact = (value: Whole): string => value.toLocaleString("en-US");

/** Rows × columns, never broken across lines: 1,000 × 1,000. */
export const extent = (...sides: readonly [rows: Whole | string, columns: Whole | string]): string =>
  sides.map((side) => (typeof side === "string" ? side : exact(side))).join("\u00a0×\u00a0");

/** The exponent where the value is a power of ten. */
export function exponent(value: Whole): number | undefined {
  const digits = String(value);
  return /^10+$/.test(digits) ? digits.length - 1 : undefined;
}

const SUPERSCRIPTS = "⁰¹²³⁴⁵⁶⁷⁸⁹";
const raised = (power: number) => [...String(power)].map((digit) => SUPERSCRIPTS[Number(digit)]).join("");

/** Short, as text: 10¹², 100, 4,608, 9.2×10⁹. Rounded above a million unless it is a power of ten. */
export function short(value: Whole): string {
  const power = exponent(value);
  if (power !== undefined && power > 3) return `10${raised(power)}`;
  const digits = String(value);
  if (digits.length <= 7) return exact(value);
  const leading = Number(`${digits[0]}.${digits.slice(1, 4)}`).toFixed(1);
  return leading === "10.0" ? `10${raised(digits.length)}` : `${leading}×10${raised(digits.length - 1)}`;
}

/** Short, for reading: 10 to a raised exponent. Screen readers get every digit. */
export function Power({ value }: { value: Whole }): JSX.Element {
  const text = short(value);
  const [, mantissa = "", raisedPart = ""] = /^(.*?10)([⁰¹²³⁴⁵⁶⁷⁸⁹]+)$/.exec(text) ?? [];
  if (!raisedPart) return <span class="number">{text}</span>;
  const power = [...raisedPart].map((sign) => SUPERSCRIPTS.indexOf(sign)).join("");
  return (
    <span class="number" title={exact(value)}>
      <span aria-hidden="true">
        {mantissa}
        <sup>{power}</sup>
      </span>
      <span class="heard">{exact(value)}</span>
    </span>
  );
}

/** Text whose raised digits are large enough to read; in a drawing (`drawn`) or on the page. */
export function Raised({ text, drawn = false }: { text: string; drawn?: boolean }): JSX.Element {
  const parts = text.split(/([⁰¹²³⁴⁵⁶⁷⁸⁹]+)/);
  return (
    <>
      {parts.map((part, k) => {
        if (k % 2 === 0) return part;
        return drawn ? <tspan key={k} font-size="1.3em">{part}</tspan> : <span key={k} class="raised">{part}</span>;
      })}
    </>
  );
}

const rounded = (value: number): string =>
  value >= 100 ? exact(Math.round(value)) : String(Number(value.toPrecision(value >= 10 ? 3 : 2)));

const BYTES = ["B", "kB", "MB", "GB", "TB", "PB", "EB", "ZB"];

/** The memory of so many weights of four bytes: 4 TB. */
export function memory(weights: bigint): string {
  const bytes = weights * BYTES_PER_WEIGHT;
  const step = Math.min(Math.floor((String(bytes).length - 1) / 3), BYTES.length - 1);
  return `${rounded(Number(bytes) / 1000 ** step)} ${BYTES[step]}`;
}

const SPANS = [
  { seconds: 31_557_600, en: "years", one: "year", zh: "年" },
  { seconds: 86_400, en: "days", one: "day", zh: "天" },
  { seconds: 3_600, en: "hours", one: "hour", zh: "小时" },
  { seconds: 60, en: "minutes", one: "minute", zh: "分钟" },
  { seconds: 1, en: "seconds", one: "second", zh: "秒" },
  { seconds: 1e-3, en: "ms", one: "ms", zh: "ms" },
  { seconds: 1e-6, en: "µs", one: "µs", zh: "µs" },
  { seconds: 1e-9, en: "ns", one: "ns", zh: "ns" },
] as const;

/** A span of time in the unit that suits it: 2.2 hours, 2.2 小时, 800 ms. */
export function duration(seconds: number): string {
  const span = SPANS.find((unit) => seconds >= unit.seconds) ?? SPANS[SPANS.length - 1]!;
  const value = span.seconds < 1 ? String(Number((seconds / span.seconds).toPrecision(3))) : rounded(seconds / span.seconds);
  if (language.value === "zh") return `${value} ${span.zh}`;
  return `${value} ${value === "1" ? span.one : span.en}`;
}

/** The time to read so many weights once from the disk that the page states. */
export const readingTime = (weights: bigint): string =>
  duration(Number(weights * BYTES_PER_WEIGHT) / Number(BYTES_PER_SECOND));

/** How many times `before` is of `after`: 10,000, or 3.9 where it does not divide. */
export function times(before: bigint, after: bigint): string {
  if (after === 0n) return "∞";
  if (before % after === 0n) return short(before / after);
  const ratio = Number(before) / Number(after);
  return ratio >= 1000 ? short(BigInt(Math.round(ratio))) : rounded(ratio);
}

/** One of so many parts: 1/10,000, 1/(9.2×10⁹). */
export const oneOf = (times: string): string => (times.includes("×") ? `1/(${times})` : `1/${times}`);

/** A fraction as a percentage with one digit. */
export const percent = (fraction: number, digits = 1): string => `${(100 * fraction).toFixed(digits)}\u00a0%`;
