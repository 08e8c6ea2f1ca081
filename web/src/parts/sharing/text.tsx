// All that this part says, in both languages.

import type { ComponentChildren } from "preact";
import { extent } from "../../numbers";
import { chineseList, words } from "../../words";

type Said = ComponentChildren;
const by = (rows: number | string, columns = rows) => extent(rows, columns);

/** Whether units share a kernel: none of them, groups of them, all. */
type Sharing = "none" | "some" | "all";

interface Counts {
  readonly units: Said;
  readonly connections: Said;
  readonly taps: Said;
}

export const text = words("sharing", {
  en: {
    title: "Weight sharing: one kernel for all places",
    problem: ({ units, connections, taps }: Counts): Said => (
      <>
        A window each, and {units} units still hold {connections} weights, since each has a set of weights of its own, its{" "}
        <em>kernel</em>: {taps} weights for its place and for no other. Yet an edge in one corner looks like an edge in any other, and the
        weights that find it here would find it there.
      </>
    ),
    idea: ({ connections, taps }: Counts): Said => (
      <>
        So let units share. If all of them use the same kernel, it is as if that kernel slid over the image: at each
        place it multiplies the pixels under it by its weights (its <em>taps</em>) and adds up. The sums form a map of
        where its pattern was found. This sliding and adding up is a <strong>convolution</strong>; networks of such layers
        are convolutional ones. The connections are {connections} as before; the weights are {taps}.
      </>
    ),

    slides: "One kernel slides",
    slidesSize:
      `Below it does so on a real image. The size is this figure’s own and small, so that every number can be read: a handwritten digit of ${by(8)} pixels (0 paper, 16 ink; from scikit-learn’s set), a kernel of ${by(3)}, zeros around the image. Nine weights make all 64 sums; a kernel for each place would take 576.`,
    slidesCaption: "Orange: above zero; blue: below. Drag the kernel, or use the arrow keys.",
    between:
      "Between a kernel each and one for all there is more to choose: units that are neighbours can share (blocks), or units at regular distances (tiles). Run through it, at the size of the whole page’s setting:",
    slidesSaid: (digit: number, kernel: string, row: number, column: number, sum: number, done: number) =>
      `A kernel of nine taps, ${kernel}, over the digit ${digit}. It is at row ${row}, column ${column}: the nine products sum to ${sum}. ${done} of 64 places of the map are filled.`,
    slidesFrame: "Move the kernel with the arrow keys",
    image: "image, zeros around it",
    under: "pixels",
    taps: "taps",
    products: "products",
    map: "map",
    sum: (value: string) => `sum: ${value}`,
    digit: "digit",
    kernel: "kernel",
    kernels: {
      vertical: "vertical edge",
      horizontal: "horizontal edge",
      outline: "outline (Laplacian)",
      blur: "blur",
    },
    ownTaps: "your own",
    tap: (row: number, column: number) => `tap in row ${row}, column ${column}`,
    tapsField: "taps, to change",
    play: "▶ Play",
    pause: "❚❚ Pause",
    back: "← Back",
    next: "Step →",
    all: "All places",
    place: (at: number) => `place ${at} of 64`,

    who: "Who shares a kernel",
    whoCaption: (rows: string, columns: string, allRows: string, allColumns: string, scale: string): string =>
      `Each square ${scale === "1" ? "is a unit" : `stands for ${by(scale)} units and shows the first of them`}; units with the same kernel have the same colour (kernels far apart may look alike). Drawn: ${
        rows === allRows && columns === allColumns ? "all" : `the first ${by(rows, columns)} of`
      } ${by(allRows, allColumns)}. Point at a unit, or use the arrow keys, to see which others use its kernel.`,
    whoSaid: (way: string, row: string, column: string, sharers: string) =>
      `Sharing: ${way}. The unit in row ${row}, column ${column} ${sharers === "1" ? "has a kernel of its own" : `shares its kernel with ${sharers} units, itself included`}.`,
    whoFrame: "Choose a unit with the arrow keys",
    whoUnit: (row: string, column: string) => `row ${row}, column ${column}`,
    whoShares: (sharers: string) => (sharers === "1" ? "has a kernel of its own" : `one of ${sharers} units with this kernel`),
    weights: "What is left of the weights",
    weightsCaption: (first: string, last: string): string =>
      `Weights of the layer for each way to share, from ${first} to ${last}. Each step along a bar of the same length is the same factor (a logarithmic scale). Choose a bar, or use the slider.`,
    weightsSaid: (rows: string) => `Weights for each way to share: ${rows}.`,
    arrangement: "units that share are",
    block: "neighbours (blocks)",
    tile: "regularly spaced (tiles)",
    slider: "sharing:",
    ways: {
      own: "a kernel each",
      block: (step: string) => `${by(step)} neighbours`,
      tile: (step: string) => `units ${step} apart`,
      all: "one for all",
    },
    waysShort: {
      own: "one each",
      block: (step: string) => by(step),
      tile: (step: string) => `${step} apart`,
      all: "one for all",
    },
    blockSide: "side of a block",
    tileStep: "spacing",
    count: (kernels: Said, taps: Said, weights: string): Said => (
      <>
        {kernels} × {taps} = <strong class="number">{weights}</strong> {weights === "1" ? "weight" : "weights"}
      </>
    ),
    kernelsCounted: (many: string) => (many === "1" ? "1 kernel" : `${many} kernels`),
    factor: (factor: string): string =>
      factor === "1" ? "Every weight serves one connection: nothing is shared." : `Every weight serves ${factor} connections on average: the sharing factor.`,

    lost: "What is lost",
    lostIdea:
      "A unit with its own kernel can look for something else than its neighbour does: a curve in the top left corner, a bar in the middle. One kernel for all looks for one thing everywhere. Below are four networks that were trained alike on the digits and differ only in how many kernels the 64 units of each of their two maps have.",
    board: "The trained kernels, each in its place",
    boardCaption: (kernels: number, weights: number): string =>
      `${kernels === 1 ? `One kernel of ${by(3)} serves` : `${kernels} kernels of ${by(3)} (${weights} weights) serve`} all 64 units of a map. Orange taps add for ink, blue ones subtract; pale kernels are those that training made no use of. Point at a place, or use the arrow keys: left is what its unit sees, right what all units answer: the sum, and a constant trained with the kernel (its bias), so that blank paper gives something too; nothing where that is below zero (ReLU, a common choice).`,
    boardSaid: (map: number, kernels: number, digit: number, row: number, column: number, value: string) =>
      `Map ${map}: ${kernels === 1 ? "one trained kernel for all places" : `${kernels} trained kernels in their places`} on a board of 8 by 8 units. The unit in row ${row}, column ${column} answers ${value} to the digit ${digit}.`,
    boardFrame: "Choose a unit with the arrow keys",
    sees: "what the unit sees",
    answers: "all units’ answers",
    unit: (row: number, column: number, value: string) => `row ${row}, column ${column} answers ${value}`,
    kernelsEach: "kernels",
    trained: { own: "64, one each", "2": `16, in blocks of ${by(2)}`, "4": `4, in blocks of ${by(4)}`, all: "1 for all" },
    accuracy: "Digits named rightly",
    accuracyCaption: (images: number, seeds: number, first: string, command: string): Said => (
      <>
        The share of {images} test images; each dot is one of {seeds} trainings from different random starts, the bar
        across and the number are their mean, in brackets the lowest and the highest. The line is the 95{"\u00a0"}% interval for that many images (Wilson). The axis begins at {first}, not at 0.
        Made by <code>{command}</code>.
      </>
    ),
    accuracyRow: (kernels: number, weights: string) => `${kernels === 1 ? "1 kernel" : `${kernels} kernels`} a map, ${weights} weights`,
    accuracySaid: (rows: string) => `Test accuracy: ${rows}.`,
    chosen:
      "The example is chosen to show the loss, and is no typical network: it has two maps, and the layer behind them is told only the average of each quarter of a map. It cannot make up for a kernel that looks for the same thing everywhere.",
    elsewhere: (local: string, shared: string): string =>
      `Networks commonly have more maps, and a layer behind them that sees every unit. With eight maps (part 6) a kernel for each place gives ${local}, one for each map ${shared}.`,
    matters:
      "So kernels that differ by place pay where a place means something: in faces aligned to a frame, where eyes are always above the mouth; in spectrograms, where each row is a frequency; on a grid of the globe, or across a lens that darkens towards its edge. In photographs, where anything may stand anywhere, they seldom do.",

    moving: "Move the digit, and the map moves too",
    movingIdea:
      "One kernel gives something in return: what it finds, it finds wherever it is. Move the digit by a pixel, and the map is the same map, moved by a pixel (translation equivariance). With a kernel for each place, the moved digit meets other kernels, and the map becomes a different one.",
    movingSaid: (by: string, one: string, each: string) =>
      `The digit, ${by}. Largest difference between the new map and the old map moved along: ${one} with one kernel, ${each} with a kernel each.`,
    movingCaption:
      "Right: the new map less the old one moved along; nothing there means that the map only moved. Grey: came in at the edge, nothing to compare. Ink that is pushed out of the image is gone, for both.",
    before: "before",
    after: "after",
    difference: "difference",
    oneKernel: "one kernel",
    kernelEach: "a kernel each",
    differs: (value: string): string => (value === "0" ? "none" : `up to ${value}`),
    left: "← one pixel left",
    right: "one pixel right →",
    movedBy: (by: number) =>
      by === 0 ? "not moved" : `moved ${Math.abs(by) === 1 ? "one pixel" : `${Math.abs(by)} pixels`} to the ${by > 0 ? "right" : "left"}`,

    saved: (from: Said, to: Said, factor: Said, sharing: Sharing): Said => (
      <>
        <strong>What was saved:</strong>{" "}
        {sharing === "none" ? (
          <>nothing yet: choose a way to share above.</>
        ) : (
          <>
            {from} weights became {to}, {factor} times fewer.
            {sharing === "all" && " And the map moves along with what is in the image."}
          </>
        )}
      </>
    ),
    given: (sharing: Sharing): Said => (
      <>
        <strong>What was given up:</strong>{" "}
        {
          {
            none: "nothing yet: each unit still looks for its own thing at its place.",
            some: "units that share a kernel can no longer look for different things. And no work is saved: the connections are as many as before.",
            all: "units at different places can no longer look for different things. And no work is saved: the connections are as many as before.",
          }[sharing]
        }
      </>
    ),
  },
  zh: {
    title: "权值共享：所有位置共用一个卷积核",
    problem: ({ units, connections, taps }: Counts): Said => (
      <>
        每个单元只看一个窗口，{units} 个单元却仍有 {connections} 个权值，因为每个单元都有自己的一组权值，叫作它的<em>卷积核</em>：{taps}{" "}
        个权值只管一个位置，到别处就不用了。可是，一段边缘无论出现在哪个角落，样子都是一样的；能在这里认出它的权值，在那里也认得出。
      </>
    ),
    idea: ({ connections, taps }: Counts): Said => (
      <>
        那就让各个单元共用权值。如果所有单元都用同一个卷积核，就好比让它在图像上滑过：每到一处，把窗口里的像素与核上对应的权值相乘，再加起来。得到的数排成一张图，叫作输出图，显示哪里出现了这个核要找的图案。这样边滑动边相乘、相加，就是<strong>卷积</strong>；由这样的层组成的网络就是卷积网络。连接仍是{" "}
        {connections} 条，权值只剩 {taps} 个。
      </>
    ),

    slides: "一个卷积核滑过图像",
    slidesSize:
      `下面在一张真实的图像上演示。为了让每个数都看得清，这幅图没有采用页面的设置，而是用了较小的尺寸：${by(8)} 像素的手写数字（0 为白纸，16 为全黑；取自 scikit-learn 的数据集），${by(3)} 的卷积核，图像四周补零。输出图的 64 个数全由 9 个权值算出；若每个位置各有一个核，就要 576 个权值。`,
    slidesCaption: "橙色为正，蓝色为负。可以拖动卷积核，也可以用方向键移动。",
    between:
      "从各有一个核到全体共用一个，中间还有许多选择：可以让相邻的单元共用一个核（分块），也可以让等距间隔的单元共用一个核（平铺）。下面按本页当前的设置，从头到尾试一遍：",
    slidesSaid: (digit: number, kernel: string, row: number, column: number, sum: number, done: number) =>
      `九个权值的卷积核（${kernel}）滑过数字 ${digit}。现在位于第 ${row} 行第 ${column} 列，九个乘积之和为 ${sum}。输出图的 64 个位置已填 ${done} 个。`,
    slidesFrame: "用方向键移动卷积核",
    image: "图像，四周补零",
    under: "像素",
    taps: "权值",
    products: "乘积",
    map: "输出图",
    sum: (value: string) => `总和：${value}`,
    digit: "数字",
    kernel: "卷积核",
    kernels: { vertical: "竖直边缘", horizontal: "水平边缘", outline: "轮廓（拉普拉斯）", blur: "模糊" },
    ownTaps: "自定义",
    tap: (row: number, column: number) => `第 ${row} 行第 ${column} 列的权值`,
    tapsField: "权值（可改）",
    play: "▶ 播放",
    pause: "❚❚ 暂停",
    back: "← 退一步",
    next: "进一步 →",
    all: "全部位置",
    place: (at: number) => `第 ${at} 个位置，共 64 个`,

    who: "谁和谁共用卷积核",
    whoCaption: (rows: string, columns: string, allRows: string, allColumns: string, scale: string): string =>
      `每个方格${scale === "1" ? "是一个单元" : `代表 ${by(scale)} 个单元，画的是其中第一个`}；用同一个核的颜色相同（相距很远的核颜色可能相近）。${
        rows === allRows && columns === allColumns ? `画出了全部 ${by(allRows, allColumns)} 个` : `只画出 ${by(allRows, allColumns)} 个中最前面的 ${by(rows, columns)} 个`
      }。指向一个单元，或用方向键选择，看还有谁用它的核。`,
    whoSaid: (way: string, row: string, column: string, sharers: string) =>
      `共享方式：${way}。第 ${row} 行第 ${column} 列的单元${sharers === "1" ? "有自己的核" : `所用的核由 ${sharers} 个单元共用（含它自己）`}。`,
    whoFrame: "用方向键选择单元",
    whoUnit: (row: string, column: string) => `第 ${row} 行第 ${column} 列`,
    whoShares: (sharers: string) => (sharers === "1" ? "有自己的核" : `${sharers} 个单元共用这个核`),
    weights: "还剩多少权值",
    weightsCaption: (first: string, last: string): string =>
      `各种共享方式下这一层的权值数，从 ${first} 到 ${last}。条形按对数刻度画：每长出同样一段，就是增大同样的倍数。可以点选一条，也可以用滑块。`,
    weightsSaid: (rows: string) => `各种共享方式下的权值数：${chineseList(rows)}。`,
    arrangement: "共用一个核的单元",
    block: "彼此相邻（分块）",
    tile: "等距间隔（平铺）",
    slider: "共享方式：",
    ways: {
      own: "各有一个核",
      block: (step: string) => `相邻 ${by(step)} 个共用`,
      tile: (step: string) => `相距 ${step} 的单元共用`,
      all: "全体共用一个",
    },
    waysShort: {
      own: "各有一个",
      block: (step: string) => by(step),
      tile: (step: string) => `相距 ${step}`,
      all: "共用一个",
    },
    blockSide: "块的边长",
    tileStep: "间隔",
    count: (kernels: Said, taps: Said, weights: string): Said => (
      <>
        {kernels} × {taps} = <strong class="number">{weights}</strong> 个权值
      </>
    ),
    kernelsCounted: (many: string) => `${many} 个核`,
    factor: (factor: string): string =>
      factor === "1" ? "每个权值只用于一条连接：没有共享。" : `平均每个权值用于 ${factor} 条连接，这就是共享倍数。`,

    lost: "失去了什么",
    lostIdea:
      "单元若有自己的核，就可以和旁边的单元各找各的：左上角找弯弧，正中间找横杠。全体共用一个核，就只能到处找同一样东西。下面四个网络在手写数字上用同样的方法训练，区别只在于：网络有两张输出图，每张图的 64 个单元共有几个核。",
    board: "训练出来的卷积核，各在其位",
    boardCaption: (kernels: number, weights: number): string =>
      `${kernels === 1 ? `这张图的 64 个单元全用这一个 ${by(3)} 的核` : `这张图的 64 个单元用 ${kernels} 个 ${by(3)} 的核（${weights} 个权值）`}。橙色的权值遇到墨迹加分，蓝色的减分；颜色很淡的核，是训练没有用上的。指向一个位置，或用方向键选择：左边是这个单元看到的，右边是全部单元的输出：乘积之和再加上与核一同训练的常数（偏置），所以白纸处也可能有输出；小于零时输出为零（ReLU，常见的做法）。`,
    boardSaid: (map: number, kernels: number, digit: number, row: number, column: number, value: string) =>
      `第 ${map} 张输出图，${by(8)} 个单元，${kernels === 1 ? "所有位置共用一个训练好的卷积核" : `${kernels} 个训练好的卷积核各在其位`}。对数字 ${digit}，第 ${row} 行第 ${column} 列的单元输出 ${value}。`,
    boardFrame: "用方向键选择单元",
    sees: "这个单元看到的",
    answers: "全部单元的输出",
    unit: (row: number, column: number, value: string) => `第 ${row} 行第 ${column} 列输出 ${value}`,
    kernelsEach: "卷积核",
    trained: { own: "64 个，各有一个", "2": `16 个，每块 ${by(2)}`, "4": `4 个，每块 ${by(4)}`, all: "1 个，全体共用" },
    accuracy: "认对数字的比例",
    accuracyCaption: (images: number, seeds: number, first: string, command: string): Said => (
      <>
        {images} 张测试图像中认对的比例。每个点是一次训练，共 {seeds} 次，各用一个随机种子；竖条和数字是平均值，括号里是最低值和最高值；横线是按这么多张图像算的 Wilson 95{"\u00a0"}% 置信区间。横轴从 {first} 起，不从 0 起。由{" "}
        <code>{command}</code> 生成。
      </>
    ),
    accuracyRow: (kernels: number, weights: string) => `每张图 ${kernels} 个核，${weights} 个权值`,
    accuracySaid: (rows: string) => `测试准确率：${chineseList(rows)}。`,
    chosen:
      "这个例子是特意挑来显示损失的，并不是常见的网络：它只有两张输出图，每张分成四块，后面那一层只知道每块的平均值。要是核到处都找同一样东西，后面这一层也补救不了。",
    elsewhere: (local: string, shared: string): string =>
      `通常的网络有更多输出图，后面的层也看得到每个单元。有八张输出图时（见第 6 节），每个位置各有一个核，准确率为 ${local}；每张图共用一个核，准确率为 ${shared}。`,
    matters:
      "所以，只有当位置本身有含义时，核随位置而变才划算：对齐到同一画框的人脸，眼睛总在嘴的上方；声谱图，每一行是一个频率；覆盖全球的网格；或者镜头拍出的边缘偏暗的画面。普通照片里什么东西都可能出现在任何地方，这样做就很少划算。",

    moving: "数字移动，输出图也跟着移动",
    movingIdea:
      "共用一个核也有回报：它能认出的东西，挪到哪里都认得出。把数字移动一个像素，得到的还是原来那张输出图，只是也移动了一个像素（平移等变性）。若每个位置各有一个核，移动后的数字遇到的就是别的核，输出图也就变成了另一张。",
    movingSaid: (by: string, one: string, each: string) =>
      `数字${by}。新输出图与随之移动的旧输出图的差值：共用一个核，${one}；各有一个核，${each}。`,
    movingCaption:
      "右列：新输出图减去随数字一起移动的旧输出图；一片空白，就说明输出图只是移动了。灰色部分是从边缘移进来的，无从比较。被推出图像的墨迹，两种情况下都丢失了。",
    before: "移动前",
    after: "移动后",
    difference: "差值",
    oneKernel: "共用一个核",
    kernelEach: "各有一个核",
    differs: (value: string) => (value === "0" ? "无" : `最大 ${value}`),
    left: "← 左移一个像素",
    right: "右移一个像素 →",
    movedBy: (by: number) => (by === 0 ? "没有移动" : `向${by > 0 ? "右" : "左"}移动了 ${Math.abs(by)} 个像素`),

    saved: (from: Said, to: Said, factor: Said, sharing: Sharing): Said => (
      <>
        <strong>省下了什么：</strong>
        {sharing === "none" ? (
          <>还什么都没省，请在上面选一种共享方式。</>
        ) : (
          <>
            权值从 {from} 个减到 {to} 个，只有原来的 1/{factor}。
            {sharing === "all" && "而且图像里的东西移动，输出图也跟着移动。"}
          </>
        )}
      </>
    ),
    given: (sharing: Sharing): Said => (
      <>
        <strong>放弃了什么：</strong>
        {
          {
            none: "还什么都没放弃：每个单元仍在自己的位置上各找各的东西。",
            some: "共用一个核的单元不能再各找各的东西。计算量也没有减少：连接和原来一样多。",
            all: "不同位置的单元不能再各找各的东西。计算量也没有减少：连接和原来一样多。",
          }[sharing]
        }
      </>
    ),
  },
});
