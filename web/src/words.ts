// Texts in both languages, side by side; the type checker finds a missing one.

import { language, type Language } from "./state";

/** A list that was joined with Latin signs, with Chinese ones. */
export const chineseList = (list: string): string =>
  list.replaceAll("; ", "；").replaceAll(": ", "：").replaceAll(", ", "、");

type Same<T> = { readonly [K in keyof T]: T[K] extends (...given: infer A) => infer R ? (...given: A) => R : T[K] extends string ? string : T[K] };
type Table<T> = { readonly en: T; readonly zh: Same<T> };

/** Every table of texts, by its name: what the tests look through. */
export const tables = new Map<string, Record<Language, object>>();

/** A table of texts; call what it gives, inside a component, for those of the language chosen. */
export function words<T extends object>(name: string, table: Table<T>): () => Same<T> {
  tables.set(name, table);
  return () => (language.value === "zh" ? table.zh : (table.en as Same<T>));
}
