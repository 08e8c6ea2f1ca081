// A drawing as a file of its own: what the style sheet says of it is written into it.

const STYLES = [
  "fill", "fill-opacity", "stroke", "stroke-width", "stroke-opacity", "stroke-dasharray", "stroke-linecap",
  "stroke-linejoin", "opacity", "font-family", "font-size", "font-weight", "font-style", "text-anchor",
  "dominant-baseline", "display", "visibility", "image-rendering", "paint-order", "letter-spacing",
] as const;

/** The drawing as an SVG document that looks the same without the page. */
export function standalone(drawing: SVGSVGElement): string {
  const copy = drawing.cloneNode(true) as SVGSVGElement;
  copy.setAttribute("xmlns", "http://www.w3.org/2000/svg");
  const originals = [drawing, ...drawing.querySelectorAll("*")];
  const copies = [copy, ...copy.querySelectorAll("*")];
  originals.forEach((original, k) => {
    if (!(original instanceof SVGGraphicsElement) && original.localName !== "stop") return;
    const style = getComputedStyle(original);
    const target = copies[k] as SVGElement;
    target.setAttribute("style", STYLES.map((name) => `${name}:${style.getPropertyValue(name)}`).join(";"));
    target.removeAttribute("class");
  });
  const paper = document.createElementNS("http://www.w3.org/2000/svg", "rect");
  paper.setAttribute("width", "100%");
  paper.setAttribute("height", "100%");
  paper.setAttribute("fill", getComputedStyle(document.body).backgroundColor);
  copy.insertBefore(paper, copy.querySelector("desc")?.nextSibling ?? copy.firstChild);
  return new XMLSerializer().serializeToString(copy);
}

function download(blob: Blob, name: string): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

export function saveSvg(drawing: SVGSVGElement, name: string): void {
  download(new Blob([standalone(drawing)], { type: "image/svg+xml" }), `striate-${name}.svg`);
}

/** Saved at twice the size on the screen. */
export function savePng(drawing: SVGSVGElement, name: string): void {
  const picture = new Image();
  picture.onload = () => {
    const canvas = document.createElement("canvas");
    canvas.width = 2 * drawing.clientWidth;
    canvas.height = 2 * drawing.clientHeight;
    canvas.getContext("2d")!.drawImage(picture, 0, 0, canvas.width, canvas.height);
    canvas.toBlob((blob) => blob && download(blob, `striate-${name}.png`));
  };
  picture.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(standalone(drawing))}`;
}
