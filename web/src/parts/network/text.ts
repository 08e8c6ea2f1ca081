import { words } from "../../words";
import { exact } from "../../numbers";

/** A difference of accuracies over the seeds, in points, as written. */
export interface Points {
  readonly mean: string;
  readonly lowest: string;
  readonly highest: string;
}

export interface Comparison {
  readonly hidden: readonly [before: number, after: number];
  readonly params: readonly [before: number, after: number];
  readonly kernel: number;
  readonly pool: number;
  readonly difference: Points;
  /** Test images that the mean difference comes to; below zero, so many fewer. */
  readonly more: number;
  readonly images: number;
  /** Whether the two intervals do. */
  readonly overlap: boolean;
}

const aDigit = (digit: number) => `${digit === 8 ? "an" : "a"} ${digit}`;
/** 3 × 3, on one line. */
const square = (side: number) => `${side}\u00a0×\u00a0${side}`;
const fold = ([before, after]: readonly [number, number]) => exact(Math.round(before / after));

export const text = words("network", {
  en: {
    title: "On a real network: draw a digit",
    intro:
      "Five small networks read handwritten digits of 8 × 8 pixels. All have the same hidden units, 8 maps of 8 × 8, and behind them a dense layer that gives each of the ten digits a score. Only the wiring of the hidden units differs. Draw one: all five answer while you draw.",
    pad: "Draw a digit here",
    draw: "Draw your own",
    padLabel: "Drawing pad. Arrow keys move the pen, the space bar puts it down and lifts it, Backspace takes back a stroke.",
    padHint: "Draw here with mouse, pen or finger",
    padKeys: "Keyboard: arrows move the pen, space puts it down and lifts it.",
    padReal: (label: number, index: number) => `Draw right over it: your first stroke takes the place of this ${label} (test image ${index}).`,
    padEmpty: "The pad is empty.",
    padStrokes: (count: number) => `A drawing of ${count} ${count === 1 ? "stroke" : "strokes"}.`,
    padRealSaid: (label: number) => `A real test image, ${aDigit(label)}, which no network was trained on.`,
    penDown: "Pen down.",
    penUp: "Pen up.",
    undo: "Undo",
    clear: "Clear",
    real: "or a real test digit (again: the next one)",
    realOne: (label: number) => `a real ${label}`,
    reduced: "What the networks see",
    bitmap: "32 × 32, black or white",
    counts: "8 × 8, counted",
    alone: "8 × 8, each 0 to 16",
    reducedSaid: (ink: number) => `The drawing scaled into a bitmap of 32 by 32 with ${ink} black pixels, and 8 by 8 counts of 0 to 16 black pixels to a block of 4 by 4.`,
    reducedRealSaid: "The test image as the set has it: 8 by 8 counts of 0 to 16.",
    reducedCaption:
      "A drawing is reduced as the set was made: straightened, scaled to fill 20 × 32 of the 32 × 32 pixels, its strokes made as thick as the set’s, and the black pixels of each 4 × 4 block counted.",
    reducedRealCaption: "A test image as the set has it: how black each of its 8 × 8 pixels is. A drawing is reduced to the same, before your eyes.",
    answers: "Five wirings, one drawing",
    units: "hidden units (8 maps)",
    pooledUnits: "pooled",
    scores: "scores",
    answer: "answer",
    weightsHead: "weights",
    hidden: (count: string) => `${count} hidden`,
    head: (count: string) => `+ ${count} head`,
    accuracyHead: (images: number) => `on ${images} test images`,
    accuracy: (mean: string) => `${mean} right`,
    agree: (digit: number) => `All five say ${digit}.`,
    differ: (says: readonly string[]) => `They differ: ${says.join(", ")}.`,
    says: (name: string, digit: number) => `${name} says ${digit}`,
    nothing: "Draw something, and the networks answer.",
    answersSaid: (says: readonly string[]) => (says.length ? `${says.join("; ")}.` : "Nothing is drawn, so no network answers."),
    saysSure: (name: string, digit: number, sure: string) => `${name}: ${digit} with ${sure}`,
    answersCaption: "The stronger its colour, the stronger a unit’s answer, each network on its own scale. The bar under the weights is their number, all networks on one scale. The bars are the ten scores through softmax: they sum to 1.",
    chart: "Accuracy against weights",
    count: "weights of",
    whole: "the whole network",
    layer: "the hidden layer",
    accuracyAxis: "test images read rightly",
    wholeAxis: "weights and biases (log scale)",
    layerAxis: "weights of the hidden layer (log scale)",
    chartSaid: (points: readonly string[]) => `Accuracy against weights. ${points.join("; ")}.`,
    point: (name: string, weights: string, mean: string, low: string, high: string) => `${name}: ${weights} weights, ${mean} right, interval ${low} to ${high}`,
    chartCaption: (seeds: number, images: number, from: string) =>
      `Point: the mean over ${seeds} trainings, each from its own seed. Small dots: each of them. Line: Wilson’s 95 % interval for ${images} images. The axis begins at ${from}, not at 0. Points in each other’s way are set a few pixels apart.`,
    variant: "network",
    hiddenWeights: "hidden weights",
    headWeights: "head weights",
    params: "with biases, all",
    mean: "right, mean",
    interval: "95 % interval",
    /** Between two sentences. */
    gap: " ",
    against: "points against dense",
    spread: ({ mean, lowest, highest }: Points) => `${mean} (${lowest} to ${highest})`,
    allOverlap: (networks: number, images: number) =>
      `All ${networks} intervals overlap: ${images} test images are too few to say which network is the best, or the worst.`,
    apart: (pairs: readonly string[]) => `Intervals that do not overlap: ${pairs.join("; ")}. The others are not told apart by these images.`,
    pair: (one: string, other: string) => `${one} and ${other}`,
    paired: (seeds: number) =>
      `“Points against dense” compares each network with the dense one of the same seed: the mean over ${seeds} seeds, then the least and the most. Where that runs from below 0 to above, the seed decides which of the two is ahead.`,
    savedHead: "What was saved:",
    saved: ({ hidden, params }: Comparison) =>
      `the hidden layer went from ${exact(hidden[0])} weights to ${exact(hidden[1])}, ${fold(hidden)} times fewer, and the whole network, after pooling, from ${exact(params[0])} numbers to ${exact(params[1])}, ${fold(params)} times fewer.`,
    lostHead: "What was given up:",
    lost: ({ kernel, pool, difference, more, images, overlap }: Comparison) =>
      `no hidden unit sees more than ${square(kernel)} pixels, none may look for something of its own at its place, and a pooled unit no longer tells where in its ${square(pool)} it saw it. The accuracy, against the dense network seed by seed: ${difference.mean} points on average, from ${difference.lowest} to ${difference.highest}; ${
        more === 0 ? `not one of ${images} images` : `about ${Math.abs(more)} ${more < 0 ? "fewer" : "more"} of ${images} images read rightly`
      }. ${
        overlap
          ? "The two intervals overlap: on these digits the difference is too small to be sure of."
          : more < 0
            ? "The two intervals do not overlap: here that is a real loss. Part 5 shows how a stack of such layers sees more."
            : "The two intervals do not overlap: here fewer weights even read better."
      }`,
    steps: "What each idea alone saves:",
    step: (from: string, to: string, fewer: string) => `${from} → ${to}: ${fewer}`,
    fewerHidden: (times: string) => `${times} times fewer hidden weights`,
    fewerHead: (times: string) => `${times} times fewer weights in the head`,
    foreign:
      "A drawing is not quite one of the set’s images. The writers were Turkish: their 7 has a bar, their 1 often a foot. A network answers with one of ten digits whatever it sees, and its bars say how it compares the ten, not how likely it is to be right.",
    how: "Where these numbers come from",
    made: (command: string) => ["Trained by ", command, " with striate’s own layers; nothing here was typed in by hand."],
    split: (train: number, validation: number, test: number) =>
      `Data: the 1,797 digits of scikit-learn (the test part of optdigits, Alpaydin and Kaynak 1998), divided once into ${exact(train)} to train, ${validation} to choose the recipe and ${test} to report. The test images chose nothing.`,
    recipe: (epochs: number, batch: number, rate: string, decay: string, shift: string) =>
      `Recipe, the same for all five: AdamW, learning rate ${rate} at its highest, weight decay ${decay}, ${epochs} epochs, batches of ${batch}, images moved by up to ${shift} pixel${shift === "1" ? "" : "s"} each time they are seen.`,
    seeds: (count: number) =>
      `${count} seeds for each. The networks in this page are those with the median validation score, not the best; their weights are rounded to 16 bits, and the accuracies are those of the rounded weights. The interval is for the number of images alone, the mean rounded to whole images: the seeds answer the same images.`,
  },
  zh: {
    title: "真实的网络：写一个数字",
    intro:
      "五个小网络识别 8 × 8 像素的手写数字。隐藏单元都一样：8 张 8 × 8 的输出图，后面接一个全连接层，给十个数字各打一个分。不同的只是隐藏单元怎样接线。写一个数字，五个网络会随着笔画即时作答。",
    pad: "在这里写一个数字",
    draw: "自己写一个",
    padLabel: "手写板。方向键移动笔，空格键落笔和提笔，退格键撤销一笔。",
    padHint: "用鼠标、触控笔或手指在这里写",
    padKeys: "键盘：方向键移动笔，空格键落笔、提笔。",
    padReal: (label: number, index: number) => `直接在上面写：一落笔，这个 ${label}（测试图像 ${index}）就会让位。`,
    padEmpty: "手写板是空的。",
    padStrokes: (count: number) => `已写 ${count} 笔。`,
    padRealSaid: (label: number) => `一张真实的测试图像，数字 ${label}，五个网络训练时都没有用过它。`,
    penDown: "已落笔。",
    penUp: "已提笔。",
    undo: "撤销",
    clear: "清空",
    real: "或者选一个真实的测试数字（再点换下一张）",
    realOne: (label: number) => `真实的 ${label}`,
    reduced: "网络看到的样子",
    bitmap: "32 × 32，非黑即白",
    counts: "8 × 8，数黑色像素",
    alone: "8 × 8，每格 0 到 16",
    reducedSaid: (ink: number) => `笔画缩放成 32 乘 32 的位图，共 ${ink} 个黑色像素；再数出 8 乘 8 个方块里各有多少黑色像素，0 到 16 个。`,
    reducedRealSaid: "数据集中的测试图像原样：8 乘 8 个 0 到 16 的计数。",
    reducedCaption:
      "笔画的处理方式和数据集当初的做法一致：扶正，缩放到 32 × 32 中的 20 × 32，把笔画加粗到数据集的程度，再数每个 4 × 4 方块里的黑色像素。",
    reducedRealCaption: "测试图像在数据集里就是这样：8 × 8 个像素各有多黑。你写的数字也会当场化成这样。",
    answers: "五种接线，同一个数字",
    units: "隐藏单元（8 张输出图）",
    pooledUnits: "池化后",
    scores: "得分",
    answer: "答案",
    weightsHead: "权值数",
    hidden: (count: string) => `隐藏层 ${count}`,
    head: (count: string) => `+ 输出层 ${count}`,
    accuracyHead: (images: number) => `${images} 张测试图像`,
    accuracy: (mean: string) => `答对 ${mean}`,
    agree: (digit: number) => `五个网络都认作 ${digit}。`,
    differ: (says: readonly string[]) => `答案不一：${says.join("，")}。`,
    says: (name: string, digit: number) => `${name}认作 ${digit}`,
    nothing: "写点什么，网络就会作答。",
    answersSaid: (says: readonly string[]) => (says.length ? `${says.join("；")}。` : "还没有写，网络没有作答。"),
    saysSure: (name: string, digit: number, sure: string) => `${name}：${digit}，${sure}`,
    answersCaption: "颜色越浓，单元的输出越强，各网络用各自的尺度。权值数下面的横条按同一尺度画出各网络的权值数。竖条是十个得分经 softmax 后的值，总和为 1。",
    chart: "准确率与权值数",
    count: "统计哪些权值",
    whole: "整个网络",
    layer: "仅隐藏层",
    accuracyAxis: "准确率",
    wholeAxis: "权值与偏置总数（对数刻度）",
    layerAxis: "隐藏层权值数（对数刻度）",
    chartSaid: (points: readonly string[]) => `准确率与权值数。${points.join("；")}。`,
    point: (name: string, weights: string, mean: string, low: string, high: string) => `${name}：${weights} 个权值，答对 ${mean}，置信区间 ${low} 到 ${high}`,
    chartCaption: (seeds: number, images: number, from: string) =>
      `大点：${seeds} 次训练（各用一个随机种子）的平均值。小点：各次训练。竖线：按 ${images} 张图像算的 Wilson 95 % 置信区间。纵轴从 ${from} 起，不是从 0 起。会互相遮挡的点错开了几个像素。`,
    variant: "网络",
    hiddenWeights: "隐藏层权值",
    headWeights: "输出层权值",
    params: "连同偏置共",
    mean: "平均准确率",
    interval: "95 % 置信区间",
    gap: "",
    against: "与全连接之差（百分点）",
    spread: ({ mean, lowest, highest }: Points) => `${mean}（${lowest} 至 ${highest}）`,
    allOverlap: (networks: number, images: number) => `${networks} 个区间互相重叠：只凭 ${images} 张测试图像，说不出哪个网络最好，哪个最差。`,
    apart: (pairs: readonly string[]) => `区间不重叠的有：${pairs.join("；")}。其余的，这些图像分不出高下。`,
    pair: (one: string, other: string) => `${one}与${other}`,
    paired: (seeds: number) =>
      `“与全连接之差”是各网络与同一种子的全连接网络相比：先是 ${seeds} 个种子的平均，再是最低和最高。如果一头在 0 以下，一头在 0 以上，谁占先就要看种子了。`,
    savedHead: "省下了什么：",
    saved: ({ hidden, params }: Comparison) =>
      `隐藏层的权值从 ${exact(hidden[0])} 个减到 ${exact(hidden[1])} 个，约为原来的 1/${fold(hidden)}；加上池化，整个网络从 ${exact(params[0])} 个数减到 ${exact(params[1])} 个，约为原来的 1/${fold(params)}。`,
    lostHead: "放弃了什么：",
    lost: ({ kernel, pool, difference, more, images, overlap }: Comparison) =>
      `隐藏单元最多只看 ${square(kernel)} 个像素，不能在自己的位置上找与众不同的东西，池化后的单元也说不清目标在 ${square(pool)} 里的哪一格。准确率与同一种子的全连接网络相比，平均 ${difference.mean} 个百分点，从 ${difference.lowest} 到 ${difference.highest}；${
        more === 0 ? `${images} 张图像里一张也不差` : `${images} 张图像里大约${more < 0 ? "少" : "多"}答对 ${Math.abs(more)} 张`
      }。${
        overlap
          ? "两个区间有重叠：对这些数字来说，差别小得还不能断定。"
          : more < 0
            ? "两个区间没有重叠：在这里，这是实实在在的损失。第 5 节讲了多层叠起来怎样看得更广。"
            : "两个区间没有重叠：在这里，权值少了，反而读得更准。"
      }`,
    steps: "每个想法单独省下多少：",
    step: (from: string, to: string, fewer: string) => `${from} → ${to}：${fewer}`,
    fewerHidden: (times: string) => `隐藏层权值减为原来的 1/${times}`,
    fewerHead: (times: string) => `输出层权值减为原来的 1/${times}`,
    foreign:
      "你写的数字和数据集里的图像总有些差别。当年的书写者是土耳其人，7 的中间有一横，1 的底下常有一横。不管看到什么，网络总会从十个数字里选一个；竖条表示它怎样比较这十个数字，并不表示它有多大可能答对。",
    how: "这些数从哪里来",
    made: (command: string) => ["由 ", command, " 用 striate 自己的层训练得到，没有一个数是手工填写的。"],
    split: (train: number, validation: number, test: number) =>
      `数据：scikit-learn 自带的 1,797 个手写数字（optdigits 的测试部分，Alpaydin 与 Kaynak，1998），只划分一次：${exact(train)} 张用于训练，${validation} 张用于选择训练方案，${test} 张用于报告结果。测试图像没有参与任何选择。`,
    recipe: (epochs: number, batch: number, rate: string, decay: string, shift: string) =>
      `五个网络的训练方案相同：AdamW，学习率最高 ${rate}，权值衰减 ${decay}，${epochs} 轮，每批 ${batch} 张，每次使用图像时随机平移至多 ${shift} 像素。`,
    seeds: (count: number) =>
      `每种网络训练 ${count} 次，随机种子各不相同。页面里用的是验证得分居中的那一次，不是最好的；权值舍入到 16 位，准确率按舍入后的权值计算。置信区间只反映图像数量的影响：各次训练测试的是同一批图像。`,
  },
});

/** What the networks are called, by their names in the data. */
export const names = words("network-names", {
  en: { dense: "dense", local: "local", blocks: "shared in blocks", shared: "shared", pooled: "shared + pooled" } as Record<string, string>,
  zh: { dense: "全连接", local: "局部连接", blocks: "分块共享", shared: "权值共享", pooled: "共享 + 池化" },
});

/** What a hidden unit of each is wired to. */
export const wirings = words("network-wirings", {
  en: {
      dense: "every unit sees all 64 pixels",
      local: "3 × 3 window, own kernel",
      blocks: "kernel for each 4 × 4 block",
      shared: "one kernel for each map",
      pooled: "and 2 × 2 max pooling",
    } as Record<string, string>,
  zh: {
      dense: "每个单元看全部 64 个像素",
      local: "3 × 3 窗口，各有卷积核",
      blocks: "每个 4 × 4 块一个核",
      shared: "每张输出图一个核",
      pooled: "再加 2 × 2 最大池化",
    },
});
