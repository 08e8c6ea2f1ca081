import type { Part } from "../../part";
import { words } from "../../words";

const text = words("local", {
  en: { title: "Local connectivity: a unit sees a window" },
  zh: { title: "局部连接：一个单元只看一个窗口" },
});

export const local: Part = { id: "local", title: () => text().title, View: () => <p>…</p> };
