import { render } from "preact";
import { accountOf } from "./account";
import { keepAddress } from "./address";
import * as geometry from "./geometry";
import { networks } from "./networks";
import { Page } from "./page";
import { forward } from "./parts/network/forward";
import { reduce } from "./parts/network/reduce";
import * as stack from "./parts/stack/stack";
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
  networks,
  forward,
  reduce,
  stack,
  account: (entries: Record<string, string>) => accountOf(settingFrom(new Map(Object.entries(entries)))),
};

applyToDocument();
render(<Page />, document.getElementById("page")!);
keepAddress();
