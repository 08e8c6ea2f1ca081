import type { Part } from "../../part";
import { words } from "../../words";

const text = words("network", {
  en: { title: "On a real network: draw a digit" },
  zh: { title: "在真实网络上：写一个数字" },
});

export const network: Part = { id: "network", title: () => text().title, View: () => <p>…</p> };
