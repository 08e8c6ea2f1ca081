// The page's state in its address: `#lang=zh&size=64x64`. Every piece of state is a parameter that knows how
// it is read and written; what is standard is left out. A lecture can link to any setting.

import { effect, signal, type Signal } from "@preact/signals";

/** What the page was written with (`striate explain --out`), below what its address says. */
function opening(): [string, string][] {
  const text = document.getElementById("opening")?.textContent ?? "{}";
  return Object.entries(JSON.parse(text) as Record<string, string>);
}

function given(): Map<string, string> {
  return new Map([...opening(), ...new URLSearchParams(location.hash.slice(1))]);
}

interface Parameter {
  readonly read: (all: ReadonlyMap<string, string>) => void;
  readonly write: () => readonly (readonly [string, string])[];
}

const parameters: Parameter[] = [];

/** State kept in several entries of the address. `write` gives those that are not standard. */
export function kept<T>(
  read: (all: ReadonlyMap<string, string>) => T,
  write: (value: T) => readonly (readonly [string, string])[],
): Signal<T> {
  const state = signal(read(given()));
  parameters.push({
    read: (all) => {
      state.value = read(all);
    },
    write: () => write(state.value),
  });
  return state;
}

/** State kept in one entry. `parse` gives undefined for what makes no sense. */
export function keptAs<T>(
  name: string,
  standard: T,
  parse: (text: string) => T | undefined,
  show: (value: T) => string = String,
): Signal<T> {
  return kept(
    (all) => {
      const text = all.get(name);
      return (text === undefined ? undefined : parse(text)) ?? standard;
    },
    (value) => (show(value) === show(standard) ? [] : [[name, show(value)]]),
  );
}

/** A parser of whole numbers from `low` to `high`. */
export const wholeFrom = (low: number, high: number) => (text: string) => {
  const number = /^[0-9]{1,6}$/.test(text) ? Number(text) : NaN;
  return number >= low && number <= high ? number : undefined;
};

/** A parser that takes one of `names`. */
export const oneOf =
  <const N extends string>(...names: N[]) =>
  (text: string): N | undefined =>
    names.find((name) => name === text);

/** The entries of the address as they are now. */
function hash(): string {
  const own = new Map(parameters.flatMap((parameter) => parameter.write()));
  // What the page was opened with and is standard again must be said, or the opening would come back.
  for (const [name] of opening()) if (!own.has(name)) own.set(name, "");
  const text = new URLSearchParams([...own]).toString();
  return text ? `#${text}` : "";
}

/** A link to the page as it is. */
export const link = () => location.href.split("#")[0] + hash();

/** Keeps address and state the same from now on; call once all parameters are declared. */
export function keepAddress(): void {
  let waiting: number | undefined;
  effect(() => {
    const next = hash();
    clearTimeout(waiting);
    // Browsers stop a page that changes its address at every move of a pointer.
    waiting = setTimeout(() => {
      if (next !== location.hash) history.replaceState(null, "", next || location.pathname + location.search);
    }, 150);
  });
  addEventListener("hashchange", () => {
    clearTimeout(waiting);
    const all = given();
    for (const parameter of parameters) parameter.read(all);
  });
}

/** The part that `?embed=3` shows alone. */
export const embedded = wholeFrom(1, 6)(new URLSearchParams(location.search).get("embed") ?? "");
