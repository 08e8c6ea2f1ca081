// What is turned, chosen and typed, the same in every part. All of it works by keyboard and by touch.

import type { ComponentChildren, JSX } from "preact";
import { useEffect, useId, useState } from "preact/hooks";
import { change, setting } from "./state";
import { LARGEST_KERNEL, LARGEST_SIDE, outputsOf } from "./setting";
import { exact } from "./numbers";
import { words } from "./words";

/** A row of controls. */
export const Controls = ({ children }: { children: ComponentChildren }): JSX.Element => (
  <div class="controls">{children}</div>
);

/** A number to type; it counts when the field is left or Enter is pressed. One out of range is brought into it, and said. */
export function NumberField(props: {
  label: string;
  value: number;
  low: number;
  high: number;
  onChange: (value: number) => void;
}): JSX.Element {
  const { label, value, low, high, onChange } = props;
  const t = text();
  const [typed, setTyped] = useState(String(value));
  const [mended, setMended] = useState(false);
  useEffect(() => setTyped(String(value)), [value]);
  // What the field holds counts, not what was last drawn: the two differ for a moment after a key.
  const take = (given: string) => {
    const number = given.trim() === "" ? NaN : Number(given);
    const within = Math.min(Math.max(Math.round(number), low), high);
    setMended(within !== number);
    setTyped(String(Number.isFinite(number) ? within : value));
    if (Number.isFinite(number)) onChange(within);
  };
  return (
    <div class="control">
      <label>
        <span>{label}</span>
        <input
          type="number"
          inputMode="numeric"
          min={low}
          max={high}
          value={typed}
          onInput={(event) => {
            setTyped(event.currentTarget.value);
            setMended(false);
          }}
          onChange={(event) => take(event.currentTarget.value)}
        />
      </label>
      {mended && (
        <span class="mended" role="status">
          {t.range(exact(low), exact(high))}
        </span>
      )}
    </div>
  );
}

/** A slider with its value beside it. `show` writes the value for eyes and screen readers. */
export function Slider(props: {
  label: string;
  value: number;
  low: number;
  high: number;
  onChange: (value: number) => void;
  show?: (value: number) => string;
}): JSX.Element {
  const { label, value, low, high, onChange, show = String } = props;
  const id = useId();
  // Without `for` the label would be that of the output, and the slider would have no name.
  return (
    <label class="control" for={id}>
      <span>
        {label} <output>{show(value)}</output>
      </span>
      <input
        id={id}
        type="range"
        min={low}
        max={high}
        step={1}
        value={value}
        aria-valuetext={show(value)}
        onInput={(event) => onChange(event.currentTarget.valueAsNumber)}
      />
    </label>
  );
}

/** One of a few, all of them in sight. */
export function Choice<T extends string>(props: {
  label: string;
  value: T;
  options: readonly (readonly [value: T, label: string])[];
  onChange: (value: T) => void;
}): JSX.Element {
  const name = useId();
  return (
    <fieldset class="control choice">
      <legend>{props.label}</legend>
      <div class="options">
        {props.options.map(([value, label]) => (
          <label key={value}>
            <input
              type="radio"
              name={name}
              value={value}
              checked={value === props.value}
              onChange={() => props.onChange(value)}
            />
            <span>{label}</span>
          </label>
        ))}
      </div>
    </fieldset>
  );
}

export const Button = (props: { onClick: () => void; children: ComponentChildren; pressed?: boolean }): JSX.Element => (
  <button type="button" class="button" aria-pressed={props.pressed} onClick={props.onClick}>
    {props.children}
  </button>
);

// ---- the shared setting's own controls --------------------------------------------------------

const text = words("controls", {
  en: {
    range: (low: string, high: string) => (low === high ? `only ${low}` : `${low} to ${high}`),
    height: "image height",
    width: "image width",
    kernel: "window side",
    stride: "stride",
    padding: "padding",
    same: "same",
    valid: "none",
    pool: "sizeX (pooling window)",
    poolStride: "pooling stride",
    poolKind: "pooling",
    max: "max",
    average: "average",
  },
  zh: {
    range: (low: string, high: string) => (low === high ? `只能是 ${low}` : `${low} 到 ${high}`),
    height: "图像高",
    width: "图像宽",
    kernel: "窗口边长",
    stride: "步长",
    padding: "填充",
    same: "same（补零）",
    valid: "不填充",
    pool: "sizeX（池化窗口）",
    poolStride: "池化步长",
    poolKind: "池化方式",
    max: "最大值",
    average: "平均值",
  },
});

export function SizeControls(): JSX.Element {
  const t = text();
  const { height, width } = setting.value;
  return (
    <>
      <NumberField label={t.height} value={height} low={1} high={LARGEST_SIDE} onChange={(height) => change({ height })} />
      <NumberField label={t.width} value={width} low={1} high={LARGEST_SIDE} onChange={(width) => change({ width })} />
    </>
  );
}

export function WindowControls(): JSX.Element {
  const t = text();
  const { height, width, kernel, stride, padding } = setting.value;
  const most = Math.min(height, width);
  return (
    <>
      <NumberField label={t.kernel} value={kernel} low={1} high={Math.min(most, LARGEST_KERNEL)} onChange={(kernel) => change({ kernel })} />
      <NumberField label={t.stride} value={stride} low={1} high={most} onChange={(stride) => change({ stride })} />
      <Choice
        label={t.padding}
        value={padding}
        options={[
          ["same", t.same],
          ["valid", t.valid],
        ]}
        onChange={(padding) => change({ padding })}
      />
    </>
  );
}

export function PoolControls(): JSX.Element {
  const t = text();
  const { pool, poolStride, poolKind } = setting.value;
  const most = Math.min(...outputsOf(setting.value));
  return (
    <>
      <Choice
        label={t.poolKind}
        value={poolKind}
        options={[
          ["max", t.max],
          ["average", t.average],
        ]}
        onChange={(poolKind) => change({ poolKind })}
      />
      <NumberField label={t.pool} value={pool} low={1} high={most} onChange={(pool) => change({ pool })} />
      <NumberField label={t.poolStride} value={poolStride} low={1} high={most} onChange={(poolStride) => change({ poolStride })} />
    </>
  );
}
