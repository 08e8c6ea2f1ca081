// The stack, layer by layer: its windows and strides to change, and the field that comes of them.

import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import { Button, Controls } from "../../controls";
import { short } from "../../numbers";
import { LARGEST_STRIDE, LARGEST_WINDOW, MOST_LAYERS, stackText } from "./stack";
import { addLayer, changeLayer, chooseStack, fields, layers, PRESETS, removeLayer } from "./state";
import { text } from "./words";

/** A number in a cell; its column says what it is to eyes, its label to screen readers. */
function Cell(props: { label: string; value: number; high: number; onChange: (value: number) => void }): JSX.Element {
  const { label, value, high, onChange } = props;
  const [typed, setTyped] = useState(String(value));
  useEffect(() => setTyped(String(value)), [value]);
  const take = (given: string) => {
    const number = Math.round(Number(given));
    return given.trim() !== "" && Number.isFinite(number) ? Math.min(Math.max(number, 1), high) : value;
  };
  return (
    <input
      type="number"
      inputMode="numeric"
      aria-label={label}
      min={1}
      max={high}
      value={typed}
      onInput={(event) => {
        setTyped(event.currentTarget.value);
        if (take(event.currentTarget.value) === Number(event.currentTarget.value)) onChange(take(event.currentTarget.value));
      }}
      onBlur={() => {
        onChange(take(typed));
        setTyped(String(take(typed)));
      }}
    />
  );
}

export function Presets(): JSX.Element {
  const t = text();
  const now = stackText(layers.value);
  return (
    <Controls>
      {PRESETS.map((preset) => (
        <Button
          key={preset.name}
          pressed={stackText(preset.layers) === now}
          onClick={() => chooseStack(preset.layers)}
        >
          {t.presets[preset.name]}
        </Button>
      ))}
    </Controls>
  );
}

export function Editor(): JSX.Element {
  const t = text();
  const list = layers.value;
  return (
    <>
      <div class="scroll">
        <table class="stack-table">
          <caption class="heard">{t.tableCaption}</caption>
          <thead>
            <tr>
              <th scope="col">
                <span class="heard">{t.layer}</span>
              </th>
              <th scope="col">{t.kind}</th>
              <th scope="col">{t.window}</th>
              <th scope="col">{t.stride}</th>
              <th scope="col" class="num">
                {t.field}
              </th>
              <th scope="col" class="num">
                {t.apart}
              </th>
              <th>
                <span class="heard">{t.removal}</span>
              </th>
            </tr>
          </thead>
          <tbody>
            {list.map(({ kind, window, stride }, k) => (
              <tr key={k}>
                <th scope="row">{k + 1}</th>
                <td>
                  <select
                    class={kind}
                    aria-label={t.kindOf(k + 1)}
                    value={kind}
                    onChange={(event) => {
                      const kind = event.currentTarget.value === "pool" ? "pool" : "conv";
                      // The usual layer of each kind: a pool steps by its window, a convolution by one.
                      changeLayer(k, kind === "pool" ? { kind, window: 2, stride: 2 } : { kind, window: 3, stride: 1 });
                    }}
                  >
                    <option value="conv">{t.conv}</option>
                    <option value="pool">{t.pool}</option>
                  </select>
                </td>
                <td>
                  <Cell label={t.windowOf(k + 1)} value={window} high={LARGEST_WINDOW} onChange={(window) => changeLayer(k, { window })} />
                </td>
                <td>
                  <Cell label={t.strideOf(k + 1)} value={stride} high={LARGEST_STRIDE} onChange={(stride) => changeLayer(k, { stride })} />
                </td>
                <td class="num stack-field">{short(fields.value[k + 1]!.size)}</td>
                <td class="num">{short(fields.value[k + 1]!.stride)}</td>
                <td>
                  <button type="button" class="button" aria-label={t.remove(k + 1)} disabled={list.length === 1} onClick={() => removeLayer(k)}>
                    ×
                  </button>
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      <Controls>
        <button type="button" class="button" disabled={list.length >= MOST_LAYERS} onClick={addLayer}>
          {t.add}
        </button>
      </Controls>
    </>
  );
}
