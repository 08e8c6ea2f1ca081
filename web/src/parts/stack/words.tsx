import { oneOf } from "../../numbers";
import { chineseList, words } from "../../words";
import type { Layer } from "./stack";

const windowOf = (window: number) => `${window}×${window}`;
const plural = (many: number, one: string, more: string) => `${many} ${many === 1 ? one : more}`;

export const text = words("stack", {
  en: {
    title: "From local to global: layers on layers",
    intro:
      "A unit that sees ten pixels by ten cannot tell a face from a wheel. But the outputs of its layer are again an image, and a second layer can look at windows of that: its units see more pixels, through the units below. All the pixels that a unit sees in this way are its receptive field.",
    presetsIntro: "Layers seen from the side: a row of pixels, and a row of units for each layer above it. Choose a stack, or build one below.",
    presets: {
      threes: "five 3×3",
      mixed: "3×3 with one pool",
      alternating: "3×3 and pool, alternating",
      alexnet: "AlexNet",
      vgg: "VGG-16’s first eight",
    },
    presetsNote: "AlexNet and VGG-16 with the windows and strides of their papers’ convolution and pooling layers.",
    tableCaption: "The layers from the input up, each with the receptive field of its units",
    layer: "layer",
    layers: "layers",
    kind: "kind",
    window: "window",
    stride: "stride",
    field: "field",
    apart: "step",
    removal: "remove",
    kindOf: (layer: number) => `kind of layer ${layer}`,
    windowOf: (layer: number) => `window of layer ${layer}`,
    strideOf: (layer: number) => `stride of layer ${layer}`,
    remove: (layer: number) => `remove layer ${layer}`,
    conv: "conv",
    pool: "pool",
    add: "+ add a layer",
    fieldNote: "field: how many pixels wide the receptive field of a unit is. step: how many pixels the fields of neighbouring units are apart. ",
    coneTitle: "What a unit sees through the layers below it",
    coneCaption: "Point at any unit, or tap it; with the keyboard, arrow keys go along a layer and from layer to layer.",
    coneKeys: "Layers from the side. Left and right choose a unit of the layer, up and down another layer.",
    coneDescription: (many: number, pixels: string) => `${plural(many, "layer", "layers")} over a row of ${pixels} pixels. `,
    nothing: "The first layer’s window does not fit this image: there is no unit to choose.",
    sees: (layer: number, position: string, first: string, last: string, wide: string, cut: string, size: string) =>
      (first === last
        ? `Unit ${position} of layer ${layer} sees pixel ${first} alone`
        : `Unit ${position} of layer ${layer} sees pixels ${first} to ${last}, ${wide} wide`) +
      (cut ? `: the other ${cut} of its ${size} lie outside the image.` : "."),
    tooSmall: (layer: number, units: string) =>
      `Layer ${layer} has no unit: its window does not fit the ${units === "1" ? "single unit" : `${units} units`} below.`,
    pixels: "pixels",
    rowName: (layer: number, { kind, window, stride }: Layer, wide: boolean) => {
      if (!wide) return `${layer}: ${kind === "pool" ? "p " : ""}${windowOf(window)}`;
      const step = stride === 1 ? "" : `, stride ${stride}`;
      return `${layer}: ${kind === "pool" ? "pool " : ""}${windowOf(window)}${step}`;
    },
    formulaIntro: (
      <>
        The rule is short (Araujo, Norris and Sim, <cite>Distill</cite> 2019). A layer with a window of <i>k</i> widens the field by{" "}
        <i>k</i> − 1 steps of the layer below it, and a step is the product of all strides below:
      </>
    ),
    formulaFor: "For this stack: ",
    growthIntro: (side: string) =>
      `Without strides each 3×3 layer adds 2 pixels. Each stride of 2 doubles what all later layers add. How many layers does a unit need to see all ${side} ${side === "1" ? "pixel" : "pixels"} from edge to edge?`,
    growthTitle: "How many layers until a unit sees the whole image",
    growthDescription: (side: string, ways: string) => `Width of the field after each layer, up to ${side} pixels. Layers needed: ${ways}.`,
    growthCaption: "Width of the field in pixels, on a logarithmic scale. A ring marks the first layer with a unit, in the middle, that sees the whole image.",
    wholeImage: "the whole image",
    layersAxis: "layers",
    way: "stack",
    weights: "weights",
    ways: {
      plain: () => "3×3, again and again",
      halving: () => "3×3 and pool 2×2 in turn",
      own: (stack: string) => `the stack above (${stack}), repeated`,
    },
    denseUnit: "one dense unit instead",
    never: "never",
    weightsNote: "Weights in two dimensions with a single map a layer, which says how weights grow, not what a useful network needs: k² a convolution (a layer with one sliding kernel, part 3), none for pooling. The dense unit has one for every pixel.",
    growthFormula: (side: string, many: string) => (
      <>
        In formulas: <i>n</i> layers of 3×3 see 1 + 2<i>n</i> pixels, so a width of {side} takes ({side} − 1) ÷ 2, rounded up: {many}. <i>m</i>{" "}
        rounds of 3×3 and a pool see 3·2<sup><i>m</i></sup> − 2.
      </>
    ),
    branchesHead: "Branches",
    branchesIntro:
      "Paths may part and meet again, as in Inception or in a residual block, where one path (a skip) carries the input past the layers unchanged. The unit where they meet sees what any of its paths sees: the union of their fields. Centred windows make that the widest one.",
    branchNames: { "3-3.skip": "3×3–3×3 and skip", "3-3.1": "3×3–3×3 and 1×1", "5.3": "5×5 and 3×3" },
    branchesTitle: "Two paths that meet",
    path: (windows: readonly number[]) => (windows.length ? windows.map(windowOf).join(" – ") : "skip"),
    pathName: (path: string, size: number, wide: boolean) => (wide ? `${path}: ${plural(size, "pixel", "pixels")} wide` : `${path}: ${size} px`),
    fieldIs: (size: number) => `sees ${plural(size, "pixel", "pixels")}`,
    branchesDescription: (deep: string, deepSize: number, short: string, shortSize: number, both: number) =>
      `The path ${deep} sees ${plural(deepSize, "pixel", "pixels")}, the path ${short} ${shortSize}. Where they meet the field is ${plural(both, "pixel", "pixels")} wide.`,
    branchesCaption: (deep: number, short: number, both: number) =>
      `One path sees ${plural(deep, "pixel", "pixels")}, the other ${short}. Where they are added, the unit sees ${both}: the wider view, and beside it a short way to the narrow one.`,
    stream:
      "In a row of such blocks every block doubles the number of routes. A route takes the deep path or the skip in each block. Only one is deep in all of them, and has the widest field; most are deep in about half of the blocks.",
    blocks: "blocks in a row",
    routesTitle: "All routes through the blocks",
    routesDescription: (blocks: number, routes: string, least: number, most: number) =>
      `${plural(blocks, "block", "blocks")} make ${routes} routes, whose fields are ${least} to ${most} pixels wide.`,
    routesCaption: (routes: string, least: number, most: number) =>
      `${routes} routes in all. A bar is as wide as the field of the routes that go deep so often: from ${plural(least, "pixel", "pixels")} to ${most}. On the right, how many such routes there are. (Veit, Wilber and Belongie 2016 see a residual network as all of these shallow networks together.)`,
    deepTimes: "times deep",
    routes: "routes",
    effectiveHead: "Effective against theoretical",
    effectiveIntro: (
      <>
        The field says which pixels can matter, not how much. Count the paths up to the unit, in the stack above: from a pixel in the
        middle there are many, from one at the edge only one.
      </>
    ),
    rounds: "the stack, repeated",
    roundsShown: (times: number, many: number) => `${times}× (${plural(many, "layer", "layers")})`,
    bellTitle: "Paths from each pixel to the unit",
    bellDescription: (size: string, total: string, edge: string, largest: string, wide: string, inside: string) =>
      `${total} paths over a field of ${size} pixels: ${edge} from the outermost pixel, ${largest} from the middle. The middle ${wide} pixels hold ${inside} of them.`,
    bellCaption: (size: string, wide: string, inside: string, largest: string, edge: string) =>
      `The middle ${wide} of ${size} pixels hold ${inside} of all paths (the narrowest that holds 95 %). Most paths from one pixel: ${largest}; from the outermost: ${edge}.`,
    pathsOf: (most: string) => `up to ${most} ${most === "1" ? "path" : "paths"} from one pixel`,
    core: (wide: string) => `95 %: ${wide} px`,
    whole: (size: string) => `the field: ${size} px`,
    heatTitle: "In two dimensions",
    heatDescription: (size: string, share: string, area: string) =>
      `A field of ${size} by ${size} pixels, strongest in the middle and faint at the edge. The inner square is ${area} of its area and holds ${share} of the paths.`,
    heatCaption: (share: string, area: string) => `The inner square holds ${share} of all paths on ${area} of the field’s area.`,
    four: (many: number, size: string, wide: string, more: number, moreSize: string, moreWide: string) =>
      `Four times the layers: from ${many} to ${more} the field grows from ${size} to ${moreSize} pixels, its middle only from ${wide} to ${moreWide}. The middle grows with the square root of the number of layers, the field with the number itself: the deeper the stack, the smaller the share that counts.`,
    tooWide: (size: string, most: string) =>
      `The field of this stack is ${size} pixels wide; the page counts paths up to ${most}. Smaller strides or fewer layers bring it back.`,
    effectiveNote: (
      <>
        A pixel’s paths are its influence where all weights are alike; in a stack of convolutions with random weights the expected
        square of its influence falls off in the same bell (Luo, Li, Urtasun and Zemel 2016). Pooling is counted as an average here;
        of a maximum only one path passes. Training can widen the middle, but it starts out narrow.
      </>
    ),
    /** Between two sentences. */
    gap: " ",
    savedHead: "What was saved:",
    lostHead: "What was given up:",
    saved: (layers: string, weights: string, pixels: string, factor: string) =>
      `a unit that sees the whole image, for ${weights} weights in ${layers} layers instead of ${pixels} in one, ${factor} times fewer. A layer adds k² weights however large the image is.`,
    savedNever: "with windows of 1 nothing ever widens; any larger window adds k² weights a layer however large the image is.",
    savedPool: "everything, for pooling has no weights. But pooling alone only sums up; it looks for nothing.",
    savedNothing: "nothing yet, for an image of one pixel is seen whole from the start. On larger images a layer adds k² weights.",
    savedMore: (layers: string, weights: string, pixels: string) =>
      `nothing on an image so small: ${weights} weights in ${layers} layers do what a dense unit does with ${pixels}. On larger images k² weights a layer stay k².`,
    lost: "distant pixels meet only after many layers, each of which must pass the message on; pixels at the edge of a field count for little; and after strides and pooling the place of what was seen is known only to within a step.",
  },
  zh: {
    title: "从局部到全局：一层叠一层",
    intro:
      "一个只看得见 10×10 像素的单元，分不清人脸和车轮。但它所在的那一层，输出又是一张图像，上面可以再加一层，同样透过窗口去看。第二层的单元看到第一层的几个单元，也就间接看到更多像素。一个单元这样层层往下、最终看到的那片像素，叫作它的感受野。",
    presetsIntro: "下图是从侧面看的各层：最下面是一行像素，往上每一层是一行单元。可以选一个现成的组合，也可以自己搭。",
    presets: {
      threes: "五层 3×3",
      mixed: "3×3，中间池化一次",
      alternating: "3×3 与池化交替",
      alexnet: "AlexNet",
      vgg: "VGG-16 前八层",
    },
    presetsNote: "AlexNet 和 VGG-16 取论文里卷积层和池化层的窗口与步长。",
    tableCaption: "从输入往上的各层，以及每层单元的感受野",
    layer: "层",
    layers: "层数",
    kind: "类型",
    window: "窗口",
    stride: "步长",
    field: "感受野",
    apart: "间距",
    removal: "删除",
    kindOf: (layer: number) => `第 ${layer} 层的类型`,
    windowOf: (layer: number) => `第 ${layer} 层的窗口`,
    strideOf: (layer: number) => `第 ${layer} 层的步长`,
    remove: (layer: number) => `删除第 ${layer} 层`,
    conv: "卷积",
    pool: "池化",
    add: "+ 加一层",
    fieldNote: "感受野：一个单元能看到多少像素宽。间距：相邻两个单元的感受野错开多少像素。",
    coneTitle: "一个单元透过下面各层看到什么",
    coneCaption: "把指针移到任一单元上，或者点一下；用键盘时，方向键可以左右换单元、上下换层。",
    coneKeys: "各层的侧视图。左右键选同一层的单元，上下键换层。",
    coneDescription: (many: number, pixels: string) => `一行 ${pixels} 个像素，上面叠着 ${many} 层。`,
    nothing: "第一层的窗口比图像还大，没有单元可选。",
    sees: (layer: number, position: string, first: string, last: string, wide: string, cut: string, size: string) =>
      (first === last
        ? `第 ${layer} 层的 ${position} 号单元只看到第 ${first} 号像素`
        : `第 ${layer} 层的 ${position} 号单元看到第 ${first} 到 ${last} 号像素，宽 ${wide}`) +
      (cut ? `；感受野宽 ${size}，其余 ${cut} 个落在图像之外。` : "。"),
    tooSmall: (layer: number, units: string) => `第 ${layer} 层没有单元：下面只剩 ${units} 个单元，放不下它的窗口。`,
    pixels: "像素",
    rowName: (layer: number, { kind, window, stride }: Layer, wide: boolean) => {
      if (!wide) return `${layer} ${kind === "pool" ? "池" : ""}${windowOf(window)}`;
      const step = stride === 1 ? "" : `，步长 ${stride}`;
      return `${layer}　${kind === "pool" ? "池化 " : ""}${windowOf(window)}${step}`;
    },
    formulaIntro: (
      <>
        规则很短（Araujo、Norris 与 Sim，<cite>Distill</cite>，2019）：窗口为 <i>k</i> 的一层，让感受野增加 <i>k</i> − 1
        个下层间距；而间距就是下面所有步长的乘积：
      </>
    ),
    formulaFor: "对上面这几层：",
    growthIntro: (side: string) =>
      `步长都为 1 时，每层 3×3 只添 2 个像素，是加法式的增长。每遇到一个步长 2，此后各层添的像素都翻一倍，是乘法式的增长。要叠多少层，一个单元才能从头到尾看全 ${side} 个像素？`,
    growthTitle: "要叠多少层才看得到整幅图像",
    growthDescription: (side: string, ways: string) => `每一层之后感受野的宽度，直到 ${side} 个像素。所需层数：${chineseList(ways)}。`,
    growthCaption: "感受野的宽度（像素），对数刻度。圆圈标出最先看到整幅图像的那一层；单元还得正好在图像中央。",
    wholeImage: "整幅图像",
    layersAxis: "层数",
    way: "叠法",
    weights: "权值数",
    ways: {
      plain: () => "一直叠 3×3",
      halving: () => "3×3 与 2×2 池化交替",
      own: (stack: string) => `重复上面的组合（${stack}）`,
    },
    denseUnit: "换成一个全连接单元",
    never: "永远看不全",
    weightsNote: "权值数按二维、一个通道计：每个卷积层 k² 个，池化没有权值。全连接单元每个像素一个权值。",
    growthFormula: (side: string, many: string) => (
      <>
        写成公式：<i>n</i> 层 3×3 看到 1 + 2<i>n</i> 个像素，要看到 {side} 个，需 ({side} − 1) ÷ 2 层，向上取整得 {many}；3×3
        加池化重复 <i>m</i> 轮，看到 3·2<sup><i>m</i></sup> − 2 个。
      </>
    ),
    branchesHead: "分支",
    branchesIntro:
      "几条路径可以先分开再汇合，Inception 就是这样；残差块也是，其中一条路径（跳连）让输入原样绕过中间各层。汇合处的单元，凡是任何一条路径看得到的，它都看得到：感受野是各条路径的并集。只要窗口都居中，短路径的感受野就落在长路径的里面，并集就等于长路径的感受野。",
    branchNames: { "3-3.skip": "3×3–3×3 与跳连", "3-3.1": "3×3–3×3 与 1×1", "5.3": "5×5 与 3×3" },
    branchesTitle: "两条路径汇合",
    path: (windows: readonly number[]) => (windows.length ? windows.map(windowOf).join(" – ") : "跳连"),
    pathName: (path: string, size: number, wide: boolean) => (wide ? `${path}：宽 ${size} 像素` : `${path}：${size} 像素`),
    fieldIs: (size: number) => `看到 ${size} 个像素`,
    branchesDescription: (deep: string, deepSize: number, short: string, shortSize: number, both: number) =>
      `路径“${deep}”看到 ${deepSize} 个像素，路径“${short}”看到 ${shortSize} 个。汇合后感受野宽 ${both} 个像素。`,
    branchesCaption: (deep: number, short: number, both: number) =>
      `一条路径看到 ${deep} 个像素，另一条看到 ${short} 个。相加之后，单元看到 ${both} 个：视野取宽的那条，同时留着一条通往窄处的近路。`,
    stream: "这样的块一个接一个，每多一块，路线就多一倍。其中只有一条每次都走深路径，感受野最宽；大多数路线大约在一半的块里走深路径。",
    blocks: "连续几块",
    routesTitle: "穿过这些块的全部路线",
    routesDescription: (blocks: number, routes: string, least: number, most: number) =>
      `${blocks} 块共有 ${routes} 条路线，感受野宽 ${least} 到 ${most} 个像素。`,
    routesCaption: (routes: string, least: number, most: number) =>
      `共 ${routes} 条路线。横条的长度表示走这么多次深路径的路线的感受野宽度，从 ${least} 到 ${most} 个像素；右边是这样的路线有几条。（Veit、Wilber 与 Belongie，2016，把残差网络看作所有这些浅网络的集合。）`,
    deepTimes: "走深路径次数",
    routes: "路线数",
    effectiveHead: "有效感受野与理论感受野",
    effectiveIntro: (
      <>
        感受野只说明哪些像素可能起作用，没有说作用有多大。正中的像素有许多条路径通到这个单元，最边上的只有一条。就上面这个组合数一数：让每层的卷积核都全是 1，逐层算下来，得到的就是路径数。
      </>
    ),
    rounds: "整个组合重复",
    roundsShown: (times: number, many: number) => `${times} 次（${many} 层）`,
    bellTitle: "每个像素有几条路径通到这个单元",
    bellDescription: (size: string, total: string, edge: string, largest: string, wide: string, inside: string) =>
      `感受野宽 ${size} 个像素，共 ${total} 条路径：最边上的像素 ${edge} 条，正中 ${largest} 条。中间 ${wide} 个像素占了 ${inside}。`,
    bellCaption: (size: string, wide: string, inside: string, largest: string, edge: string) =>
      `${size} 个像素里，中间 ${wide} 个就占了全部路径的 ${inside}（这是至少占 95 % 的最窄一段）。单个像素最多 ${largest} 条路径，最边上 ${edge} 条。`,
    pathsOf: (most: string) => `单个像素最多 ${most} 条路径`,
    core: (wide: string) => `95 %：${wide} 像素`,
    whole: (size: string) => `感受野：${size} 像素`,
    heatTitle: "二维的情形",
    heatDescription: (size: string, share: string, area: string) =>
      `${size}×${size} 像素的感受野，中间最强，越往外越弱。里面的方框占面积的 ${area}，却有 ${share} 的路径。`,
    heatCaption: (share: string, area: string) => `里面的方框只占感受野面积的 ${area}，却有 ${share} 的路径。`,
    four: (many: number, size: string, wide: string, more: number, moreSize: string, moreWide: string) =>
      `层数变成四倍，从 ${many} 层到 ${more} 层：感受野从 ${size} 增到 ${moreSize} 个像素，中间那段却只从 ${wide} 增到 ${moreWide}。感受野随层数增长，中间那段随层数的平方根增长：叠得越深，真正起作用的部分占得越少。`,
    tooWide: (size: string, most: string) => `这个组合的感受野宽 ${size} 个像素，本页数路径最多数到宽 ${most} 个像素。把步长改小或者减少层数就可以了。`,
    effectiveNote: (
      <>
        如果所有权值都一样，路径数就是一个像素的影响力；如果各层卷积的权值是随机的，影响力平方的期望也按同样的钟形衰减（Luo、Li、Urtasun 与 Zemel，2016）。这里的池化按平均计；取最大值时只有一条路径通过。训练可以让中间那段变宽，但它起初总是窄的。
      </>
    ),
    gap: "",
    savedHead: "省下了什么：",
    lostHead: "放弃了什么：",
    saved: (layers: string, weights: string, pixels: string, factor: string) =>
      `省下了什么：要让一个单元看到整幅图像，${layers} 层共 ${weights} 个权值就够了，不必用一层的 ${pixels} 个，只有后者的 ${oneOf(factor)}。图像再大，每加一层也只添 k² 个权值。`,
    savedNever: "省下了什么：什么也没省，窗口全是 1，感受野永远不会变宽；换成大于 1 的窗口，图像再大，每层也只添 k² 个权值。",
    savedPool: "省下了什么：全部权值，因为池化没有权值。但只有池化的话，就只会概括，不会去找任何东西。",
    savedNothing: "省下了什么：还什么都没省，只有一个像素的图像一开始就看全了。图像变大以后，每层只添 k² 个权值。",
    savedMore: (layers: string, weights: string, pixels: string) =>
      `省下了什么：图像这么小，什么也没省下，${layers} 层要 ${weights} 个权值，一个全连接单元只要 ${pixels} 个。图像变大以后，每层仍是 k² 个。`,
    lost: "放弃了什么：相距很远的像素要过很多层才碰面，每一层都得把消息传下去；感受野边缘的像素几乎不起作用；经过步长和池化，看到的东西究竟在哪里，只能精确到一个间距。",
  },
});
