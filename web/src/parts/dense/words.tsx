// What the part says, in both languages.

import type { JSX } from "preact";
import { oneOf } from "../../numbers";
import { chineseList, words } from "../../words";

type Count = JSX.Element | string;

/** A part of a whole that is so many times as large. */
const partOf = (times: string, whole: string) => (times === "1" ? whole : oneOf(times));
const partOfZh = (times: string) => (times === "1" ? "与全连接相等" : `是全连接的 ${oneOf(times)}`);

export const text = words("dense", {
  en: {
    title: "Dense: every unit sees every pixel",
    what: (
      <>
        A <strong>dense</strong> layer (also: fully connected) is the plainest there is. One of its outputs, a{" "}
        <em>unit</em>, is a single number: each pixel is multiplied by a weight, and the products are added up. Every
        unit has its own weight for every pixel and shares none of them with another unit.
      </>
    ),
    size: "How large is the image?",
    product: (
      image: string, pixels: string, units: string, unitCount: string, dense: string, power: Count | null, alike: boolean,
    ) => (
      <>
        An image of {image} has {pixels} {pixels === "1" ? "pixel" : "pixels"}. Take a layer of {units} units
        {alike ? ", as many as there are pixels" : ", as many as the window of the next part has positions"}: it needs{" "}
        {unitCount} × {pixels} = <strong>{dense}</strong> {dense === "1" ? "weight" : "weights"}{power && <>, or {power}</>}.
      </>
    ),
    wiringTitle: "Every unit is wired to every pixel",
    wiringDescription: (row: string, column: string, pixels: string, units: string, dense: string) =>
      `Two planes, the units above the image. From the chosen unit, row ${row}, column ${column}, a wire runs to every pixel: ${pixels} weights. All ${units} units have as many: ${dense} weights together.`,
    wiringCaption: (row: string, column: string, pixels: string, units: string, dense: string) =>
      `The unit in row ${row}, column ${column}: ${pixels} ${pixels === "1" ? "weight" : "weights"} of its own, one for each pixel. All units together: ${units} × ${pixels} = ${dense}.`,
    wiringHint: " Point at another unit or tap it. Of the wires of the other units, only some are drawn, faintly.",
    wiringKeys: "Choose a unit with the arrow keys",
    drawn: (count: string) => `(drawn: ${count})`,
    unitsLabel: (size: string) => `${size} units`,
    pixelsLabel: (size: string) => `${size} pixels`,
    thisUnit: (weights: string, one: boolean) => `this unit: ${weights} ${one ? "weight" : "weights"}`,
    allUnits: (units: string, pixels: string, dense: string) => `all units: ${units} × ${pixels} = ${dense}`,
    toScale: (dense: Count, kernel: string, local: Count, shared: Count, kernels: string) => (
      <>
        How much is {dense}? Below, each weight is one unit of area. Beside the dense layer stand the two layers that
        this page is about, with just as many units: one whose units see a window of {kernel} pixels (local, part 2:{" "}
        {local} weights), and one whose units also share their weights (shared, part 3: {shared} weights, {kernels}).
      </>
    ),
    kernels: (count: string) => (count === "1" ? "one kernel" : `${count} kernels`),
    kernel: "side of the window",
    squaresTitle: (dense: string) => `${dense} as a square`,
    squaresDescription: (where: string, squares: string[]) =>
      `Squares whose areas are in proportion to the numbers of weights. ${squares.join("; ")}. The zoom shows: ${where}.`,
    squaresCaption: (local: string, side: string, shared: string) =>
      `Areas are true to scale at every zoom. Of the dense square’s area the local one covers ${partOf(local, "all")}${side === "1" ? "" : ` (1/${side} of its side)`} and the shared one ${partOf(shared, "all")}. Memory: 4 bytes a weight. Time: to read every weight once from a solid-state disk (SATA, 500 MB a second). Widths: at this zoom, on a screen of 96 pixels per inch. Ctrl and the mouse wheel zoom too.`,
    squaresKeys: "Zoom with the arrow keys",
    names: { dense: "dense", local: "local", shared: "shared" },
    wide: (length: string) => `${length} wide`,
    cell: (weights: string, one: boolean) => `one grid square: ${weights} ${one ? "weight" : "weights"}`,
    zoom: "zoom",
    zoomTo: "Zoom to",
    where: (zoom: number) =>
      ["dense", "between dense and local", "local", "between local and shared", "shared"][
        Number.isInteger(zoom) ? 2 * zoom : 2 * Math.floor(zoom) + 1
      ]!,
    tableTitle: "Weights, memory and reading time of the three layers",
    layer: "layer",
    weights: "weights",
    memory: "memory",
    readOnce: "to read once",
    saved: (dense: Count, memory: string, time: string) => (
      <>
        <strong>What was saved:</strong> nothing yet. {dense} weights take {memory}, and whoever uses the layer once
        waits {time} for the disk alone. That is the price the next parts bring down.
      </>
    ),
    lost: (
      <>
        <strong>What was given up:</strong> nothing either. A dense layer can weigh the pixels in any way at all; the
        local and the shared layer are dense ones, with most weights held at zero and many forced to be equal. But it
        does not know which pixels are neighbours: shuffle the pixels of all images in the same way, and it learns
        exactly as well. What it could know about images beforehand, it has to learn from examples.
      </>
    ),
  },
  zh: {
    title: "全连接：每个单元都看见每个像素",
    what: (
      <>
        <strong>全连接层</strong>是最朴素的一种层。它的每个输出叫作一个<em>单元</em>
        ，也就是一个数：各个像素分别乘以一个权值，再把乘积加起来。每个单元对每个像素都有自己的权值，不与别的单元共用。
      </>
    ),
    size: "图像有多大？",
    product: (
      image: string, pixels: string, units: string, unitCount: string, dense: string, power: Count | null, alike: boolean,
    ) => (
      <>
        {image} 的图像有 {pixels} 个像素。设这一层有 {units} 个单元（{alike ? "与像素一样多" : "与下一节的窗口所能放置的位置一样多"}
        ），就需要 {unitCount} × {pixels} = <strong>{dense}</strong> 个权值{power && <>，即 {power}</>}。
      </>
    ),
    wiringTitle: "每个单元都连着每个像素",
    wiringDescription: (row: string, column: string, pixels: string, units: string, dense: string) =>
      `上下两个平面，上面是单元，下面是图像。选中的单元在第 ${row} 行第 ${column} 列，它与每个像素各有一条连线，共 ${pixels} 个权值。${units} 个单元个个如此，合计 ${dense} 个权值。`,
    wiringCaption: (row: string, column: string, pixels: string, units: string, dense: string) =>
      `第 ${row} 行第 ${column} 列的单元：每个像素一个权值，共 ${pixels} 个，只归它自己用。全部单元合计 ${units} × ${pixels} = ${dense} 个。`,
    wiringHint: "把指针移到别的单元上，或者点一下，看看它的连线。其他单元的连线只淡淡画出了一部分。",
    wiringKeys: "用方向键选择单元",
    drawn: (count: string) => `（画出 ${count}）`,
    unitsLabel: (size: string) => `${size} 个单元`,
    pixelsLabel: (size: string) => `${size} 个像素`,
    thisUnit: (weights: string) => `这个单元：${weights} 个权值`,
    allUnits: (units: string, pixels: string, dense: string) => `全部单元：${units} × ${pixels} = ${dense}`,
    toScale: (dense: Count, kernel: string, local: Count, shared: Count, kernels: string) => (
      <>
        {dense} 有多大？下图中，每个权值占一个单位面积。全连接层旁边是本页要讲的另外两种层，单元数相同：一种的单元只看 {kernel}{" "}
        像素的窗口（局部连接，见第 2 节，{local} 个权值）；另一种的单元不但如此，还共用权值（权值共享，见第 3 节，{kernels}，共{" "}
        {shared} 个权值）。
      </>
    ),
    kernels: (count: string) => `${count} 个卷积核`,
    kernel: "窗口边长",
    squaresTitle: (dense: string) => `把 ${dense} 画成正方形`,
    squaresDescription: (where: string, squares: string[]) =>
      `正方形的面积与权值数成正比。${squares.map(chineseList).join("；")}。当前显示：${where}。`,
    squaresCaption: (local: string, side: string, shared: string) =>
      `无论怎样缩放，各个正方形的面积始终成比例。局部连接的面积${partOfZh(local)}${side === "1" ? "" : `（边长是 1/${side}）`}，权值共享的面积${partOfZh(shared)}。内存按每个权值 4 字节计；时间指从固态硬盘（SATA，每秒 500 MB）把全部权值读一遍所需的时间；宽度是当前缩放下的宽度，按每英寸 96 像素的屏幕折算。按住 Ctrl 并滚动鼠标滚轮也可以缩放。`,
    squaresKeys: "用方向键缩放",
    names: { dense: "全连接", local: "局部连接", shared: "权值共享" },
    wide: (length: string) => `宽 ${length}`,
    cell: (weights: string) => `一格：${weights} 个权值`,
    zoom: "缩放",
    zoomTo: "缩放到",
    where: (zoom: number) =>
      ["全连接", "全连接与局部连接之间", "局部连接", "局部连接与权值共享之间", "权值共享"][
        Number.isInteger(zoom) ? 2 * zoom : 2 * Math.floor(zoom) + 1
      ]!,
    tableTitle: "三种层的权值数、内存和读取时间",
    layer: "层",
    weights: "权值数",
    memory: "内存",
    readOnce: "读一遍",
    saved: (dense: Count, memory: string, time: string) => (
      <>
        <strong>省下了什么：</strong>还什么都没省。{dense} 个权值要占 {memory}，这一层每用一次，光是等硬盘就要 {time}
        。后面几节就是要把这个代价降下来。
      </>
    ),
    lost: (
      <>
        <strong>放弃了什么：</strong>
        也什么都没放弃。全连接层可以用任何方式给像素加权；局部连接层和权值共享层其实也是全连接层，只是其中大多数权值固定为零，还有许多权值必须相等。但全连接层不知道哪些像素相邻：把所有图像的像素按同一种方式打乱，它照样学得一样好。关于图像，有些事本可以事先知道，它却只能从样本中学。
      </>
    ),
  },
});
