// What the part says, in both languages.

import type { JSX } from "preact";
import { words } from "../../words";

type Count = JSX.Element | string;

const plural = (count: string, one: string, many = `${one}s`) => `${count} ${count === "1" ? one : many}`;
const spanEn = (name: string, first: string, last: string) =>
  first === last ? `${name} ${first}` : `${name}s ${first} to ${last}`;
const spanZh = (name: string, first: string, last: string) =>
  first === last ? `第 ${first} ${name}` : `第 ${first} 到 ${last} ${name}`;

type Window = readonly [firstRow: string, lastRow: string, firstColumn: string, lastColumn: string];

export const text = words("local", {
  en: {
    title: "Local connectivity: a unit sees a window",
    what: (
      <>
        What a unit looks for in an image, an edge, a corner, a spot, is small: the pixels that tell lie next to each
        other. So a unit needs no wire to the far end of the image. With <strong>local connectivity</strong> it sees a
        square <em>window</em> of the image and nothing else; the unit beside it sees the window beside that. All other
        wires are left out, and their weights with them.
      </>
    ),

    compareTitle: "Full against local, side by side",
    full: "Full",
    local: "Local",
    fullSays: (pixels: string) => `all ${pixels} pixels`,
    localSays: (side: string) => `a window of ${side}`,
    unitsPlane: "units",
    imagePlane: "image",
    wires: (each: string) => `each: ${plural(each, "weight")}`,
    product: (units: string, each: string, all: string) => `all: ${units} × ${each} = ${all}`,
    compareDescription: (row: string, column: string, units: string, pixels: string, taps: string, dense: string, local: string) =>
      `Two drawings of ${units} units above an image of ${pixels} pixels. On the left every unit is wired to every pixel, ${dense} wires in all; on the right each is wired to the ${taps} pixels of its window, ${local} wires in all. The same unit is lit in both: row ${row}, column ${column}.`,
    compareCaption: (row: string, column: string, pixels: string, taps: string) =>
      `The same unit (row ${row}, column ${column}) in both drawings. Left, each of the ${pixels} pixels has a wire to it; right, only the ${taps} of its window, which lies straight below it.`,
    compareNote: (factor: string, pixels: string, taps: string) =>
      ` Each wire is a weight of its own, so the local layer has ${pixels}/${taps} = ${factor} times fewer. In a larger image the window stays as it is: the factor grows with the pixels. Point at a unit or tap it; no padding here, every window lies on the image.`,
    compareKeys: "Choose a unit with the arrow keys; it is lit in both drawings",

    try: "Now at full size. Choose the image and the window, then drag the window over the image.",
    dragTitle: "Drag the window",
    image: "image",
    lens: "magnified",
    plane: "units",
    lensSize: (side: string) => `${side} pixels`,
    thicker: "thickened",
    enlarged: "enlarged",
    onPixels: (count: string) => `${count} on pixels`,
    outside: (count: string) => `${count} outside`,
    unitRow: (row: string) => `row ${row}`,
    unitColumn: (column: string) => `column ${column}`,
    dragDescription: (size: string, row: string, column: string, [a, b, c, d]: Window, taps: string, inside: string, outside: string) =>
      `An image of ${size} pixels, to scale, with the window of the unit in row ${row}, column ${column}; the surroundings of the window, magnified; and the plane of units with that unit. The unit sees ${spanEn("row", a, b)}, ${spanEn("column", c, d)}; taps: ${taps}, on pixels: ${inside}, outside the image: ${outside}.`,
    dragCaption: (row: string, column: string, [a, b, c, d]: Window, taps: string, inside: string, outside: string) => (
      <>
        The unit in row {row}, column {column} sees {spanEn("row", a, b)}, {spanEn("column", c, d)}. Its window has{" "}
        {plural(taps, "tap")} (a weight each):{" "}
        <strong>
          {outside === "0" ? `all on pixels` : `${inside} on pixels (blue), ${outside} outside the image (red)`}
        </strong>
        .{outside !== "0" && " What lies outside counts as 0, so the weights there do nothing for this unit."}
      </>
    ),
    samePadding: (low: string, high: string, total: string, stride: string) =>
      `Padding “same” surrounds the image with zeros so that ${stride === "1" ? "every pixel" : `one pixel in every ${stride} along each axis`} has a unit: ${
        total === "0" ? "a window of one pixel needs none" : `a window of k needs k − 1 = ${total} more rows and columns, (k − 1)/2 rounded down = ${low} in front (above, left) and the rest, ${high}, behind`
      }.`,
    validPadding: "Without padding every window must lie inside the image.",
    strideOne: " From one unit to the next the window moves by one pixel.",
    strideMore: (stride: string) => ` Stride ${stride}: from one unit to the next the window jumps ${stride} pixels.`,
    positions: (rows: string, columns: string, units: string, pixels: string) =>
      ` That makes ${rows} × ${columns} = ${plural(units, "unit")} for ${plural(pixels, "pixel")}.`,
    dragHint: " Drag in any of the three pictures, or use the arrow keys (with Shift, ten units at a time).",
    dashed: " Dashed: the next units’ windows, to the right and below.",
    dragKeys: "Move the window with the arrow keys, with Shift by ten units",
    row: "unit’s row",
    column: "unit’s column",
    goTo: "Go to",
    first: "top left",
    middle: "middle",
    last: "bottom right",

    sums: "Dense against local, for the setting chosen",
    denseSum: "dense: every unit, every pixel",
    localSum: "local: every unit, every tap of its window",
    insideSum: "of these, on pixels",
    paddingSum: "of these, on padding",
    factorSum: "dense / local",
    nominal: (none: boolean): string =>
      none
        ? "No window reaches outside the image here, so every connection ends on a pixel."
        : "The account at the top of the page counts all taps, those on padding too: each is a weight that the layer stores.",
    rule: (pixels: string, kernel: string, taps: string, sign: string, factor: Count) => (
      <>
        The rule, for any image and window of side k: each unit has k² weights where it had one for every pixel, so their
        number falls by the factor <strong>pixels / k²</strong>. Here that is {pixels} / {kernel}² = {pixels} / {taps} {sign}{" "}
        <strong>{factor}</strong>.
      </>
    ),
    thousandth: (dense: Count, local: Count) => (
      <>
        A correction: popular texts call this step, from {dense} to {local}, “a thousandth”. It is a ten-thousandth,{" "}
        <strong>1/10,000</strong>.
      </>
    ),
    saved: (dense: Count, local: Count, before: string, after: string, nothing: boolean) => (
      <>
        <strong>What was saved:</strong>{" "}
        {nothing ? (
          <>nothing here: the window is as large as the image. Make the image larger or the window smaller.</>
        ) : (
          <>
            {dense} weights became {local}; at 4 bytes a weight, {before} became {after}.
          </>
        )}
      </>
    ),
    lost: (
      <>
        <strong>What was given up:</strong> a unit cannot see what lies outside its window, so no single unit can
        compare two far ends of the image; that takes more layers (part 5). Nothing else: every unit still has weights
        of its own, and may look for something different at its place.
      </>
    ),
    unseen: (pixels: string, many: boolean) =>
      ` At this setting ${many ? `${pixels} pixels are` : "1 pixel is"} in no window at all: no unit sees ${many ? "them" : "it"}.`,
  },
  zh: {
    title: "局部连接：一个单元只看一个窗口",
    what: (
      <>
        一个单元要在图像里找的东西，比如一段边缘、一个拐角、一个斑点，都很小，能说明问题的像素彼此挨着，所以单元没有必要连到图像的另一头。
        <strong>局部连接</strong>让每个单元只看图像上一个方形的<em>窗口</em>
        ，旁边的单元看旁边的窗口。其余的连线统统去掉，连线上的权值也随之去掉。
      </>
    ),

    compareTitle: "全连接与局部连接的对照",
    full: "全连接",
    local: "局部连接",
    fullSays: (pixels: string) => `全部 ${pixels} 个像素`,
    localSays: (side: string) => `${side} 的窗口`,
    unitsPlane: "单元",
    imagePlane: "图像",
    wires: (each: string) => `每个单元：${each} 个权值`,
    product: (units: string, each: string, all: string) => `合计：${units} × ${each} = ${all}`,
    compareDescription: (row: string, column: string, units: string, pixels: string, taps: string, dense: string, local: string) =>
      `两幅图，都是 ${units} 个单元在上、${pixels} 个像素的图像在下。左图中每个单元与每个像素相连，共 ${dense} 条连线；右图中每个单元只与自己窗口里的 ${taps} 个像素相连，共 ${local} 条连线。两幅图中标出的是同一个单元：第 ${row} 行第 ${column} 列。`,
    compareCaption: (row: string, column: string, pixels: string, taps: string) =>
      `两幅图中标出的是同一个单元（第 ${row} 行第 ${column} 列）。左边，${pixels} 个像素都与它相连；右边，只有它正下方窗口里的 ${taps} 个像素与它相连。`,
    compareNote: (factor: string, pixels: string, taps: string) =>
      `每条连线都有自己的权值，所以局部连接的权值只有全连接的 1/${factor}（${pixels}/${taps} = ${factor}）。图像变大，窗口不变：像素越多，这个倍数就越大。把指针移到单元上，或者点一下。这里没有填充，每个窗口都完整地落在图像内。`,
    compareKeys: "用方向键选择单元，两幅图同时标出",

    try: "再看实际大小。先选定图像和窗口，然后在图像上拖动窗口。",
    dragTitle: "拖动窗口",
    image: "图像",
    lens: "放大",
    plane: "单元",
    lensSize: (side: string) => `${side} 像素`,
    thicker: "已加粗",
    enlarged: "已放大",
    onPixels: (count: string) => `${count} 个在图像内`,
    outside: (count: string) => `${count} 个在图像外`,
    unitRow: (row: string) => `第 ${row} 行`,
    unitColumn: (column: string) => `第 ${column} 列`,
    dragDescription: (size: string, row: string, column: string, [a, b, c, d]: Window, taps: string, inside: string, outside: string) =>
      `三幅图：按比例画出的 ${size} 像素的图像，标出了第 ${row} 行第 ${column} 列的单元的窗口；窗口周围的放大图；单元所在的平面，标出了这个单元。它看到${spanZh("行", a, b)}、${spanZh("列", c, d)}：窗口的 ${taps} 个位置（各有一个权值）中，${inside} 个落在图像内，${outside} 个落在图像外。`,
    dragCaption: (row: string, column: string, [a, b, c, d]: Window, taps: string, inside: string, outside: string) => (
      <>
        第 {row} 行第 {column} 列的单元看到{spanZh("行", a, b)}、{spanZh("列", c, d)}。它的窗口有 {taps} 个位置（各有一个权值），
        <strong>{outside === "0" ? "全部落在图像内" : `${inside} 个落在图像内（蓝色），${outside} 个落在图像外（红色）`}</strong>。
        {outside !== "0" && "图像外一律按 0 算，所以那里的权值对这个单元不起作用。"}
      </>
    ),
    samePadding: (low: string, high: string, total: string, stride: string) =>
      `填充方式 same 在图像四周补零，使${stride === "1" ? "每个像素" : `每个方向上每 ${stride} 个像素`}对应一个单元：${
        total === "0" ? "窗口只有一个像素时不必补" : `边长为 k 的窗口要补 k − 1 = ${total} 行和同样多的列：前面（上、左）补 (k − 1)/2 向下取整，即 ${low}；其余的 ${high} 补在后面（下、右）`
      }。`,
    validPadding: "不填充时，每个窗口都必须完整地落在图像内。",
    strideOne: "从一个单元到下一个，窗口移动一个像素。",
    strideMore: (stride: string) => `步长为 ${stride}：从一个单元到下一个，窗口一次跳 ${stride} 个像素。`,
    positions: (rows: string, columns: string, units: string, pixels: string) =>
      `这样，${pixels} 个像素上共有 ${rows} × ${columns} = ${units} 个单元。`,
    dragHint: "三幅图都可以拖动，也可以用方向键（按住 Shift 一次移动十个单元）。",
    dashed: "虚线框是右边和下边相邻单元的窗口。",
    dragKeys: "用方向键移动窗口，按住 Shift 一次移动十个单元",
    row: "单元所在行",
    column: "单元所在列",
    goTo: "移到",
    first: "左上角",
    middle: "中央",
    last: "右下角",

    sums: "当前设置下，全连接与局部连接的对比",
    denseSum: "全连接：每个单元 × 每个像素",
    localSum: "局部连接：每个单元 × 窗口里的每个位置",
    insideSum: "其中落在图像内",
    paddingSum: "其中落在填充上",
    factorSum: "全连接 ÷ 局部连接",
    nominal: (none: boolean): string =>
      none
        ? "这里没有窗口伸到图像外面，每条连接都落在像素上。"
        : "页面顶部的数字计入全部位置，落在填充上的也不例外，因为那里的权值同样要存下来。",
    rule: (pixels: string, kernel: string, taps: string, sign: string, factor: Count) => (
      <>
        一般规律：窗口边长为 k 时，每个单元原来有多少像素就要多少权值，现在只要 k² 个，所以全连接的权值数是局部连接的
        <strong>像素数 / k²</strong> 倍。这里是 {pixels} / {kernel}² = {pixels} / {taps} {sign} <strong>{factor}</strong>。
      </>
    ),
    thousandth: (dense: Count, local: Count) => (
      <>
        更正一点：不少通俗文章把从 {dense} 到 {local} 这一步说成“千分之一”，其实是<strong>万分之一</strong>。
      </>
    ),
    saved: (dense: Count, local: Count, before: string, after: string, nothing: boolean) => (
      <>
        <strong>省下了什么：</strong>
        {nothing ? (
          <>这里什么也没省，因为窗口和图像一样大。把图像改大或者把窗口改小试试。</>
        ) : (
          <>
            权值从 {dense} 个减到 {local} 个；按每个 4 字节算，从 {before} 减到 {after}。
          </>
        )}
      </>
    ),
    lost: (
      <>
        <strong>放弃了什么：</strong>
        单元看不到窗口以外的东西，所以没有哪个单元能单独比较图像上相距很远的两处，那要靠更多的层（见第 5
        节）。除此之外什么也没放弃：每个单元仍有自己的一组权值，可以在自己的位置上找与别处不同的东西。
      </>
    ),
    unseen: (pixels: string) => `在当前设置下，有 ${pixels} 个像素不在任何窗口里，没有单元看得到。`,
  },
});
