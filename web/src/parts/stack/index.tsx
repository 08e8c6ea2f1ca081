import type { Part } from "../../part";
import { words } from "../../words";

const text = words("stack", {
  en: { title: "From local to global: layers on layers" },
  zh: { title: "从局部到全局：一层叠一层" },
});

export const stack: Part = { id: "stack", title: () => text().title, View: () => <p>…</p> };
