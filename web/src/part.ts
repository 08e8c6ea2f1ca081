// One of the six parts of the story. A part is a folder in parts/ that exports one of these.

import type { ComponentType } from "preact";

export interface Part {
  /** Names the section in the page: `#dense` is not used by the address, but the table of contents scrolls to it. */
  readonly id: string;
  /** Its heading, in the language chosen. */
  readonly title: () => string;
  /** All that stands under the heading. */
  readonly View: ComponentType;
}
