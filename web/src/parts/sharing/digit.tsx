// Which of the ten digits the figures of this part look at.

import type { JSX } from "preact";
import { Choice } from "../../controls";
import { digit } from "./state";
import { text } from "./text";

const DIGITS = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"] as const;

export const DigitChoice = (): JSX.Element => (
  <Choice
    label={text().digit}
    value={DIGITS[digit.value]!}
    options={DIGITS.map((name) => [name, name])}
    onChange={(name) => {
      digit.value = Number(name);
    }}
  />
);
