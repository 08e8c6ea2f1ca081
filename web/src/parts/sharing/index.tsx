import type { Part } from "../../part";
import { words } from "../../words";

const text = words("sharing", {
  en: { title: "Weight sharing: one kernel for all places" },
  zh: { title: "权值共享：所有位置共用一个卷积核" },
});

export const sharing: Part = { id: "sharing", title: () => text().title, View: () => <p>…</p> };
