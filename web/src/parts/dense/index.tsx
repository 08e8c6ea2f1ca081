import type { Part } from "../../part";
import { words } from "../../words";

const text = words("dense", {
  en: { title: "Dense: every unit sees every pixel" },
  zh: { title: "全连接：每个单元都看见每个像素" },
});

export const dense: Part = { id: "dense", title: () => text().title, View: () => <p>…</p> };
