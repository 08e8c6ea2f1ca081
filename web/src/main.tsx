import { render } from "preact";
import { accountOf } from "./account";
import { keepAddress } from "./address";
import * as geometry from "./geometry";
import { Page } from "./page";
import { settingFrom } from "./setting";
import { applyToDocument } from "./state";
import { tables } from "./words";

declare global {
  interface Window {
    /** For the curious, and for the tests: the page's own arithmetic, from the console. */
    striate: object;
  }
}

window.striate = {
  geometry,
  tables,
  account: (entries: Record<string, string>) => accountOf(settingFrom(new Map(Object.entries(entries)))),
};

applyToDocument();
render(<Page />, document.getElementById("page")!);
keepAddress();
