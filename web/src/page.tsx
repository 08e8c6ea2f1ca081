// The page around the parts: its head, the running account, the parts or the one that is embedded, its foot.

import type { JSX } from "preact";
import { useEffect } from "preact/hooks";
import { embedded } from "./address";
import { Choice } from "./controls";
import { Power } from "./numbers";
import { PARTS } from "./parts";
import { account, chooseLanguage, chooseLook, language, look, setting } from "./state";
import { entries } from "./setting";
import { words } from "./words";

const text = words("page", {
  en: {
    title: "From a million million weights to a hundred",
    lede: "Three ideas make convolutional networks small: look at a window instead of everything, use the same weights everywhere, and keep one number for each group of neighbours. Change any number on this page and watch what each idea saves, and what it gives up.",
    language: "language",
    look: "colours",
    auto: "auto",
    light: "light",
    dark: "dark",
    contents: "Contents",
    account: "Weights, step by step, for the setting chosen",
    of: "weights: ",
    dense: "dense",
    local: "local",
    shared: "shared",
    units: "units after pooling",
    skip: "Skip to the story",
    foot: "Every number here is computed as you watch, by the formulas that striate’s Python uses. The same arithmetic in a terminal:",
    project: "striate makes networks that you have smaller with these three ideas.",
  },
  zh: {
    title: "从一万亿个权值\u200b到一百个",
    lede: "卷积网络之所以小，靠的是三个想法：只看一个窗口，不看全图；每个位置都用同一组权值；把相邻的结果概括成一个。改动页面上的任何一个数，看看每个想法省下了什么，又放弃了什么。",
    language: "语言",
    look: "配色",
    auto: "自动",
    light: "浅色",
    dark: "深色",
    contents: "目录",
    account: "当前设置下各步的权值数",
    of: "权值：",
    dense: "全连接",
    local: "局部连接",
    shared: "权值共享",
    units: "池化后的单元",
    skip: "跳到正文",
    foot: "页面上的每个数都是当场算出来的，所用公式与 striate 的 Python 代码相同。在终端里做同样的计算：",
    project: "striate 用这三个想法把你现有的网络变小。",
  },
});

function Switches(): JSX.Element {
  const t = text();
  return (
    <div class="switches">
      <Choice
        label={t.language}
        value={language.value}
        options={[
          ["en", "English"],
          ["zh", "中文"],
        ]}
        onChange={chooseLanguage}
      />
      <Choice
        label={t.look}
        value={look.value}
        options={[
          ["auto", t.auto],
          ["light", t.light],
          ["dark", t.dark],
        ]}
        onChange={chooseLook}
      />
    </div>
  );
}

/** The account that stays in sight. */
function Ladder(): JSX.Element {
  const t = text();
  const { dense, connections, weights, pooledUnits } = account.value;
  const steps = [
    { name: t.dense, value: dense, idea: "dense" },
    { name: t.local, value: connections, idea: "local" },
    { name: t.shared, value: weights, idea: "shared" },
  ];
  return (
    <div class="ladder" role="region" aria-label={t.account}>
      <ol>
        {steps.map(({ name, value, idea }) => (
          <li key={idea} class={idea}>
            <span class="name">
              {idea === "dense" && <span class="of">{t.of}</span>}
              {name}
            </span>{" "}
            <Power value={value} />
          </li>
        ))}
        <li class="pooled">
          <span class="name">{t.units}</span> <Power value={pooledUnits} />
        </li>
      </ol>
    </div>
  );
}

/** The terminal's command for the setting chosen. */
function command(): string {
  const options = entries(setting.value).map(([name, value]) => `--${name} ${value}`);
  return ["striate explain", ...options].join(" ");
}

function Section({ number }: { number: number }): JSX.Element {
  const part = PARTS[number - 1]!;
  return (
    <section id={part.id} aria-labelledby={`${part.id}-title`}>
      <h2 id={`${part.id}-title`}>
        <span class="ordinal" aria-hidden="true">
          {number}
        </span>
        {part.title()}
      </h2>
      <part.View />
    </section>
  );
}

export function Page(): JSX.Element {
  const t = text();
  useEffect(() => {
    document.title = t.title.replaceAll("\u200b", "");
  });
  if (embedded) {
    return (
      <main class="embedded">
        <Section number={embedded} />
      </main>
    );
  }
  return (
    <>
      <a class="skip" href="#story" onClick={(event) => {
        event.preventDefault(); // the address holds the state
        document.getElementById("story")?.focus();
      }}>
        {t.skip}
      </a>
      <header>
        <Switches />
        <h1>{t.title}</h1>
        <p class="lede">{t.lede}</p>
        <nav aria-label={t.contents}>
          <ol>
            {PARTS.map((part) => (
              <li key={part.id}>
                <button type="button" onClick={() => document.getElementById(part.id)?.scrollIntoView()}>
                  {part.title()}
                </button>
              </li>
            ))}
          </ol>
        </nav>
      </header>
      <Ladder />
      <main id="story" tabIndex={-1}>
        {PARTS.map((part, k) => (
          <Section key={part.id} number={k + 1} />
        ))}
      </main>
      <footer>
        <p>{t.foot}</p>
        <pre>{command()}</pre>
        <p>{t.project}</p>
      </footer>
    </>
  );
}
