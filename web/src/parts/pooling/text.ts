// All that this part says, in both languages.

import { exact, oneOf } from "../../numbers";
import { chineseList, words } from "../../words";

const s = (count: number, one: string, many = `${one}s`) => `${exact(count)} ${count === 1 ? one : many}`;

export const text = words("pooling", {
  en: {
    title: "Pooling: a window is summarised",
    intro:
      "After the first layer there is a map of units, each of which says how strongly the kernel’s pattern is present at its place. Pooling lays windows over this map and keeps one number of each: the largest (max) or the average. It has no weights of its own; it makes everything behind it smaller.",
    name: "“sizeX” is what cuda-convnet, and a much-read text after it, called the side of the pooling window. This page says window.",
    classic: "window 2, stride 2",
    alexnet: "window 3, stride 2 (AlexNet)",

    // the table of numbers
    windowTitle: (side: number) => (side === 1 ? "A window of one stays one" : `A window of ${({ 2: "four", 3: "nine" } as Record<number, string>)[side] ?? side * side} becomes one`),
    windowFrame: "The pooled units. Arrow keys choose one; digits fill its window.",
    units: (rows: number, columns: number) => `${rows} × ${columns} units`,
    pooled: (rows: number, columns: number) => `${rows} × ${columns} pooled`,
    largest: (row: number, column: number, list: string, value: string) =>
      `Pooled unit in row ${row}, column ${column}: the largest of ${list} is ${value}.`,
    average: (row: number, column: number, list: string, value: string) =>
      `Pooled unit in row ${row}, column ${column}: the average of ${list} is ${value}.`,
    only: (row: number, column: number, value: string) => `Pooled unit in row ${row}, column ${column}: its window holds one number, ${value}.`,
    many: (count: number) => `its ${count} numbers`,
    how: "Point at a pooled unit, tap it or use the arrow keys to light its window. Click a number to raise it by one, or type digits into the lit window.",
    ringed: "A ring marks the number that won its window; a ring of several colours won several.",
    overlapping: (side: number, stride: number, inSeveral: number) =>
      `Windows of ${side}, ${stride} apart, overlap: ${s(inSeveral, "number")} ${inSeveral === 1 ? "is" : "are"} in more than one window.`,
    apart: "Grey numbers are in no window and are lost.",
    cut: (asked: number, side: number) => `The window of ${exact(asked)} that you set does not fit here; it is cut to ${side}.`,
    reset: "The first numbers again",
    windowDescription: (rows: number, columns: number, side: number, stride: number, kind: string, values: string) =>
      `A table of ${rows} rows and ${columns} columns of numbers under ${kind} pooling, window ${side}, stride ${stride}. The pooled values, row by row: ${values}.`,
    kinds: { max: "max", average: "average" },

    // the digit
    digitTitle: "A real digit, moved by one pixel",
    digitIntro: {
      max: "Where in its window the winner stood is forgotten. So when the picture moves a little, a pooled unit often finds the same value in its window and stays as it was. Often, not always: a stroke that crosses into the next window changes both.",
      average:
        "Where in its window something stood is forgotten. When the picture moves a little, ink that stays inside its window leaves the average as it was; ink that crosses into the next window changes both. So many averages change, but none by more than the values in its window do on average.",
    },
    digit: "digit",
    what: "what is pooled",
    maps: { pixels: "pixels", upright: "left edges", level: "top edges" },
    shift: "move by one pixel",
    shifts: { none: "no move", left: "left", right: "right", up: "up", down: "down" },
    original: "as it is",
    moved: { none: "not moved", left: "moved left", right: "moved right", up: "moved up", down: "moved down" },
    pooledLabel: "pooled",
    digitFrame: "The pooled digit. Arrow keys choose a unit and light its window.",
    unitValue: (row: number, column: number, value: string, after: string) =>
      `Pooled unit in row ${row}, column ${column}: ${value} before the move, ${after} after it.`,
    winners: (isMap: boolean, count: number, windows: number) =>
      `Purple dots: the ${s(count, isMap ? "unit" : "pixel")} that won ${s(windows, "window")} (the first of equals wins; a window of zeros has no winner).`,
    repeated: (most: number) => `A number in a dot says how many overlapping windows were won there, at most ${most} here.`,
    equal: "In an average none wins; all in a window count the same.",
    equalTwice: (most: number) => `In an average none wins; where windows overlap, one value counts up to ${s(most, "time")}.`,
    red: "Red dots: what changed with the move.",
    outside: (isMap: boolean, count: number) => `Hatched: ${s(count, isMap ? "unit" : "pixel")} in no window.`,
    pushed: (count: number) => `The move pushed ${s(count, "inked pixel")} over the edge.`,
    source: "The digit is the first of its class among the 540 test images that striate takes from scikit-learn’s set (Alpaydin and Kaynak 1998); its pixels run from 0, blank, to 16, full ink.",
    mapped: "The map is what Sobel’s 3 × 3 kernel finds; what is below zero is set to zero.",
    compared: "values",
    changed: "changed by the move",
    amount: "total change ÷ total before",
    before: (isMap: boolean): string => (isMap ? "units of the map" : "pixels"),
    after: "pooled units",
    ofAll: (count: number, all: number) => `${count} of ${all}`,
    nothing: "nothing there",
    digitDescription: (digit: number, map: string, shift: string, changed: string, pooledChanged: string) =>
      `The digit ${digit} (${map}) and its pooled picture, beside them the same ${shift}. ${changed} of the unpooled values and ${pooledChanged} of the pooled values changed.`,

    // what it saves
    savesTitle: "What it saves downstream",
    savesIntro: (rows: string, columns: string) =>
      `At the setting of this page the first layer has ${rows} × ${columns} units. Behind them stands a dense layer to ten classes, with ten weights for every unit that reaches it.`,
    unitsBefore: "units",
    unitsAfter: "after pooling",
    head: "weights behind the units",
    pooledHead: "weights behind the pooled units",
    fewer: (factor: string, exactly: boolean) => `${exactly ? "" : "about "}${factor} × fewer`,
    lower: (share: string, exactly: boolean) => `${exactly ? "" : "about "}${share} fewer`,
    notFewer: "as many",
    own: "Weights of the pooling layer itself: 0.",
    lines: (rows: number, columns: number) =>
      [rows > 0 && s(rows, "row"), columns > 0 && s(columns, "column")].filter(Boolean).join(" and "),
    edge: (lines: string, lost: string) => `The windows do not come out even: ${lines} at the edge fall in none. Units never looked at: ${lost}.`,
    between: (lines: string, lost: string) =>
      `The stride is larger than the window: ${lines} between the windows fall in none. Units never looked at: ${lost}.`,
    betweenAndEdge: (lines: string, edge: string, lost: string) =>
      `The stride is larger than the window: ${lines} between the windows and ${edge} at the edge fall in none. Units never looked at: ${lost}.`,
    even: "Every unit is in a window.",
    savesDescription: (units: string, pooled: string, before: string, after: string) =>
      `Bars: ${units} units become ${pooled} pooled units; the dense layer behind shrinks from ${before} to ${after} weights.`,

    /** Between two sentences. */
    gap: " ",
    savedHead: "What was saved:",
    saved: (factor: string, exactly: boolean) =>
      `everything behind the pooling layer sees ${exactly ? "" : "about "}${factor} times fewer units: that much less memory and work, and that many times fewer weights in a dense layer.`,
    savedLittle: (share: string, exactly: boolean) =>
      `everything behind the pooling layer sees ${exactly ? "" : "about "}${share} fewer units: the same share of memory and work is saved, and of the weights of a dense layer.`,
    savedNothing: "nothing at this setting: there are as many pooled units as units.",
    lostHead: "What was given up:",
    lost: "where in its window something was, all but one number of each window, and, where the sizes do not divide, an edge.",
  },
  zh: {
    title: "池化：用一个数概括一个窗口",
    intro:
      "第一层的输出是一张由单元排成的输出图，每个单元表示卷积核要找的图案在它的位置上有多明显。池化在输出图上铺开一个个窗口，每个窗口只留一个数：最大值或平均值。池化本身没有权值，却能让后面的一切都变小。",
    name: "“sizeX”是 cuda-convnet 对池化窗口边长的叫法，后来一篇流传很广的文章也沿用了它；本页称之为“窗口”。",
    classic: "窗口 2，步长 2",
    alexnet: "窗口 3，步长 2（AlexNet）",

    windowTitle: (side: number) => (side === 1 ? "窗口只有一个数，原样保留" : `${({ 2: "四", 3: "九" } as Record<number, string>)[side] ?? `${side * side} `}个数变成一个`),
    windowFrame: "池化后的单元。用方向键选择，输入数字可填写它的窗口。",
    units: (rows: number, columns: number) => `${rows} × ${columns} 个单元`,
    pooled: (rows: number, columns: number) => `池化后 ${rows} × ${columns} 个`,
    largest: (row: number, column: number, list: string, value: string) =>
      `池化后第 ${row} 行第 ${column} 列的单元：${chineseList(list)} 中最大的是 ${value}。`,
    average: (row: number, column: number, list: string, value: string) =>
      `池化后第 ${row} 行第 ${column} 列的单元：${chineseList(list)} 的平均值是 ${value}。`,
    only: (row: number, column: number, value: string) => `池化后第 ${row} 行第 ${column} 列的单元：窗口里只有一个数：${value}。`,
    many: (count: number) => `窗口内 ${count} 个数`,
    how: "把指针移到池化后的单元上，或点按它，或用方向键，就能看到它的窗口。点一下数表里的数，它就加一；也可以直接键入数字，填写亮起的窗口。",
    ringed: "圆环标出窗口中胜出的数；一个圆环有几种颜色，表示这个数在几个窗口中都胜出。",
    overlapping: (side: number, stride: number, inSeveral: number) =>
      `窗口边长 ${side}，步长 ${stride}，相邻窗口有重叠：${inSeveral} 个数落在不止一个窗口里。`,
    apart: "灰色的数不在任何窗口里，就此丢失。",
    cut: (asked: number, side: number) => `所设的窗口边长 ${exact(asked)} 在这里放不下，按 ${side} 计算。`,
    reset: "恢复原来的数",
    windowDescription: (rows: number, columns: number, side: number, stride: number, kind: string, values: string) =>
      `${rows} 行 ${columns} 列的数表，${kind}池化，窗口 ${side}，步长 ${stride}。池化结果逐行为：${chineseList(values)}。`,
    kinds: { max: "最大", average: "平均" },

    digitTitle: "真实的手写数字，移动一个像素",
    digitIntro: {
      max: "胜出的数原本在窗口的什么位置，池化之后就无从知道了。因此图像稍稍移动时，池化后的单元往往仍能在窗口里找到同样的值，保持不变。只是“往往”，并非总是：笔画一旦跨进相邻窗口，两边的值都会变。",
      average:
        "窗口里的东西原本在什么位置，池化之后就无从知道了。图像稍稍移动时，仍留在窗口里的墨迹不影响平均值，跨进相邻窗口的墨迹则会改变两边的平均值。所以许多平均值都会变，但变动的幅度都不超过窗口内各值变动的平均幅度。",
    },
    digit: "数字",
    what: "对什么做池化",
    maps: { pixels: "像素", upright: "左边缘图", level: "上边缘图" },
    shift: "移动一个像素",
    shifts: { none: "不移", left: "向左", right: "向右", up: "向上", down: "向下" },
    original: "原图",
    moved: { none: "未移动", left: "左移之后", right: "右移之后", up: "上移之后", down: "下移之后" },
    pooledLabel: "池化后",
    digitFrame: "池化后的数字。用方向键选择单元，它的窗口会亮起。",
    unitValue: (row: number, column: number, value: string, after: string) =>
      `池化后第 ${row} 行第 ${column} 列的单元：移动前为 ${value}，移动后为 ${after}。`,
    winners: (isMap: boolean, count: number, windows: number) =>
      `紫点：共 ${count} 个${isMap ? "单元" : "像素"}，在 ${windows} 个窗口中胜出（数值相同时取排在最前的一个；全为零的窗口没有胜者）。`,
    repeated: (most: number) => `圆点里的数字表示它在几个重叠的窗口中胜出，此处最多 ${most} 个。`,
    equal: "取平均值时没有胜者，窗口里每个值的分量都一样。",
    equalTwice: (most: number) => `取平均值时没有胜者；窗口重叠时，一个值最多被计入 ${most} 次。`,
    red: "红点：移动后变了的值。",
    outside: (isMap: boolean, count: number) => `斜线处：有 ${count} 个${isMap ? "单元" : "像素"}不在任何窗口里。`,
    pushed: (count: number) => `移动时有 ${count} 个有墨迹的像素被推出了边界。`,
    source: "测试图像共 540 张，由 striate 从 scikit-learn 的数据集（Alpaydin 与 Kaynak，1998）中划出，这里用的是其中该类的第一张；像素取值从 0（空白）到 16（全黑）。",
    mapped: "这张输出图由 3 × 3 的 Sobel 卷积核求得，负值置零。",
    compared: "数值",
    changed: "移动后变了",
    amount: "变化总量 ÷ 原有总量",
    before: (isMap: boolean): string => (isMap ? "输出图的单元" : "像素"),
    after: "池化后的单元",
    ofAll: (count: number, all: number) => `${count} / ${all}`,
    nothing: "全为零",
    digitDescription: (digit: number, map: string, shift: string, changed: string, pooledChanged: string) =>
      `数字 ${digit}（${map}）及其池化结果，旁边是${shift}的同一数字。池化前的值有 ${changed} 变了，池化后的值有 ${pooledChanged} 变了。`,

    savesTitle: "为后面的层省下了多少",
    savesIntro: (rows: string, columns: string) =>
      `按本页当前的设置，第一层有 ${rows} × ${columns} 个单元。后面接一个分十类的全连接层，每接进一个单元就要十个权值。`,
    unitsBefore: "单元",
    unitsAfter: "池化之后",
    head: "直接接全连接层时的权值",
    pooledHead: "池化后再接全连接层时的权值",
    fewer: (factor: string, exactly: boolean) => `${exactly ? "" : "约"}为原来的 ${oneOf(factor)}`,
    lower: (share: string, exactly: boolean) => `${exactly ? "减少 " : "约减少 "}${share}`,
    notFewer: "没有减少",
    own: "池化层自身的权值：0。",
    lines: (rows: number, columns: number) =>
      [rows > 0 && `${exact(rows)} 行`, columns > 0 && `${exact(columns)} 列`].filter(Boolean).join("、"),
    edge: (lines: string, lost: string) => `窗口铺不满：边缘有 ${lines}不在任何窗口里，共 ${lost} 个单元没有被看到。`,
    between: (lines: string, lost: string) => `步长大于窗口：窗口之间有 ${lines}不在任何窗口里，共 ${lost} 个单元没有被看到。`,
    betweenAndEdge: (lines: string, edge: string, lost: string) =>
      `步长大于窗口：窗口之间有 ${lines}，边缘还有 ${edge}不在任何窗口里，共 ${lost} 个单元没有被看到。`,
    even: "每个单元都在某个窗口里。",
    savesDescription: (units: string, pooled: string, before: string, after: string) =>
      `条形图：${units} 个单元池化后剩 ${pooled} 个；后接的全连接层从 ${before} 个权值减到 ${after} 个。`,

    gap: "",
    savedHead: "省下了什么：",
    saved: (factor: string, exactly: boolean) =>
      `池化层后面的层所接收的单元${exactly ? "只有" : "约为"}原来的 ${oneOf(factor)}：内存和计算量随之减少；若接全连接层，权值也减到同样的比例。`,
    savedLittle: (share: string, exactly: boolean) =>
      `池化层后面的层所接收的单元${exactly ? "" : "约"}减少 ${share}：内存和计算量，以及后面全连接层的权值，也减少同样的比例。`,
    savedNothing: "按当前设置什么也没省：池化后的单元和原来一样多。",
    lostHead: "放弃了什么：",
    lost: "特征在窗口里的确切位置；每个窗口除一个数以外的其余信息；边长不能整除时，还有边缘的单元。",
  },
});
