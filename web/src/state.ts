// What the whole page shares: the setting, its account, the language and the look.

import { computed, effect, signal } from "@preact/signals";
import { accountOf } from "./account";
import { kept, oneOf } from "./address";
import { remember, remembered } from "./remembered";
import { entries, mended, settingFrom, type Setting } from "./setting";

export const setting = kept<Setting>(settingFrom, entries);
export const account = computed(() => accountOf(setting.value));

/** Change some of the setting; what no longer fits is made to fit. */
export function change(part: Partial<Setting>): void {
  setting.value = mended({ ...setting.peek(), ...part });
}

export type Language = "en" | "zh";
export const LANGUAGES: readonly Language[] = ["en", "zh"];

const asLanguage = oneOf(...LANGUAGES);
const preferred: Language =
  asLanguage(remembered("lang") ?? "") ?? (navigator.language.toLowerCase().startsWith("zh") ? "zh" : "en");

export const language = kept<Language>(
  (all) => asLanguage(all.get("lang") ?? "") ?? preferred,
  (value) => [["lang", value]],
);

export type Look = "auto" | "light" | "dark";
const asLook = oneOf("auto", "light", "dark");
const lookRemembered: Look = asLook(remembered("theme") ?? "") ?? "auto";
export const look = kept<Look>(
  (all) => asLook(all.get("theme") ?? "") ?? lookRemembered,
  // Said also where it is what this browser remembers: a link is for others too.
  (value) => (value === "auto" && lookRemembered === "auto" ? [] : [["theme", value]]),
);

const system = matchMedia("(prefers-color-scheme: dark)");

export function chooseLanguage(value: Language): void {
  language.value = value;
  remember("lang", value);
}

export function chooseLook(value: Look): void {
  look.value = value;
  remember("theme", value);
}

const systemIsDark = signal(system.matches);
system.addEventListener("change", () => {
  systemIsDark.value = system.matches;
});

/** The colours in use. */
export const shade = computed((): "light" | "dark" =>
  look.value === "auto" ? (systemIsDark.value ? "dark" : "light") : look.value,
);

/** Puts language and look where the style sheet and screen readers see them. */
export function applyToDocument(): void {
  const root = document.documentElement;
  effect(() => {
    root.lang = language.value === "zh" ? "zh-Hans" : "en";
  });
  effect(() => {
    root.dataset.theme = shade.value;
  });
}

export const stillness = matchMedia("(prefers-reduced-motion: reduce)");
