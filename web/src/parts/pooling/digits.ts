// A digit of each class: the first of its class among the 540 test images of striate's `digits` data
// (striate.sources.data.digits; scikit-learn's load_digits, Alpaydin and Kaynak 1998). 8×8, whole numbers 0 to 16.

import type { Picture } from "./pool";

const ROWS: readonly string[] = [
  "002fd300 00afbf00 03g60a00 04g80380 08e30480 03f10370 00eb6e50 004cf600",
  "000cd500 000bg900 003fg600 07fgg200 001gg300 001gg600 001gg600 000bga00",
  "005c1000 00fe7000 00d1c000 02a0e000 0020g100 0006f000 009gf982 003b8dc4",
  "018cfe40 03b88cc0 00002d70 0002fc10 0000d500 00009d00 0078ef00 00efb200",
  "0008f100 001ed110 00af3fb0 07g71g80 09gdeg50 01afge00 0001ga00 000af400",
  "00ca0000 00egge00 00dgfa10 00bgg700 00047g70 00004g90 0054cg40 009gga00",
  "000cd000 005g8000 00dg3000 00ed0000 00fc7200 00dgdg30 007gbf80 0019fb30",
  "0018fa00 03dfee00 05a0ac00 0035fa20 00ggggc0 018ce830 000ad000 000b9000",
  "0077dg40 00dd6c70 00a4ab10 008ga000 03eg0000 088b5000 04a98000 01bg6000",
  "00bc0000 02gggd00 03gcae00 01g1cf00 00dg9f20 000309b0 00009f40 009cd300",
];

export const BLACK = 16;

/** The pictures of 0 to 9. Each cell is a digit of base 17. */
export const DIGITS: readonly Picture[] = ROWS.map((text) => ({
  rows: 8,
  columns: 8,
  values: [...text.replaceAll(" ", "")].map((sign) => parseInt(sign, 17)),
}));
