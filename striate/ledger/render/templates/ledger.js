"use strict";
(() => {
  const find = (selector, from = document) => from.querySelector(selector);
  const all = (selector, from = document) => [...from.querySelectorAll(selector)];
  const made = (tag, name, text) => {
    const element = document.createElement(tag);
    if (name) element.className = name;
    if (text !== undefined) element.textContent = text;
    return element;
  };
  const data = JSON.parse(find("#data").textContent);
  const nodes = data.nodes.map(([parent, label, type, row, kind, layers, exact, short, share, frame]) => (
    {parent, label, type, row, kind, layers, exact, short, share, frame, parts: []}));
  nodes.forEach((node, place) => { if (node.parent !== null) nodes[node.parent].parts.push(place); });
  const map = find("#map"), crumbs = find("#crumbs"), panel = find("#panel");
  const table = find("#rows"), body = find("tbody", table), search = find("#search");
  const heads = all("thead th", table);
  const rows = all("tr", body);
  const cells = rows.map((row) => all("th, td", row).map((cell) => cell.textContent));
  let metric = data.first, view = 0, wanted = null;

  // ---- areas

  const path = (place) => {
    const chain = [];
    for (let p = place; p !== null; p = nodes[p].parent) chain.unshift(p);
    return chain;
  };

  // Its name as one says it who stands in `from`.
  const named = (place, from) => path(place).slice(path(from).length).map((p) => nodes[p].label).join(".")
    .replaceAll(".:", ":").replaceAll(".(", " (") || nodes[place].label;

  // Where each part is in the frame, as left, top, width and height, and whether only its module is named.
  const layout = () => {
    const found = new Map([[view, {frame: [0, 0, 1, 1], shut: false}]]);
    for (let place = view + 1; place < nodes.length; place++) {
      const node = nodes[place], around = found.get(node.parent), own = node.frame[metric];
      if (!around || !own) continue;
      const [left, top, width, height] = around.frame;
      const frame = [left + own[0] * width, top + own[1] * height, own[2] * width, own[3] * height];
      const small = node.row === null && frame[2] * frame[3] < data.open;
      found.set(place, {frame, inside: around.shut, shut: around.shut || small});
    }
    return found;
  };

  const draw = () => {
    const found = layout();
    const drawn = document.createDocumentFragment();
    found.forEach(({frame, inside, shut}, place) => {
      const node = nodes[place], leaf = node.row !== null;
      if (place === view || !leaf && inside) return;
      const open = !leaf && !shut;
      const tile = made(inside || open ? "span" : "button", open ? "frame" : leaf ? "tile " + node.kind : "tile group");
      ["left", "top", "width", "height"].forEach((side, i) => { tile.style[side] = 100 * frame[i] + "%"; });
      tile.dataset.node = place;
      if (!inside && !open) {
        tile.type = "button";
        tile.tabIndex = -1;
        const name = named(place, view), figure = node.short[metric] + " \u00b7 " + node.share[metric];
        const title = made("b");
        name.split(".").forEach((word, i) => title.append(...(i ? [".", made("wbr"), word] : [word])));
        tile.append(title, made("span", "", figure.replace(" %", "\u00a0%")));
        tile.setAttribute("aria-label", name + ", " + (node.type || "module") + ": " + figure);
      }
      drawn.append(tile);
    });
    map.replaceChildren(drawn);
    const first = find("button", map);
    if (first) first.tabIndex = 0;
    else map.append(made("p", "nothing", "No " + data.metrics[metric][2] + " here."));
    mark();
    trail();
    show(view);
  };

  const trail = () => {
    const list = path(view).map((place, i, chain) => {
      const item = made("li");
      const text = nodes[place].label;
      if (i === chain.length - 1) {
        const here = made("span", "", text);
        here.setAttribute("aria-current", "location");
        item.append(here);
      } else {
        const back = made("button", "", text);
        back.type = "button";
        back.addEventListener("click", () => go(place));
        item.append(back);
      }
      return item;
    });
    crumbs.replaceChildren(...list);
  };

  const go = (place) => {
    const held = map.contains(document.activeElement);
    view = place;
    draw();
    const first = find("button", map);
    if (held && first) first.focus();
  };

  // Into the part of this view that the tile is in, and on while there is only one way.
  const into = (place) => {
    let next = path(place)[path(view).length];
    if (next === undefined || nodes[next].row !== null) { show(place); return; }
    for (;;) {
      const filled = nodes[next].parts.filter((p) => nodes[p].frame[metric]);
      if (filled.length !== 1 || nodes[filled[0]].row !== null) break;
      next = filled[0];
    }
    go(next);
  };

  const up = () => { if (nodes[view].parent !== null) go(nodes[view].parent); };

  // ---- the figures of a part

  const show = (place) => {
    const node = nodes[place];
    const title = made("p", "title");
    title.append(made("b", "", node.row === null ? named(place, 0) : cells[node.row][0]));
    if (node.type) title.append(" ", made("span", "quiet", node.type));
    title.append(" ", made("span", "part", node.share[metric] + " of all " + data.metrics[metric][2]));
    const list = made("dl");
    const add = (name, value) => {
      if (!value) return;
      const pair = made("div");
      pair.append(made("dt", "", name), made("dd", "", value));
      list.append(pair);
    };
    if (node.row === null) {
      add("Layers", String(node.layers));
      data.metrics.forEach(([, , unit], i) => add(unit[0].toUpperCase() + unit.slice(1), node.exact[i]));
    } else {
      cells[node.row].slice(2).forEach((value, i) => add(heads[i + 2].dataset.name, value));
    }
    panel.replaceChildren(title, list);
  };

  const tileOf = (event) => event.target.closest && event.target.closest("button.tile");
  map.addEventListener("mouseover", (event) => { const tile = tileOf(event); if (tile) show(+tile.dataset.node); });
  map.addEventListener("mouseleave", () => {
    const focused = document.activeElement;
    show(map.contains(focused) && focused.dataset.node ? +focused.dataset.node : view);
  });
  map.addEventListener("focusin", (event) => {
    const tile = tileOf(event);
    if (!tile) return;
    all("button", map).forEach((other) => { other.tabIndex = other === tile ? 0 : -1; });
    show(+tile.dataset.node);
  });
  map.addEventListener("click", (event) => { const tile = tileOf(event); if (tile) into(+tile.dataset.node); });
  map.addEventListener("keydown", (event) => {
    const tiles = all("button", map), at = tiles.indexOf(document.activeElement);
    const to = {ArrowRight: at + 1, ArrowDown: at + 1, ArrowLeft: at - 1, ArrowUp: at - 1, Home: 0, End: tiles.length - 1}[event.key];
    if (to !== undefined) {
      event.preventDefault();
      if (tiles[to]) tiles[to].focus();
    } else if (event.key === "Escape" || event.key === "Backspace") {
      event.preventDefault();
      up();
    }
  });
  all("input[name=metric]").forEach((input) => {
    input.disabled = !nodes[0].frame[+input.value];
    input.checked = +input.value === metric;
    input.addEventListener("change", () => { metric = +input.value; draw(); });
  });

  // ---- search

  // Rows that are sought; null where nothing is.
  const mark = () => {
    const lit = new Set();
    if (wanted) nodes.forEach((node, place) => {
      if (node.row !== null && wanted.has(node.row)) path(place).forEach((p) => lit.add(p));
    });
    all(".tile", map).forEach((tile) => tile.classList.toggle("dim", Boolean(wanted) && !lit.has(+tile.dataset.node)));
  };

  const seek = () => {
    const text = search.value.trim().toLowerCase();
    wanted = text ? new Set() : null;
    cells.forEach((row, i) => {
      const fits = !text || (row[0] + " " + row[1]).toLowerCase().includes(text);
      rows[i].hidden = !fits;
      if (text && fits) wanted.add(i);
    });
    find("#found").textContent = text ? wanted.size + " of " + rows.length + " layers" : "";
    mark();
  };
  search.addEventListener("input", seek);
  search.addEventListener("keydown", (event) => { if (event.key === "Escape") { search.value = ""; seek(); } });

  // ---- sorting

  // Figures are compared as they are written: they may have more digits than a number of this language.
  const parts = (text) => {
    const [whole, rest = ""] = text.replace(/[^0-9.e+]/g, "").split(".");
    return [whole, rest];
  };
  const inOrder = (one, other) => {
    const [a, b] = parts(one), [c, d] = parts(other);
    return a.length - c.length || (a < c ? -1 : a > c ? 1 : b < d ? -1 : b > d ? 1 : 0);
  };
  const byName = new Intl.Collator(undefined, {numeric: true});
  const sort = (column) => {
    const head = heads[column], numeric = head.classList.contains("num");
    const next = {none: numeric ? "descending" : "ascending", [numeric ? "descending" : "ascending"]: numeric ? "ascending" : "descending"}[head.getAttribute("aria-sort") || "none"] || "none";
    heads.forEach((other) => other.removeAttribute("aria-sort"));
    const order = rows.map((_, i) => i);
    if (next !== "none") {
      head.setAttribute("aria-sort", next);
      const sign = next === "ascending" ? 1 : -1;
      order.sort((i, j) => {
        const one = cells[i][column], other = cells[j][column];
        if (!one || !other) return one ? -1 : other ? 1 : i - j;
        return sign * (numeric ? inOrder(one, other) : byName.compare(one, other)) || i - j;
      });
    }
    body.append(...order.map((i) => rows[i]));
  };
  heads.forEach((head, column) => {
    // No button element: on paper a browser leaves those out where it repeats the head on every page.
    const button = made("span", "", head.textContent);
    button.setAttribute("role", "button");
    button.tabIndex = 0;
    button.addEventListener("click", () => sort(column));
    button.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      sort(column);
    });
    head.replaceChildren(button);
  });

  // ---- paper

  let shutFolds = [];
  addEventListener("beforeprint", () => {
    shutFolds = all("details:not([open])");
    shutFolds.forEach((fold) => { fold.open = true; });
  });
  addEventListener("afterprint", () => shutFolds.forEach((fold) => { fold.open = false; }));

  all(".scripted").forEach((element) => { element.hidden = false; });
  draw();
})();
