import type { Part } from "../../part";
import { words } from "../../words";

const text = words("pooling", {
  en: { title: "Pooling: a window is summarised" },
  zh: { title: "池化：用一个数概括一个窗口" },
});

export const pooling: Part = { id: "pooling", title: () => text().title, View: () => <p>…</p> };
